//! `cargo xtask bench`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, cargo, has, need_root, root, run};
use crate::setup;

/// Builds the daemon and the measuring program for release.
fn build() -> Result<PathBuf, Failure> {
    need_root("the benchmark")?;
    setup::programs()?;
    setup::driver_target()?;
    run(cargo().args(["build", "--release", "--locked", "-p", "posternd"]))?;
    build_measuring()
}

/// Builds the measuring program, of the tests' crate, which has a client of the API.
fn build_measuring() -> Result<PathBuf, Failure> {
    run(cargo().args(["build", "--release", "--locked", "-p", "postern-tests", "--bins"]))?;
    Ok(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into))
}

/// The measuring program with what every benchmark is told.
fn measuring(
    target: &Path,
    bench: &str,
    sizes: &[u32],
    json: Option<&Path>,
) -> Result<Command, Failure> {
    let mut command = Command::new(target.join("release/postern-bench"));
    command.arg(bench).arg("--sizes");
    command.arg(sizes.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    if let Some(path) = json {
        let path = std::path::absolute(path).map_err(|e| Failure::during(path.display(), e))?;
        command.arg("--json").arg(path);
    }
    Ok(command)
}

/// What it costs to connect and disconnect, beside netavark.
pub(crate) fn attach(json: Option<&Path>, endpoints: &[u32]) -> Result<(), Failure> {
    let target = build()?;
    println!("the driver alone ...");
    let rows = target.join("driver-call.json");
    let file = File::create(&rows).map_err(|e| Failure::during(rows.display(), e))?;
    let mut call = cargo();
    call.args(["run", "--release", "--locked", "--quiet", "-p", "postern-plugin"]);
    call.args(["--example", "driver-bench", "--", "call"]);
    run(call.stdout(file))?;
    let mut bench = measuring(&target, "attach", endpoints, json)?;
    bench.arg("--beside").arg(&rows);
    beside(&mut bench, "netavark", "--netavark");
    run(&mut bench)
}

/// What it costs to ask for a name, beside dnsmasq and aardvark-dns.
pub(crate) fn dns(json: Option<&Path>, names: &[u32]) -> Result<(), Failure> {
    let target = build()?;
    setup::measures()?;
    let mut bench = measuring(&target, "dns", names, json)?;
    beside(&mut bench, "aardvark-dns", "--aardvark");
    run(&mut bench)
}

/// What policies cost: a change of them, and a packet that they judge.
pub(crate) fn policy(json: Option<&Path>, endpoints: &[u32]) -> Result<(), Failure> {
    let target = build()?;
    run(&mut measuring(&target, "policy", endpoints, json)?)
}

/// What a call of a driver costs, beside a remote driver of Docker's kind.
pub(crate) fn driver(json: Option<&Path>) -> Result<(), Failure> {
    setup::driver_target()?;
    let target = build_measuring()?;
    // What it does on request is what the hostile one does.
    let mut module = cargo();
    module.args(["build", "--locked", "--profile", "driver", "-p", "postern-test-driver"]);
    run(module.args(["--target", "wasm32-unknown-unknown"]))?;
    let module = target.join("wasm32-unknown-unknown/driver/postern_test_driver.wasm");
    let rows = target.join("driver-bench.json");
    let file = File::create(&rows).map_err(|e| Failure::during(rows.display(), e))?;
    let mut bench = cargo();
    bench.args(["run", "--release", "--locked", "--quiet", "-p", "postern-plugin"]);
    bench.args(["--example", "driver-bench", "--", "all"]).arg(module);
    run(bench.stdout(file))?;
    let mut table = measuring(&target, "driver", &[], json)?;
    run(table.arg("--beside").arg(&rows))
}

/// Tells the measuring program where another one is, or the user how to get it.
fn beside(bench: &mut Command, program: &str, flag: &str) {
    match installed(program) {
        Some(path) => {
            bench.arg(flag).arg(path);
        }
        None => println!(
            "{program} is left out: `apt-get install protobuf-compiler && cargo install {program}` \
             puts it beside cargo, and it is measured in the same run"
        ),
    }
}

/// A program on `PATH`, where cargo installs programs, or where Debian has podman's.
fn installed(program: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let by_cargo = home.map(|home| home.join("bin").join(program)).filter(|path| path.is_file());
    let debian = Path::new("/usr/lib/podman").join(program);
    by_cargo
        .or_else(|| has(program).then(|| program.into()))
        .or_else(|| debian.is_file().then_some(debian))
}
