//! The overlay driver: on each host of a cluster a bridge, and a VXLAN link (RFC 7348) as
//! its port, by which frames reach endpoints on other hosts.
//!
//! The gateway is on every host, with one address and one MAC: what leaves the network does so
//! by the host that its sandbox is on, and ports are published there. Who is where comes from
//! the cluster, so that nothing is flooded and nothing learnt.

use postern_sdk::{
    Capability, Context, Desired, Driver, EndpointDecision, EndpointView, Fault, Filter, Link,
    Manifest, MultiHostDriver, NetworkDecision, NetworkView, PeerDecision, PeerView, bridge,
    export_multi_host_driver,
};

/// The handle of a network's bridge.
const BRIDGE: &str = "bridge";
/// The handle of its port to other hosts.
const TUNNEL: &str = "tunnel";
/// The handle of an endpoint's pair.
const PORT: &str = "port";

const MASQUERADE: &str = "masquerade";
const ENCRYPTED: &str = "encrypted";

/// The driver.
#[derive(Debug)]
pub struct Overlay;

/// Whether flows to the world get an address of the host.
///
/// # Errors
/// The network is to be encrypted, which no host can do, or an option is wrong.
fn masquerade(network: &NetworkView) -> Result<bool, Fault> {
    if network.flag(ENCRYPTED, false)? {
        // Better none than one that is taken for encrypted.
        return Err(Fault::invalid_option(
            ENCRYPTED,
            "frames between hosts cannot be encrypted yet; use an encrypted underlay",
        ));
    }
    network.flag(MASQUERADE, true)
}

impl Driver for Overlay {
    fn describe() -> Manifest {
        let summary = "One network over many hosts, by VXLAN";
        Manifest::new("overlay", env!("CARGO_PKG_VERSION"), summary)
            .asks_for([
                Capability::Bridge,
                Capability::Vxlan,
                Capability::Veth,
                Capability::Address,
                Capability::Filter,
                Capability::Masquerade,
                Capability::Publish,
                Capability::Sysctl,
            ])
            .network_option(
                MASQUERADE,
                "hide endpoints behind their host's address: true (default) or false",
            )
            .network_option(ENCRYPTED, "encrypt what goes between hosts: only false, for now")
    }

    fn network(_: &Context, network: &NetworkView) -> Result<NetworkDecision, Fault> {
        let masquerade = masquerade(network)?;
        let mut decision = NetworkDecision::default();
        decision.push(Link::bridge(BRIDGE, None).mtu(network.mtu).mac(&network.mac));
        if network.tunnel.is_some() {
            decision.push(Link::vxlan(TUNNEL, BRIDGE).mtu(network.mtu));
        }
        decision.resources.extend(bridge::parameters(BRIDGE, network));
        decision.resources.extend(bridge::gateways(BRIDGE, network));
        decision.push(Filter::closed(BRIDGE).neighbours(network.icc).world(!network.internal));
        if masquerade && !network.internal {
            for subnet in &network.subnets {
                decision.push(Desired::masquerade(BRIDGE, subnet.family(), None));
            }
        }
        Ok(decision)
    }

    fn endpoint(
        _: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Result<EndpointDecision, Fault> {
        let mut decision = bridge::attach((PORT, BRIDGE), network, endpoint)?;
        if !network.internal {
            let subnets = network.subnets.iter().filter(|of| endpoint.has(of.family()));
            decision.gateways = subnets.filter_map(|subnet| subnet.gateway.clone()).collect();
        }
        Ok(decision)
    }
}

impl MultiHostDriver for Overlay {
    fn peer(_: &Context, _: &NetworkView, peer: &PeerView) -> Result<PeerDecision, Fault> {
        Ok(PeerDecision::reaching(peer, TUNNEL, BRIDGE))
    }
}

export_multi_host_driver!(Overlay);

#[cfg(test)]
mod tests {
    use postern_sdk::testing::{binding, context, endpoint, network, peer};
    use postern_sdk::{LinkKind, Reach};

    use super::*;

    fn links(decision: &NetworkDecision) -> Vec<&str> {
        let links = decision.resources.iter().filter_map(|desired| match desired {
            Desired::Link(link) => Some(link.handle.as_str()),
            _ => None,
        });
        links.collect()
    }

    #[test]
    fn a_bridge_with_a_way_to_other_hosts() {
        let decision = Overlay::network(&context(), &network().with_tunnel()).unwrap();
        assert_eq!(links(&decision), [BRIDGE, TUNNEL]);
        let tunnel = decision.resources.iter().find_map(|desired| match desired {
            Desired::Link(Link { kind: LinkKind::Vxlan(link), mtu, .. }) => Some((link, mtu)),
            _ => None,
        });
        let (link, mtu) = tunnel.unwrap();
        assert_eq!((link.master.as_str(), *mtu), (BRIDGE, Some(1500)));
        assert!(decision.resources.contains(&Desired::address(
            BRIDGE,
            postern_sdk::Side::Host,
            "10.1.0.1/24"
        )));
    }

    #[test]
    fn an_internal_one_leads_nowhere_else() {
        let internal = network().with_tunnel().with_internal(true);
        let decision = Overlay::network(&context(), &internal).unwrap();
        assert!(!decision.resources.iter().any(|of| matches!(of, Desired::Masquerade(_))));
        let decision = Overlay::endpoint(&context(), &internal, &endpoint()).unwrap();
        assert!(decision.gateways.is_empty());
        let published = endpoint().with_binding(binding("0.0.0.0", "10.1.0.2"));
        assert!(Overlay::endpoint(&context(), &internal, &published).is_err());
        let decision = Overlay::endpoint(&context(), &network(), &published).unwrap();
        assert_eq!(decision.gateways, ["10.1.0.1", "fd00:1::1"]);
    }

    #[test]
    fn what_cannot_be_encrypted_is_not_said_to_be() {
        let refused = |value| {
            let network = network().with_tunnel().with_option(ENCRYPTED, value);
            match Overlay::network(&context(), &network) {
                Err(Fault::Invalid(violation)) => Some(violation.field),
                _ => None,
            }
        };
        assert_eq!(refused("true").as_deref(), Some("options[\"encrypted\"]"));
        assert_eq!(refused("yes").as_deref(), Some("options[\"encrypted\"]"));
        assert_eq!(refused("false"), None);
    }

    #[test]
    fn a_peer_is_reached_at_its_host_and_by_each_address() {
        let PeerDecision { resources } =
            Overlay::peer(&context(), &network().with_tunnel(), &peer()).unwrap();
        let [Reach::Forwarding(way), Reach::Neighbour(v4), Reach::Neighbour(v6)] =
            resources.as_slice()
        else {
            panic!("{resources:?}")
        };
        assert_eq!((way.link.as_str(), way.to.as_str()), (TUNNEL, "192.0.2.2"));
        assert_eq!((v4.link.as_str(), v4.address.as_str()), (BRIDGE, "10.1.0.3"));
        assert_eq!((v6.address.as_str(), &v6.mac), ("fd00:1::3", &way.mac));
    }
}
