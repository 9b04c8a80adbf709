//! Names: how many questions a second, how long one takes, and how soon a change is told.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use postern_proto::v1::{EndpointSpec, UpdateEndpointRequest};
use postern_tests::{Netns, World, ask};
use tonic::Status;

use crate::row::Row;
use crate::{dnsperf, others};

const SUBJECT: &str = "postern";
const RESOLVER: &str = "127.0.0.11";
/// Names of the comparison.
const NAMES: u32 = 1000;
/// An endpoint has at most so many aliases.
const ALIASES: u32 = 64;
const ROUNDS: u32 = 100;
/// Sandboxes by which memory is measured.
const SANDBOXES: u32 = 500;

/// Measures the daemon and the others with the same names; then changes, at each of `sizes`
/// names.
pub(crate) fn measure(aardvark: Option<&Path>, sizes: &[u32]) -> Vec<Row> {
    println!("postern with {NAMES} names ...");
    let mut rows = in_world(async |world| questions(world).await);
    println!("dnsmasq with {NAMES} names ...");
    rows.extend(others::dnsmasq(NAMES));
    match aardvark {
        Some(program) => {
            println!("aardvark-dns with {NAMES} names ...");
            rows.extend(others::aardvark(program, NAMES));
        }
        None => println!("aardvark-dns is left out"),
    }
    for size in sizes {
        println!("changes at {size} names ...");
        rows.extend(in_world(async |world| changes(world, *size).await));
    }
    println!("memory ...");
    rows.extend(in_world(async |world| memory(world).await));
    rows
}

fn in_world(work: impl AsyncFnOnce(&World) -> Result<Vec<Row>, Status> + Send) -> Vec<Row> {
    let done = World::run_with(&["--log-level=warn"], async |world| work(world).await);
    done.unwrap_or_else(|status| panic!("the daemon refused: {status}"))
}

async fn network(world: &World) -> Result<Netns, Status> {
    world.api.create_network("bench", ask::network(&["10.200.0.0/16"])).await?;
    Ok(world.place("bench", "client", ask::address("10.200.255.1")).await)
}

/// Every name is an endpoint's of its own.
async fn questions(world: &World) -> Result<Vec<Row>, Status> {
    let client = network(world).await?;
    for (name, address) in (0..NAMES).map(others::endpoint) {
        world.api.create_sandbox(&name).await?;
        world.api.connect("bench", &name, ask::address(&address)).await?;
    }
    dnsperf::questions((0..NAMES).map(|n| others::endpoint(n).0));
    Ok(dnsperf::measure(&client, RESOLVER, SUBJECT, NAMES).into())
}

/// Makes `size` names, as aliases: what is looked up among them does not know how many
/// endpoints they are.
async fn name(world: &World, size: u32) -> Result<(), Status> {
    for first in (0..size).step_by(ALIASES as usize) {
        let sandbox = format!("s{first}");
        world.api.create_sandbox(&sandbox).await?;
        let aliases = (first..size.min(first + ALIASES)).map(|n| format!("alias{n}"));
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
        assert!(is_known(&socket, &alias), "{alias} is not known");
        renamed.push(begun.elapsed());
    }
    for round in 0..ROUNDS {
        let name = format!("new{round}");
        world.api.create_sandbox(&name).await?;
        let begun = Instant::now();
        world.api.connect("bench", &name, ask::endpoint()).await?;
        assert!(is_known(&socket, &name), "{name} is not known");
        joined.push(begun.elapsed());
    }
    Ok(vec![
        Row::of_times("alias changed and told", SUBJECT, size, renamed),
        Row::of_times("endpoint connected and told", SUBJECT, size, joined),
    ])
}

/// Asks once, with one label of the name (RFC 1035 §4.1.2), and looks whether the answer
/// has one.
fn is_known(socket: &UdpSocket, name: &str) -> bool {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    question.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    question.extend_from_slice(name.as_bytes());
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut answer = [0; 512];
    let told = socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .and_then(|()| socket.send_to(&question, (RESOLVER, 53)))
        .and_then(|_| socket.recv(&mut answer));
    told.is_ok() && answer.get(6..8) == Some(&[0, 1])
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
