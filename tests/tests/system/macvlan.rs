//! A driver of somebody else's: endpoints on the host's own uplink.

use std::time::{Duration, Instant};

use postern_proto::v1::{EndpointSpec, NetworkSpec, UpdateNetworkRequest};
use postern_tests::driver::example;
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{HOST4, Netns, OUTSIDE4, OUTSIDE6, Refusal, World, ask, dns};
use tonic::Code;

const PARENT: &str = "uplink0";
const GRANTS: [&str; 6] =
    ["--grant", "macvlan=uplink*,br-*,postern*", "--grant", "address", "--grant", "sysctl"];

fn install(world: &World, grants: &[&str]) {
    let file = example("macvlan").display().to_string();
    let done = world.cli(&[&["driver", "install", &file], grants].concat());
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
}

/// A network on the uplink, with the uplink's own subnets and the world outside as gateway.
fn lan(options: &[(&str, &str)]) -> NetworkSpec {
    let mut spec = NetworkSpec {
        driver: "macvlan".to_owned(),
        ..ask::network(&["192.0.2.0/24", "2001:db8::/64"])
    };
    spec.subnets[0].gateway = OUTSIDE4.to_owned();
    spec.subnets[1].gateway = OUTSIDE6.to_owned();
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    NetworkSpec { options: options.collect(), ..spec }
}

fn on_uplink(mode: &str) -> NetworkSpec {
    lan(&[("parent", PARENT), ("macvlan_mode", mode)])
}

async fn pair(world: &World) -> [Netns; 2] {
    world.api.create_network("lan", lan(&[("parent", PARENT)])).await.unwrap();
    let a = world.place("lan", "a", at(10)).await;
    let b = world.place("lan", "b", at(11)).await;
    [a, b]
}

/// An endpoint with addresses that nobody else on the uplink has.
fn at(host: u8) -> EndpointSpec {
    let ipv6_address = format!("2001:db8::{host}");
    EndpointSpec { ipv6_address, ..ask::address(&format!("192.0.2.{host}")) }
}

fn reaches(from: &Netns, to: &str) -> bool {
    traffic::tcp(from, to).is_some()
}

