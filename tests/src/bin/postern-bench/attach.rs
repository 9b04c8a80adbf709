//! The daemon's own figures.

use std::time::{Duration, Instant};

use postern_proto::v1::EndpointSpec;
use postern_tests::{Api, World, ask};
use tonic::Status;

use crate::row::Row;

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
    api.create_sandbox("bench").await?;
    let one = ask::publish(&[ask::tcp(80, 80)]);
    let range = ask::publish(&[ask::range((3000, 3999), (3000, 3999))]);
    let mut rows =
        connect(api, size, ["connect 1 port", "disconnect 1 port"], &one, ROUNDS).await?;
    let names = ["connect 1000 ports", "disconnect 1000 ports"];
    rows.extend(connect(api, size, names, &range, SLOW_ROUNDS).await?);
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

async fn timed<T>(
    times: &mut Vec<Duration>,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let begun = Instant::now();
    let done = work.await?;
    times.push(begun.elapsed());
    Ok(done)
}

async fn connect(
    api: &Api,
    size: u32,
    names: [&'static str; 2],
    spec: &EndpointSpec,
    rounds: usize,
) -> Result<Vec<Row>, Status> {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        timed(&mut on, api.connect("bench", "bench", spec.clone())).await?;
        timed(&mut off, api.disconnect("bench", "bench")).await?;
    }
    Ok([(names[0], on), (names[1], off)]
        .map(|(name, times)| Row::of_times(name, SUBJECT, size, times))
        .into())
}

async fn networks(api: &Api, size: u32) -> Result<Vec<Row>, Status> {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..SLOW_ROUNDS {
        let spec = ask::network(&["10.201.0.0/24"]);
        timed(&mut on, api.create_network("short-lived", spec)).await?;
        timed(&mut off, api.delete_network("short-lived")).await?;
    }
    Ok([("create network", on), ("delete network", off)]
        .map(|(name, times)| Row::of_times(name, SUBJECT, size, times))
        .into())
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
