//! A run as a page of the documentation.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::plot;
use crate::row::{self, Row};
use crate::targets::targets;

/// What each benchmark is about, in the page's order.
const CHAPTERS: &[(&str, &str)] = &[
    (
        "attach",
        "Connecting, disconnecting, networks. Every endpoint has a sandbox of its own and a \
         published port. *again* is one sandbox over and over. Docker is asked over its socket \
         and starts no proxy processes; \
         netavark and the CNI plugins are run as podman and containerd run them. *A bare pair* is \
         a part of a connect without anybody around it: two messages to a kernel in which nobody \
         listens. Of what a connect grows by, a profile (10 and 5,000 endpoints) has two thirds \
         inside the messages to the kernel, and there mostly in new memory for the new links' \
         parameters (`__addrconf_sysctl_register`). The deletion of a bridge keeps everybody else \
         who changes links waiting for some 40 ms (`rcu_barrier` in `br_multicast_dev_del`, also \
         with `ip link delete`): the slowest calls are those that come then.",
    ),
    ("gateway", "Packets (there and back, one thread) and connections, in a world that grows."),
    (
        "outage",
        "A crash (`SIGKILL`), and the next start: until the first call is answered, and until a \
         name is. A flush of the ruleset, where the tables are not owned: until it is back.",
    ),
    ("policy", "A change of a policy, and what policies cost a packet and a start."),
    ("dns", "Names: the same ones at the same clients for all; then changes and memory."),
    (
        "overlay",
        "One network over three hosts, in namespaces, with an etcd of one member without fsync: \
         until a newcomer answers each other host, counted from the answer to its connect. \
         Packets and bytes between two hosts, in turn with two whose VXLAN link was made by \
         hand. Then 10,000 endpoints of 100 hosts, simulated by their keys.",
    ),
    ("driver", "A driver's decision, beside a remote driver of Docker's kind."),
];

/// Writes `benchmarks.md`, `benchmarks.json` and `benchmarks.svg` into a folder.
///
/// # Errors
/// In words: a file cannot be written.
pub(crate) fn write(
    folder: &Path,
    run: &[(String, Vec<Row>)],
    peers: &[String],
) -> Result<(), String> {
    let rows: Vec<Row> = run.iter().flat_map(|(_, rows)| rows.clone()).collect();
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    put("benchmarks.json", &row::json(run))?;
    plot::draw(&folder.join("benchmarks.svg"), &rows)?;
    put("benchmarks.md", &page(run, &rows, peers))
}

fn page(run: &[(String, Vec<Row>)], rows: &[Row], peers: &[String]) -> String {
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench all --docs docs` from one run on one \
         machine; `benchmarks.json` has the same rows. Machines are shared and noisy: read \
         ratios, not times.\n\n",
    );
    // Writing to a string cannot fail.
    let _ = writeln!(text, "## The machine\n\n{}", facts(peers));
    let _ = writeln!(text, "## What was asked, and what it came to\n\n{}", asked(rows));
    let _ = writeln!(text, "![latency against size](benchmarks.svg)\n");
    for (bench, about) in CHAPTERS {
        let Some((_, rows)) = run.iter().find(|(name, _)| name == bench) else { continue };
        let _ = writeln!(text, "## {bench}\n\n{about}\n\n{}", row::markdown(rows));
    }
    text
}

fn asked(rows: &[Row]) -> String {
    let mut text = String::from("| figure | asked | measured | |\n|---|---|---|---|\n");
    for target in targets(rows) {
        let reached = target.reached.as_deref().unwrap_or("not measured");
        let sign = match target.is_reached {
            Some(true) => "✓",
            Some(false) => "✗",
            None => "",
        };
        let _ = writeln!(text, "| {} | {} | {reached} | {sign} |", target.what, target.asked);
    }
    text
}

fn facts(peers: &[String]) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.split_once(':'));
        line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: u64 =
        field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let mut text = format!(
        "- {processor}, {cores} cores, {} GiB; Linux {}\n- Postern {}, release build\n",
        memory >> 20,
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
    );
    for peer in peers {
        let _ = writeln!(text, "- {peer}");
    }
    text
}

/// The first line that a program says of itself.
pub(crate) fn version(program: &Path, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    let output = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
