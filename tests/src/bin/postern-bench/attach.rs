//! The daemon's own figures.

use std::time::{Duration, Instant};

use postern_proto::v1::{ConnectRequest, DisconnectRequest, EndpointSpec};
use postern_tests::{Api, World, ask};
use tonic::Status;

use crate::crowd;
use crate::row::{Row, timed};

pub(crate) const SUBJECT: &str = "postern";
const ROUNDS: usize = 100;
const SLOW_ROUNDS: usize = 20;
/// Endpoints of the rows that count how many are done in a second.
const MANY: u32 = 1000;
/// In networks of this many each.
const OF_MANY: u32 = 500;

/// Measures a daemon with `size` endpoints already there, each with one published port.
pub(crate) fn measure(size: u32) -> Vec<Row> {
    crowd::in_world(&[], async |world| in_world(world, size).await)
}

async fn in_world(world: &World, size: u32) -> Result<Vec<Row>, Status> {
    let at_rest = world.daemon().resident_kib();
    crowd::populate(&world.api, 0..size, |n| ask::publish(&[ask::tcp(10_000 + n, 80)])).await?;
    let grown = world.daemon().resident_kib();
    let api = &world.api;
    api.create_network("bench", ask::network(&["10.200.0.0/16"])).await?;
    let sandboxes: Vec<String> = (0..ROUNDS).map(|index| format!("bench{index}")).collect();
    for sandbox in &sandboxes {
        api.create_sandbox(sandbox).await?;
    }
    let one = |index: u32| ask::publish(&[ask::tcp(20_000 + index, 80)]);
    let range = |_| ask::publish(&[ask::range((3000, 3999), (3000, 3999))]);
    let mut rows = apart(api, size, &sandboxes, one).await?;
    let names = ["connect again at once", "disconnect again"];
    rows.extend(again(api, size, names, one).await?);
    rows.extend(again(api, size, ["connect 1000 ports", "disconnect 1000 ports"], range).await?);
    rows.extend(networks(api, size).await?);
    rows.extend(together(api, size).await?);
    rows.push(memory("resident at rest", size, f64_of(at_rest)));
    if size > 0 {
        let each = f64_of(grown.saturating_sub(at_rest)) / f64::from(size);
        rows.push(memory("resident per endpoint", size, each));
    }
    Ok(rows)
}

const fn f64_of(number: u64) -> f64 {
    number as f64
}

fn memory(work: &'static str, size: u32, kib: f64) -> Row {
    Row { rss_kib: Some(kib), ..Row::of(work, SUBJECT, size, 1) }
}

/// Connects sandbox after sandbox, and then disconnects them.
async fn apart(
    api: &Api,
    size: u32,
    sandboxes: &[String],
    spec: impl Fn(u32) -> EndpointSpec,
) -> Result<Vec<Row>, Status> {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for (index, sandbox) in (0..).zip(sandboxes) {
        timed(&mut on, api.connect("bench", sandbox, spec(index))).await?;
    }
    for sandbox in sandboxes {
        timed(&mut off, api.disconnect("bench", sandbox)).await?;
    }
    Ok(rows_of(size, [("connect 1 port", on), ("disconnect 1 port", off)]))
}

/// Connects and disconnects one sandbox over and over: every connect comes while the link
/// before it is still being deleted.
async fn again(
    api: &Api,
    size: u32,
    names: [&'static str; 2],
    spec: impl Fn(u32) -> EndpointSpec,
) -> Result<Vec<Row>, Status> {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..SLOW_ROUNDS {
        timed(&mut on, api.connect("bench", "bench0", spec(0))).await?;
        timed(&mut off, api.disconnect("bench", "bench0")).await?;
    }
    Ok(rows_of(size, [(names[0], on), (names[1], off)]))
}

fn rows_of(size: u32, works: [(&'static str, Vec<Duration>); 2]) -> Vec<Row> {
    works.map(|(work, times)| Row::of_times(work, SUBJECT, size, times)).into()
}

async fn networks(api: &Api, size: u32) -> Result<Vec<Row>, Status> {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..SLOW_ROUNDS {
        let spec = ask::network(&["10.201.0.0/24"]);
        timed(&mut on, api.create_network("short-lived", spec)).await?;
        timed(&mut off, api.delete_network("short-lived")).await?;
    }
    Ok(rows_of(size, [("create network", on), ("delete network", off)]))
}

/// How many a second, by 16 clients with a call for each and in one stream.
async fn together(api: &Api, size: u32) -> Result<Vec<Row>, Status> {
    let names: Vec<String> = (0..MANY).map(|index| format!("q{index}")).collect();
    crowd::sandboxes(api, &names).await?;
    for index in 0..MANY / OF_MANY {
        let subnet = format!("10.{}.0.0/16", 202 + index);
        api.create_network(&format!("many{index}"), ask::network(&[&subnet])).await?;
    }
    let clients = api.clone();
    let connect = move |name: String| {
        let api = clients.clone();
        async move { api.connect(&of(&name), &name, ask::publish(&[ask::tcp(0, 80)])).await.map(drop) }
    };
    let clients = api.clone();
    let disconnect = move |name: String| {
        let api = clients.clone();
        async move { api.disconnect(&of(&name), &name).await }
    };
    let on = second(crowd::together(&names, connect)).await?;
    let off = second(crowd::together(&names, disconnect)).await?;
    let requests = names.iter().map(|name| ConnectRequest {
        network: of(name),
        sandbox: name.clone(),
        spec: Some(ask::publish(&[ask::tcp(0, 80)])),
        ..ConnectRequest::default()
    });
    let stream_on = second(crowd::connected(api, requests.collect())).await?;
    let requests = names.iter().map(|name| DisconnectRequest {
        network: of(name),
        sandbox: name.clone(),
        ..DisconnectRequest::default()
    });
    let stream_off = second(crowd::disconnected(api, requests.collect())).await?;
    let row = |work, rate| Row { qps: Some(rate), ..Row::of(work, SUBJECT, size, MANY as usize) };
    Ok(vec![
        row("connect, 16 at a time", on),
        row("disconnect, 16 at a time", off),
        row("connect, one stream", stream_on),
        row("disconnect, one stream", stream_off),
    ])
}

/// The network of one of the many.
fn of(name: &str) -> String {
    let number: u32 = name.trim_start_matches('q').parse().unwrap_or(0);
    format!("many{}", number / OF_MANY)
}

/// How many of [`MANY`] a second.
async fn second(work: impl Future<Output = Result<(), Status>>) -> Result<f64, Status> {
    let begun = Instant::now();
    work.await?;
    Ok(f64::from(MANY) / begun.elapsed().as_secs_f64())
}
