//! Decisions as nobody in his senses makes them: admission lets through what was offered and
//! granted, and nothing else, whatever they say.

use std::fmt::Debug;
use std::str::FromStr;

use postern_model::decision::{
    Desired, EndpointDecision, Link, LinkKind, LinkSysctl, MacvlanMode, NetworkDecision, Side,
};
use postern_model::driver::{Capability, NetworkView};
use postern_model::grant::Grants;
use postern_model::network::Family;
use proptest::prelude::*;

use crate::admission::{Admitted, NamedLink, admit_endpoint, admit_network};
use crate::fixture::{binding, endpoint_view, network_view};
use crate::parent::{Others, Parent, ParentLink};

const HANDLES: [&str; 3] = ["bridge", "port", "other"];
const INTERFACES: [&str; 4] = ["eth0", "eth1", "br-x", "postern0"];
const ADDRESSES: [&str; 5] =
    ["10.0.0.2/24", "10.0.0.1/24", "10.0.0.3/24", "192.0.2.1/32", "fd00::2/64"];
const PREFIXES: [&str; 4] = ["0.0.0.0/0", "10.1.0.0/16", "10.0.0.0/24", "::/0"];
const IPS: [&str; 4] = ["10.0.0.1", "10.0.0.9", "192.0.2.7", "fd00::1"];
const KEYS: [&str; 5] = ["accept_ra", "route_localnet", "forwarding", "../../kernel/panic", ""];

fn one<T>(of: &'static [&'static str]) -> BoxedStrategy<T>
where
    T: FromStr<Err: Debug> + Debug + 'static,
{
    proptest::sample::select(of).prop_map(|text| text.parse().unwrap()).boxed()
}

fn kind() -> impl Strategy<Value = LinkKind> {
    let name = || one(&INTERFACES);
    prop_oneof![
        proptest::option::of(name()).prop_map(|name| LinkKind::Bridge { name }),
        name().prop_map(|name| LinkKind::Adopt { name }),
        (one(&HANDLES), name(), any::<bool>()).prop_map(|(master, interface, hairpin)| {
            LinkKind::Veth { master, interface, hairpin }
        }),
        one(&HANDLES).prop_map(|master| LinkKind::Vxlan { master }),
        (name(), name()).prop_map(|(parent, interface)| LinkKind::Macvlan {
            parent,
            interface,
            mode: MacvlanMode::Bridge,
        }),
    ]
}

fn link() -> impl Strategy<Value = Desired> {
    let mac = proptest::option::of(one(&["02:00:00:00:00:01", "02:00:00:00:00:02"]));
    let mtu = proptest::option::of(prop_oneof![Just(0_u32), Just(1500), Just(9000)]);
    (one(&HANDLES), kind(), mtu, mac)
        .prop_map(|(handle, kind, mtu, mac)| Desired::Link(Link { handle, kind, mtu, mac }))
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Host), Just(Side::Sandbox)]
}

fn desired() -> impl Strategy<Value = Desired> {
    let family = || prop_oneof![Just(Family::V4), Just(Family::V6)];
    prop_oneof![
        link(),
        (one(&HANDLES), one(&ADDRESSES), side())
            .prop_map(|(link, address, side)| Desired::Address { link, address, side }),
        (one(&HANDLES), one(&PREFIXES), proptest::option::of(one(&IPS)))
            .prop_map(|(link, destination, via)| Desired::Route { link, destination, via }),
        (one(&HANDLES), any::<[bool; 4]>()).prop_map(
            |(link, [neighbours, networks, world, direct])| {
                Desired::Filter { link, neighbours, networks, world, direct }
            }
        ),
        (one(&HANDLES), family(), proptest::option::of(one(&IPS)))
            .prop_map(|(link, family, to)| Desired::Masquerade { link, family, to }),
        (80_u32..83).prop_map(|port| Desired::Publish(binding(port))),
        (one(&HANDLES), side(), family(), proptest::sample::select(&KEYS[..])).prop_map(
            |(link, side, family, key)| Desired::Sysctl {
                link,
                side,
                sysctl: LinkSysctl { family, key: key.to_owned() },
                value: "1".to_owned(),
            }
        ),
    ]
}

