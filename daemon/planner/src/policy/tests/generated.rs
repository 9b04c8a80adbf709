//! Generated topologies and policies: compiler and oracle agree on every flow, and what was
//! changed and changed back is as it was.

use std::net::IpAddr;

use postern_model::network::Family;
use postern_model::policy::{
    Action, Direction, Entity, IcmpType, Mode, Operator, Peer, PolicyPort, PolicySpec, Rule,
    Selection, Selector, Tier, TransportProtocol,
};
use postern_model::port::Protocol;
use postern_model::resource::Element;
use postern_model::time::Timestamp;
use postern_model::topology::Put;
use proptest::prelude::*;

use super::world::{World, any as everything, cidr, has, is, named, near, of, policy, port};
use super::{kernel, oracle};
use crate::policy::{Compiler, Default, Flow, Party, UNPUBLISHED};

fn pods() -> impl Strategy<Value = Selector> {
    prop_oneof![
        Just(everything()),
        prop::sample::select(&["a", "b", "c"]).prop_map(|pod| has("pod", &[pod])),
        prop::sample::select(&["a", "b"]).prop_map(|pod| Selector(vec![is(
            "pod",
            Operator::NotIn,
            &[pod]
        )])),
        Just(Selector(vec![is("role", Operator::Exists, &[])])),
        Just(Selector(vec![is("role", Operator::DoesNotExist, &[])])),
    ]
}

fn networks() -> impl Strategy<Value = Selector> {
    prop_oneof![
        Just(everything()),
        prop::sample::select(&["x", "y", "z"]).prop_map(|ns| has("ns", &[ns])),
        Just(Selector(vec![is("ns", Operator::NotIn, &["y"])])),
    ]
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        pods().prop_map(near),
        (networks(), pods()).prop_map(|(networks, pods)| of(networks, pods)),
        prop::sample::select(vec![
            cidr("192.168.0.0/16", &["192.168.2.0/24"]),
            cidr("192.168.1.10/32", &[]),
            cidr("0.0.0.0/0", &["198.51.100.0/24"]),
            cidr("198.51.100.0/25", &[]),
            cidr("fd00::/16", &["fd00:2::/64"]),
        ]),
        prop::sample::select(vec![
            Entity::Host,
            Entity::World,
            Entity::Gateway,
            Entity::SameNetwork,
            Entity::AllEndpoints,
        ])
        .prop_map(Peer::Entity),
        prop::sample::select(&["x-a", "y-b", "nobody"])
            .prop_map(|name| Peer::Endpoint(name.parse().unwrap())),
        prop::sample::select(&["api.example.org", "*.example.org", "example.net"])
            .prop_map(|name| Peer::Domain(name.parse().unwrap())),
    ]
}

fn what() -> impl Strategy<Value = PolicyPort> {
    let protocol = || prop::sample::select(&[Protocol::Tcp, Protocol::Udp]);
    prop_oneof![
        (protocol(), 79u32..83, 0u32..3).prop_map(|(protocol, first, more)| port(
            protocol,
            first,
            first + more
        )),
        protocol().prop_map(|protocol| PolicyPort::Whole(TransportProtocol::Ports(protocol))),
        Just(PolicyPort::Whole(TransportProtocol::Icmp)),
        (prop::option::of(0u8..2)).prop_map(|code| PolicyPort::Icmp(IcmpType {
            family: Family::V4,
            kind: 8,
            code
        })),
        prop::sample::select(&["serve-80-tcp", "serve-81-udp", "none"]).prop_map(|name| {
            named(if name.ends_with("udp") { Protocol::Udp } else { Protocol::Tcp }, name)
        }),
    ]
}

fn a_rule() -> impl Strategy<Value = Rule> {
    let action =
        prop::sample::select(&[Action::Accept, Action::Deny, Action::Pass, Action::Reject]);
    (action, prop::collection::vec(peer(), 0..3), prop::collection::vec(what(), 0..3))
        .prop_map(|(action, peers, ports)| Rule { id: String::new(), action, peers, ports })
}

