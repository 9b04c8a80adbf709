//! The daemon's own figures.

use std::time::{Duration, Instant};

use postern_proto::v1::EndpointSpec;
use postern_tests::{Api, World, ask};
use tonic::Status;

use crate::row::{Row, timed};

const SUBJECT: &str = "postern";
const ROUNDS: usize = 100;
const SLOW_ROUNDS: usize = 20;
/// A bridge has 1,023 ports, and those measured come on top.
const PER_NETWORK: u32 = 900;
const AT_A_TIME: usize = 16;

/// Measures a daemon with `size` endpoints already there, each with one published port.
pub(crate) fn measure(size: u32) -> Vec<Row> {
    let measured =
        World::run_with(&["--log-level=warn"], async |world| in_world(world, size).await);
    measured.unwrap_or_else(|status| panic!("the daemon refused: {status}"))
}

async fn in_world(world: &World, size: u32) -> Result<Vec<Row>, Status> {
    let at_rest = world.daemon().resident_kib();
    populate(&world.api, size).await?;
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
    rows.push(together(api, size).await?);
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

/// Makes `size` endpoints, each in a sandbox of its own and with a published port.
async fn populate(api: &Api, size: u32) -> Result<(), Status> {
    for index in 0..size {
        let network = format!("full{}", index / PER_NETWORK);
        if index % PER_NETWORK == 0 {
            let subnet = format!("10.{}.0.0/16", 100 + index / PER_NETWORK);
            api.create_network(&network, ask::network(&[&subnet])).await?;
        }
        let sandbox = format!("s{index}");
        api.create_sandbox(&sandbox).await?;
        api.connect(&network, &sandbox, ask::publish(&[ask::tcp(10_000 + index, 80)])).await?;
    }
    Ok(())
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

/// Connects and disconnects one sandbox over and over: every connect finds the
/// interface's name still taken by the link before it, and has to wait for its deletion.
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

/// How many connects a second, several at a time.
async fn together(api: &Api, size: u32) -> Result<Row, Status> {
    let names: Vec<String> = (0..ROUNDS).map(|index| format!("q{index}")).collect();
    for name in &names {
        api.create_sandbox(name).await?;
    }
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for chunk in names.chunks(ROUNDS.div_ceil(AT_A_TIME)) {
        let (api, chunk) = (api.clone(), chunk.to_vec());
        tasks.spawn(async move {
            for name in chunk {
                api.connect("bench", &name, ask::publish(&[ask::tcp(0, 80)])).await?;
            }
            Ok::<(), Status>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| Status::internal(error.to_string()))??;
    }
    let qps = f64_of(ROUNDS as u64) / begun.elapsed().as_secs_f64();
    Ok(Row { qps: Some(qps), ..Row::of("connect 1 port, 16 at once", SUBJECT, size, ROUNDS) })
}
