//! Policies: what a change of them costs, and what they cost a packet.

use std::time::{Duration, Instant};

use postern_proto::v1::{EndpointSpec, PolicySpec, UpdateEndpointRequest};
use postern_tests::{Netns, World, ask, labels};
use tonic::Status;

use crate::crowd::{in_world, populate};
use crate::row::{Row, timed};
use crate::traffic::{self, round_trips};

const SUBJECT: &str = "postern";
const ROUNDS: usize = 100;
/// Policies that an endpoint enters at once.
const ENTERED: u32 = 100;
/// Policies of the packet's path and of the start.
const MANY: u32 = 1000;

/// Measures changes at each of `sizes` endpoints, then packets and a start at the largest.
pub(crate) fn measure(sizes: &[u32]) -> Vec<Row> {
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let mut rows = Vec::new();
    for size in sizes {
        println!("changes at {size} endpoints ...");
        rows.extend(in_world(&[], async |world| changes(world, *size).await));
    }
    println!("packets, and a start, at {largest} endpoints ...");
    rows.extend(in_world(&[], async |world| packets(world, largest).await));
    rows
}

fn grouped(group: u32) -> EndpointSpec {
    ask::labelled(&[("app", &format!("g{group}"))])
}

/// Endpoints of one group accept a port from those of another.
fn pair(subject: &str, peer: &str, port: u32) -> PolicySpec {
    ask::app(&[("app", subject)], vec![ask::accept(vec![ask::peer(&[("app", peer)])], port)])
}

async fn changes(world: &World, size: u32) -> Result<Vec<Row>, Status> {
    populate(&world.api, 0..size, |n| grouped(n / 10)).await?;
    for n in 0..ENTERED {
        let peer = ask::peer(&[("app", &format!("g{}", n % (size / 10).max(1)))]);
        let rule = ask::accept(vec![peer], 1000 + n);
        world
            .api
            .apply_policy(&format!("p{n}"), ask::app(&[("entered", "yes")], vec![rule]))
            .await?;
    }
    let (mut on, mut off) = (Vec::new(), Vec::new());
    world.api.apply_policy("rule", pair("g0", "g1", 80)).await?;
    for _ in 0..ROUNDS {
        let mut with = pair("g0", "g1", 80);
        with.ingress.push(ask::accept(vec![ask::peer(&[("app", "g2")])], 5432));
        timed(&mut on, world.api.apply_policy("rule", with)).await?;
        timed(&mut off, world.api.apply_policy("rule", pair("g0", "g1", 80))).await?;
    }
    world.api.create_sandbox("entering").await?;
    world.api.connect("full0", "entering", ask::endpoint()).await?;
    let (mut enter, mut leave) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        relabel(world, &[("entered", "yes")], &mut enter).await?;
        relabel(world, &[], &mut leave).await?;
    }
    Ok(vec![
        Row::of_times("apply a rule", SUBJECT, size, on),
        Row::of_times("revoke a rule", SUBJECT, size, off),
        Row::of_times("enter 100 policies", SUBJECT, size, enter),
        Row::of_times("leave 100 policies", SUBJECT, size, leave),
    ])
}

async fn relabel(
    world: &World,
    given: &[(&str, &str)],
    times: &mut Vec<Duration>,
) -> Result<(), Status> {
    let endpoint = world.api.endpoint("entering.full0").await?;
    let request = UpdateEndpointRequest {
        endpoint: endpoint.uid,
        labels: labels(given),
        revision: endpoint.revision,
        ..UpdateEndpointRequest::default()
    };
    let mut endpoints = world.api.endpoints.clone();
    timed(times, async { endpoints.update(request).await }).await.map(|_| ())
}

/// Two pairs, of neighbours and of two networks, before and after there is everything else.
async fn packets(world: &mut World, size: u32) -> Result<Vec<Row>, Status> {
    let open = |subnet| ask::with_option(ask::network(&[subnet]), "open", "true");
    let mut ends = Vec::new();
    for (network, subnet) in [("a", "10.90.0.0/24"), ("b", "10.91.0.0/24")] {
        world.api.create_network(network, open(subnet)).await?;
        for sandbox in ["client", "server"] {
            let name = format!("{sandbox}-{network}");
            let spec = ask::labelled(&[("app", &name)]);
            ends.push((world.place(network, &name, spec).await, format!("{name}.{network}")));
        }
    }
    let mut rows = Vec::new();
    trips(world, &ends, ["neighbours, no policy", "networks, no policy"], &mut rows).await?;
    for server in ["server-a", "server-b"] {
        world.api.apply_policy(server, pair(server, "client-a", 7)).await?;
        let mut all = pair(server, "client-a", 7);
        all.ingress[0].ports.clear();
        world.api.apply_policy(server, all).await?;
    }
    trips(world, &ends, ["neighbours, own policy", "networks, own policy"], &mut rows).await?;
    populate(&world.api, 0..size, |n| grouped(n / 10)).await?;
    // The two rows of starts differ by what policies cost; the rest is the endpoints'.
    rows.push(started(world, "start, few policies", size).await);
    let groups = (size / 10).max(1);
    for n in 0..MANY {
        let (subject, peer) = (format!("g{}", n % groups), format!("g{}", (n + 1) % groups));
        world.api.apply_policy(&format!("p{n}"), pair(&subject, &peer, 80)).await?;
    }
    let names = ["neighbours, 1000 policies", "networks, 1000 policies"];
    let mut last = Vec::new();
    trips(world, &ends, names, &mut last).await?;
    rows.extend(last.into_iter().map(|row| Row { size, ..row }));
    rows.push(started(world, "start, 1000 policies", size).await);
    Ok(rows)
}

/// A start after a crash, until the first call is answered.
async fn started(world: &mut World, work: &'static str, size: u32) -> Row {
    world.kill9();
    let begun = Instant::now();
    world.start().await;
    Row::of_times(work, SUBJECT, size, vec![begun.elapsed()])
}

async fn trips(
    world: &World,
    ends: &[(Netns, String)],
    [near, far]: [&'static str; 2],
    rows: &mut Vec<Row>,
) -> Result<(), Status> {
    let client = &ends[0].0;
    for (work, server) in [(near, &ends[1]), (far, &ends[3])] {
        let endpoint = world.api.endpoint(&server.1).await?;
        let ip = endpoint.ipv4_address.split('/').next().unwrap_or_default().to_owned();
        let server = traffic::socket(&server.0, 0);
        let to = traffic::address(&ip, traffic::port(&server));
        let times = round_trips(&traffic::socket(client, 0), &server, to);
        rows.push(Row::of_times(work, SUBJECT, 4, times));
    }
    Ok(())
}