fn a_policy() -> impl Strategy<Value = PolicySpec> {
    let tier = prop::sample::select(&[Tier::Admin, Tier::App, Tier::Baseline]);
    let rules = || prop::option::of(prop::collection::vec(a_rule(), 0..3));
    (tier, 0u32..3, networks(), pods(), rules(), rules(), prop::bool::weighted(0.1)).prop_map(
        |(tier, priority, networks, pods, ingress, egress, audit)| {
            let mut spec = policy((tier, priority), (networks, pods), ingress, egress);
            if tier == Tier::App {
                let rules = spec.ingress.iter_mut().chain(&mut spec.egress);
                rules.for_each(|rule| rule.action = Action::Accept);
            }
            if audit {
                spec.mode = Mode::Audit;
            }
            spec
        },
    )
}

/// One flow of every kind that a rule could tell apart.
fn kinds() -> Vec<Selection> {
    let ports = [6u8, 17].into_iter().flat_map(|protocol| {
        [53, 78, 79, 80, 81, 82, 83, 84, 85, 65535].map(|number| Selection { protocol, number })
    });
    let icmp = [(1, 0x0800), (1, 0x0801), (1, 0x0802), (1, 0), (58, 0x8000)];
    let icmp = icmp.map(|(protocol, number)| Selection { protocol, number });
    ports.chain(icmp).chain([Selection { protocol: 47, number: 0 }]).collect()
}

