//! netavark doing the same work: one process per call, its configuration on standard input.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use postern_tests::command::sh;
use serde_json::{Value, json};

use crate::row::Row;
use crate::stage;

pub(crate) const SUBJECT: &str = "netavark";
const ROUNDS: u32 = 20;

/// How many containers there are already. More take it minutes to set up.
pub(crate) const SIZES: [u32; 2] = [20, 240];

/// Measures set-up and teardown with `size` containers already there.
pub(crate) fn measure(program: &Path, size: u32) -> Vec<Row> {
    stage::apart(|| in_world(program, size))
}

fn in_world(program: &Path, size: u32) -> Vec<Row> {
    stage::uplink();
    let run = |verb: &str, index: u32| call(program, verb, index);
    for index in 0..size {
        sh(&format!("ip netns add c{index}"));
        run("setup", index);
    }
    let (mut on, mut off) = (Vec::new(), Vec::new());
    sh(&format!("ip netns add c{size}"));
    for _ in 0..ROUNDS {
        on.push(run("setup", size));
        off.push(run("teardown", size));
    }
    [("connect 1 port", on), ("disconnect 1 port", off)]
        .map(|(name, times)| Row::of_times(name, SUBJECT, size, times))
        .into()
}

/// The options podman would give it (containers/netavark, `network/types.rs`).
fn options(index: u32) -> Value {
    let address = format!("10.88.{}.{}", (index + 2) / 250, (index + 2) % 250 + 2);
    json!({
        "container_id": format!("{index:064x}"),
        "container_name": format!("c{index}"),
        "port_mappings": [{
            "container_port": 80,
            "host_ip": "",
            "host_port": 10_000 + index,
            "protocol": "tcp",
            "range": 1,
        }],
        "networks": {"bench": {"static_ips": [address], "interface_name": "eth0"}},
        "network_info": {"bench": {
            "name": "bench",
            "id": "b".repeat(64),
            "driver": "bridge",
            "network_interface": "bench0",
            "subnets": [{"subnet": "10.88.0.0/16", "gateway": "10.88.0.1"}],
            "ipv6_enabled": false,
            "internal": false,
            "dns_enabled": false,
            "ipam_options": {"driver": "host-local"},
        }},
    })
}

fn call(program: &Path, verb: &str, index: u32) -> Duration {
    let netns = format!("/run/netns/c{index}");
    let failed = |error: std::io::Error| -> ! { panic!("{}: {error}", program.display()) };
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(["--config", "/run/netavark", verb, &netns])
        .env("NETAVARK_FW", "nftables")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| failed(error));
    if let Some(mut stdin) = child.stdin.take() {
        write!(stdin, "{}", options(index)).unwrap_or_else(|error| failed(error));
    }
    let status = child.wait().unwrap_or_else(|error| failed(error));
    assert!(status.success(), "netavark {verb} ended with {status}");
    begun.elapsed()
}
