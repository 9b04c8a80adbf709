//! Sixteen clients at full speed, for a while: nothing grows that should not.
//!
//! A run is of rounds of one length. After each, everything the clients made is gone, and
//! the daemon is looked at: memory and descriptors must be as after the second one, in
//! which its caches and its ring of events are filled. How long calls took is told, not
//! judged: machines are shared. `cargo xtask soak --seconds N`.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use postern_tests::{Api, Netns, World, ask, dns};
use tokio::task::{JoinSet, spawn_blocking};
use tonic::Status;

const CLIENTS: u32 = 16;
const SECONDS: u64 = 60;
const ROUNDS: u32 = 6;
/// The round whose end the others are compared with, counted from 1.
const WARM: usize = 2;
/// Descriptors that come and go: connections, threads' sockets.
const SPARE_DESCRIPTORS: usize = 8;
/// What the allocator may keep more of.
const SPARE_KIB: u64 = 6 << 10;

/// How the daemon is when nothing is left of a round.
#[derive(Debug)]
struct Look {
    lives: usize,
    p50: Duration,
    p99: Duration,
    descriptors: usize,
    resident_kib: u64,
}

#[test]
fn nothing_grows_under_load() {
    let seconds = std::env::var("POSTERN_SOAK_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().unwrap());
    let length = Duration::from_secs(seconds) / ROUNDS;
    // Freed addresses do not rest, so that one which is lost is missed soon.
    World::run_with(&["--address-rest=0", "--log-level=warn"], async |world| {
        for network in ["left", "right"] {
            let subnet = if network == "left" { "10.70.0.0/26" } else { "10.71.0.0/26" };
            world.api.create_network(network, ask::network(&[subnet])).await.unwrap();
        }
        let mut looks = Vec::new();
        for round in 1..=ROUNDS {
            let look = run(world, length).await;
            println!(
                "round {round}: {} lives, connect p50 {:?}, p99 {:?}, {} descriptors, {} KiB",
                look.lives, look.p50, look.p99, look.descriptors, look.resident_kib
            );
            looks.push(look);
        }
        let (warm, last) = (&looks[WARM - 1], &looks[looks.len() - 1]);
        assert!(last.lives > 0);
        let limit = warm.descriptors + SPARE_DESCRIPTORS;
        assert!(last.descriptors <= limit, "descriptors grow: {looks:#?}");
        assert!(last.resident_kib <= warm.resident_kib + SPARE_KIB, "memory grows: {looks:#?}");
    });
}

async fn run(world: &World, length: Duration) -> Look {
    let until = Instant::now() + length;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(Api::new(&world.address()), number, until));
    }
    let mut times = Vec::new();
    while let Some(done) = clients.join_next().await {
        times.extend(done.unwrap().unwrap_or_else(|status| panic!("{status}")));
    }
    world.assert_agrees().await;
    world.assert_no_strays().await;
    assert!(world.api.list_endpoints().await.unwrap().is_empty());
    world.assert_no_flow_of("10.7");
    times.sort_unstable();
    let rank = |share: usize| times[times.len() * share / 100];
    Look {
        lives: times.len(),
        p50: rank(50),
        p99: rank(99),
        descriptors: world.daemon().descriptors(),
        resident_kib: world.daemon().resident_kib(),
    }
}

/// A workload's life, over and over: returns how long its connecting took.
async fn client(api: Api, number: u32, until: Instant) -> Result<Vec<Duration>, Status> {
    let mut times = Vec::new();
    let (sandbox, policy) = (format!("s{number}"), format!("p{number}"));
    let network = if number.is_multiple_of(2) { "left" } else { "right" };
    while Instant::now() < until {
        let path = api.create_sandbox(&sandbox).await?.netns_path;
        let mut spec = ask::publish(&[ask::tcp(0, 80)]);
        spec.labels = postern_tests::labels(&[("client", &sandbox)]);
        let begun = Instant::now();
        api.connect(network, &sandbox, spec).await?;
        times.push(begun.elapsed());
        let rule = ask::accept(vec![ask::peer(&[("client", &sandbox)])], 80);
        let rules = ask::app(&[("client", &sandbox)], vec![rule]);
        api.apply_policy(&policy, rules).await?;
        let name = sandbox.clone();
        let known = spawn_blocking(move || {
            let socket = Netns::open(path).enter(|| UdpSocket::bind("127.0.0.1:0"));
            dns::knows(&socket.unwrap(), &name, Duration::from_secs(5))
        });
        assert!(known.await.unwrap(), "{sandbox} is not told its own name");
        api.delete_policy(&policy).await?;
        api.disconnect(network, &sandbox).await?;
        api.delete_sandbox(&sandbox, false).await?;
    }
    Ok(times)
}
