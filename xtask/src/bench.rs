//! `cargo xtask bench`.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::process::{Failure, cargo, has, need_root, root, run};
use crate::setup;

/// Builds for release and measures; the measuring itself is a program of the tests' crate,
/// which has a client of the API.
pub(crate) fn attach(json: Option<&Path>, endpoints: &[u32]) -> Result<(), Failure> {
    need_root("the benchmark")?;
    setup::programs()?;
    setup::driver_target()?;
    let packages = ["-p", "posternd", "-p", "postern-tests", "--bins"];
    run(cargo().args(["build", "--release", "--locked"]).args(packages))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let mut bench = Command::new(target.join("release/postern-bench"));
    println!("the driver alone ...");
    let rows = target.join("driver-call.json");
    let file = File::create(&rows).map_err(|e| Failure::during(rows.display(), e))?;
    let mut call = cargo();
    call.args(["run", "--release", "--locked", "--quiet", "-p", "postern-plugin"]);
    call.args(["--example", "driver-call"]);
    run(call.stdout(file))?;
    bench.arg("--beside").arg(&rows);
    bench.arg("--endpoints");
    bench.arg(endpoints.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    if let Some(path) = json {
        let path = std::path::absolute(path).map_err(|e| Failure::during(path.display(), e))?;
        bench.arg("--json").arg(path);
    }
    match netavark() {
        Some(path) => {
            bench.arg("--netavark").arg(path);
        }
        None => println!(
            "netavark is left out: `apt-get install protobuf-compiler && cargo install netavark` \
             puts it beside cargo, and it is measured in the same run"
        ),
    }
    run(&mut bench)
}

/// A `netavark` on `PATH` or where cargo installs programs.
fn netavark() -> Option<std::path::PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let installed = home.map(|home| home.join("bin/netavark")).filter(|path| path.is_file());
    let debian = Path::new("/usr/lib/podman/netavark");
    installed
        .or_else(|| has("netavark").then(|| "netavark".into()))
        .or_else(|| debian.is_file().then(|| debian.to_owned()))
}
