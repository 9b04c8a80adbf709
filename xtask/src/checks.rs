//! What must pass.

use std::process::Command;
use std::time::Instant;

use crate::process::{Failure, capture, cargo, need_root, run};
use crate::setup;

/// Every test, the whole-system ones with the real kernel among them.
pub(crate) fn test() -> Result<(), Failure> {
    need_root("the whole-system tests")?;
    setup::test_programs()?;
    setup::compilers()?;
    if capture(cargo().args(["deny", "--version"])).is_ok_and(|done| done.ok()) {
        // Advisories come over the network and change without the workspace changing.
        stage("licences, bans, sources", &["deny", "check", "licenses", "bans", "sources"])?;
    } else {
        println!("cargo-deny is not installed: licences and sources are not checked");
    }
    // The whole-system tests start the built programs, which cargo does not know of.
    stage("build", &["build", "--workspace", "--locked"])?;
    example("test", &[])?;
    stage("tests", &["test", "--workspace", "--locked", "--no-fail-fast"])
}

/// The randomised test of faults, for as long as one likes.
pub(crate) fn crash(lives: u64, seed: u64) -> Result<(), Failure> {
    need_root("the whole-system tests")?;
    setup::test_programs()?;
    setup::compilers()?;
    let (lives, seed) = (lives.to_string(), seed.to_string());
    system("crash::", &[("POSTERN_CRASH_LIVES", &lives), ("POSTERN_CRASH_SEED", &seed)])
}

/// The randomised test of hosts that share networks.
pub(crate) fn overlay(epochs: u64, seed: u64) -> Result<(), Failure> {
    need_root("the whole-system tests")?;
    setup::test_programs()?;
    setup::compilers()?;
    let (epochs, seed) = (epochs.to_string(), seed.to_string());
    let settings = [("POSTERN_OVERLAY_EPOCHS", &*epochs), ("POSTERN_OVERLAY_SEED", &*seed)];
    system("overlay_chaos::", &settings)
}

/// Clients at full speed, for as long as one likes.
pub(crate) fn soak(seconds: u64) -> Result<(), Failure> {
    need_root("the whole-system tests")?;
    setup::test_programs()?;
    setup::compilers()?;
    system("soak::", &[("POSTERN_SOAK_SECONDS", &seconds.to_string())])
}

/// Some of the whole-system tests, with what they are told, and all they say.
fn system(which: &str, settings: &[(&str, &str)]) -> Result<(), Failure> {
    stage("build", &["build", "--locked", "-p", "posternd", "-p", "postern-cli"])?;
    let mut test = cargo();
    test.args(["test", "--locked", "-p", "postern-tests", "--test", "system"]);
    test.args([which, "--", "--nocapture"]);
    stage_of(which, test.envs(settings.iter().copied()))
}

/// What a change must pass before it is taken.
pub(crate) fn ci() -> Result<(), Failure> {
    setup::compilers()?;
    stage("format", &["fmt", "--all", "--check"])?;
    stage("example: format", &["fmt", "--manifest-path", EXAMPLE, "--check"])?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    stage("lint", &clippy)?;
    let single = ["clippy", "-p", "posternd", "--no-default-features", "--locked"];
    stage("lint: a single host's", &[&single[..], &["--", "-D", "warnings"]].concat())?;
    example("clippy", &["--all-targets", "--", "-D", "warnings"])?;
    let doc = ["doc", "--workspace", "--no-deps", "--locked"];
    stage_of("documentation", cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    test()
}

/// A driver as somebody else would write one: a workspace of its own.
const EXAMPLE: &str = "drivers-wasm/examples/macvlan/Cargo.toml";

fn example(verb: &str, more: &[&str]) -> Result<(), Failure> {
    let own = [verb, "--locked", "--manifest-path", EXAMPLE, "--target-dir", "target/examples"];
    stage(&format!("example: {verb}"), &[&own[..], more].concat())
}

fn stage(name: &str, args: &[&str]) -> Result<(), Failure> {
    stage_of(name, cargo().args(args))
}

fn stage_of(name: &str, command: &mut Command) -> Result<(), Failure> {
    let begun = Instant::now();
    println!("== {name}");
    run(command)?;
    println!("== {name}: passed after {} s", begun.elapsed().as_secs());
    Ok(())
}
