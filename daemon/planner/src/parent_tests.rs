use postern_model::decision::{NetworkDecision, Side};
use postern_model::driver::Capability;
use postern_model::grant::Grants;
use proptest::prelude::*;

use super::*;
use crate::admission::{Admitted, NamedLink, Rejection, admit_endpoint, admit_network};
use crate::fixture::{binding, endpoint_view, network_view};

const MODES: [MacvlanMode; 4] =
    [MacvlanMode::Private, MacvlanMode::Vepa, MacvlanMode::Bridge, MacvlanMode::Passthru];

fn offered() -> MacAddr {
    "02:00:00:00:00:01".parse().unwrap()
}

fn of_parent() -> MacAddr {
    "02:00:00:00:00:99".parse().unwrap()
}

fn macvlan(mode: MacvlanMode) -> Link {
    Link {
        handle: "uplink".parse().unwrap(),
        kind: LinkKind::Macvlan {
            parent: "eth1".parse().unwrap(),
            interface: "eth0".parse().unwrap(),
            mode,
        },
        mtu: None,
        mac: (mode != MacvlanMode::Passthru).then(offered),
    }
}

fn fit(mtu: u32, others: Others) -> Parent {
    Parent::Fit(ParentLink { mac: of_parent(), mtu, others })
}

fn free() -> Parent {
    fit(1500, Others::Nothing)
}

fn address(text: &str) -> Desired {
    let (link, side) = ("uplink".parse().unwrap(), Side::Sandbox);
    Desired::Address { link, address: text.parse().unwrap(), side }
}

/// What is asked for, and whom it is asked of.
struct Asked {
    resources: Vec<Desired>,
    granted: Grants,
    network: NetworkView,
    parent: Parent,
}

impl Asked {
    fn of(link: Link) -> Self {
        Self {
            resources: vec![Desired::Link(link), address("10.0.0.2/24")],
            granted: Grants::all_of([Capability::Macvlan, Capability::Address]),
            network: network_view(),
            parent: free(),
        }
    }

    fn admit(self) -> Result<EndpointDecision, Vec<Rejection>> {
        let Self { resources, granted, network, parent } = self;
        let decision = EndpointDecision { resources, ..EndpointDecision::default() };
        let bare = NetworkDecision::default();
        admit_endpoint(decision, &granted, &bare, &network, &endpoint_view(), parent)
            .map(Admitted::into_inner)
    }