fn agree(world: &World, default: bool) -> Result<(), TestCaseError> {
    let (whole, anew) = (&world.compiler, &world.held);
    let endpoints: Vec<_> = world.topology.endpoints().collect();
    let outside = ["198.51.100.1", "198.51.100.200", "203.0.113.1", "2001:db8::1"];
    let outside = outside.map(|ip| ip.parse::<IpAddr>().unwrap());
    for family in Family::ALL {
        let mut ends: Vec<(oracle::End<'_>, kernel::End)> = endpoints
            .iter()
            .map(|e| (oracle::End::Endpoint(e), kernel::End::Address(e.address(family).unwrap())))
            .collect();
        let near = outside.iter().filter(|ip| Family::of(**ip) == family);
        ends.extend(near.map(|ip| (oracle::End::World(*ip), kernel::End::Address(*ip))));
        ends.push((oracle::End::Host, kernel::End::Host));
        for (from, from_kernel) in &ends {
            for (to, to_kernel) in &ends {
                for what in kinds() {
                    let ends = (*from_kernel, *to_kernel);
                    let shown = shown(ends, family, what);
                    let names = &whole.names_of(&shown);
                    let flow = oracle::Flow { from: *from, to: *to, family, what, names };
                    let meant = oracle::allowed(&world.topology, &flow, default);
                    let said = kernel::passes(anew, ends, what, default);
                    prop_assert_eq!(said, meant, "{:?} to {:?} {:?}", ends.0, ends.1, what);
                    let judged = whole.judge(&world.topology, &shown);
                    let passes = matches!(judged.default, Default::Passes(_));
                    let never = judged.default == Default::Drops(UNPUBLISHED);
                    let meant = !never && oracle::allowed(&world.topology, &flow, passes);
                    prop_assert_eq!(
                        judged.passes,
                        meant,
                        "{:?} to {:?} {:?}",
                        ends.0,
                        ends.1,
                        judged
                    );
                }
            }
        }
    }
    Ok(())
}

fn shown((from, to): (kernel::End, kernel::End), family: Family, what: Selection) -> Flow {
    let party = |end| match end {
        kernel::End::Address(ip) => Party::Address(ip),
        kernel::End::Host => Party::Host,
    };
    Flow { from: party(from), to: party(to), family, what, published: false, begins: None }
}

#[derive(Debug, Clone)]
enum Change {
    Apply(u8, PolicySpec),
    Delete(u8),
    Label(&'static str, bool),
    Leave(&'static str),
    Relabel(&'static str),
    Resolve(&'static str, &'static str, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let names = || prop::sample::select(&["x-a", "x-b", "y-b", "z-c"]);
    prop_oneof![
        4 => (0u8..4, a_policy()).prop_map(|(name, spec)| Change::Apply(name, spec)),
        1 => (0u8..4).prop_map(Change::Delete),
        1 => (names(), any::<bool>()).prop_map(|(name, on)| Change::Label(name, on)),
        1 => names().prop_map(Change::Leave),
        1 => prop::sample::select(&["x", "y"]).prop_map(Change::Relabel),
        2 => (names(), asked(), told()).prop_map(|(of, name, ip)| Change::Resolve(of, name, ip)),
    ]
}

fn asked() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["api.example.org", "www.example.org", "example.net", "example.com"])
}

/// Addresses of the world, and one that is an endpoint's.
fn told() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["198.51.100.1", "198.51.100.200", "2001:db8::1", "192.168.2.11"])
}

fn make(world: &mut World, change: Change) {
    match change {
        Change::Apply(name, spec) => drop(world.apply(&format!("p{name}"), spec)),
        Change::Delete(name) => {
            let found = world.topology.find_policy(&format!("p{name}")).map(|policy| policy.id);
            found.into_iter().for_each(|id| world.delete(id));
        }
        Change::Label(name, on) => {
            let mut endpoint = world.endpoint(name);
            if on {
                endpoint.spec.labels.insert("role".into(), "db".into());
            } else {
                endpoint.spec.labels.remove("role");
            }
            world.put(Put::Endpoint(Box::new(endpoint)));
        }
        Change::Leave(name) => {
            let joined = world.endpoint(name);
            let left = postern_model::endpoint::Endpoint { attachment: None, ..joined.clone() };
            world.put(Put::Endpoint(Box::new(left)));
            world.put(Put::Endpoint(Box::new(joined)));
        }
        Change::Resolve(endpoint, name, address) => world.resolve(endpoint, name, address),
        Change::Relabel(name) => {
            let network = world.network(name);
            let mut other = network.clone();
            other.spec.labels.insert("ns".into(), "z".into());
            world.put(Put::Network(other));
            world.put(Put::Network(network));
        }
    }
}

proptest! {
    // A case is cheap without the matrix of flows, and faults of order are rare.
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn change_by_change_is_at_once(changes in prop::collection::vec(change(), 1..8)) {
        let mut world = World::new();
        for change in changes {
            make(&mut world, change);
        }
        let mut whole = Compiler::of(&world.topology);
        drop(whole.adopt(world.compiler.named(Timestamp(0)).collect()));
        let anew: std::collections::BTreeSet<_> = whole.elements().cloned().collect();
        let told = world.compiler.named(Timestamp(0)).map(Element::Named);
        prop_assert_eq!(&told.chain(anew).collect::<std::collections::BTreeSet<_>>(), &world.held);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn compiler_and_oracle_agree(
        changes in prop::collection::vec(change(), 1..8),
        default: bool,
    ) {
        let mut world = World::new();
        for change in changes {
            make(&mut world, change);
        }
        agree(&world, default)?;
    }

    #[test]
    fn an_accept_never_takes_a_pair_away_from_an_isolated_endpoint(
        spec in a_policy(),
        more in a_rule(),
        // But for other resolvers, which a rule with a name closes.
        what in prop::sample::select(kinds()).prop_filter("DNS", |what| what.number != 53),
    ) {
        let mut spec = PolicySpec { tier: Tier::App, mode: Mode::Enforce, ..spec };
        let rules = spec.ingress.iter_mut().chain(&mut spec.egress);
        rules.for_each(|rule| rule.action = Action::Accept);
        let mut world = World::new();
        world.apply("p", spec.clone());
        let before = world.allowed(what);
        for direction in spec.directions.clone() {
            let more = Rule { action: Action::Accept, ..more.clone() };
            match direction {
                Direction::Ingress => spec.ingress.push(more),
                Direction::Egress => spec.egress.push(more),
            }
        }
        world.apply("p", spec);
        prop_assert!(world.allowed(what) >= before);
    }

    #[test]
    fn what_is_changed_back_is_as_it_was(
        specs in prop::collection::vec(a_policy(), 1..4),
        back in prop::collection::vec(change(), 1..4),
    ) {
        let mut world = World::new();
        for (name, spec) in (0u8..).zip(&specs) {
            make(&mut world, Change::Apply(name, spec.clone()));
        }
        let before: Vec<usize> = kinds().into_iter().map(|what| world.allowed(what)).collect();
        let held = world.held.clone();
        for change in back {
            // Only those that undo themselves, or are undone here.
            match change {
                Change::Apply(_, spec) => {
                    let id = world.apply("extra", spec);
                    world.delete(id);
                }
                Change::Leave(_) | Change::Relabel(_) => make(&mut world, change),
                Change::Delete(_) | Change::Label(..) | Change::Resolve(..) => {}
            }
        }
        prop_assert_eq!(&world.held, &held, "the same elements, too");
        let after: Vec<usize> = kinds().into_iter().map(|what| world.allowed(what)).collect();
        prop_assert_eq!(before, after);
    }
}
