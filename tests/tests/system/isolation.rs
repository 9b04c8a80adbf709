//! Who may talk to whom: between neighbours, between networks, to and from the world.

use postern_proto::v1::{Entity, NetworkSpec, UpdateNetworkRequest};
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{HOST4, Netns, OUTSIDE4, World, ask};

fn without_icc() -> NetworkSpec {
    NetworkSpec { icc: Some(false), ..ask::network(&["10.1.0.0/24", "fd00:1::/64"]) }
}

async fn set_icc(world: &mut World, icc: bool) {
    change(world, "blue", |spec| spec.icc = Some(icc)).await;
}

async fn change(world: &mut World, name: &str, how: impl FnOnce(&mut NetworkSpec)) {
    let network = world.api.network(name).await.unwrap();
    let mut spec = network.spec.unwrap();
    how(&mut spec);
    let request = UpdateNetworkRequest {
        network: name.into(),
        spec: Some(spec),
        revision: network.revision,
        ..Default::default()
    };
    world.api.networks.update(request).await.unwrap();
}

async fn pair(world: &World) -> (Netns, Netns, Server) {
    let a = world.place("blue", "a", ask::address("10.1.0.11")).await;
    let b = world.place("blue", "b", ask::address("10.1.0.12")).await;
    let server = Server::tcp(&b, "[::]:80", "b");
    (a, b, server)
}

#[test]
fn without_icc_neighbours_are_strangers() {
    World::run(async |world| {
        world.api.create_network("blue", without_icc()).await.unwrap();
        let (a, _b, _server) = pair(world).await;
        assert!(traffic::tcp(&a, "10.1.0.12:80").is_none());
        let there = world.api.endpoint("b.blue").await.unwrap().ipv6_address;
        let six = format!("[{}]:80", there.split('/').next().unwrap());
        assert!(traffic::tcp(&a, &six).is_none());
        // The way out and the host's own way in stay.
        let _out = Server::tcp(&world.outside, "0.0.0.0:80", "outside");
        assert!(traffic::tcp(&a, &format!("{OUTSIDE4}:80")).is_some());
        assert!(traffic::tcp(&world.host, "10.1.0.12:80").is_some());
        world.assert_agrees().await;
    });
}

#[test]
fn without_icc_a_published_port_is_still_reached() {
    World::run(async |world| {
        world.api.create_network("blue", without_icc()).await.unwrap();
        let a = world.place("blue", "a", ask::endpoint()).await;
        let b = world.place("blue", "b", ask::publish(&[ask::tcp(8080, 80)])).await;
        let _server = Server::tcp(&b, "[::]:80", "b");
        assert!(traffic::tcp(&a, &format!("{HOST4}:8080")).is_some());
    });
}

#[test]
fn icc_is_switched_while_flows_live() {
    World::run(async |world| {
        world.api.create_network("blue", without_icc()).await.unwrap();
        let (a, _b, _server) = pair(world).await;
        assert!(traffic::tcp(&a, "10.1.0.12:80").is_none());
        set_icc(world, true).await;
        let mut talk = Conversation::begin(&a, "10.1.0.12:80").unwrap();
        assert!(talk.goes_on());
        let c = world.place("blue", "c", ask::labelled(&[("app", "c")])).await;
        let there = world.api.endpoint("c.blue").await.unwrap().ipv4_address;
        let there = format!("{}:80", there.split('/').next().unwrap());
        let _accepting = Server::tcp(&c, "0.0.0.0:80", "c");
        world
            .api
            .apply_policy(
                "c",
                ask::app(
                    &[("app", "c")],
                    vec![ask::accept(vec![ask::entity(Entity::SameNetwork)], 80)],
                ),
            )
            .await
            .unwrap();
        let mut accepted = Conversation::begin(&a, &there).unwrap();
        world.assert_agrees().await;
        set_icc(world, false).await;
        assert!(accepted.goes_on(), "what a policy accepts does not depend on icc");
        assert!(!talk.goes_on(), "a flow outlived the permission it had");
        assert!(traffic::tcp(&a, "10.1.0.12:80").is_none());
        world.assert_agrees().await;
    });
}

