//! What Docker's own tests expect of its networks, with real packets.
//!
//! Elsewhere: D19, D21 and D23 in `links`, `isolation`; D33 in `policies`.

use postern_proto::v1::NetworkSpec;
use postern_tests::command::{run, sh};
use postern_tests::dns::dig;
use postern_tests::traffic::{self, Server};
use postern_tests::{HOST4, Netns, OUTSIDE4, World, ask};

/// Whether an echo comes back.
fn pings(from: &Netns, to: &str) -> bool {
    let family = if to.contains(':') { "-6" } else { "-4" };
    let words = ["ping", family, "-c", "1", "-W", "1", to];
    from.enter(|| run("busybox", &words)).code == Some(0)
}

fn reaches(from: &Netns, to: &str) -> bool {
    traffic::tcp(from, to).is_some()
}

/// Two neighbours, and one on another network.
async fn three(world: &World, blue: NetworkSpec, far: NetworkSpec) -> [Netns; 3] {
    world.api.create_network("blue", blue).await.unwrap();
    world.api.create_network("far", far).await.unwrap();
    let a = world.place("blue", "a", ask::address("10.1.0.10")).await;
    let b = world.place("blue", "b", ask::publish(&[ask::tcp(8080, 80), ask::udp(8080, 80)])).await;
    let c = world.place("far", "c", ask::address("10.2.0.10")).await;
    [a, b, c]
}

fn blue() -> NetworkSpec {
    ask::network(&["10.1.0.0/24", "fd00:1::/64"])
}

fn far() -> NetworkSpec {
    ask::network(&["10.2.0.0/24", "fd00:2::/64"])
}

fn with(spec: NetworkSpec, options: &[&str]) -> NetworkSpec {
    options.iter().fold(spec, |spec, key| ask::with_option(spec, key, "true"))
}

/// The address of `b`, without its length.
async fn of_b(world: &World) -> [String; 2] {
    let endpoint = world.api.endpoint("b.blue").await.unwrap();
    let bare = |address: &str| address.split('/').next().unwrap().to_owned();
    [bare(&endpoint.ipv4_address), bare(&endpoint.ipv6_address)]
}

/// D01: neighbours, by address and name, of every scope; on an internal network too.
#[test]
fn d01_neighbours_reach_each_other() {
    World::run(async |world| {
        for (name, internal) in [("blue", false), ("inner", true)] {
            let spec = NetworkSpec { internal, ..blue() };
            world.api.create_network(name, spec).await.unwrap();
            let a = world.place(name, "a", ask::endpoint()).await;
            let b = world.place(name, "b", ask::endpoint()).await;
            let told = |kind: &str| dig(&a, &format!("b {kind}")).answers;
            let (four, six) = (told("A"), told("AAAA"));
            assert_eq!((four.len(), six.len()), (1, 1), "{name}");
            assert!(pings(&a, &four[0]) && pings(&a, &six[0]), "{name}");
            let local = b.sh("ip -6 -o addr show dev eth0 scope link");
            let local = local.split_whitespace().find(|word| word.starts_with("fe80")).unwrap();
            let local = format!("{}%eth0", local.split('/').next().unwrap());
            assert!(pings(&a, &local), "{name}: {local}");
            for sandbox in ["a", "b"] {
                world.api.delete_sandbox(sandbox, true).await.unwrap();
            }
            world.api.delete_network(name).await.unwrap();
        }
    });
}

/// D03: nothing crosses, and an internal network has no route to cross by.
#[test]
fn d03_networks_are_apart() {
    World::run(async |world| {
        let [a, b, c] = three(world, blue(), far()).await;
        let [four, six] = of_b(world).await;
        assert!(pings(&a, &four) && pings(&a, &six));
        assert!(!pings(&c, &four) && !pings(&c, &six) && !pings(&b, "10.2.0.10"));
        let inner = NetworkSpec { internal: true, ..ask::network(&["10.3.0.0/24"]) };
        world.api.create_network("inner", inner).await.unwrap();
        let inside = world.place("inner", "inside", ask::endpoint()).await;
        let told = inside.enter(|| run("ip", &["route", "get", "10.1.0.10"]));
        assert!(told.stderr.contains("Network is unreachable"), "{told:?}");
    });
}

/// D05, D07, D09: by the endpoint's own address from another network: neither published nor
/// unpublished ports, or both, where both networks are open.
#[test]
fn d05_an_endpoints_own_address_from_another_network() {
    World::run(async |world| {
        let [_a, b, c] = three(world, blue(), far()).await;
        let _servers = [80, 81].map(|port| Server::tcp(&b, &format!("[::]:{port}"), "b"));
        let [four, six] = of_b(world).await;
        let tried = |from: &Netns| {
            [80, 81].map(|port| {
                (
                    reaches(from, &format!("{four}:{port}")),
                    reaches(from, &format!("[{six}]:{port}")),
                )
            })
        };
        assert_eq!(tried(&c), [(false, false); 2]);
        for network in ["blue", "far"] {
            let opened = world.cli(&["network", "update", network, "--opt-add", "open=true"]);
            assert_eq!(opened.code, Some(0), "{}", opened.stderr);
        }
        assert_eq!(tried(&c), [(true, true); 2]);
    });
}

