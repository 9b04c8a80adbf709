use proptest::prelude::*;

use super::*;

fn link(handle: &str) -> types::Link {
    types::Link {
        handle: handle.into(),
        kind: types::LinkKind::Bridge(types::BridgeLink { name: None }),
        mtu: None,
        mac: None,
    }
}

fn pair(master: &str, interface_name: &str) -> types::Desired {
    let kind = types::LinkKind::Veth(types::VethLink {
        master: master.into(),
        interface_name: interface_name.into(),
        hairpin: false,
    });
    types::Desired::Link(types::Link { kind, ..link("port") })
}

fn macvlan(parent: &str, interface_name: &str) -> types::Desired {
    let kind = types::LinkKind::Macvlan(types::MacvlanLink {
        parent: parent.into(),
        interface_name: interface_name.into(),
        mode: types::MacvlanMode::Vepa,
    });
    types::Desired::Link(types::Link { kind, ..link("port") })
}

fn prefix_on(address: &str) -> types::Desired {
    let (link, side) = ("bridge".into(), types::Side::Host);
    types::Desired::Address(types::Address { link, address: address.into(), side })
}

fn translated(family: types::Family, to: &str) -> types::Desired {
    let (link, to) = ("bridge".into(), Some(to.into()));
    types::Desired::Masquerade(types::Masquerade { link, family, to })
}

fn parameter(key: &str, value: &str) -> types::Desired {
    types::Desired::Sysctl(types::Sysctl {
        link: "bridge".into(),
        side: types::Side::Host,
        family: types::Family::V4,
        key: key.into(),
        value: value.into(),
    })
}

fn published(host_ip: &str, ports: [u16; 3]) -> types::Desired {
    let [host_first, host_last, target_first] = ports;
    types::Desired::Publish(types::PortBinding {
        protocol: types::Protocol::Tcp,
        host_ip: host_ip.into(),
        host_first,
        host_last,
        target: "10.0.0.2".into(),
        target_first,
    })
}

fn decide(resources: Vec<types::Desired>) -> Result<NetworkDecision, Invalid> {
    network(wit::NetworkDecision { resources, state: Vec::new() }, &Limits::default())
}

fn path_of(desired: types::Desired) -> String {
    let good = types::Desired::Link(link("bridge"));
    decide(vec![good, desired]).unwrap_err().path
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let odd_mac = types::Link { mac: Some("01:00:5e:00:00:01".into()), ..link("bridge") };
    let adopt = types::LinkKind::Adopt(types::AdoptLink { name: "lo".into() });
    let adopted = types::Link { kind: adopt, ..link("bridge") };
    let v6 = types::Family::V6;
    for (desired, path) in [
        (types::Desired::Link(link("Bridge")), "link.handle"),
        (types::Desired::Link(odd_mac), "link.mac"),
        (types::Desired::Link(adopted), "link.kind.adopt.name"),
        (pair("../eth0", "eth0"), "link.kind.veth.master"),
        (pair("bridge", "sixteen-bytes-xy"), "link.kind.veth.interface-name"),
        (macvlan("lo", "eth0"), "link.kind.macvlan.parent"),
        (macvlan("../eth1", "eth0"), "link.kind.macvlan.parent"),
        (macvlan("", "eth0"), "link.kind.macvlan.parent"),
        (macvlan("eth1", "all"), "link.kind.macvlan.interface-name"),
        (prefix_on("10.0.0.1"), "address.address"),
        (prefix_on("10.0.0.1/33"), "address.address"),
        (translated(v6, "192.0.2.1"), "masquerade.to"),
        (translated(v6, "host"), "masquerade.to"),
        (parameter("../forwarding", "1"), "sysctl.key"),
        (parameter("", "1"), "sysctl.key"),
        (parameter("forwarding", "1\n0"), "sysctl.value"),
        (parameter("forwarding", &"1".repeat(1025)), "sysctl.value"),
        (published("0.0.0.0", [0, 80, 80]), "publish.host-first"),
        (published("0.0.0.0", [81, 80, 80]), "publish.host-first"),
        (published("0.0.0.0", [80, 81, 65_535]), "publish.target-first"),
        (published("0.0.0.0", [80, 80, 0]), "publish.target-first"),
        (published("::", [80, 80, 80]), "publish.target"),
    ] {
        assert_eq!(path_of(desired), format!("resources[1].{path}"));
    }
}

