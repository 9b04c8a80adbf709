use postern_model::decision::LinkSysctl;
use postern_model::driver::Capability;
use postern_model::mac::MacAddr;
use postern_model::network::Family;

use super::*;
use crate::fixture::{binding, endpoint_view, network_view};

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

fn mac() -> MacAddr {
    "02:00:00:00:00:01".parse().unwrap()
}

fn all() -> Grants {
    Grants::all_of(Capability::ALL)
}

fn link(name: &str, kind: LinkKind) -> Desired {
    Desired::Link(Link { handle: handle(name), kind, mtu: Some(1500), mac: Some(mac()) })
}

fn bridge() -> Desired {
    link("bridge", LinkKind::Bridge { name: None })
}

fn veth(master: &str, interface: &str) -> Desired {
    let interface = interface.parse().unwrap();
    link("port", LinkKind::Veth { master: handle(master), interface, hairpin: false })
}

fn filter(neighbours: bool, world: bool) -> Desired {
    Desired::Filter { link: handle("bridge"), neighbours, networks: false, world, direct: false }
}

fn address(text: &str, link: &str, side: Side) -> Desired {
    Desired::Address { link: handle(link), address: text.parse().unwrap(), side }
}

fn masquerade(family: Family, to: Option<&str>) -> Desired {
    Desired::Masquerade { link: handle("bridge"), family, to: to.map(|t| t.parse().unwrap()) }
}

fn sysctl(link: &str, side: Side, key: &str) -> Desired {
    let sysctl = LinkSysctl { family: Family::V4, key: key.into() };
    Desired::Sysctl { link: handle(link), side, sysctl, value: "1".into() }
}

fn route(destination: &str, via: Option<&str>) -> Desired {
    Desired::Route {
        link: handle("port"),
        destination: destination.parse().unwrap(),
        via: via.map(|v| v.parse().unwrap()),
    }
}

fn network_decision(resources: Vec<Desired>) -> NetworkDecision {
    NetworkDecision { resources, state: Vec::new() }
}

fn network(resources: Vec<Desired>) -> Result<NetworkDecision, Vec<Rejection>> {
    let named = NamedLink::Absent;
    admit_network(network_decision(resources), &all(), &network_view(), named)
        .map(Admitted::into_inner)
}

fn endpoint(
    resources: Vec<Desired>,
    gateways: &[&str],
) -> Result<EndpointDecision, Vec<Rejection>> {
    let gateways = gateways.iter().map(|g| g.parse().unwrap()).collect();
    let decision = EndpointDecision { resources, gateways, state: Vec::new() };
    let network = network_decision(vec![bridge()]);
    admit_endpoint(decision, &all(), &network, &network_view(), &endpoint_view(), Parent::Absent)
        .map(Admitted::into_inner)
}

#[test]
fn an_ordinary_network_and_endpoint_pass() {
    let resources = vec![
        bridge(),
        address("10.0.0.1/24", "bridge", Side::Host),
        filter(true, true),
        masquerade(Family::V4, Some("192.0.2.1")),
        sysctl("bridge", Side::Host, "route_localnet"),
    ];
    assert!(network(resources).is_ok());
    let resources = vec![
        veth("bridge", "eth0"),
        address("10.0.0.2/24", "port", Side::Sandbox),
        route("10.9.0.0/16", Some("10.0.0.9")),
        route("10.0.0.128/25", None),
        sysctl("port", Side::Sandbox, "accept_ra"),
        Desired::Publish(binding(80)),
    ];
    assert!(endpoint(resources, &["10.0.0.1"]).is_ok());
}

/// Without a grant, nothing of any kind is admitted.
#[test]
fn an_empty_grant_admits_nothing() {
    let none = Grants::default();
    let of_network = [
        bridge(),
        link("bridge", LinkKind::Adopt { name: "br0".parse().unwrap() }),
        address("10.0.0.1/24", "bridge", Side::Host),
        filter(true, true),
        masquerade(Family::V4, None),
        sysctl("bridge", Side::Host, "route_localnet"),
    ];
    for resource in of_network {
        let needs = format!("capability `{}` is not granted", resource.capability());
        let decision = network_decision(vec![resource]);
        let refused = admit_network(decision, &none, &network_view(), NamedLink::Absent);
        assert!(refused.unwrap_err().iter().any(|r| r.reason == needs), "{needs}");
    }
    let of_endpoint = [
        veth("bridge", "eth0"),
        address("10.0.0.2/24", "port", Side::Sandbox),
        route("10.0.0.128/25", None),
        Desired::Publish(binding(80)),
        sysctl("port", Side::Sandbox, "accept_ra"),
    ];
    for resource in of_endpoint {
        let needs = format!("capability `{}` is not granted", resource.capability());
        let decision =
            EndpointDecision { resources: vec![resource], gateways: Vec::new(), state: Vec::new() };
        let network = network_decision(vec![bridge()]);
        let (of_network, of_endpoint) = (network_view(), endpoint_view());
        let refused =
            admit_endpoint(decision, &none, &network, &of_network, &of_endpoint, Parent::Absent);
        assert!(refused.unwrap_err().iter().any(|r| r.reason == needs), "{needs}");
    }
}

