//! What should exist for a network.

use postern_sdk::{Desired, Filter, Link, NetworkDecision, NetworkView, bridge};

use crate::BRIDGE;
use crate::options::Options;

/// The bridge, its addresses and parameters, and what may pass it.
pub(crate) fn decide(network: &NetworkView, options: &Options) -> NetworkDecision {
    let mut decision = NetworkDecision::default();
    // The MAC is set because a bridge otherwise takes that of its lowest port, and changes
    // it under its neighbours as ports come and go.
    let link = Link::bridge(BRIDGE, options.bridge_name.as_deref());
    decision.push(link.mtu(network.mtu).mac(&network.mac));
    decision.resources.extend(bridge::parameters(BRIDGE, network));
    if !options.inhibit_gateway {
        decision.resources.extend(bridge::gateways(BRIDGE, network));
    }
    decision.push(
        Filter::closed(BRIDGE)
            .neighbours(network.icc)
            .networks(options.open)
            .world(!network.internal)
            .direct(options.direct_routing),
    );
    if options.masquerade && !network.internal {
        for subnet in &network.subnets {
            let family = subnet.family();
            decision.push(Desired::masquerade(BRIDGE, family, options.snat(family)));
        }
    }
    decision
}

#[cfg(test)]
mod tests {
    use postern_sdk::testing::network;
    use postern_sdk::{Family, LinkKind, Side};

    use super::*;

    fn decided(network: &NetworkView) -> Vec<Desired> {
        decide(network, &Options::read(network).unwrap()).resources
    }

    fn filter(resources: &[Desired]) -> (bool, bool, bool, bool) {
        let mut filters = resources.iter().filter_map(|desired| match desired {
            Desired::Filter(f) => Some((f.neighbours, f.networks, f.world, f.direct)),
            _ => None,
        });
        let filter = filters.next().unwrap();
        assert!(filters.next().is_none());
        filter
    }

    fn count(resources: &[Desired], pick: fn(&Desired) -> bool) -> usize {
        resources.iter().filter(|desired| pick(desired)).count()
    }

    #[test]
    fn an_ordinary_network() {
        let resources = decided(&network());
        assert_eq!(
            resources,
            [
                Link::bridge(BRIDGE, None).mtu(1500).mac("02:00:5e:00:53:01").into(),
                Desired::sysctl(BRIDGE, Side::Host, Family::V4, "route_localnet", "1"),
                Desired::sysctl(BRIDGE, Side::Host, Family::V6, "accept_ra", "0"),
                Desired::sysctl(BRIDGE, Side::Host, Family::V6, "accept_dad", "0"),
                Desired::sysctl(BRIDGE, Side::Host, Family::V6, "disable_ipv6", "0"),
                Desired::address(BRIDGE, Side::Host, "10.1.0.1/24"),
                Desired::address(BRIDGE, Side::Host, "fd00:1::1/64"),
                Filter::closed(BRIDGE).neighbours(true).world(true).into(),
                Desired::masquerade(BRIDGE, Family::V4, None),
                Desired::masquerade(BRIDGE, Family::V6, None),
            ]
        );
    }

    #[test]
    fn an_internal_network_has_no_way_out() {
        let resources = decided(&network().with_internal(true).with_icc(false));
        assert_eq!(filter(&resources), (false, false, false, false));
        assert_eq!(count(&resources, |desired| matches!(desired, Desired::Masquerade(_))), 0);
        assert_eq!(count(&resources, |desired| matches!(desired, Desired::Address(_))), 2);
    }

    #[test]
    fn options_are_heard() {
        let network = network()
            .with_option("bridge-name", "br-blue")
            .with_option("snat-ipv6", "2001:db8::1")
            .with_option("open", "true")
            .with_option("direct-routing", "true")
            .with_option("inhibit-gateway", "true");
        let resources = decided(&network);
        assert!(matches!(
            &resources[0],
            Desired::Link(Link { kind: LinkKind::Bridge(bridge), .. })
                if bridge.name.as_deref() == Some("br-blue")
        ));
        assert_eq!(filter(&resources), (true, true, true, true));
        assert_eq!(count(&resources, |desired| matches!(desired, Desired::Address(_))), 0);
        assert!(resources.contains(&Desired::masquerade(BRIDGE, Family::V4, None)));
        assert!(resources.contains(&Desired::masquerade(BRIDGE, Family::V6, Some("2001:db8::1"))));
    }

    #[test]
    fn without_ipv6_the_bridge_has_none() {
        let mut network = network().with_option("masquerade", "false");
        network.subnets.pop();
        let resources = decided(&network);
        assert!(resources.contains(&Desired::sysctl(
            BRIDGE,
            Side::Host,
            Family::V6,
            "disable_ipv6",
            "1"
        )));
        assert_eq!(count(&resources, |desired| matches!(desired, Desired::Masquerade(_))), 0);
    }
}
