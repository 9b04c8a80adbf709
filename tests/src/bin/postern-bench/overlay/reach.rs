//! How soon a newcomer is reached from every other host.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use postern_proto::v1::ConnectRequest;
use postern_tests::{Host, Hosts, Netns, ask};

use super::SUBJECT;
use crate::crowd::{connected, sandboxes};
use crate::row::Row;
use crate::traffic;

const PORT: u16 = 7001;
/// Newcomers, one after the other, on each host in turn.
const NEWCOMERS: usize = 150;
const PATIENCE: Duration = Duration::from_secs(10);
const NETWORK: &str = "measured";

/// Measures at each of `sizes` endpoints, in one world that grows.
pub(super) async fn grow(world: &Hosts, sizes: &[u32]) -> Vec<Row> {
    world.share(NETWORK, ask::network(&["10.90.0.0/16"])).await;
    let mut probes = Vec::new();
    for host in &world.hosts {
        let name = format!("probe-{}", host.name);
        probes.push(traffic::socket(&host.place(NETWORK, &name, ask::endpoint()).await, 0));
    }
    world.until_all_know(NETWORK).await;
    let (mut rows, mut there, mut round) = (Vec::new(), 0, 0);
    for size in sizes {
        println!("newcomers at {size} endpoints ...");
        populate(world, there..*size).await;
        there = *size;
        let (mut calls, mut reached) = (Vec::new(), Vec::new());
        for index in 0..NEWCOMERS {
            let at = index % world.hosts.len();
            let name = format!("new-{round}-{index}");
            let (call, times) = newcomer(&world.hosts[at], &name, (at, &probes)).await;
            calls.push(call);
            reached.extend(times);
            let gone = world.hosts[at].api.disconnect(NETWORK, &name).await;
            gone.unwrap_or_else(|status| panic!("{name}: {status}"));
        }
        round += 1;
        rows.push(Row::of_times("connect to a shared network", SUBJECT, *size, calls));
        rows.push(Row::of_times("reached from another host", SUBJECT, *size, reached));
    }
    rows
}

async fn populate(world: &Hosts, range: std::ops::Range<u32>) {
    for (index, host) in (0_u32..).zip(&world.hosts) {
        let count = u32::try_from(world.hosts.len()).unwrap_or(1);
        let own = range.clone().filter(|number| number % count == index);
        let names: Vec<String> = own.map(|number| format!("s{number}")).collect();
        let made = sandboxes(&host.api, &names).await;
        made.unwrap_or_else(|status| panic!("{}: {status}", host.name));
        let requests = names.into_iter().map(|sandbox| ConnectRequest {
            network: NETWORK.to_owned(),
            sandbox,
            ..ConnectRequest::default()
        });
        let done = connected(&host.api, requests.collect()).await;
        done.unwrap_or_else(|status| panic!("{}: {status}", host.name));
    }
    world.until_all_know(NETWORK).await;
}

/// One newcomer: what its connect took, and how long after the answer each other host's probe
/// had an answer.
async fn newcomer(
    host: &Host,
    name: &str,
    (own, probes): (usize, &[UdpSocket]),
) -> (Duration, Vec<Duration>) {
    let made = host.api.create_sandbox(name).await;
    let made = made.unwrap_or_else(|status| panic!("{name}: {status}"));
    let server = traffic::socket(&Netns::open(made.netns_path), PORT);
    let begun = Instant::now();
    let joined = host.api.connect(NETWORK, name, ask::endpoint()).await;
    let call = begun.elapsed();
    let joined = joined.unwrap_or_else(|status| panic!("{name}: {status}"));
    let ip = joined.ipv4_address.split('/').next().unwrap_or_default().to_owned();
    let answered = Instant::now();
    let times = thread::scope(|scope| {
        let echo = scope.spawn(|| echo(&server, probes.len() - 1));
        let others = probes.iter().enumerate().filter(|(index, _)| *index != own);
        let waits: Vec<_> =
            others.map(|(_, probe)| scope.spawn(|| wait(probe, &ip, answered))).collect();
        let times = waits.into_iter().map(|wait| wait.join().unwrap_or(PATIENCE)).collect();
        drop(echo.join());
        times
    });
    (call, times)
}

/// Answers until so many others have been answered.
fn echo(server: &UdpSocket, others: usize) {
    let mut seen = std::collections::BTreeSet::new();
    let mut buffer = [0; 64];
    while seen.len() < others {
        let Ok((length, from)) = server.recv_from(&mut buffer) else { return };
        drop(server.send_to(&buffer[..length], from));
        seen.insert(from);
    }
}

/// Asks again and again, until there is an answer.
fn wait(probe: &UdpSocket, ip: &str, since: Instant) -> Duration {
    let to = traffic::address(ip, PORT);
    traffic::empty(probe);
    drop(probe.set_read_timeout(Some(Duration::from_micros(500))));
    let mut buffer = [0; 64];
    while since.elapsed() < PATIENCE {
        drop(probe.send_to(b"?", to));
        if probe.recv_from(&mut buffer).is_ok_and(|(_, from)| from == to) {
            return since.elapsed();
        }
    }
    panic!("{ip} is not reached");
}
