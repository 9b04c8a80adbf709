//! Networks: made, read, changed, deleted; what is in the kernel meanwhile.

use postern_proto::v1::{NetworkSpec, UpdateNetworkRequest};
use postern_tests::command::sh;
use postern_tests::{OUTSIDE4, Refusal, World, ask, labels, traffic};
use tonic::Code;

#[test]
fn the_predefined_networks_are_there_and_stay() {
    World::run(async |world| {
        for (name, driver) in [("bridge", "bridge"), ("host", "host"), ("none", "null")] {
            let network = world.api.network(name).await.unwrap();
            assert!(network.predefined, "{network:?}");
            assert_eq!(network.spec.unwrap().driver, driver);
            assert!(network.driver_digest.starts_with("sha256:"), "{}", network.driver_digest);
            let refusal = Refusal::expect(world.api.delete_network(name).await);
            assert_eq!(refusal.code, Code::FailedPrecondition, "{name}: {refusal:?}");
        }
        world.assert_only_predefined().await;
    });
}

#[test]
fn a_network_is_made_read_and_deleted() {
    World::run(async |world| {
        let made = world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let spec = made.spec.clone().unwrap();
        assert_eq!(spec.driver, "bridge");
        assert_eq!(spec.subnets[0].gateway, "10.1.0.1");
        assert_eq!(made.scope, "local");
        assert!(!made.predefined && made.revision > 0 && made.create_time.is_some(), "{made:?}");
        assert_eq!(world.api.network("blue").await.unwrap(), made);
        assert_eq!(world.api.network(&made.uid).await.unwrap(), made);

        let owner = format!("network/{}", made.uid);
        let link = world.own_links().into_iter().find(|link| link.owner == owner).unwrap();
        assert_eq!(link.name, made.bridge);
        assert!(sh(&format!("ip -o addr show dev {}", made.bridge)).contains("10.1.0.1/24"));
        world.assert_agrees().await;

        world.api.delete_network("blue").await.unwrap();
        assert_eq!(Refusal::expect(world.api.network("blue").await).code, Code::NotFound);
        assert_eq!(Refusal::expect(world.api.network(&made.uid).await).code, Code::NotFound);
        world.assert_only_predefined().await;
    });
}

#[test]
fn the_mtu_is_that_of_the_bridge_and_of_its_ports() {
    World::run(async |world| {
        let spec = NetworkSpec { mtu: 1400, ..ask::network(&["10.1.0.0/24"]) };
        world.api.create_network("blue", spec).await.unwrap();
        let inside = world.place("blue", "a", ask::endpoint()).await;
        assert!(inside.sh("ip -o link show eth0").contains("mtu 1400"));
        let blue = world.api.network("blue").await.unwrap();
        let ours = world.own_links();
        let links = ours.iter().filter(|l| l.name == blue.bridge || l.master == blue.bridge);
        let mtus: Vec<u64> = links.map(|link| link.mtu).collect();
        assert_eq!(mtus, [1400, 1400]);
    });
}

/// A link of less than 1280 bytes has no IPv6, nor any parameters of it.
#[test]
fn the_mtu_may_be_too_small_for_ipv6() {
    World::run_with(&["--watch-drift=false"], async |world| {
        let spec = NetworkSpec { mtu: 1000, ..ask::network(&["10.1.0.0/24"]) };
        world.api.create_network("small", spec).await.unwrap();
        world.api.create_network("usual", ask::network(&["10.2.0.0/24"])).await.unwrap();
        for network in ["small", "usual"] {
            let inside = world.place(network, network, ask::endpoint()).await;
            let gateway = if network == "small" { "10.1.0.1" } else { "10.2.0.1" };
            inside.sh(&format!("busybox ping -c1 -W2 {gateway}"));
        }
        // Somebody makes it too small, and the repair finds no parameters of IPv6.
        let usual = world.api.endpoint("usual.usual").await.unwrap().uid;
        let links = world.own_links();
        let port = links.iter().find(|link| link.owner == format!("endpoint/{usual}")).unwrap();
        sh(&format!("ip link set {} mtu 900", port.name));
        let repaired = world.cli(&["reconcile"]);
        assert_eq!(repaired.code, Some(0), "{}", repaired.stderr);
        world.assert_agrees().await;
    });
}