fn grants() -> impl Strategy<Value = Grants> {
    proptest::sample::subsequence(Capability::ALL.to_vec(), 0..=Capability::ALL.len())
        .prop_map(Grants::all_of)
}

proptest! {
    #[test]
    fn of_a_network(
        resources in proptest::collection::vec(desired(), 0..6),
        (internal, icc) in any::<(bool, bool)>(),
        granted in grants(),
    ) {
        let view = NetworkView { internal, icc, ..network_view() };
        let decision = NetworkDecision { resources, state: Vec::new() };
        let nothing = decision.resources.is_empty();
        let none = admit_network(decision.clone(), &Grants::default(), &view, NamedLink::Absent);
        prop_assert_eq!(none.is_ok(), nothing, "an empty grant admits nothing");
        let admitted = admit_network(decision, &granted, &view, NamedLink::Absent);
        let Ok(admitted) = admitted.map(Admitted::into_inner) else { return Ok(()) };
        for resource in &admitted.resources {
            prop_assert_eq!(granted.admit(resource), Ok(()));
            match resource {
                Desired::Filter { neighbours, world, .. } => {
                    prop_assert!(!(internal && *world) && (icc || !neighbours));
                }
                Desired::Address { side, .. } | Desired::Sysctl { side, .. } => {
                    prop_assert_eq!(*side, Side::Host);
                }
                Desired::Link(link) => {
                    let own = matches!(link.kind, LinkKind::Bridge { .. } | LinkKind::Adopt { .. });
                    prop_assert!(own);
                }
                Desired::Masquerade { .. } => {}
                Desired::Route { .. } | Desired::Publish(_) => prop_assert!(false, "{resource:?}"),
            }
        }
    }

    #[test]
    fn of_an_endpoint(
        resources in proptest::collection::vec(desired(), 0..6),
        gateways in proptest::collection::vec(one(&IPS), 0..3),
        granted in grants(),
    ) {
        let (view, own) = (network_view(), endpoint_view());
        let bridge = Link {
            handle: "bridge".parse().unwrap(),
            kind: LinkKind::Bridge { name: None },
            mtu: None,
            mac: None,
        };
        let of_network =
            NetworkDecision { resources: vec![Desired::Link(bridge)], state: Vec::new() };
        let parent = Parent::Fit(ParentLink { mac: view.mac, mtu: 1500, others: Others::Nothing });
        let decision = EndpointDecision { resources, gateways, state: Vec::new() };
        let admit = |granted: &Grants| {
            admit_endpoint(decision.clone(), granted, &of_network, &view, &own, parent)
                .map(Admitted::into_inner)
        };
        prop_assert!(admit(&Grants::default()).is_err() || decision.resources.is_empty());
        let Ok(admitted) = admit(&granted) else { return Ok(()) };
        prop_assert!(admitted.gateways.iter().all(|gateway| view.subnets[0].subnet.contains(*gateway)));
        for resource in &admitted.resources {
            prop_assert_eq!(granted.admit(resource), Ok(()));
            match resource {
                Desired::Link(link) => match &link.kind {
                    LinkKind::Veth { master, interface, .. } => {
                        prop_assert_eq!(master.as_str(), "bridge");
                        prop_assert_eq!(interface, &own.interface);
                        prop_assert!(link.mac.is_none_or(|mac| mac == own.mac));
                    }
                    other => prop_assert!(false, "{other:?}"),
                },
                Desired::Address { address, side, .. } => {
                    prop_assert!(own.addresses.contains(address) && *side == Side::Sandbox);
                }
                Desired::Publish(binding) => prop_assert!(own.bindings.contains(binding)),
                Desired::Sysctl { side, sysctl, .. } => {
                    prop_assert!(*side == Side::Sandbox && !sysctl.key.contains('/'));
                }
                Desired::Route { .. } => {}
                Desired::Filter { .. } | Desired::Masquerade { .. } => {
                    prop_assert!(false, "{resource:?}");
                }
            }
        }
    }
}