#[test]
fn networks_are_closed_to_each_other_unless_both_are_open() {
    World::run(async |world| {
        let open = |subnet: &str| ask::with_option(ask::network(&[subnet]), "open", "true");
        world.api.create_network("open1", open("10.1.0.0/24")).await.unwrap();
        world.api.create_network("open2", open("10.2.0.0/24")).await.unwrap();
        world.api.create_network("closed", ask::network(&["10.3.0.0/24"])).await.unwrap();
        let a = world.place("open1", "a", ask::address("10.1.0.9")).await;
        let b = world.place("open2", "b", ask::address("10.2.0.9")).await;
        let c = world.place("closed", "c", ask::address("10.3.0.9")).await;
        let _servers =
            [(&a, "a"), (&b, "b"), (&c, "c")].map(|(ns, name)| Server::tcp(ns, "0.0.0.0:80", name));
        let seen = traffic::tcp(&a, "10.2.0.9:80").unwrap().seen_from;
        assert_eq!(seen.to_string(), "10.1.0.9", "translated between two of our own networks");
        assert!(traffic::tcp(&b, "10.1.0.9:80").is_some());
        assert!(traffic::tcp(&a, "10.3.0.9:80").is_none());
        assert!(traffic::tcp(&c, "10.1.0.9:80").is_none());
    });
}

#[test]
fn what_a_network_no_longer_lets_in_ends_and_nothing_else() {
    World::run(async |world| {
        for (name, subnets) in
            [("one", ["10.1.0.0/24", "fd00:1::/64"]), ("two", ["10.2.0.0/24", "fd00:2::/64"])]
        {
            let open = ask::with_option(ask::network(&subnets), "open", "true");
            let direct = ask::with_option(open, "direct-routing", "true");
            world.api.create_network(name, direct).await.unwrap();
        }
        let a = world.place("one", "a", ask::address("10.1.0.9")).await;
        let near = world.place("one", "near", ask::address("10.1.0.10")).await;
        let b = world.place("two", "b", ask::address("10.2.0.9")).await;
        let _servers = [&a, &near, &b].map(|netns| Server::tcp(netns, "[::]:80", "inside"));
        let far = world.api.endpoint("b.two").await.unwrap().ipv6_address;
        let far = format!("[{}]:80", far.split('/').next().unwrap());
        world.outside.sh(&format!("ip route add 10.1.0.0/24 via {HOST4}"));
        let begin = |from, to: &str| Conversation::begin(from, to).unwrap();
        let mut across = [begin(&a, "10.2.0.9:80"), begin(&a, &far), begin(&b, "10.1.0.9:80")];
        let mut within = begin(&a, "10.1.0.10:80");
        let mut into = begin(&world.outside, "10.1.0.9:80");

        let set = |key: &'static str| {
            move |spec: &mut NetworkSpec| drop(spec.options.insert(key.into(), "false".into()))
        };
        change(world, "one", set("open")).await;
        assert!(across.iter_mut().all(|talk| !talk.goes_on()), "the networks are closed");
        assert!(into.goes_on() && within.goes_on(), "nothing closes these");
        change(world, "one", set("direct-routing")).await;
        assert!(!into.goes_on(), "the network is not reached directly any more");
        assert!(within.goes_on());
        world.assert_agrees().await;
    });
}

#[test]
fn an_internal_network_has_no_way_out_and_none_in() {
    World::run(async |world| {
        let spec = NetworkSpec { internal: true, ..ask::network(&["10.1.0.0/24"]) };
        world.api.create_network("blue", spec).await.unwrap();
        let (a, _b, _server) = pair(world).await;
        assert!(traffic::tcp(&a, "10.1.0.12:80").is_some(), "neighbours");
        let _out = Server::tcp(&world.outside, "0.0.0.0:80", "outside");
        assert!(traffic::tcp(&a, &format!("{OUTSIDE4}:80")).is_none());
        // Not even with a route that the driver did not give.
        a.sh("ip route replace default via 10.1.0.1");
        assert!(traffic::tcp(&a, &format!("{OUTSIDE4}:80")).is_none());
        world.outside.sh(&format!("ip route add 10.1.0.0/24 via {HOST4}"));
        assert!(traffic::tcp(&world.outside, "10.1.0.12:80").is_none());
    });
}

