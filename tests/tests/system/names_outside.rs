//! Names that are not the daemon's are asked of other servers, and ours never are.

use std::time::{Duration, Instant};

use postern_proto::v1::{DnsConfig, NetworkSpec, SandboxSpec};
use postern_tests::dns::{Dnsmasq, dig};
use postern_tests::{Netns, OUTSIDE4, World, ask};

const HOST_FILE: &str = "/run/resolv.conf";
const FOLLOWS_HOST: &str = "--resolv-conf=/run/resolv.conf";

/// A server outside that knows one name, and a name with too many addresses for UDP.
fn outside(world: &World) -> Dnsmasq {
    let mut config = vec![
        "--host-record=www.example.test,192.0.2.80,2001:db8::80".to_owned(),
        "--local=/test/".to_owned(),
        "--auth-ttl=60".to_owned(),
        "--local-ttl=60".to_owned(),
    ];
    config.extend((0..120).map(|n| format!("--host-record=many.example.test,198.51.100.{n}")));
    let config: Vec<&str> = config.iter().map(String::as_str).collect();
    Dnsmasq::start(&world.outside, OUTSIDE4, &config)
}

fn told_of(server: &str) {
    std::fs::write(HOST_FILE, format!("# a comment\nsearch corp.test\nnameserver {server}\n"))
        .unwrap();
}

async fn place(world: &World, spec: SandboxSpec) -> Netns {
    world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
    world.place("blue", "db", ask::address("10.1.0.9")).await;
    world.api.create_sandbox_as("web", spec).await.unwrap();
    world.api.connect("blue", "web", ask::address("10.1.0.8")).await.unwrap();
    world.sandbox("web").await
}

#[test]
fn the_hosts_server_is_asked_and_its_answers_kept() {
    World::run_with(&[FOLLOWS_HOST], async |world| {
        let server = outside(world);
        told_of(OUTSIDE4);
        let web = place(world, SandboxSpec::default()).await;
        assert_eq!(dig(&web, "www.example.test A").answers, ["192.0.2.80"]);
        assert_eq!(dig(&web, "www.example.test AAAA").answers, ["2001:db8::80"]);
        assert_eq!(server.asked("www.example.test"), 2);
        let told = dig(&web, "WWW.example.TEST A");
        assert_eq!(told.answers, ["192.0.2.80"]);
        assert!(told.ttls[0] <= 60 && told.flags.contains(&"ra".to_owned()), "{told:?}");
        assert_eq!(server.asked("www.example.test"), 2, "it was kept");
        assert_eq!(dig(&web, "nobody.test A").status, "NXDOMAIN");
        // Too long for UDP without EDNS, and with it; whole over TCP.
        assert_eq!(dig(&web, "many.example.test A").answers.len(), 120);
        let cut = dig(&web, "+ignore +noedns many.example.test A");
        assert!(cut.flags.contains(&"tc".to_owned()) && cut.answers.len() < 120, "{cut:?}");
        let counted = world.api.facts().await.unwrap().resolver;
        assert!(counted["cached"] >= 1 && counted["forwarded"] >= 3, "{counted:?}");
    });
}

#[test]
fn names_of_ours_stay_inside() {
    World::run_with(&[FOLLOWS_HOST], async |world| {
        let server = outside(world);
        told_of(OUTSIDE4);
        let web = place(world, SandboxSpec::default()).await;
        world.api.create_network("red", ask::network(&["10.2.0.0/24"])).await.unwrap();
        world.place("red", "far", ask::endpoint()).await;
        for (question, name) in [
            ("db A", "db"),
            ("db MX", "db"),
            ("nobody A", "nobody"),
            ("far A", "far"),
            ("far.red A", "far.red"),
            ("db.blue TXT", "db.blue"),
            ("-x 10.1.0.9", "10.1.0.9"),
            ("-x 10.2.0.77", "10.2.0.77"),
        ] {
            dig(&web, question);
            assert_eq!(server.asked(name), 0, "{question} was asked outside");
        }
        // A name of the world's is not taken from others by somebody's alias.
        let spec = postern_proto::v1::EndpointSpec {
            aliases: vec!["www.example.test".into()],
            ..ask::endpoint()
        };
        world.place("red", "other", spec).await;
        assert_eq!(dig(&web, "www.example.test A").answers, ["192.0.2.80"]);
    });
}

