//! `cargo xtask bench`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};

use crate::process::{Failure, cargo, has, need_root, run, target};
use crate::setup;

/// Builds the daemon and the measuring program for release.
fn build() -> Result<PathBuf, Failure> {
    need_root("the benchmark")?;
    setup::programs()?;
    setup::compilers()?;
    run(cargo().args(["build", "--release", "--locked", "-p", "posternd"]))?;
    build_measuring()
}

/// Builds the measuring program, of the tests' crate, which has a client of the API.
fn build_measuring() -> Result<PathBuf, Failure> {
    run(cargo().args(["build", "--release", "--locked", "-p", "postern-tests", "--bins"]))?;
    Ok(target())
}

/// What is measured, in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// Everything below, one after the other
    All,
    /// Connecting, disconnecting, networks; beside Docker, netavark and the CNI plugins
    Attach,
    /// What packets and connections through the gateway take, with few and many endpoints
    Gateway,
    /// A start after a crash, and a flushed ruleset
    Outage,
    /// A change of a policy, and what policies cost a packet
    Policy,
    /// Names, and how soon a change is told; beside dnsmasq and aardvark-dns
    Dns,
    /// One network over several hosts; beside a VXLAN link made by hand
    Overlay,
    /// A driver's decision, beside a remote driver of Docker's kind
    Driver,
}

impl Which {
    const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Attach => "attach",
            Self::Gateway => "gateway",
            Self::Outage => "outage",
            Self::Policy => "policy",
            Self::Dns => "dns",
            Self::Overlay => "overlay",
            Self::Driver => "driver",
        }
    }

    fn is(self, one: Self) -> bool {
        self == one || self == Self::All
    }
}

/// `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure
    which: Which,
    /// How many endpoints, or names, are there already: one measurement each [default: what
    /// the page in docs/ has]
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<u32>,
    /// Also write the rows to this file, as an array of objects
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also write benchmarks.md, .json and .svg into this folder
    #[arg(long)]
    docs: Option<PathBuf>,
}

/// Measures a release build, and what else can be had here beside it.
pub(crate) fn bench(wanted: &Bench) -> Result<(), Failure> {
    let which = wanted.which;
    setup::compilers()?;
    let target = if which == Which::Driver { build_measuring()? } else { build()? };
    let mut bench = Command::new(target.join("release/postern-bench"));
    bench.arg(which.name()).arg("--sizes");
    bench.arg(wanted.sizes.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    for (flag, path) in [("--json", &wanted.json), ("--docs", &wanted.docs)] {
        if let Some(path) = path {
            let path = std::path::absolute(path).map_err(|e| Failure::during(path.display(), e))?;
            bench.arg(flag).arg(path);
        }
    }
    if which.is(Which::Attach) {
        bench.arg("--call").arg(decisions(&target, "call", &[])?);
        bench.arg("--peers").arg(setup::peers(&target)?);
        beside(&mut bench, "netavark", "--netavark");
    }
    if which.is(Which::Dns) {
        setup::measures()?;
        beside(&mut bench, "aardvark-dns", "--aardvark");
    }
    if which.is(Which::Overlay) {
        setup::etcd()?;
    }
    if which.is(Which::Driver) {
        bench.arg("--driver").arg(driver(&target)?);
    }
    run(&mut bench)
}

/// The rows of the program that has the drivers' host in it.
fn decisions(target: &Path, verb: &str, more: &[&Path]) -> Result<PathBuf, Failure> {
    println!("drivers: {verb} ...");
    let rows = target.join(format!("driver-bench-{verb}.json"));
    let file = File::create(&rows).map_err(|e| Failure::during(rows.display(), e))?;
    let mut bench = cargo();
    bench.args(["run", "--release", "--locked", "--quiet", "-p", "postern-plugin"]);
    bench.args(["--example", "driver-bench", "--", verb]).args(more);
    run(bench.stdout(file))?;
    Ok(rows)
}

/// What a call of a driver costs, beside a remote driver of Docker's kind.
fn driver(target: &Path) -> Result<PathBuf, Failure> {
    // What it does on request is what the hostile one does.
    let mut module = cargo();
    module.args(["build", "--locked", "--profile", "driver", "-p", "postern-test-driver"]);
    run(module.args(["--target", "wasm32-unknown-unknown"]))?;
    let module = target.join("wasm32-unknown-unknown/driver/postern_test_driver.wasm");
    decisions(target, "all", &[&module])
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
