//! One network over several hosts: how soon a newcomer is reached from the others, what the way
//! between hosts costs beside a VXLAN link made by hand, and what many hosts come to.

mod bare;
mod many;
mod reach;

use postern_tests::{Hosts, MIDDLE, Netns, ask};

use crate::row::Row;
use crate::traffic::{self, round_trips, stream};

const SUBJECT: &str = "postern";
const BARE: &str = "bare VXLAN";
/// The endpoints of simulated hosts; their hosts are a hundredth of them.
const MANY: u32 = 10_000;
/// What is compared is measured in turn, so often.
const ROUNDS: usize = 5;

/// Measures with so many endpoints on three hosts, and then alone.
pub(crate) fn measure(sizes: &[u32]) -> Vec<Row> {
    let mut rows = Hosts::run_with(3, &["--log-level=warn"], async |world| {
        let mut rows = reach::grow(world, sizes).await;
        rows.extend(way(world).await);
        rows
    });
    println!("{MANY} endpoints of {} hosts ...", MANY / 100);
    rows.extend(many::measure(MANY));
    rows
}

/// Packets and bytes between two hosts, beside a link made by hand between two others.
async fn way(world: &Hosts) -> Vec<Row> {
    println!("packets between hosts ...");
    let [a, b, _] = world.hosts.as_slice() else { panic!("three hosts") };
    world.share("way", ask::network(&["10.91.0.0/24"])).await;
    let ours = [
        a.place("way", "near", ask::endpoint()).await,
        b.place("way", "far", ask::endpoint()).await,
    ];
    world.until_all_know("way").await;
    let our_address = b.address_of("far", "way").await;
    let bare = bare::Pair::make();
    let pairs =
        [(SUBJECT, &ours, our_address.as_str()), (BARE, &bare.sandboxes, bare::ADDRESSES[1])];
    let (mut times, mut rates) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        for (index, (_, [near, far], address)) in pairs.iter().enumerate() {
            times[index].extend(packets(near, far, address));
            rates[index].push(stream(near, far, address));
        }
    }
    let mut rows = Vec::new();
    for ((subject, ..), (times, mut rates)) in pairs.into_iter().zip(times.into_iter().zip(rates)) {
        rows.push(Row::of_times("packet between hosts", subject, 2, times));
        rates.sort_unstable_by(f64::total_cmp);
        let qps = rates.get(ROUNDS / 2).copied();
        rows.push(Row { qps, ..Row::of("MiB between hosts", subject, 2, ROUNDS) });
    }
    rows
}

fn packets(near: &Netns, far: &Netns, address: &str) -> Vec<std::time::Duration> {
    let server = traffic::socket(far, 7000);
    round_trips(&traffic::socket(near, 0), &server, traffic::address(address, 7000))
}

/// Where etcd answers HTTP.
fn etcd() -> String {
    format!("{MIDDLE}:2379")
}
