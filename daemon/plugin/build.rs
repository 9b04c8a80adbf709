//! Builds the drivers that are part of the daemon, as anybody else would build one.
//!
//! A nested `cargo build`, because no stable way exists to say that a crate for one target
//! needs another crate built for a second target. It has a target folder of its own: the
//! outer build holds the lock of the usual one.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
const DRIVERS: [&str; 4] = ["bridge", "host", "null", "overlay"];
/// Rust's default shadow stack of 1 MiB would be most of what a call has to map.
const STACK: &str = "-C\x1flink-arg=-zstack-size=65536";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let root = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    watch(&root);
    ensure_target()?;
    build(&root, &out.join("drivers"))?;
    for driver in DRIVERS {
        let built = out.join(format!("drivers/{TARGET}/driver/postern_driver_{driver}.wasm"));
        fs::copy(&built, out.join(format!("{driver}.wasm")))
            .map_err(|error| format!("{}: {error}", built.display()))?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set"))
}

fn watch(root: &Path) {
    for path in ["sdk/Cargo.toml", "sdk/src", "sdk/wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    for driver in DRIVERS {
        for path in ["Cargo.toml", "src"] {
            let path = root.join("drivers-wasm").join(driver).join(path);
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// Adds the target if the compiler has no standard library for it.
fn ensure_target() -> Result<(), Box<dyn Error>> {
    let rustc = variable("RUSTC")?;
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output()?;
    let folder = String::from_utf8(output.stdout)?;
    if output.status.success() && Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`rustup target add {TARGET}` failed: {status}").into()),
        Err(error) => Err(format!(
            "the compiler has no {TARGET} and `rustup` cannot be run to add it: {error}"
        )
        .into()),
    }
}

fn build(root: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new(variable("CARGO")?);
    command.current_dir(root);
    for (name, _) in env::vars_os() {
        if name.to_str().is_none_or(is_of_the_outer_build) {
            command.env_remove(&name);
        }
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", STACK);
    command.args(["build", "--quiet", "--profile", "driver", "--target", TARGET]);
    command.arg("--target-dir").arg(target);
    if root.join("Cargo.lock").exists() {
        command.arg("--locked");
    }
    for driver in DRIVERS {
        command.args(["-p", &format!("postern-driver-{driver}")]);
    }
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("building the drivers: {status}").into()) }
}

/// Whether a variable speaks of the outer build: its flags, wrappers, profile and package.
/// Where cargo lives, how it reaches registries and the job server stay.
fn is_of_the_outer_build(name: &str) -> bool {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    const FLAGS: [&str; 6] = [
        "CLIPPY_ARGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "TARGET",
    ];
    let of_cargo = name.starts_with("CARGO_") || name.starts_with("__CARGO");
    FLAGS.contains(&name) || (of_cargo && !KEPT.iter().any(|kept| name.starts_with(kept)))
}