#[test]
fn the_hosts_file_is_followed() {
    World::run_with(&[FOLLOWS_HOST], async |world| {
        let web = place(world, SandboxSpec::default()).await;
        assert_eq!(dig(&web, "www.example.test A").status, "SERVFAIL", "there is no server");
        let _server = outside(world);
        told_of(OUTSIDE4);
        let begun = Instant::now();
        while dig(&web, "www.example.test A").answers != ["192.0.2.80"] {
            assert!(begun.elapsed() < Duration::from_secs(5), "the file is not followed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn a_sandboxs_servers_come_before_its_networks_and_those_before_the_hosts() {
    World::run_with(&[FOLLOWS_HOST], async |world| {
        world.outside.sh("ip addr add 192.0.2.3/24 dev eth0");
        world.outside.sh("ip addr add 192.0.2.4/24 dev eth0");
        let record = |address: &str| format!("--host-record=who.test,{address}");
        let servers =
            [(OUTSIDE4, "192.0.2.102"), ("192.0.2.3", "192.0.2.103"), ("192.0.2.4", "192.0.2.104")]
                .map(|(at, says)| Dnsmasq::start(&world.outside, at, &[&record(says)]));
        told_of(OUTSIDE4);
        let by_host = place(world, SandboxSpec::default()).await;
        let spec =
            NetworkSpec { dns_servers: vec!["192.0.2.3".into()], ..ask::network(&["10.3.0.0/24"]) };
        world.api.create_network("green", spec).await.unwrap();
        let by_network = world.place("green", "plain", ask::endpoint()).await;
        let own = DnsConfig { servers: vec!["192.0.2.4:53".into()], ..DnsConfig::default() };
        let spec = SandboxSpec { dns: Some(own), ..SandboxSpec::default() };
        world.api.create_sandbox_as("own", spec).await.unwrap();
        world.api.connect("green", "own", ask::endpoint()).await.unwrap();
        let own = world.sandbox("own").await;
        for (sandbox, answer) in
            [(&by_host, "192.0.2.102"), (&by_network, "192.0.2.103"), (&own, "192.0.2.104")]
        {
            assert_eq!(dig(sandbox, "who.test A").answers, [answer]);
        }
        drop(servers);
    });
}

#[test]
fn the_next_server_is_asked_where_one_is_silent() {
    World::run_with(&[FOLLOWS_HOST], async |world| {
        let _server = outside(world);
        // Nobody is at the first address, and nobody says so.
        let dns = DnsConfig {
            servers: vec!["192.0.2.99".into(), OUTSIDE4.into()],
            ..DnsConfig::default()
        };
        let spec = SandboxSpec { dns: Some(dns), ..SandboxSpec::default() };
        let web = place(world, spec).await;
        assert_eq!(dig(&web, "www.example.test A").answers, ["192.0.2.80"]);
        // Meanwhile names of ours are told at once.
        let begun = Instant::now();
        let waiting = std::thread::scope(|scope| {
            let slow = scope.spawn(|| dig(&web, "other.test A").status);
            assert_eq!(dig(&web, "db A").answers, ["10.1.0.9"]);
            assert!(begun.elapsed() < Duration::from_millis(1500), "it waited for the other");
            slow.join().unwrap()
        });
        assert_eq!(waiting, "NXDOMAIN");
    });
}

#[test]
fn an_internal_network_gets_no_answers_from_outside() {
    World::run_with(&[FOLLOWS_HOST], async |world| {
        let server = outside(world);
        told_of(OUTSIDE4);
        let spec = NetworkSpec { internal: true, ..ask::network(&["10.4.0.0/24"]) };
        world.api.create_network("inner", spec).await.unwrap();
        world.place("inner", "db", ask::address("10.4.0.9")).await;
        let web = world.place("inner", "web", ask::endpoint()).await;
        assert_eq!(dig(&web, "db A").answers, ["10.4.0.9"]);
        let told = dig(&web, "www.example.test A");
        assert!(told.answers.is_empty() && told.status == "SERVFAIL", "{told:?}");
        assert_eq!(server.asked("www.example.test"), 0);
        // A server on the network itself is not outside.
        let inner = Dnsmasq::start(
            &world.sandbox("db").await,
            "10.4.0.9",
            &["--host-record=inside.test,10.4.0.77"],
        );
        let dns = DnsConfig { servers: vec!["10.4.0.9".into()], ..DnsConfig::default() };
        let spec = SandboxSpec { dns: Some(dns), ..SandboxSpec::default() };
        world.api.create_sandbox_as("asks", spec).await.unwrap();
        world.api.connect("inner", "asks", ask::endpoint()).await.unwrap();
        let asks = world.sandbox("asks").await;
        assert_eq!(dig(&asks, "inside.test A").answers, ["10.4.0.77"]);
        drop(inner);
    });
}

#[test]
fn a_loop_ends_at_once() {
    World::run_with(&[FOLLOWS_HOST], async |world| {
        // `web` asks `db`, which asks its own resolver: first the host's servers, of which
        // there are none, then, since the host's file says so, `db` itself.
        let dns = DnsConfig { servers: vec!["10.1.0.9".into()], ..DnsConfig::default() };
        let spec = SandboxSpec { dns: Some(dns), ..SandboxSpec::default() };
        let web = place(world, spec).await;
        let source = world.sandbox("db").await;
        let _forwarder = Dnsmasq::start(&source, "10.1.0.9", &["--server=127.0.0.11"]);
        let begun = Instant::now();
        assert_eq!(dig(&web, "www.example.test A").status, "SERVFAIL");
        assert!(begun.elapsed() < Duration::from_secs(4));
        std::fs::write(HOST_FILE, "nameserver 10.1.0.9\n").unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let begun = Instant::now();
        assert_eq!(dig(&web, "www.example.test AAAA").status, "SERVFAIL");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    });
}