#[test]
fn both_families_are_served_at_once() {
    World::run(async |world| {
        let spec = ask::network(&["10.1.0.0/24", "fd00:1::/64"]);
        world.api.create_network("blue", spec).await.unwrap();
        let a = world.place("blue", "a", ask::endpoint()).await;
        let b = world.place("blue", "b", ask::endpoint()).await;
        let there = world.api.endpoint("b.blue").await.unwrap();
        assert!(there.ipv4_address.ends_with("/24") && there.ipv6_address.ends_with("/64"));
        let bare = |text: &str| text.split('/').next().unwrap().to_owned();
        let _server = traffic::Server::tcp(&b, "[::]:80", "b");
        for to in [
            format!("{}:80", bare(&there.ipv4_address)),
            format!("[{}]:80", bare(&there.ipv6_address)),
        ] {
            assert_eq!(traffic::tcp(&a, &to).unwrap().server, "b", "{to}");
        }
        let _world = traffic::Server::tcp(&world.outside, "[::]:80", "outside");
        let seen4 = traffic::tcp(&a, &format!("{OUTSIDE4}:80")).unwrap().seen_from;
        let seen6 = traffic::tcp(&a, "[2001:db8::2]:80").unwrap().seen_from;
        assert_eq!(
            (seen4.to_string(), seen6.to_string()),
            ("192.0.2.1".into(), "2001:db8::1".into())
        );
        world.assert_agrees().await;
    });
}

#[test]
fn ipv6_alone_is_enough() {
    World::run(async |world| {
        let spec = NetworkSpec { ipv4: Some(false), ..ask::network(&["fd00:1::/64"]) };
        world.api.create_network("six", spec).await.unwrap();
        let a = world.place("six", "a", ask::endpoint()).await;
        let b = world.place("six", "b", ask::endpoint()).await;
        let there = world.api.endpoint("b.six").await.unwrap();
        assert_eq!(there.ipv4_address, "");
        let _server = traffic::Server::tcp(&b, "[::]:80", "b");
        let to = format!("[{}]:80", there.ipv6_address.split('/').next().unwrap());
        assert_eq!(traffic::tcp(&a, &to).unwrap().server, "b");
    });
}

#[test]
fn a_bridge_of_somebody_else_is_adopted_and_left_behind() {
    World::run(async |world| {
        sh("ip link add adopted0 type bridge");
        sh("ip link set adopted0 up");
        let spec = ask::with_option(ask::network(&["10.1.0.0/24"]), "bridge-name", "adopted0");
        let made = world.api.create_network("blue", spec).await.unwrap();
        assert_eq!(made.bridge, "adopted0");
        let a = world.place("blue", "a", ask::endpoint()).await;
        let b = world.place("blue", "b", ask::address("10.1.0.9")).await;
        let _server = traffic::Server::tcp(&b, "0.0.0.0:80", "b");
        assert!(traffic::tcp(&a, "10.1.0.9:80").is_some());
        for sandbox in ["a", "b"] {
            world.api.delete_sandbox(sandbox, true).await.unwrap();
        }
        world.api.delete_network("blue").await.unwrap();
        let left = sh("ip -o link show adopted0");
        assert!(!left.contains("alias postern"), "{left}");
        assert!(!sh("ip -o addr show dev adopted0").contains("10.1.0.1"), "the gateway stayed");
        world.assert_only_predefined().await;
    });
}

#[test]
fn a_bridge_gets_the_name_that_was_asked_for() {
    World::run(async |world| {
        let spec = ask::with_option(ask::network(&["10.1.0.0/24"]), "bridge-name", "br-blue");
        assert_eq!(world.api.create_network("blue", spec).await.unwrap().bridge, "br-blue");
        assert!(world.own_links().iter().any(|link| link.name == "br-blue"));
        world.assert_agrees().await;
        world.api.delete_network("blue").await.unwrap();
        // It is out of service at once, and deleted a moment later.
        world.assert_no_strays().await;
        assert!(!sh("ip -o link").contains("br-blue"));
        // Who wants the name in that moment waits for it.
        for _ in 0..5 {
            let spec = ask::with_option(ask::network(&["10.1.0.0/24"]), "bridge-name", "br-blue");
            world.api.create_network("blue", spec).await.unwrap();
            world.assert_agrees().await;
            world.api.delete_network("blue").await.unwrap();
        }
    });
}

#[test]
fn an_update_is_based_on_the_revision_that_was_read() {
    World::run(async |world| {
        let made = world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let mut spec = made.spec.clone().unwrap();
        spec.labels = labels(&[("tier", "front")]);
        let request = UpdateNetworkRequest {
            network: "blue".into(),
            spec: Some(spec.clone()),
            revision: made.revision,
            ..Default::default()
        };
        let answer = world.api.networks.update(request.clone()).await.unwrap().into_inner();
        let changed = answer.network.unwrap();
        assert!(changed.revision > made.revision);
        assert_eq!(changed.spec.unwrap().labels, spec.labels);

        let again = world.api.networks.update(request.clone()).await;
        assert_eq!(Refusal::expect(again).code, Code::Aborted);

        let before = world.snapshot().await;
        spec.subnets[0] = ask::subnet("10.2.0.0/24");
        let request =
            UpdateNetworkRequest { spec: Some(spec), revision: changed.revision, ..request };
        let refusal = Refusal::expect(world.api.networks.update(request).await);
        assert!(refusal.fields.iter().any(|f| f.starts_with("spec.subnets")), "{refusal:?}");
        assert_eq!(world.snapshot().await, before);
    });
}
