use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use postern_model::driver::Capability;
use postern_model::grant::Grants;
use tempfile::TempDir;

use super::guest::Guest;
use super::{load, open};
use crate::built_in;
use crate::call::CallError;
use crate::{CompileError, DriverHost, InspectError, Limit, Limits, LoadError};

fn bridge(host: &DriverHost) -> Result<(), LoadError> {
    host.load(built_in::MODULES[0], true, &Grants::default()).map(drop)
}

/// The only file of the cache.
fn compiled(state: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> =
        fs::read_dir(state.join("drivers")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn a_driver_may_what_it_asks_for_and_is_granted() {
    let state = TempDir::new().unwrap();
    let host = open(state.path(), Limits::default());
    let grants = Grants::all_of([Capability::Bridge, Capability::Route]);
    let info = host.load(built_in::MODULES[0], false, &grants).unwrap();
    assert_eq!(info.granted, Grants::all_of([Capability::Bridge]));
    let info = host.load(built_in::MODULES[0], false, &Grants::default()).unwrap();
    assert!(info.granted.iter().next().is_none());
    assert!(host.driver("bridge").unwrap().info().granted.iter().next().is_none());
}

#[test]
fn a_name_belongs_to_one_driver() {
    let state = TempDir::new().unwrap();
    let host = open(state.path(), Limits::default());
    let none = Grants::default();
    host.load(&Guest::default().module(), false, &none).unwrap();
    let other = Guest { pages: 3, ..Guest::default() }.module();
    assert!(matches!(
        host.load(&other, false, &none),
        Err(LoadError::NameTaken { name, .. }) if name == "guest"
    ));
    assert!(host.driver("other").is_none());
}

#[test]
fn what_was_compiled_is_kept_and_trusted_only_whole() {
    let state = TempDir::new().unwrap();
    bridge(&open(state.path(), Limits::default())).unwrap();
    let file = compiled(state.path());
    let folder = fs::metadata(state.path().join("drivers")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    let whole = fs::read(&file).unwrap();
    let written = fs::metadata(&file).unwrap().modified().unwrap();

    bridge(&open(state.path(), Limits::default())).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);

    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    for content in [&damaged[..], &whole[..whole.len() - 1], b""] {
        fs::write(&file, content).unwrap();
        bridge(&open(state.path(), Limits::default())).unwrap();
        assert_eq!(fs::read(&file).unwrap().len(), whole.len());
    }
}

#[test]
fn a_file_others_can_write_is_not_trusted() {
    let state = TempDir::new().unwrap();
    bridge(&open(state.path(), Limits::default())).unwrap();
    let file = compiled(state.path());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    bridge(&open(state.path(), Limits::default())).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn code_of_other_engines_goes() {
    let state = TempDir::new().unwrap();
    bridge(&open(state.path(), Limits::default())).unwrap();
    let file = compiled(state.path());
    let stale = state.path().join("drivers/00-0000000000000000.cwasm");
    fs::copy(&file, &stale).unwrap();
    fs::write(state.path().join("drivers/1-0.tmp"), b"x").unwrap();
    // Another stack is another engine.
    open(state.path(), Limits { stack_bytes: 128 << 10, ..Limits::default() });
    assert!(!stale.exists());
    open(state.path(), Limits::default());
    assert!(!state.path().join("drivers/1-0.tmp").exists());
}

#[test]
fn more_than_a_driver_may_need() {
    let guest = Guest { pages: 513, ..Guest::default() };
    assert!(matches!(
        load(&guest.module(), Limits::default()),
        Err(LoadError::Needs(hit)) if hit.which == Limit::MemoryBytes
    ));
    let tables = "(table 1 funcref)".repeat(9);
    let guest = Guest { fields: &tables, ..Guest::default() };
    assert!(matches!(
        load(&guest.module(), Limits::default()),
        Err(LoadError::Needs(hit)) if hit.which == Limit::Tables && hit.measured.is_some_and(|tables| tables >= 9)
    ));
    let guest = Guest { fields: "(table 20001 funcref)", ..Guest::default() };
    assert!(matches!(
        load(&guest.module(), Limits::default()),
        Err(LoadError::Needs(hit)) if hit.which == Limit::TableElements
    ));
}

#[test]
fn instances_end_at_their_limit() {
    // A core module becomes a component of three: itself, and two that tie its imports.
    let limits = Limits { instances: 2, ..Limits::default() };
    assert!(matches!(
        load(&Guest::default().module(), limits),
        Err(LoadError::Describe(CallError::Limit(hit))) if hit.which == Limit::Instances
    ));
}

#[test]
fn calls_beyond_the_queue_are_refused() {
    let limits = Limits { calls: 0, queued: 0, ..Limits::default() };
    assert!(matches!(
        load(&Guest::default().module(), limits),
        Err(LoadError::Describe(CallError::Limit(hit))) if hit.which == Limit::Queued
    ));
}

#[test]
fn a_manifest_is_checked() {
    // The name's length is the fifth byte of the manifest at 16.
    for (length, path) in [(0, "name"), (4096, "name")] {
        let fields =
            format!(r#"(func $lie (i32.store (i32.const 20) (i32.const {length}))) (start $lie)"#);
        let guest = Guest { fields: &fields, ..Guest::default() };
        match load(&guest.module(), Limits::default()) {
            Err(LoadError::BadManifest { path: found, .. }) => assert_eq!(found, path),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn bytes_are_looked_at_first() {
    let bytes = built_in::MODULES[2];
    assert!(matches!(
        load(&bytes[..64], Limits::default()),
        Err(LoadError::Inspect(InspectError::Malformed { .. }))
    ));
    let limits = Limits { module_bytes: 64, ..Limits::default() };
    assert!(matches!(
        load(bytes, limits),
        Err(LoadError::Inspect(InspectError::TooLarge { max: 64, .. }))
    ));
}

#[test]
fn a_module_without_all_exports_does_not_componentize() {
    let module = Guest::default().without_endpoint();
    assert!(matches!(
        load(&module, Limits::default()),
        Err(LoadError::Compile(CompileError::Componentize { reason })) if reason.contains("endpoint")
    ));
}