#[test]
fn from_outside_only_a_direct_network_is_routed_to() {
    World::run(async |world| {
        let direct = ask::with_option(ask::network(&["10.2.0.0/24"]), "direct-routing", "true");
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.api.create_network("direct", direct).await.unwrap();
        let shut = world.place("blue", "a", ask::address("10.1.0.9")).await;
        let reached = world.place("direct", "b", ask::address("10.2.0.9")).await;
        let _servers = [&shut, &reached].map(|netns| Server::tcp(netns, "0.0.0.0:80", "inside"));
        for subnet in ["10.1.0.0/24", "10.2.0.0/24"] {
            world.outside.sh(&format!("ip route add {subnet} via {HOST4}"));
        }
        assert!(traffic::tcp(&world.outside, "10.1.0.9:80").is_none());
        let seen = traffic::tcp(&world.outside, "10.2.0.9:80").unwrap().seen_from;
        assert_eq!(seen.to_string(), OUTSIDE4);
    });
}

#[test]
fn the_source_address_on_the_way_out_is_as_asked() {
    World::run(async |world| {
        postern_tests::command::sh("ip addr add 192.0.2.77/24 dev uplink0");
        let plain = |subnet: &str| ask::network(&[subnet]);
        let bare = ask::with_option(plain("10.1.0.0/24"), "masquerade", "false");
        let fixed = ask::with_option(plain("10.2.0.0/24"), "snat-ipv4", "192.0.2.77");
        world.api.create_network("bare", bare).await.unwrap();
        world.api.create_network("fixed", fixed).await.unwrap();
        let a = world.place("bare", "a", ask::address("10.1.0.9")).await;
        let b = world.place("fixed", "b", ask::endpoint()).await;
        world.outside.sh(&format!("ip route add 10.1.0.0/24 via {HOST4}"));
        let _out = Server::tcp(&world.outside, "0.0.0.0:80", "outside");
        let to = format!("{OUTSIDE4}:80");
        assert_eq!(traffic::tcp(&a, &to).unwrap().seen_from.to_string(), "10.1.0.9");
        assert_eq!(traffic::tcp(&b, &to).unwrap().seen_from.to_string(), "192.0.2.77");
    });
}

#[test]
fn an_inhibited_gateway_is_neither_made_nor_given() {
    World::run(async |world| {
        let spec = ask::with_option(ask::network(&["10.1.0.0/24"]), "inhibit-gateway", "true");
        let made = world.api.create_network("blue", spec).await.unwrap();
        let (a, _b, _server) = pair(world).await;
        assert!(traffic::tcp(&a, "10.1.0.12:80").is_some());
        assert_eq!(a.sh("ip route show default"), "");
        let addresses =
            postern_tests::command::sh(&format!("ip -o -4 addr show dev {}", made.bridge));
        assert_eq!(addresses, "");
    });
}

#[test]
fn an_endpoint_speaks_under_its_own_address_only() {
    World::run(async |world| {
        world
            .api
            .create_network("blue", ask::network(&["10.1.0.0/24", "fd00:1::/64"]))
            .await
            .unwrap();
        let (a, b, _server) = pair(world).await;
        let _host = Server::tcp(&world.host, "[::]:7777", "host");
        assert!(traffic::tcp(&a, "10.1.0.1:7777").is_some());
        a.sh("ip addr del 10.1.0.11/24 dev eth0");
        a.sh("ip addr add 10.1.0.99/24 dev eth0");
        assert!(traffic::tcp(&a, "10.1.0.12:80").is_none(), "a free address was taken");
        assert!(traffic::tcp(&a, "10.1.0.1:7777").is_none(), "a free address was taken");
        a.sh("ip -6 addr flush dev eth0 scope global");
        a.sh("ip -6 addr add fd00:1::99/64 dev eth0 nodad");
        assert!(traffic::tcp(&a, "[fd00:1::1]:7777").is_none(), "a free address was taken");
        b.sh("ip link set eth0 address 02:00:5e:00:53:99");
        assert!(traffic::tcp(&b, "10.1.0.1:7777").is_none(), "another MAC was taken");
    });
}

#[test]
fn an_endpoint_cannot_reach_the_hosts_loopback() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let a = world.place("blue", "a", ask::endpoint()).await;
        let _private = Server::tcp(&world.host, "127.0.0.1:7777", "private");
        // What it takes for a sandbox to send to 127.0.0.1 by its interface.
        a.sh("ip route add 127.0.0.0/8 via 10.1.0.1 dev eth0 table 99");
        a.sh("ip rule add pref 100 table local");
        a.sh("ip rule add pref 50 to 127.0.0.0/8 table 99");
        a.sh("ip rule del pref 0");
        let key = "/proc/sys/net/ipv4/conf/all/route_localnet";
        a.enter(|| std::fs::write(key, "1")).unwrap();
        assert!(traffic::tcp(&a, "127.0.0.1:7777").is_none());
    });
}