#[test]
fn endpoints_are_on_the_hosts_own_network() {
    World::run(async |world| {
        install(world, &GRANTS);
        let [a, b] = pair(world).await;
        let _inside = Server::tcp(&b, "[::]:80", "b");
        let _outside = Server::tcp(&world.outside, "[::]:80", "outside");
        let _host = Server::tcp(&world.host, "0.0.0.0:81", "host");
        let seen = traffic::tcp(&a, &format!("{OUTSIDE4}:80")).unwrap();
        assert_eq!(
            (seen.server.as_str(), seen.seen_from.to_string()),
            ("outside", "192.0.2.10".into())
        );
        assert!(reaches(&a, &format!("[{OUTSIDE6}]:80")) && reaches(&a, "192.0.2.11:80"));
        assert!(reaches(&world.outside, "192.0.2.11:80"), "nothing is between them");
        assert!(!reaches(&a, &format!("{HOST4}:81")), "a parent hides its host");
        assert_eq!(dns::dig(&a, "b A").answers, ["192.0.2.11"]);
        let route = a.sh("ip route show default");
        assert!(route.contains(&format!("via {OUTSIDE4} dev eth0")), "{route}");
        world.assert_agrees().await;

        let mut talk = Conversation::begin(&a, "192.0.2.11:80").unwrap();
        world.kill9();
        assert!(talk.goes_on());
        world.start().await;
        assert!(talk.goes_on() && reaches(&world.outside, "192.0.2.11:80"));
        world.assert_agrees().await;

        world.api.disconnect("lan", "a").await.unwrap();
        a.assert_without("eth0");
        world.api.connect("lan", "a", at(12)).await.unwrap();
        assert!(reaches(&a, "192.0.2.11:80"), "at once again");
        for sandbox in ["a", "b"] {
            world.api.delete_sandbox(sandbox, true).await.unwrap();
        }
        world.api.delete_network("lan").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn what_is_amiss_with_a_network_is_named() {
    World::run(async |world| {
        install(world, &GRANTS);
        let parent = "spec.options[\"parent\"]";
        let lo = lan(&[("parent", "lo")]);
        for (spec, field) in [
            (lan(&[]), parent),
            (lo, parent),
            (on_uplink("l2"), "spec.options[\"macvlan_mode\"]"),
            (NetworkSpec { internal: true, ..on_uplink("bridge") }, "spec.internal"),
            (ask::apart(on_uplink("bridge")), "spec.icc"),
        ] {
            let refusal = Refusal::expect(world.api.create_network("lan", spec).await);
            refusal.assert(Code::InvalidArgument, field);
        }
        let made = world.api.create_network("lan", on_uplink("private")).await.unwrap();
        let mut networks = world.api.networks.clone();
        let moved = UpdateNetworkRequest {
            network: "lan".to_owned(),
            spec: Some(on_uplink("vepa")),
            revision: made.revision,
            ..Default::default()
        };
        let refusal = Refusal::expect(networks.update(moved).await);
        assert_eq!(refusal.reason, "DRIVER_CONFLICT", "{refusal:?}");
        world.api.delete_network("lan").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn what_is_amiss_with_an_endpoint_is_told_and_nothing_is_left() {
    World::run(async |world| {
        install(world, &GRANTS);
        world.api.create_sandbox("a").await.unwrap();
        let refused = async |options: &[(&str, &str)], mtu: u32, spec: EndpointSpec| {
            let network = NetworkSpec { mtu, ..lan(options) };
            world.api.create_network("lan", network).await.unwrap();
            let refusal = Refusal::expect(world.api.connect("lan", "a", spec).await);
            world.api.delete_network("lan").await.unwrap();
            refusal
        };
        for (parent, why) in [
            ("uplink7", "the host has no link uplink7"),
            ("postern0", "postern0 is a link of the daemon's own"),
            ("foreign0", "granted for"),
        ] {
            let refusal = refused(&[("parent", parent)], 0, at(20)).await;
            assert_eq!(refusal.reason, "DECISION_REJECTED", "{refusal:?}");
            assert!(refusal.message.contains(why), "{refusal:?}");
        }
        let on = [("parent", PARENT)];
        let refusal = refused(&on, 0, ask::address(HOST4)).await;
        refusal.assert(Code::FailedPrecondition, "spec.ipv4_address");
        assert_eq!(refusal.reason, "ADDRESS_OF_HOST", "{refusal:?}");
        let refusal = refused(&on, 9000, at(20)).await;
        assert!(refusal.message.contains("mtu 9000 is over the 1500 of uplink0"), "{refusal:?}");
        let refusal = refused(&on, 0, ask::publish(&[ask::tcp(8080, 80)])).await;
        refusal.assert(Code::InvalidArgument, "spec.published_ports");
        let fixed = EndpointSpec { mac_address: "02:00:5e:00:53:01".into(), ..at(20) };
        let alone = [("parent", PARENT), ("macvlan_mode", "passthru")];
        let refusal = refused(&alone, 0, fixed).await;
        refusal.assert(Code::InvalidArgument, "spec.mac_address");
        world.sandbox("a").await.assert_without("eth0");
        world.api.delete_sandbox("a", false).await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn passthru_is_for_one_endpoint_which_has_the_parents_mac() {
    World::run(async |world| {
        install(world, &GRANTS);
        world.api.create_network("lan", on_uplink("passthru")).await.unwrap();
        let before = world.host.sh("ip -o link show uplink0");
        let a = world.place("lan", "a", at(10)).await;
        let made = world.api.endpoint("a.lan").await.unwrap();
        assert!(before.contains(&made.mac_address), "{before}: {made:?}");
        assert!(a.sh("ip -o link show eth0").contains(&made.mac_address));
        let _outside = Server::tcp(&world.outside, "[::]:80", "outside");
        assert!(reaches(&a, &format!("{OUTSIDE4}:80")));
        world.assert_agrees().await;
        world.api.create_sandbox("b").await.unwrap();
        let refusal = Refusal::expect(world.api.connect("lan", "b", at(20)).await);
        assert!(refusal.message.contains("another endpoint has uplink0 for itself"), "{refusal:?}");
        world.api.delete_sandbox("a", true).await.unwrap();
        world.api.connect("lan", "b", at(20)).await.unwrap();
        world.api.delete_sandbox("b", true).await.unwrap();
        world.api.delete_network("lan").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn quarantine_cuts_it_off_and_policies_say_that_they_do_not() {
    World::run(async |world| {
        install(world, &GRANTS);
        let [a, b] = pair(world).await;
        let _inside = Server::tcp(&b, "[::]:80", "b");
        let _outside = Server::tcp(&world.outside, "[::]:80", "outside");
        let open = |world: &World| {
            [
                reaches(&a, "192.0.2.11:80"),
                reaches(&world.outside, "192.0.2.11:80"),
                reaches(&b, &format!("{OUTSIDE4}:80")),
                reaches(&b, &format!("[{OUTSIDE6}]:80")),
            ]
        };
        assert_eq!(open(world), [true; 4]);
        assert_eq!(world.cli(&["sandbox", "quarantine", "b"]).code, Some(0));
        assert_eq!(open(world), [false; 4]);
        world.assert_agrees().await;
        world.restart().await;
        assert_eq!(open(world), [false; 4]);
        assert_eq!(world.cli(&["sandbox", "release", "b"]).code, Some(0));
        // Neighbours that asked for it in vain ask again after a second.
        let begun = Instant::now();
        while open(world) != [true; 4] {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", open(world));
        }
        world.assert_agrees().await;

        let nobody = ask::app(&[], vec![]);
        let applied = world.api.apply_policy("shut", nobody).await.unwrap();
        let lints: Vec<&str> = applied.lint.iter().map(|lint| lint.code.as_str()).collect();
        assert_eq!(lints, ["NOT_ENFORCED"], "{applied:?}");
        assert_eq!(open(world), [true; 4]);
        let explained = world.cli(&["explain", "a.lan", "b.lan", "tcp/80"]);
        assert_ne!(explained.code, Some(0));
        assert!(explained.stderr.contains("pass none of the host's rules"), "{explained:?}");
    });
}
