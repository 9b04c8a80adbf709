use std::collections::BTreeMap;

use postern_model::decision::LinkSysctl;
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::network::Family;
use postern_model::resource::{Bridge, Macvlan, Owner, Veth};
use proptest::prelude::*;

use super::*;

fn id<T: std::str::FromStr>(last: u8) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("01932c07-a9d0-7000-8abc-0000000000{last:02x}").parse().unwrap()
}

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

fn bridge(mtu: u32) -> Resource {
    Resource::Bridge(Bridge {
        name: name("br-1"),
        owner: Owner::Network(id::<NetworkId>(1)),
        adopted: false,
        mac: Some("02:00:00:00:00:01".parse().unwrap()),
        mtu: Some(mtu),
        filtered: false,
    })
}

fn veth(hairpin: bool) -> Resource {
    Resource::Veth(Veth {
        name: name("pv-1"),
        owner: Owner::Endpoint(id::<EndpointId>(2)),
        master: name("br-1"),
        sandbox: id::<SandboxId>(3),
        interface: name("eth0"),
        mac: "02:00:00:00:00:02".parse().unwrap(),
        mtu: 1500,
        hairpin,
        quiet: hairpin,
    })
}

fn macvlan(parent: &str, mode: MacvlanMode) -> Resource {
    Resource::Macvlan(Macvlan {
        sandbox: id::<SandboxId>(3),
        interface: name("eth0"),
        owner: Owner::Endpoint(id::<EndpointId>(2)),
        parent: name(parent),
        mode,
        mac: Some("02:00:00:00:00:02".parse().unwrap()),
        mtu: 1500,
    })
}

fn inside() -> Place {
    Place::Sandbox(id::<SandboxId>(3))
}

fn address() -> Resource {
    Resource::Address {
        place: inside(),
        link: name("eth0"),
        address: "10.0.0.2/24".parse().unwrap(),
    }
}

fn route(via: &str) -> Resource {
    Resource::Route {
        place: inside(),
        link: name("eth0"),
        destination: "0.0.0.0/0".parse().unwrap(),
        via: Some(via.parse().unwrap()),
    }
}

fn sysctl() -> Resource {
    Resource::Sysctl {
        place: Place::Host,
        link: name("br-1"),
        sysctl: LinkSysctl { family: Family::V4, key: "route_localnet".to_owned() },
        value: "1".to_owned(),
    }
}

fn publish(port: u16, target: &str, target_port: u16) -> Resource {
    Resource::Element(Element::Publish {
        host: "0.0.0.0".parse().unwrap(),
        protocol: Protocol::Tcp,
        port,
        target: target.parse().unwrap(),
        target_port,
    })
}

fn endpoint() -> Resource {
    Resource::Element(Element::Endpoint("10.0.0.2".parse().unwrap(), name("br-1")))
}

fn set(resources: &[Resource]) -> ResourceSet {
    resources.iter().cloned().collect()
}

fn everything() -> Vec<Resource> {
    vec![
        route("10.0.0.1"),
        address(),
        veth(false),
        sysctl(),
        bridge(1500),
        Resource::Namespace { sandbox: id(3), path: "/run/x".into() },
        endpoint(),
        publish(80, "10.0.0.2", 8080),
    ]
}

fn kinds(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    let kind = |step: &Step| match step {
        Step::Create(resource) => ("create", resource.kind()),
        Step::Update { to, .. } => ("update", to.kind()),
        Step::Delete(resource) => ("delete", resource.kind()),
    };
    plan.steps.iter().map(kind).collect()
}

fn between(desired: &[Resource], observed: &[Resource]) -> Plan {
    plan(&set(desired), &set(observed), BTreeMap::new())
}

#[test]
fn no_difference_is_no_plan() {
    assert!(between(&everything(), &everything()).is_empty());
}

#[test]
fn what_is_needed_comes_first() {
    let plan = between(&everything(), &[]);
    let order = ["namespace", "bridge", "sysctl", "veth", "address", "route"];
    assert_eq!(kinds(&plan), order.map(|kind| ("create", kind)));
    assert_eq!(plan.add.len(), 2);
    assert!(plan.flows.is_empty());
}