#[test]
fn good_resources_pass() {
    let good = vec![
        types::Desired::Link(link("bridge")),
        pair("bridge", "eth0"),
        prefix_on("10.0.0.1/24"),
        prefix_on("fd00::1/64"),
        translated(types::Family::V4, "192.0.2.1"),
        parameter("route_localnet", "1"),
        published("0.0.0.0", [80, 81, 65_534]),
    ];
    let decision = decide(good).unwrap();
    assert_eq!(decision.resources.len(), 7);
    let capabilities: Vec<Capability> =
        decision.resources.iter().map(Desired::capability).collect();
    assert_eq!(capabilities[..2], [Capability::Bridge, Capability::Veth]);
}

#[test]
fn a_macvlan_is_what_the_driver_says() {
    let decision = decide(vec![macvlan("eth1.10", "eth0")]).unwrap();
    let expected = LinkKind::Macvlan {
        parent: "eth1.10".parse().unwrap(),
        interface: "eth0".parse().unwrap(),
        mode: MacvlanMode::Vepa,
    };
    assert_eq!(decision.resources[0].capability(), Capability::Macvlan);
    assert!(matches!(&decision.resources[0], Desired::Link(link) if link.kind == expected));
}

#[test]
fn gateways_are_one_of_a_family() {
    let decide = |gateways: &[&str]| {
        let gateways = gateways.iter().map(|&gateway| gateway.to_owned()).collect();
        let raw = wit::EndpointDecision { resources: Vec::new(), gateways, state: Vec::new() };
        endpoint(raw, &Limits::default()).map_err(|invalid| invalid.path)
    };
    assert_eq!(decide(&["10.0.0.1", "fd00::1"]).unwrap().gateways.len(), 2);
    assert_eq!(decide(&["10.0.0.1", "10.0.0.2"]), Err("gateways[1]".into()));
    assert_eq!(decide(&["10.0.0.1", "x"]), Err("gateways[1]".into()));
    assert_eq!(decide(&["10.0.0.1"; 3]), Err("gateways".into()));
}

fn described() -> wit::Manifest {
    wit::Manifest {
        name: "overlay".into(),
        version: "1.0".into(),
        summary: "x".into(),
        capabilities: vec![types::Capability::Bridge, types::Capability::Bridge],
        options: Vec::new(),
        addressing: true,
        attach: types::Attach::Own,
        max_networks: None,
    }
}

#[test]
fn manifests() {
    let parse =
        |raw: &wit::Manifest| manifest(raw, &Limits::default()).map_err(|invalid| invalid.path);
    let option = |name: &str| types::OptionSpec {
        name: name.into(),
        scope: types::OptionScope::Network,
        help: "x".into(),
    };
    assert_eq!(parse(&described()).unwrap().capabilities.len(), 1);
    let name = |name: &str| wit::Manifest { name: name.into(), ..described() };
    for bad in ["", "-x", "a b", &"a".repeat(64)] {
        assert_eq!(parse(&name(bad)), Err("name".into()), "{bad}");
    }
    let options = |options| wit::Manifest { options, ..described() };
    assert_eq!(parse(&options(vec![option("a b")])), Err("options[0].name".into()));
    assert_eq!(parse(&options(vec![option("a"); 2])), Err("options[1].name".into()));
    assert_eq!(parse(&options(vec![option("a"); 33])), Err("options".into()));
    let version = wit::Manifest { version: "1\u{1b}[0m".into(), ..described() };
    assert_eq!(parse(&version), Err("version".into()));
}

proptest! {
    #[test]
    fn any_text_is_taken_whole_or_refused(text in ".{0,40}", key in "[a-z_./]{0,12}") {
        let resources = vec![
            prefix_on(&text),
            pair(&text, &text),
            macvlan(&text, "eth0"),
            parameter(&key, &text),
        ];
        for desired in resources {
            if let Ok(decision) = decide(vec![desired]) {
                match &decision.resources[0] {
                    Desired::Link(Link {
                        kind: LinkKind::Veth { master, interface, .. }, ..
                    }) => {
                        prop_assert_eq!(master.as_str(), text.as_str());
                        prop_assert_eq!(interface.as_str(), text.as_str());
                    }
                    Desired::Link(Link { kind: LinkKind::Macvlan { parent, .. }, .. }) => {
                        prop_assert_eq!(parent.as_str(), text.as_str());
                    }
                    Desired::Sysctl { sysctl, value, .. } => {
                        prop_assert!(!sysctl.key.contains(['/', '.']));
                        prop_assert_eq!(value, &text);
                    }
                    Desired::Address { address, .. } => {
                        prop_assert!(address.prefix() <= 128);
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}
