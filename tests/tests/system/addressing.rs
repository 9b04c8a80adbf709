//! Addresses: where subnets and addresses come from, and when they come back.

use postern_proto::v1::{NetworkSpec, Subnet};
use postern_tests::{Refusal, World, ask, labels};
use tonic::Code;

#[test]
fn subnets_come_from_the_pools_and_avoid_each_other_and_the_host() {
    World::run_with(&["--default-address-pool=base=192.0.2.0/23,size=26"], async |world| {
        let mut subnets = Vec::new();
        for index in 0..3 {
            let name = format!("n{index}");
            let made = world.api.create_network(&name, NetworkSpec::default()).await.unwrap();
            subnets.push(made.spec.unwrap().subnets[0].subnet.clone());
        }
        // 192.0.2.0/24 is the uplink's; the predefined bridge has the first that is left.
        assert!(
            subnets.iter().all(|s| s.starts_with("192.0.3.") && s.ends_with("/26")),
            "{subnets:?}"
        );
        subnets.dedup();
        assert_eq!(subnets.len(), 3);
        let full = world.api.create_network("one-more", NetworkSpec::default()).await;
        assert_eq!(Refusal::expect(full).code, Code::ResourceExhausted);
    });
}

#[test]
fn a_prefix_length_may_be_asked_for_alone() {
    World::run_with(&["--default-address-pool=base=10.64.0.0/12,size=16"], async |world| {
        let made = world.api.create_network("blue", ask::network(&["0.0.0.0/28"])).await.unwrap();
        let subnet = made.spec.unwrap().subnets[0].subnet.clone();
        assert!(subnet.starts_with("10.") && subnet.ends_with("/28"), "{subnet}");
        let spec = NetworkSpec { ipv6: Some(true), ..Default::default() };
        let made = world.api.create_network("six", spec).await.unwrap();
        let subnets = made.spec.unwrap().subnets;
        let six = subnets.iter().find(|s| s.subnet.contains(':')).unwrap();
        assert!(six.subnet.starts_with("fd") && six.subnet.ends_with("/64"), "{six:?}");
    });
}

#[test]
fn dynamic_addresses_come_from_the_range_and_not_from_what_is_set_aside() {
    World::run(async |world| {
        let subnet = Subnet {
            ip_range: "10.1.0.128/30".into(),
            gateway: "10.1.0.254".into(),
            auxiliary_addresses: labels(&[("printer", "10.1.0.129")]),
            ..ask::subnet("10.1.0.0/24")
        };
        let spec = NetworkSpec { subnets: vec![subnet], ..Default::default() };
        world.api.create_network("blue", spec).await.unwrap();
        let mut given = Vec::new();
        for name in ["a", "b", "c"] {
            world.place("blue", name, ask::endpoint()).await;
            let made = world.api.endpoint(&format!("{name}.blue")).await.unwrap();
            assert_eq!(made.ipv4_gateway, "10.1.0.254");
            given.push(made.ipv4_address);
        }
        given.sort();
        assert_eq!(given, ["10.1.0.128/24", "10.1.0.130/24", "10.1.0.131/24"]);

        world.api.create_sandbox("d").await.unwrap();
        let before = world.snapshot().await;
        let full = world.api.connect("blue", "d", ask::endpoint()).await;
        assert_eq!(Refusal::expect(full).code, Code::ResourceExhausted);
        assert_eq!(world.snapshot().await, before);
        // A static address may lie outside of the range.
        let fixed = world.api.connect("blue", "d", ask::address("10.1.0.7")).await.unwrap();
        assert_eq!(fixed.ipv4_address, "10.1.0.7/24");
    });
}

#[test]
fn a_freed_address_rests_before_it_is_given_again() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.place("blue", "a", ask::endpoint()).await;
        let first = world.api.endpoint("a.blue").await.unwrap().ipv4_address;
        world.api.disconnect("blue", "a").await.unwrap();
        let second = world.api.connect("blue", "a", ask::endpoint()).await.unwrap();
        assert_ne!(second.ipv4_address, first);
        world.api.disconnect("blue", "a").await.unwrap();
        // Who asks for it by name means it.
        let bare = first.split('/').next().unwrap();
        let third = world.api.connect("blue", "a", ask::address(bare)).await.unwrap();
        assert_eq!(third.ipv4_address, first);
        world.assert_agrees().await;
    });
}
