//! Names: how many questions a second, how long one takes, and how soon a change is told.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use postern_proto::v1::{EndpointSpec, UpdateEndpointRequest};
use postern_tests::{Netns, World, ask, dns};
use tonic::Status;

use crate::crowd::in_world;
use crate::dnsperf::Asked;
use crate::row::Row;
use crate::{dnsperf, others};

const SUBJECT: &str = "postern";
const RESOLVER: &str = "127.0.0.11";
/// Names of the comparison.
const NAMES: u32 = 1000;
/// An endpoint has at most so many aliases.
const ALIASES: u32 = 64;
const ROUNDS: u32 = 100;
/// How often all are asked in turn.
const ROUNDS_OF_ALL: u32 = 3;
/// Sandboxes by which memory is measured.
const SANDBOXES: u32 = 500;
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures the daemon and the others with the same names; then changes, at each of `sizes`
/// names.
pub(crate) fn measure(aardvark: Option<&Path>, sizes: &[u32]) -> Vec<Row> {
    let mut rows = compare(aardvark);
    for size in sizes {
        println!("changes at {size} names ...");
        rows.extend(in_world(&[], async |world| changes(world, *size).await));
    }
    println!("memory ...");
    rows.extend(in_world(&[], async |world| memory(world).await));
    rows
}

/// Asks each of them in turn, round after round, so that what else the machine does is
/// met by all alike.
fn compare(aardvark: Option<&Path>) -> Vec<Row> {
    let mut rounds: [Vec<Asked>; 3] = Default::default();
    for round in 1..=ROUNDS_OF_ALL {
        println!("{NAMES} names, round {round} of {ROUNDS_OF_ALL} ...");
        rounds[0].push(in_world(&[], async |world| questions(world).await));
        rounds[1].push(others::dnsmasq(NAMES));
        rounds[2].extend(aardvark.map(|program| others::aardvark(program, NAMES)));
    }
    let subjects = [SUBJECT, others::DNSMASQ, others::AARDVARK];
    let asked = subjects.into_iter().zip(rounds).filter(|(_, rounds)| !rounds.is_empty());
    asked.flat_map(|(subject, rounds)| dnsperf::rows(subject, NAMES, rounds)).collect()
}

async fn network(world: &World) -> Result<Netns, Status> {
    world.api.create_network("bench", ask::network(&["10.200.0.0/16"])).await?;
    Ok(world.place("bench", "client", ask::address("10.200.255.1")).await)
}

/// The names are aliases of a few endpoints: the other servers have no endpoints at all,
/// and a thousand links would keep the kernel busy beside the questions.
async fn questions(world: &World) -> Result<Asked, Status> {
    let client = network(world).await?;
    name(world, NAMES).await?;
    dnsperf::questions((0..NAMES).map(alias));
    Ok(dnsperf::ask(&client, RESOLVER))
}

fn alias(n: u32) -> String {
    format!("alias{n}")
}

/// Makes `size` names, as aliases.
async fn name(world: &World, size: u32) -> Result<(), Status> {
    for first in (0..size).step_by(ALIASES as usize) {
        let sandbox = format!("s{first}");
        world.api.create_sandbox(&sandbox).await?;
        let aliases = (first..size.min(first + ALIASES)).map(alias);
        let spec = EndpointSpec { aliases: aliases.collect(), ..EndpointSpec::default() };
        world.api.connect("bench", &sandbox, spec).await?;
    }
    Ok(())
}

/// The time from sending a change to the first answer that knows of it.
async fn changes(world: &World, size: u32) -> Result<Vec<Row>, Status> {
    let client = network(world).await?;
    name(world, size).await?;
    let socket = client.enter(|| UdpSocket::bind("127.0.0.1:0"));
    let socket = socket.unwrap_or_else(|error| panic!("a socket: {error}"));
    let (mut renamed, mut joined) = (Vec::new(), Vec::new());
    world.api.create_sandbox("changing").await?;
    world.api.connect("bench", "changing", ask::endpoint()).await?;
    for round in 0..ROUNDS {
        let alias = format!("fresh{round}");
        let endpoint = world.api.endpoint("changing.bench").await?;
        let request = UpdateEndpointRequest {
            endpoint: endpoint.uid,
            aliases: vec![alias.clone()],
            revision: endpoint.revision,
            ..UpdateEndpointRequest::default()
        };
        let begun = Instant::now();
        world.api.endpoints.clone().update(request).await?;
        assert!(dns::knows(&socket, &alias, PATIENCE), "{alias} is not known");
        renamed.push(begun.elapsed());
    }
    for round in 0..ROUNDS {
        let name = format!("new{round}");
        world.api.create_sandbox(&name).await?;
        let begun = Instant::now();
        world.api.connect("bench", &name, ask::endpoint()).await?;
        assert!(dns::knows(&socket, &name, PATIENCE), "{name} is not known");
        joined.push(begun.elapsed());
    }
    Ok(vec![
        Row::of_times("alias changed and told", SUBJECT, size, renamed),
        Row::of_times("endpoint connected and told", SUBJECT, size, joined),
    ])
}

async fn memory(world: &World) -> Result<Vec<Row>, Status> {
    world.api.create_sandbox("first").await?;
    let before = world.daemon().resident_kib();
    for index in 0..SANDBOXES {
        world.api.create_sandbox(&format!("s{index}")).await?;
    }
    let after = world.daemon().resident_kib();
    let each = (after.saturating_sub(before)) as f64 / f64::from(SANDBOXES);
    let row = Row::of("resident per sandbox", SUBJECT, SANDBOXES, 1);
    Ok(vec![Row { rss_kib: Some(each), ..row }])
}
