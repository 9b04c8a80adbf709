use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use postern_model::driver::Capability;
use postern_model::grant::Grants;
use tempfile::TempDir;

use super::module::Module;
use super::open;
use crate::built_in;
use crate::{DriverHost, Limits, LoadError};

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
    host.load(&Module::default().bytes(), false, &none).unwrap();
    let other = Module { pages: 3, ..Module::default() }.bytes();
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
