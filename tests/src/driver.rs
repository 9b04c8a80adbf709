//! Modules of the tests' own driver and of the examples, built as anybody would build one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Builds follow each other: they share a target folder.
static BUILDING: Mutex<()> = Mutex::new(());

/// The module of a version: none, `two` or `three`.
///
/// # Panics
/// It cannot be built.
pub fn module(version: Option<&str>) -> PathBuf {
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("target").join("test-driver");
    let kept = target.join(format!("lan-{}.wasm", version.unwrap_or("one")));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--offline", "--profile", "driver"]);
    cargo.args(["-p", "postern-test-driver", "--target", "wasm32-unknown-unknown"]);
    if let Some(version) = version {
        cargo.args(["--features", version]);
    }
    leave_the_outer_build(&mut cargo);
    let built = cargo.arg("--target-dir").arg(&target).current_dir(&root).status();
    assert!(built.is_ok_and(|status| status.success()), "the tests' driver does not build");
    let made = target.join("wasm32-unknown-unknown/driver/postern_test_driver.wasm");
    std::fs::copy(&made, &kept).unwrap_or_else(|error| panic!("{}: {error}", made.display()));
    kept
}

/// The module of an example in `drivers-wasm/examples`, which is a workspace of its own.
///
/// # Panics
/// It cannot be built.
pub fn example(name: &str) -> PathBuf {
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("target").join("examples");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--offline", "--release"]);
    cargo.args(["--target", "wasm32-unknown-unknown", "--target-dir"]).arg(&target);
    leave_the_outer_build(&mut cargo);
    let status = cargo.current_dir(root.join("drivers-wasm/examples").join(name)).status();
    assert!(status.is_ok_and(|status| status.success()), "the example {name} does not build");
    target.join(format!("wasm32-unknown-unknown/release/{name}.wasm"))
}

/// The module of an example in another language than Rust, built by a command in its folder;
/// none, and a word about it, where one of the tools is missing. A tool with a slash in its
/// name is looked for in that folder.
///
/// # Panics
/// It cannot be built.
pub fn foreign_example(name: &str, tools: &[&str], build: &[&str]) -> Option<PathBuf> {
    let _one = BUILDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("drivers-wasm/examples").join(name);
    if let Some(missing) = tools.iter().find(|tool| !is_there(&folder, tool)) {
        // Not by a macro: what those write is seen only when a test fails.
        let _ = writeln!(
            std::io::stderr(),
            "{name} is not built and not tested: there is no {missing}, see its README"
        );
        return None;
    }
    let (program, args) = build.split_first()?;
    let built = Command::new(program).args(args).current_dir(&folder).output();
    let built = built.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the example {name} does not build: {said}");
    Some(folder.join("target").join(name).with_extension("wasm"))
}

fn is_there(folder: &Path, tool: &str) -> bool {
    if tool.contains('/') {
        return folder.join(tool).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

fn leave_the_outer_build(cargo: &mut Command) {
    let of_the_outer_build = |name: &str| name.starts_with("CARGO_PKG") || name == "RUSTFLAGS";
    for (name, _) in std::env::vars() {
        if of_the_outer_build(&name) {
            cargo.env_remove(name);
        }
    }
}