#[test]
fn what_falls_with_a_link_has_no_step() {
    let plan = between(&[], &everything());
    assert_eq!(kinds(&plan), [("delete", "veth"), ("delete", "bridge"), ("delete", "namespace")]);
    assert_eq!(plan.flows, [Flows::Of("10.0.0.2".parse().unwrap())]);
}

#[test]
fn an_adopted_bridge_is_left_and_its_address_taken_off() {
    let mut adopted = bridge(1500);
    if let Resource::Bridge(bridge) = &mut adopted {
        bridge.adopted = true;
    }
    let gateway = Resource::Address {
        place: Place::Host,
        link: name("br-1"),
        address: "10.0.0.1/24".parse().unwrap(),
    };
    assert_eq!(kinds(&between(&[], &[adopted, gateway])), [("delete", "address")]);
}

#[test]
fn changes_in_place_and_anew() {
    assert_eq!(kinds(&between(&[bridge(1400)], &[bridge(1500)])), [("update", "bridge")]);
    assert_eq!(kinds(&between(&[veth(true)], &[veth(false)])), [("update", "veth")]);
    assert_eq!(kinds(&between(&[route("10.0.0.9")], &[route("10.0.0.1")])), [("update", "route")]);
    let mut moved = veth(false);
    if let Resource::Veth(veth) = &mut moved {
        veth.interface = name("eth1");
    }
    assert_eq!(kinds(&between(&[moved], &[veth(false)])), [("delete", "veth"), ("create", "veth")]);
}

#[test]
fn what_fell_with_a_link_made_anew_is_made_anew() {
    let mut moved = veth(false);
    if let Resource::Veth(veth) = &mut moved {
        veth.master = name("pv-1");
    }
    let mut observed = everything();
    observed[2] = moved;
    let order =
        [("delete", "veth"), ("create", "veth"), ("create", "address"), ("create", "route")];
    assert_eq!(kinds(&between(&everything(), &observed)), order);
}

#[test]
fn a_macvlan_comes_first_takes_all_along_and_changes_its_mode_in_place() {
    use MacvlanMode::{Passthru, Private, Vepa};
    let whole = [route("10.0.0.1"), address(), macvlan("eth1", Vepa)];
    let made = [("create", "macvlan"), ("create", "address"), ("create", "route")];
    assert_eq!(kinds(&between(&whole, &[])), made);
    assert_eq!(kinds(&between(&[], &whole)), [("delete", "macvlan")]);
    let other = [macvlan("eth1", Private)];
    assert_eq!(kinds(&between(&other, &[macvlan("eth1", Vepa)])), [("update", "macvlan")]);
    // All that is on it is lost with it.
    for news in [macvlan("eth1", Passthru), macvlan("eth2", Vepa)] {
        let wanted = [route("10.0.0.1"), address(), news];
        let anew = [&[("delete", "macvlan")][..], &made].concat();
        assert_eq!(kinds(&between(&wanted, &whole)), anew);
    }
}

#[test]
fn a_changed_map_value_is_removed_and_added() {
    let plan = between(&[publish(80, "10.0.0.2", 81)], &[publish(80, "10.0.0.2", 80)]);
    assert_eq!((plan.remove.len(), plan.add.len()), (1, 1));
}

#[test]
fn flows_of_removed_ports_end_by_runs() {
    let ports: Vec<_> = [80, 81, 82, 90].map(|port| publish(port, "10.0.0.2", port)).into();
    let run = |first, last| Flows::To {
        target: "10.0.0.2".parse().unwrap(),
        protocol: Protocol::Tcp,
        ports: PortRange::new(first, last).unwrap(),
    };
    assert_eq!(between(&[], &ports).flows, [run(80, 82), run(90, 90)]);
}

