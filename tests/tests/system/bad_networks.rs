//! Requests about networks that are refused: with the code, the field named, and nothing changed.

use postern_proto::v1::{
    CreateNetworkRequest, DeleteNetworkRequest, NetworkSpec, Subnet, UpdateNetworkRequest,
};
use postern_tests::{Refusal, World, ask, labels};
use tonic::Code;

const SUBNET: &str = "spec.subnets[0].subnet";
const GATEWAY: &str = "spec.subnets[0].gateway";
const RANGE: &str = "spec.subnets[0].ip_range";

/// What is asked for, the code, the field.
type Case = (NetworkSpec, Code, &'static str);

async fn assert_refused(world: &mut World, cases: Vec<Case>) {
    let before = world.snapshot().await;
    for (spec, code, field) in cases {
        for validate_only in [true, false] {
            let spec = Some(spec.clone());
            let request = CreateNetworkRequest {
                name: "bad".into(),
                spec,
                validate_only,
                ..Default::default()
            };
            let refusal = Refusal::expect(world.api.networks.create(request.clone()).await);
            assert_eq!(refusal.code, code, "{request:?}: {refusal:?}");
            refusal.assert(code, field);
            assert!(!refusal.fields.is_empty(), "no field is named: {refusal:?}");
        }
        assert_eq!(world.snapshot().await, before, "{spec:?}");
    }
    world.assert_agrees().await;
}

fn inside(gateway: &str, ip_range: &str) -> NetworkSpec {
    let subnet =
        Subnet { gateway: gateway.into(), ip_range: ip_range.into(), ..ask::subnet("10.1.0.0/24") };
    NetworkSpec { subnets: vec![subnet], ..Default::default() }
}

#[test]
fn subnets() {
    World::run(async |world| {
        world
            .api
            .create_network("blue", ask::network(&["10.9.0.0/16", "fd09::/64"]))
            .await
            .unwrap();
        let malformed = [
            "10.1.0.0",
            "10.1.0.0/33",
            "10.1.0/24",
            "x",
            "/24",
            "10.1.0.0/-1",
            "10.1.0.1/24",
            "fd00::1/64",
            "fd00::/129",
            "224.0.0.0/24",
            "127.0.0.0/24",
            "ff02::/64",
            " 10.1.0.0/24",
        ];
        let mut cases: Vec<Case> =
            malformed.map(|text| (ask::network(&[text]), Code::InvalidArgument, SUBNET)).to_vec();
        // Another network's, one around it, one inside it; then what the host has.
        for taken in [
            "10.9.0.0/16",
            "10.8.0.0/15",
            "10.9.7.0/24",
            "fd09::/64",
            "fd09::/60",
            "192.0.2.0/24",
            "198.51.100.128/25",
            "203.0.113.0/24",
            "2001:db8::/48",
        ] {
            cases.push((ask::network(&[taken]), Code::FailedPrecondition, SUBNET));
        }
        let two = ask::network(&["10.1.0.0/24", "10.2.0.0/24"]);
        cases.push((two, Code::InvalidArgument, "spec.subnets[1].subnet"));
        assert_refused(world, cases).await;
    });
}

#[test]
fn what_lies_in_a_subnet() {
    World::run(async |world| {
        let mut cases: Vec<Case> = Vec::new();
        for gateway in ["10.2.0.1", "10.1.0.0", "10.1.0.255", "fd00::1", "x", "10.1.0.1/24"] {
            cases.push((inside(gateway, ""), Code::InvalidArgument, GATEWAY));
        }
        for range in ["10.2.0.0/25", "10.0.0.0/8", "10.1.0.1/25", "fd00::/64", "x", "10.1.0.0"] {
            cases.push((inside("", range), Code::InvalidArgument, RANGE));
        }
        for (address, field) in [
            ("10.2.0.1", "spec.subnets[0].auxiliary_addresses[\"x\"]"),
            ("10.1.0.1", "spec.subnets[0].auxiliary_addresses[\"x\"]"),
            ("nonsense", "spec.subnets[0].auxiliary_addresses[\"x\"]"),
        ] {
            let mut spec = inside("10.1.0.1", "");
            spec.subnets[0].auxiliary_addresses = labels(&[("x", address)]);
            cases.push((spec, Code::InvalidArgument, field));
        }
        assert_refused(world, cases).await;
    });
}

#[test]
fn everything_else_of_a_spec() {
    World::run(async |world| {
        let plain = || ask::network(&["10.1.0.0/24"]);
        let option = |key: &str, value: &str| ask::with_option(plain(), key, value);
        let labelled =
            |key: &str, value: &str| NetworkSpec { labels: labels(&[(key, value)]), ..plain() };
        let invalid = Code::InvalidArgument;
        let families = NetworkSpec { ipv4: Some(false), ipv6: Some(false), ..Default::default() };
        let cases = vec![
            (NetworkSpec { mtu: 575, ..plain() }, invalid, "spec.mtu"),
            (NetworkSpec { mtu: 65536, ..plain() }, invalid, "spec.mtu"),
            (NetworkSpec { mtu: 1279, ..ask::network(&["fd00::/64"]) }, invalid, "spec.mtu"),
            (NetworkSpec { driver: "no-such".into(), ..plain() }, invalid, "spec.driver"),
            (NetworkSpec { driver: "../x".into(), ..plain() }, invalid, "spec.driver"),
            (families, invalid, "spec.ipv4"),
            (NetworkSpec { ipv4: Some(false), ..plain() }, invalid, "spec.ipv4"),
            (option("no-such", "x"), invalid, "spec.options[\"no-such\"]"),
            (option("masquerade", "perhaps"), invalid, "spec.options[\"masquerade\"]"),
            (option("snat-ipv4", "fd00::1"), invalid, "spec.options[\"snat-ipv4\"]"),
            (option("bridge-name", "sixteen-bytes-xy"), invalid, "spec.options[\"bridge-name\"]"),
            (option("bridge-name", "a/b"), invalid, "spec.options[\"bridge-name\"]"),
            (option("bridge-name", ".."), invalid, "spec.options[\"bridge-name\"]"),
            (option("bridge-name", "lo"), invalid, "spec.options[\"bridge-name\"]"),
            (labelled("", "x"), invalid, "spec.labels"),
            (labelled("a b", "x"), invalid, "spec.labels"),
            (labelled("a", &"x".repeat(256)), invalid, "spec.labels"),
        ];
        assert_refused(world, cases).await;
    });
}

#[test]
fn a_bridge_name_that_is_something_else() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.2.0.0/24"])).await.unwrap();
        let taken = world.api.network("blue").await.unwrap().bridge;
        let named =
            |name: &str| ask::with_option(ask::network(&["10.1.0.0/24"]), "bridge-name", name);
        let field = "spec.options[\"bridge-name\"]";
        let cases = vec![
            (named("uplink0"), Code::FailedPrecondition, field),
            (named(&taken), Code::FailedPrecondition, field),
        ];
        assert_refused(world, cases).await;
    });
}

