//! What building, running and testing need of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, capture, has, root, run, target};

/// What drivers are compiled to.
const DRIVER_TARGET: &str = "wasm32-unknown-unknown";

/// A program, and the Debian package it is in.
type Program = (&'static str, &'static str);

/// What the daemon, the demo, the tests and the benchmarks run.
const PROGRAMS: &[Program] = &[("nft", "nftables"), ("ip", "iproute2")];

/// What compiles etcd's protocol, with the types that it is written in.
const COMPILERS: &[Program] = &[("protoc", "protobuf-compiler libprotobuf-dev")];

/// What tests run beside: clients and servers of names, what signs a driver, and what makes
/// one of C.
const CLIENTS: &[Program] = &[
    ("busybox", "busybox"),
    ("clang", "clang"),
    ("dig", "bind9-dnsutils"),
    ("dnsmasq", "dnsmasq-base"),
    ("faketime", "faketime"),
    ("make", "make"),
    ("musl-gcc", "musl-tools"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("wasm-ld", "lld"),
];

/// What measures names, and whom they are measured beside.
const MEASURES: &[Program] =
    &[("dig", "bind9-dnsutils"), ("dnsmasq", "dnsmasq-base"), ("dnsperf", "dnsperf")];

/// What the benchmark is measured beside, and what they run: unpacked, and not installed,
/// because what is installed of them starts by itself and changes the host's rules.
const PEERS: &[&str] = &["docker.io", "containerd", "runc", "containernetworking-plugins"];
const OF_PEERS: &[Program] = &[("iptables", "iptables"), ("busybox", "busybox")];

/// Everything.
pub(crate) fn everything() -> Result<(), Failure> {
    test_programs()?;
    compilers()?;
    println!("ready: `cargo xtask demo`, `cargo xtask test`");
    Ok(())
}

/// The programs that everything runs, installed where they are missing.
pub(crate) fn programs() -> Result<(), Failure> {
    install(PROGRAMS)
}

/// The programs that the tests run, too.
pub(crate) fn test_programs() -> Result<(), Failure> {
    install(&[PROGRAMS, CLIENTS].concat())?;
    javascript();
    etcd().map(drop)
}

/// The etcd that hosts of the tests share: where it is installed, that one, else one that is
/// unpacked where the tests look for it.
pub(crate) fn etcd() -> Result<PathBuf, Failure> {
    if has("etcd") {
        return Ok("etcd".into());
    }
    let proof = "usr/bin/etcd";
    Ok(unpacked(&target().join("etcd"), &["etcd-server"], proof)?.join(proof))
}

/// What makes a driver of JavaScript. npm itself is left to who wants it: Debian's is 356
/// packages and 320 MB.
fn javascript() {
    let folder = root().join("drivers-wasm/examples/lan-js");
    if !has("npm") || folder.join("node_modules/.bin/componentize-qjs").is_file() {
        return;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
    if let Err(failure) = run(&mut npm) {
        println!("the driver in JavaScript will not be tested: {failure}");
    }
}

/// The programs that the benchmark of names runs, too.
pub(crate) fn measures() -> Result<(), Failure> {
    install(&[PROGRAMS, MEASURES].concat())
}

/// The folder that Docker and the CNI plugins are unpacked in.
pub(crate) fn peers(target: &Path) -> Result<PathBuf, Failure> {
    install(&[PROGRAMS, OF_PEERS].concat())?;
    unpacked(&target.join("peers"), PEERS, "usr/sbin/dockerd")
}

/// Unpacks packages in a folder, unless that has a file of theirs already; returns the root
/// of what they hold.
fn unpacked(folder: &Path, packages: &[&str], proof: &str) -> Result<PathBuf, Failure> {
    let (archives, root) = (folder.join("packages"), folder.join("root"));
    if root.join(proof).is_file() {
        return Ok(root);
    }
    let failed = |error| Failure::during(archives.display(), error);
    std::fs::create_dir_all(&archives).map_err(failed)?;
    run(Command::new("apt-get").args(["update", "-q"]))?;
    run(Command::new("apt-get").args(["download", "-q"]).args(packages).current_dir(&archives))?;
    for entry in std::fs::read_dir(&archives).map_err(failed)?.flatten() {
        run(Command::new("dpkg").arg("-x").arg(entry.path()).arg(&root))?;
    }
    Ok(root)
}

fn install(programs: &[Program]) -> Result<(), Failure> {
    let missing: Vec<_> = programs.iter().filter(|(program, _)| !has(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let packages = packages.join(" ");
    if !has("apt-get") {
        return Err(Failure::new(format!(
            "this is not a Debian system: install what it calls {packages} and run this again"
        )));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::new(format!("run as root: apt-get install {packages}")));
    }
    println!("installing {packages}");
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt().args(["update", "-q"]))?;
    run(apt().args(["install", "-yq", "--no-install-recommends"]).args(packages.split(' ')))
}

/// What the workspace is built with, beside cargo: what is missing of it is added.
pub(crate) fn compilers() -> Result<(), Failure> {
    install(COMPILERS)?;
    driver_target()
}

/// The target that drivers are compiled to.
fn driver_target() -> Result<(), Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let args = ["--print", "target-libdir", "--target", DRIVER_TARGET];
    let printed = capture(Command::new(rustc).args(args))?;
    if printed.ok() && Path::new(printed.stdout.trim()).is_dir() {
        return Ok(());
    }
    if !has("rustup") {
        return Err(Failure::new(format!(
            "the standard library for {DRIVER_TARGET} is missing, and there is no rustup to add it"
        )));
    }
    run(Command::new("rustup").args(["target", "add", DRIVER_TARGET]))
}
