//! A hundred hosts with ten thousand endpoints, all but two of them simulated: keys in etcd as
//! a host would have put them.

use std::time::{Duration, Instant};

use postern_tests::etcd_json::{self as etcd, Pair};
use postern_tests::{Hosts, ask};
use serde_json::Value;

use super::{SUBJECT, etcd as address};
use crate::row::Row;

const NETWORK: &str = "measured";
const PER_HOST: u32 = 100;
/// What the endpoint is called that the others are made after.
const TEMPLATE: &str = "template";

/// What a daemon takes to begin, without and with a store that knows them, and its memory.
pub(super) fn measure(count: u32) -> Vec<Row> {
    Hosts::run_with(2, &["--log-level=warn"], async |world| {
        world.share(NETWORK, ask::network(&["10.90.0.0/16"])).await;
        world.hosts[0].place(NETWORK, TEMPLATE, ask::endpoint()).await;
        world.until_all_know(NETWORK).await;
        let before = world.hosts[1].daemon().resident_kib();
        world.hosts[1].kill9();
        simulate(count);
        let all = count + 1;
        let mut rows = vec![Row {
            rss_kib: Some(before as f64),
            ..Row::of("resident, nobody simulated", SUBJECT, 1, 1)
        }];
        for (work, known, resident) in [
            ("first start: serving", "first start: knows all", "resident after the first start"),
            ("next start: serving", "next start: knows all", "resident after the next start"),
        ] {
            let begun = Instant::now();
            world.hosts[1].start().await;
            rows.push(Row::of_times(work, SUBJECT, count, vec![begun.elapsed()]));
            let time = until_known(world, all, begun).await;
            rows.push(Row::of_times(known, SUBJECT, count, vec![time]));
            let rss_kib = Some(world.hosts[1].daemon().resident_kib() as f64);
            rows.push(Row { rss_kib, ..Row::of(resident, SUBJECT, count, 1) });
            world.hosts[1].assert_agrees().await;
            world.hosts[1].kill9();
        }
        rows
    })
}

async fn until_known(world: &Hosts, count: u32, begun: Instant) -> Duration {
    loop {
        let network = world.hosts[1].api.network(NETWORK).await;
        if network.is_ok_and(|network| network.peer_count == count) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "not all are known");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Puts hosts and endpoints like the one that is there.
fn simulate(count: u32) {
    let (address, prefix) = (address(), "/postern/test/v1/");
    let found = etcd::list(&address, &format!("{prefix}endpoints/"));
    let [(key, value)] = found.as_slice() else { panic!("one endpoint: {}", found.len()) };
    let (folder, _) = key.rsplit_once('/').unwrap_or_default();
    let template: Value = read(value);
    let nodes = etcd::list(&address, &format!("{prefix}nodes/"));
    let node: Value = nodes.first().map(|(_, value)| read(value)).unwrap_or_default();
    let mut pairs: Vec<Pair> = (0..count / PER_HOST)
        .map(|host| {
            let mut made = node.clone();
            made["d"]["name"] = format!("host{host}").into();
            made["d"]["underlay"] = underlay(host).into();
            (format!("{prefix}nodes/{}", node_id(host)), made.to_string().into_bytes())
        })
        .collect();
    pairs.extend((0..count).map(|number| {
        let uid = uid(3, number);
        (format!("{folder}/{uid}"), endpoint(&template, number).to_string().into_bytes())
    }));
    etcd::put(&address, &pairs);
}

fn read(value: &[u8]) -> Value {
    serde_json::from_slice(value).unwrap_or_else(|error| panic!("a record: {error}"))
}

fn node_id(host: u32) -> String {
    format!("{:016x}", 0x1000 + host)
}

fn underlay(host: u32) -> String {
    format!("198.51.{}.{}", 100 + host / 250, 1 + host % 250)
}

fn uid(kind: u8, number: u32) -> String {
    format!("01932c07-a9d0-7000-8a{kind:02x}-0000{number:08x}")
}

fn endpoint(template: &Value, number: u32) -> Value {
    let (host, mut made) = (number / PER_HOST, template.clone());
    // Its host takes a block anywhere; they are in the half where it is not.
    let own = template["d"]["endpoint"]["addresses"][0].as_str().unwrap_or_default();
    let third = own.split('.').nth(2).and_then(|text| text.parse::<u8>().ok());
    let begin = if third.is_some_and(|third| third < 128) { 128 } else { 1 };
    let [_, _, high, low] = number.to_be_bytes();
    let peer = &mut made["d"];
    peer["node"] = node_id(host).into();
    peer["host"] = format!("host{host}").into();
    peer["underlay"] = underlay(host).into();
    let sandbox = uid(2, number);
    let endpoint = &mut peer["endpoint"];
    endpoint["id"] = uid(3, number).into();
    endpoint["name"] = format!("s{number}.measured").into();
    endpoint["mac"] = format!("02:90:00:00:{high:02x}:{low:02x}").into();
    endpoint["addresses"] = vec![format!("10.90.{}.{low}/16", begin + high)].into();
    endpoint["attachment"]["sandbox"] = sandbox.clone().into();
    peer["sandbox"]["id"] = sandbox.into();
    peer["sandbox"]["name"] = format!("s{number}").into();
    made
}