#[test]
fn a_network_cannot_ask_for_more_than_it_is() {
    let with_bridge = |resource: Desired| network(vec![bridge(), resource]);
    let refused = [
        veth("bridge", "eth0"),
        bridge(),
        address("10.0.0.7/24", "bridge", Side::Host),
        address("10.0.0.1/16", "bridge", Side::Host),
        address("10.0.0.1/24", "bridge", Side::Sandbox),
        address("10.0.0.1/24", "other", Side::Host),
        masquerade(Family::V6, None),
        masquerade(Family::V4, Some("fd00::1")),
        sysctl("bridge", Side::Host, "forwarding"),
        sysctl("bridge", Side::Host, "../../ip_forward"),
        sysctl("bridge", Side::Sandbox, "accept_ra"),
        route("10.0.0.128/25", None),
        Desired::Publish(binding(80)),
    ];
    for resource in refused {
        assert!(with_bridge(resource.clone()).is_err(), "{resource:?}");
    }
}

#[test]
fn a_network_cannot_open_what_its_user_shut() {
    let shut = NetworkView { icc: false, internal: true, ..network_view() };
    let admit = |neighbours, world| {
        let decision = network_decision(vec![bridge(), filter(neighbours, world)]);
        admit_network(decision, &all(), &shut, NamedLink::Absent)
    };
    assert!(admit(false, false).is_ok());
    assert!(admit(true, false).is_err());
    assert!(admit(false, true).is_err());
}

#[test]
fn an_endpoint_gets_only_what_was_offered() {
    let with_port = |resource: Desired| endpoint(vec![veth("bridge", "eth0"), resource], &[]);
    let refused = [
        address("10.0.0.3/24", "port", Side::Sandbox),
        address("10.0.0.2/24", "port", Side::Host),
        address("10.0.0.2/24", "bridge", Side::Sandbox),
        route("0.0.0.0/0", Some("10.0.0.1")),
        route("10.9.0.0/16", Some("10.9.0.1")),
        route("fd00::/64", Some("10.0.0.1")),
        route("10.9.0.0/16", None),
        Desired::Publish(binding(81)),
        sysctl("port", Side::Sandbox, "forwarding"),
        sysctl("bridge", Side::Sandbox, "accept_ra"),
        filter(true, true),
        masquerade(Family::V4, None),
        bridge(),
    ];
    for resource in refused {
        assert!(with_port(resource.clone()).is_err(), "{resource:?}");
    }
    assert!(endpoint(vec![veth("other", "eth0")], &[]).is_err());
    assert!(endpoint(vec![veth("bridge", "eth1")], &[]).is_err());
    assert!(endpoint(vec![], &["10.9.0.1"]).is_err());
    assert!(endpoint(vec![], &["10.0.0.1", "10.0.0.9"]).is_err());
}

#[test]
fn somebody_elses_bridge_is_adopted_and_its_parameters_left_alone() {
    let named = |named| {
        let name = Some("br0".parse().unwrap());
        let resources = vec![
            link("bridge", LinkKind::Bridge { name }),
            sysctl("bridge", Side::Host, "route_localnet"),
        ];
        admit_network(network_decision(resources), &all(), &network_view(), named)
            .map(Admitted::into_inner)
    };
    let adopted = named(NamedLink::Bridge).unwrap().resources;
    assert!(matches!(&adopted[..], [Desired::Link(Link { kind: LinkKind::Adopt { .. }, .. })]));
    assert_eq!(named(NamedLink::Absent).unwrap().resources.len(), 2);
    assert!(named(NamedLink::Other).is_err());
    assert!(named(NamedLink::Ours).is_err());
}

#[test]
fn every_objection_is_named() {
    let objections = network(vec![bridge(), route("10.0.0.0/25", None), veth("bridge", "eth0")]);
    let paths: Vec<_> = objections.unwrap_err().into_iter().map(|r| r.path).collect();
    assert_eq!(paths, ["resources", "resources[1]", "resources[2]"]);
}
