//! The kernel's own time for the largest part of a connect, without anybody around it: the
//! same messages from `ip -batch`, one process for many of them.

use std::fmt::Write;
use std::time::{Duration, Instant};

use postern_tests::command::sh;

use crate::row::Row;
use crate::stage;

const SUBJECT: &str = "ip -batch";
const WORK: &str = "a bare pair, enslaved and up";
const ROUNDS: u32 = 20;
/// Pairs of one process: its own start is not to count.
const OF_ONE: u32 = 20;
/// A bridge has 1,023 ports.
const PER_BRIDGE: u32 = 900;

/// Measures with `size` pairs already there, each in a namespace of its own.
pub(crate) fn measure(size: u32) -> Vec<Row> {
    stage::apart(|| in_world(size))
}

fn in_world(size: u32) -> Vec<Row> {
    let total = size + ROUNDS * OF_ONE;
    let bridges = (0..=size / PER_BRIDGE).map(|n| format!("full{n}"));
    for bridge in bridges.chain(["bench".to_owned()]) {
        sh(&format!("ip link add {bridge} type bridge"));
        sh(&format!("ip link set {bridge} up"));
    }
    batch((0..total).map(|n| format!("netns add c{n}")));
    batch((0..size).flat_map(|n| pair(n, &format!("full{}", n / PER_BRIDGE))));
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let first = size + round * OF_ONE;
        let took = batch((first..first + OF_ONE).flat_map(|n| pair(n, "bench")));
        times.push(took / OF_ONE);
    }
    vec![Row::of_times(WORK, SUBJECT, size, times)]
}

fn pair(n: u32, bridge: &str) -> [String; 2] {
    [
        format!("link add v{n} master {bridge} type veth peer name eth0 netns c{n}"),
        format!("link set v{n} up"),
    ]
}

fn batch(lines: impl Iterator<Item = String>) -> Duration {
    let text = lines.fold(String::new(), |mut text, line| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
        text
    });
    std::fs::write("/run/batch", text).unwrap_or_else(|error| panic!("/run/batch: {error}"));
    let begun = Instant::now();
    sh("ip -batch /run/batch");
    begun.elapsed()
}