    /// The only objection.
    fn objection(self) -> String {
        match self.admit() {
            Err(objections) if objections.len() == 1 => objections[0].reason.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_ordinary_one_gets_what_follows_from_its_parent() {
    for (mode, mac) in MODES.into_iter().zip([offered(), offered(), offered(), of_parent()]) {
        let admitted = Asked { parent: fit(1400, Others::Nothing), ..Asked::of(macvlan(mode)) };
        let admitted = admitted.admit().unwrap();
        let (link, parent, of) = admitted.macvlan().unwrap();
        assert_eq!((parent.as_str(), of), ("eth1", mode));
        assert_eq!((link.mtu, link.mac), (Some(1400), Some(mac)), "{mode}");
    }
    let narrow = Link { mtu: Some(1280), ..macvlan(MacvlanMode::Bridge) };
    let admitted = Asked::of(narrow).admit().unwrap();
    assert_eq!(admitted.macvlan().unwrap().0.mtu, Some(1280));
}

#[test]
fn only_a_link_of_somebody_elses_is_a_parent() {
    for (parent, why) in [
        (Parent::Absent, "the host has no link eth1"),
        (Parent::Ours, "eth1 is a link of the daemon's own"),
        (Parent::Unfit, "eth1 is not Ethernet, or a port of another link"),
    ] {
        for mode in MODES {
            // Without the parent's MAC a second objection is possible to none of them.
            assert_eq!(Asked { parent, ..Asked::of(macvlan(mode)) }.objection(), why, "{mode}");
        }
    }
}

#[test]
fn passthru_is_alone() {
    let with = |mode, others| Asked { parent: fit(1500, others), ..Asked::of(macvlan(mode)) };
    for mode in MODES {
        assert!(with(mode, Others::Nothing).admit().is_ok());
        assert_eq!(
            with(mode, Others::Alone).objection(),
            "another endpoint has eth1 for itself",
            "{mode}"
        );
        let shared = with(mode, Others::Sharing).admit();
        assert_eq!(shared.is_ok(), mode != MacvlanMode::Passthru, "{mode}");
    }
}

#[test]
fn it_gets_only_what_was_offered() {
    let plain = || macvlan(MacvlanMode::Bridge);
    let interface = |name: &str| {
        let (parent, mode) = ("eth1".parse().unwrap(), MacvlanMode::Bridge);
        LinkKind::Macvlan { parent, interface: name.parse().unwrap(), mode }
    };
    for link in [
        Link { mac: None, ..plain() },
        Link { mac: Some(of_parent()), ..plain() },
        Link { mac: Some(offered()), ..macvlan(MacvlanMode::Passthru) },
        Link { mtu: Some(1501), ..plain() },
        Link { kind: interface("eth7"), ..plain() },
    ] {
        let refused = Asked::of(link.clone()).admit();
        assert_eq!(refused.map_err(|objections| objections.len()), Err(1), "{link:?}");
    }
    let narrow = Asked { parent: fit(1400, Others::Nothing), ..Asked::of(plain()) };
    let wide = Desired::Link(Link { mtu: Some(1450), ..plain() });
    let refused = Asked { resources: vec![wide], ..narrow };
    assert_eq!(refused.objection(), "mtu 1450 is over the 1400 of eth1");
    let mut other = Asked::of(plain());
    other.resources[1] = address("10.0.0.3/24");
    assert_eq!(other.objection(), "10.0.0.3/24 was not offered");
    let mut second = Asked::of(plain());
    let other = Link { handle: "second".parse().unwrap(), ..plain() };
    second.resources.push(Desired::Link(other));
    assert_eq!(second.objection(), "more than one link");
}

#[test]
fn what_rules_cannot_hold_is_not_promised() {
    let network = |internal, icc| NetworkView { internal, icc, ..network_view() };
    for mode in MODES {
        let inside = Asked { network: network(true, true), ..Asked::of(macvlan(mode)) };
        assert!(inside.objection().contains("the network is internal"));
        let apart = Asked { network: network(false, false), ..Asked::of(macvlan(mode)) }.admit();
        let keeps = matches!(mode, MacvlanMode::Private | MacvlanMode::Passthru);
        assert_eq!(apart.is_ok(), keeps, "{mode}");
    }
    let mut published = Asked::of(macvlan(MacvlanMode::Bridge));
    published.granted = Grants::all_of(Capability::ALL);
    published.resources.push(Desired::Publish(binding(80)));
    assert_eq!(published.objection(), "nothing leads from a port of the host to a macvlan");
}

#[test]
fn a_network_with_a_bridge_has_no_macvlan_nor_has_a_network_itself() {
    let all = Grants::all_of(Capability::ALL);
    let kind = LinkKind::Bridge { name: None };
    let bridge = Link { kind, handle: "bridge".parse().unwrap(), mtu: None, mac: None };
    let network =
        NetworkDecision { resources: vec![Desired::Link(bridge)], ..NetworkDecision::default() };
    let link = Desired::Link(macvlan(MacvlanMode::Bridge));
    let decision = EndpointDecision { resources: vec![link.clone()], ..Default::default() };
    let refused =
        admit_endpoint(decision, &all, &network, &network_view(), &endpoint_view(), free());
    assert!(refused.unwrap_err()[0].reason.contains("a link of its own"));
    let own = NetworkDecision { resources: vec![link], ..NetworkDecision::default() };
    let refused = admit_network(own, &all, &network_view(), NamedLink::Absent);
    assert!(refused.unwrap_err()[0].reason.contains("an endpoint has"));
}

proptest! {
    /// Whatever else is granted, and whatever the parent is like.
    #[test]
    fn without_the_capability_there_is_none(
        granted in prop::collection::btree_set(prop::sample::select(&Capability::ALL[..]), 0..10),
        mode in prop::sample::select(&MODES[..]),
        mtu in prop::option::of(0_u32..10_000),
        parent in prop::sample::select(vec![
            Parent::Absent,
            Parent::Ours,
            Parent::Unfit,
            fit(9000, Others::Nothing),
            fit(1500, Others::Sharing),
            fit(1500, Others::Alone),
        ]),
        (internal, icc) in any::<(bool, bool)>(),
    ) {
        let network = NetworkView { internal, icc, ..network_view() };
        let link = Link { mtu, ..macvlan(mode) };
        let has = granted.contains(&Capability::Macvlan);
        let granted = Grants::all_of(granted);
        let admitted = Asked { granted, network, parent, ..Asked::of(link) }.admit();
        if let Ok(decision) = admitted {
            prop_assert!(has);
            let (link, ..) = decision.macvlan().unwrap();
            let Parent::Fit(parent) = parent else { panic!("{parent:?}") };
            prop_assert!(link.mtu.unwrap() <= parent.mtu && link.mac.is_some() && !internal);
            let alone = mode == MacvlanMode::Passthru;
            prop_assert!(parent.others != Others::Alone);
            prop_assert!(!(alone && parent.others == Others::Sharing));
        } else if !has {
            let needs = "capability `macvlan` is not granted";
            prop_assert!(admitted.unwrap_err().iter().any(|one| one.reason == needs));
        }
    }
}