#[test]
fn one_instance_drivers_have_one() {
    World::run(async |world| {
        let before = world.snapshot().await;
        for driver in ["host", "null"] {
            let spec = NetworkSpec { driver: driver.into(), ..Default::default() };
            let refusal = Refusal::expect(world.api.create_network("second", spec).await);
            refusal.assert(Code::FailedPrecondition, "spec.driver");
        }
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn names() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let before = world.snapshot().await;
        let long = "a".repeat(64);
        let uid = "01932c07-a9d0-7000-8abc-0123456789ab";
        for name in ["", "-a", ".a", "_a", "a b", "a/b", "../a", "ä", "a\n", "a\0", &long, uid] {
            let refusal =
                Refusal::expect(world.api.create_network(name, NetworkSpec::default()).await);
            refusal.assert(Code::InvalidArgument, "name");
        }
        for name in ["blue", "bridge", "host", "none"] {
            let spec = ask::network(&["10.2.0.0/24"]);
            let refusal = Refusal::expect(world.api.create_network(name, spec).await);
            refusal.assert(Code::AlreadyExists, "");
        }
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn what_is_not_there_or_in_use() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.place("blue", "a", ask::endpoint()).await;
        let before = world.snapshot().await;
        let uid = "01932c07-a9d0-7000-8abc-0123456789ab";
        for (network, code) in [
            ("", Code::InvalidArgument),
            ("nope", Code::NotFound),
            (uid, Code::NotFound),
            ("blue", Code::FailedPrecondition),
            ("bridge", Code::FailedPrecondition),
        ] {
            let request = DeleteNetworkRequest { network: network.into(), ..Default::default() };
            let refusal = Refusal::expect(world.api.networks.delete(request).await);
            refusal.assert(code, if network.is_empty() { "network" } else { "" });
        }
        let request = UpdateNetworkRequest { network: uid.into(), ..Default::default() };
        let refusal = Refusal::expect(world.api.networks.update(request).await);
        assert!(matches!(refusal.code, Code::NotFound | Code::InvalidArgument), "{refusal:?}");
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn an_update_that_changes_what_cannot_change() {
    World::run(async |world| {
        let made = world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let before = world.snapshot().await;
        let spec = made.spec.unwrap();
        for (changed, field) in [
            (NetworkSpec { driver: "null".into(), ..spec.clone() }, "spec.driver"),
            (NetworkSpec { mtu: 1400, ..spec.clone() }, "spec.mtu"),
            (NetworkSpec { ipv6: Some(true), ..spec.clone() }, "spec.ipv6"),
            (ask::with_option(spec.clone(), "no-such", "x"), "spec.options[\"no-such\"]"),
        ] {
            let request = UpdateNetworkRequest {
                network: "blue".into(),
                spec: Some(changed),
                revision: made.revision,
                ..Default::default()
            };
            let refusal = Refusal::expect(world.api.networks.update(request).await);
            assert!(
                matches!(refusal.code, Code::InvalidArgument | Code::FailedPrecondition),
                "{refusal:?}"
            );
            refusal.assert(refusal.code, field);
            assert_eq!(world.snapshot().await, before);
        }
    });
}

#[test]
fn a_message_over_the_limit() {
    World::run(async |world| {
        let before = world.snapshot().await;
        let spec =
            NetworkSpec { labels: labels(&[("x", &"y".repeat(8 << 20))]), ..Default::default() };
        let refusal = world.api.create_network("big", spec).await.unwrap_err();
        assert!(
            matches!(refusal.code(), Code::OutOfRange | Code::ResourceExhausted),
            "{refusal:?}"
        );
        let spec =
            NetworkSpec { subnets: vec![ask::subnet("10.1.0.0/24"); 10_000], ..Default::default() };
        let refusal = Refusal::expect(world.api.create_network("many", spec).await);
        assert_eq!(refusal.code, Code::InvalidArgument, "{refusal:?}");
        assert!(refusal.fields.len() <= 100, "{} violations", refusal.fields.len());
        assert_eq!(world.snapshot().await, before);
    });
}