/// D11, D15, D16: a published port by the host's address: from another network, and from the
/// very endpoint that serves it; TCP and UDP.
#[test]
fn d11_a_published_port_by_the_hosts_address() {
    World::run(async |world| {
        let [a, b, c] = three(world, blue(), far()).await;
        let _tcp = Server::tcp(&b, "[::]:80", "b");
        let _udp = Server::udp(&b, "[::]:80", "b");
        let to = format!("{HOST4}:8080");
        for from in [&a, &b, &c, &world.host, &world.outside] {
            assert_eq!(traffic::tcp(from, &to).unwrap().server, "b");
            assert_eq!(traffic::udp(from, &to).unwrap().server, "b");
        }
    });
}

/// D13: from outside by the endpoint's own address, only where the network routes directly.
#[test]
fn d13_an_endpoints_own_address_from_outside() {
    World::run(async |world| {
        let [_a, b, c] = three(world, blue(), with(far(), &["direct-routing"])).await;
        let _servers = [&b, &c].map(|netns| Server::tcp(netns, "[::]:80", "inside"));
        let [four, _] = of_b(world).await;
        for subnet in ["10.1.0.0/24", "10.2.0.0/24"] {
            world.outside.sh(&format!("ip route add {subnet} via {HOST4}"));
        }
        assert!(!reaches(&world.outside, &format!("{four}:80")), "published, but not there");
        assert!(reaches(&world.outside, &format!("{HOST4}:8080")));
        assert!(reaches(&world.outside, "10.2.0.10:80"));
    });
}

/// D17: an internal network reaches its gateway and nothing behind it.
#[test]
fn d17_an_internal_network_ends_at_its_gateway() {
    World::run(async |world| {
        let internal = NetworkSpec { internal: true, ..blue() };
        world.api.create_network("blue", internal).await.unwrap();
        let a = world.place("blue", "a", ask::endpoint()).await;
        assert!(pings(&a, "10.1.0.1") && !pings(&a, OUTSIDE4));
        a.sh("ip route replace default via 10.1.0.1");
        assert!(!pings(&a, OUTSIDE4), "with a route that nobody gave it");
    });
}

/// D25, D31: somebody flushes every ruleset: what was shut stays shut, what is published for
/// the loopback stays there, and what is gone does not come back.
#[test]
fn d31_a_foreign_flush_opens_nothing() {
    World::run(async |world| {
        let [a, b, c] = three(world, blue(), far()).await;
        let _server = Server::tcp(&b, "[::]:80", "b");
        let _private = Server::tcp(&a, "[::]:80", "a");
        let own = ask::publish(&[ask::on("127.0.0.1", ask::tcp(9090, 80))]);
        world.api.disconnect("blue", "a").await.unwrap();
        world.api.connect("blue", "a", own).await.unwrap();
        let [four, _] = of_b(world).await;
        world.outside.sh(&format!("ip route add 10.1.0.0/24 via {HOST4}"));
        let seen = || {
            [
                reaches(&c, &format!("{four}:80")),
                reaches(&world.outside, &format!("{four}:80")),
                reaches(&world.outside, &format!("{HOST4}:9090")),
                reaches(&world.host, "127.0.0.1:9090"),
                reaches(&world.outside, &format!("{HOST4}:8080")),
            ]
        };
        let before = [false, false, false, true, true];
        assert_eq!(seen(), before);
        world.api.disconnect("far", "c").await.unwrap();
        let elements = world.own_tables();
        sh("nft flush ruleset");
        assert_eq!(world.own_tables(), elements, "nobody else's to flush");
        assert_eq!(seen(), before);
        // Somebody else's table is somebody else's loss.
        run("nft", &["-f", "/run/foreign.nft"]);
        world.assert_agrees().await;
    });
}

/// D27: what somebody else's chain forbids is forbidden, whatever ours accepts.
#[test]
fn d27_a_foreign_drop_is_honoured() {
    World::run(async |world| {
        let [_a, b, c] = three(world, with(blue(), &["open"]), with(far(), &["open"])).await;
        let _server = Server::tcp(&b, "[::]:80", "b");
        let [four, _] = of_b(world).await;
        assert!(reaches(&c, &format!("{four}:80")));
        sh("nft add table ip wall");
        sh("nft add chain ip wall forward { type filter hook forward priority 0; policy drop; }");
        assert!(!reaches(&c, &format!("{four}:80")));
        sh("nft delete table ip wall");
        assert!(reaches(&c, &format!("{four}:80")));
    });
}

/// D29: a network that is not the sandbox's way out keeps its own rules.
#[test]
fn d29_a_network_that_is_not_the_default_route_keeps_its_rules() {
    World::run(async |world| {
        let [a, b, c] = three(world, blue(), far()).await;
        let _servers = [80, 81].map(|port| Server::tcp(&b, &format!("[::]:{port}"), "b"));
        world.api.create_network("alpha", ask::network(&["10.9.0.0/24"])).await.unwrap();
        world.api.connect("alpha", "b", ask::endpoint()).await.unwrap();
        assert!(b.sh("ip route show default").contains("10.9.0.1"), "alpha is the way out");
        let [four, _] = of_b(world).await;
        for port in [80, 81] {
            assert!(reaches(&a, &format!("{four}:{port}")));
            assert!(reaches(&world.host, &format!("{four}:{port}")));
            assert!(!reaches(&c, &format!("{four}:{port}")));
        }
        assert!(reaches(&world.outside, &format!("{HOST4}:8080")));
        assert!(!reaches(&world.outside, &format!("{HOST4}:81")));
    });
}
