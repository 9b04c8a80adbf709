//! The `{{name}}` driver: a network is a Linux bridge, an endpoint a pair of links that
//! ends in its sandbox.

use postern_sdk::{
    Capability, Context, Desired, Driver, EndpointDecision, EndpointView, Fault, Filter, Link,
    Manifest, NetworkDecision, NetworkView, Side, SubnetView, export_driver, log,
};

/// The handle of a network's bridge. Handles are the driver's own; the kernel's names are
/// the daemon's choice.
const BRIDGE: &str = "bridge";
/// The handle of an endpoint's pair.
const PORT: &str = "port";
/// The option that keeps a network without a way out, though it is not internal.
const UPLINK: &str = "uplink";

/// The driver.
#[derive(Debug)]
pub struct ThisDriver;

impl Driver for ThisDriver {
    fn describe() -> Manifest {
        Manifest::new(
            "{{name}}",
            env!("CARGO_PKG_VERSION"),
            "A bridge, and a port for each endpoint",
        )
        .asks_for([
            Capability::Bridge,
            Capability::Veth,
            Capability::Address,
            Capability::Filter,
            Capability::Masquerade,
            Capability::Publish,
        ])
        .network_option(UPLINK, "a way out to the world: true (default) or false")
    }

    /// The bridge with the gateways' addresses, and what may pass it.
    fn network(_: &Context, network: &NetworkView) -> Result<NetworkDecision, Fault> {
        let uplink = uplink(network)?;
        let mut decision = NetworkDecision::default();
        decision.push(
            Link::bridge(BRIDGE, None)
                .mtu(network.mtu)
                .mac(&network.mac),
        );
        for address in network
            .subnets
            .iter()
            .filter_map(SubnetView::gateway_address)
        {
            decision.push(Desired::address(BRIDGE, Side::Host, &address));
        }
        decision.push(Filter::closed(BRIDGE).neighbours(network.icc).world(uplink));
        if uplink {
            for subnet in &network.subnets {
                decision.push(Desired::masquerade(BRIDGE, subnet.family(), None));
            }
        }
        Ok(decision)
    }

    /// The pair with the addresses the daemon offers, the way out, and the published ports.
    fn endpoint(
        _: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Result<EndpointDecision, Fault> {
        let uplink = uplink(network)?;
        if !uplink && !endpoint.bindings.is_empty() {
            return Err(Fault::invalid(
                "spec.published_ports",
                "nothing from outside reaches a network without an uplink",
            ));
        }
        let mut decision = EndpointDecision::default();
        // A workload that calls its own published port meets itself through its own port.
        let hairpin = !endpoint.bindings.is_empty();
        let port = Link::veth(PORT, BRIDGE, &endpoint.interface_name, hairpin);
        decision.push(port.mtu(network.mtu).mac(&endpoint.mac));
        for address in &endpoint.addresses {
            decision.push(Desired::address(PORT, Side::Sandbox, address));
        }
        if uplink {
            let subnets = network
                .subnets
                .iter()
                .filter(|subnet| endpoint.has(subnet.family()));
            for gateway in subnets.filter_map(|subnet| subnet.gateway.as_deref()) {
                decision.gateway(gateway);
            }
        }
        decision.publish(&endpoint.bindings);
        log::debug(&format!(
            "{} has {} resources",
            endpoint.name,
            decision.resources.len()
        ));
        Ok(decision)
    }
}

/// Whether the network has a way out.
fn uplink(network: &NetworkView) -> Result<bool, Fault> {
    Ok(network.flag(UPLINK, true)? && !network.internal)
}

export_driver!(ThisDriver);

#[cfg(test)]
mod tests {
    use postern_sdk::testing::{binding, context, endpoint, network};

    use super::*;

    fn network_of(view: &NetworkView) -> Vec<Desired> {
        ThisDriver::network(&context(), view).unwrap().resources
    }

    #[test]
    fn a_network_is_a_bridge_with_a_way_out() {
        let resources = network_of(&network());
        let bridge = Link::bridge(BRIDGE, None)
            .mtu(1500)
            .mac("02:00:5e:00:53:01");
        assert_eq!(resources[0], bridge.into());
        assert!(resources.contains(&Desired::address(BRIDGE, Side::Host, "10.1.0.1/24")));
        assert!(resources.contains(&Filter::closed(BRIDGE).neighbours(true).world(true).into()));
    }

    #[test]
    fn neither_an_internal_network_nor_one_without_uplink_has_a_way_out() {
        for view in [
            network().with_internal(true),
            network().with_option(UPLINK, "false"),
        ] {
            let resources = network_of(&view);
            assert!(resources.contains(&Filter::closed(BRIDGE).neighbours(true).into()));
            assert!(
                !resources
                    .iter()
                    .any(|one| matches!(one, Desired::Masquerade(_)))
            );
            let decision = ThisDriver::endpoint(&context(), &view, &endpoint()).unwrap();
            assert!(decision.gateways.is_empty());
        }
    }

    #[test]
    fn an_endpoint_has_what_the_daemon_offers() {
        let decision = ThisDriver::endpoint(&context(), &network(), &endpoint()).unwrap();
        let port = Link::veth(PORT, BRIDGE, "eth0", false)
            .mtu(1500)
            .mac("02:00:5e:00:53:02");
        assert_eq!(
            decision.resources,
            [
                port.into(),
                Desired::address(PORT, Side::Sandbox, "10.1.0.2/24"),
                Desired::address(PORT, Side::Sandbox, "fd00:1::2/64"),
            ]
        );
        assert_eq!(decision.gateways, ["10.1.0.1", "fd00:1::1"]);
    }

    #[test]
    fn ports_need_a_way_out() {
        let server = endpoint().with_binding(binding("0.0.0.0", "10.1.0.2"));
        let decision = ThisDriver::endpoint(&context(), &network(), &server).unwrap();
        assert!(
            decision
                .resources
                .contains(&server.bindings[0].clone().into())
        );
        let answer = ThisDriver::endpoint(&context(), &network().with_internal(true), &server);
        assert!(
            matches!(answer, Err(Fault::Invalid(what)) if what.field == "spec.published_ports")
        );
    }

    #[test]
    fn a_wrong_option_is_named() {
        let answer = ThisDriver::network(&context(), &network().with_option(UPLINK, "maybe"));
        assert!(matches!(answer, Err(Fault::Invalid(what)) if what.field == "options[\"uplink\"]"));
    }
}