#[test]
fn what_a_client_of_udp_began_before_the_port_was_published_ends() {
    let udp = Resource::Element(Element::Publish {
        host: "0.0.0.0".parse().unwrap(),
        protocol: Protocol::Udp,
        port: 53,
        target: "10.0.0.2".parse().unwrap(),
        target_port: 53,
    });
    let unanswered = Flows::Unanswered {
        host: "0.0.0.0".parse().unwrap(),
        protocol: Protocol::Udp,
        ports: PortRange::new(53, 53).unwrap(),
    };
    assert_eq!(between(&[udp, publish(80, "10.0.0.2", 80)], &[]).flows, [unanswered]);
}

#[test]
fn flows_to_an_endpoint_whose_gateway_moves_end_unless_it_is_new() {
    let ip: IpAddr = "10.0.0.2".parse().unwrap();
    let off = || Resource::Element(Element::OffGateway(ip));
    let all =
        Protocol::ALL.map(|protocol| Flows::To { target: ip, protocol, ports: PortRange::ALL });
    assert_eq!(between(&[endpoint(), off()], &[endpoint()]).flows, all);
    assert_eq!(between(&[endpoint()], &[endpoint(), off()]).flows, all);
    assert_eq!(between(&[endpoint(), off()], &[]).flows, []);
    assert_eq!(between(&[], &[endpoint(), off()]).flows, [Flows::Of(ip)]);
}

#[test]
fn what_cannot_be_seen_is_no_drift() {
    let desired = set(&everything());
    let seen = everything().into_iter().filter(|r| !matches!(r, Resource::Sysctl { .. }));
    let mut observed: ResourceSet = seen.collect();
    assume_unobservable(&desired, &mut observed);
    assert!(plan(&desired, &observed, BTreeMap::new()).is_empty());
}

/// Takes the steps on a set, as the kernel would.
fn take(plan: &Plan, start: ResourceSet) -> ResourceSet {
    let removed: Vec<_> = plan.remove.iter().map(|e| Resource::Element(e.clone()).key()).collect();
    let deleted = plan.steps.iter().filter_map(|step| match step {
        Step::Delete(resource) => Some(resource.key()),
        _ => None,
    });
    let gone: Vec<_> = removed.into_iter().chain(deleted).collect();
    let fallen: Vec<Resource> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Delete(resource) => Some(resource.clone()),
            _ => None,
        })
        .collect();
    let fallen = Fallen::with(&fallen);
    let mut set: ResourceSet =
        start.into_iter().filter(|r| !gone.contains(&r.key()) && !fallen.takes(r)).collect();
    set.extend(plan.add.iter().cloned().map(Resource::Element));
    set.extend(plan.steps.iter().filter_map(|step| match step {
        Step::Create(resource) | Step::Update { to: resource, .. } => Some(resource.clone()),
        Step::Delete(_) => None,
    }));
    set
}

proptest! {
    /// From any part of the world to any other: the plan leads there, and nothing is left.
    #[test]
    fn a_plan_leads_from_observed_to_desired(want: u8, have: u8, changed: bool) {
        let subset = |bits: u8, resources: Vec<Resource>| -> ResourceSet {
            resources
                .into_iter()
                .enumerate()
                .filter(|(index, _)| bits & (1 << index) != 0)
                .map(|(_, resource)| resource)
                .filter(|resource| !matches!(resource, Resource::Sysctl { .. }))
                .collect()
        };
        let observed = subset(have, everything());
        let mut wanted = everything();
        if changed {
            wanted[2] = veth(true);
            wanted[4] = bridge(1400);
        }
        let desired = subset(want, wanted);
        // A deleted link takes addresses and routes with it that are still desired only
        // if somebody desires an address on a link he does not desire.
        let consistent = |set: &ResourceSet| {
            set.get(&veth(false).key()).is_some()
                || (set.get(&address().key()).is_none() && set.get(&route("10.0.0.1").key()).is_none())
        };
        prop_assume!(consistent(&desired) && consistent(&observed));
        let namespace = Resource::Namespace { sandbox: id(3), path: "/run/x".into() }.key();
        prop_assume!(desired.get(&namespace).is_some() || observed.get(&namespace).is_none()
            || desired.get(&veth(false).key()).is_none());
        let plan = plan(&desired, &observed, BTreeMap::new());
        prop_assert_eq!(take(&plan, observed), desired);
    }
}
