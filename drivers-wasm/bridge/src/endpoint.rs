//! What should exist for an endpoint.

use postern_sdk::{EndpointDecision, EndpointView, Fault, NetworkView, bridge};

use crate::options::Options;
use crate::{BRIDGE, PORT};

/// The pair, its addresses and parameters, the way out and the published ports.
pub(crate) fn decide(
    network: &NetworkView,
    options: &Options,
    endpoint: &EndpointView,
) -> Result<EndpointDecision, Fault> {
    let mut decision = bridge::attach((PORT, BRIDGE), network, endpoint)?;
    if !options.inhibit_gateway && !network.internal {
        decision.gateways = gateways(network, options, endpoint);
    }
    Ok(decision)
}

fn gateways(network: &NetworkView, options: &Options, endpoint: &EndpointView) -> Vec<String> {
    let subnets = network.subnets.iter().filter(|subnet| endpoint.has(subnet.family()));
    let gateway =
        subnets.map(|subnet| options.gateway(subnet.family()).or(subnet.gateway.as_ref()));
    gateway.flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use postern_sdk::testing::{binding, endpoint, network};
    use postern_sdk::{Desired, Family, Link, Side};

    use super::*;

    fn decided(network: &NetworkView, endpoint: &EndpointView) -> EndpointDecision {
        decide(network, &Options::read(network).unwrap(), endpoint).unwrap()
    }

    fn pair(hairpin: bool) -> Desired {
        Link::veth(PORT, BRIDGE, "eth0", hairpin).mtu(1500).mac("02:00:5e:00:53:02").into()
    }

    #[test]
    fn an_ordinary_endpoint() {
        let decision = decided(&network(), &endpoint());
        assert_eq!(
            decision.resources,
            [
                pair(false),
                Desired::sysctl(PORT, Side::Sandbox, Family::V6, "accept_ra", "0"),
                Desired::sysctl(PORT, Side::Sandbox, Family::V6, "disable_ipv6", "0"),
                Desired::sysctl(PORT, Side::Sandbox, Family::V6, "accept_dad", "0"),
                Desired::address(PORT, Side::Sandbox, "10.1.0.2/24"),
                Desired::address(PORT, Side::Sandbox, "fd00:1::2/64"),
            ]
        );
        assert_eq!(decision.gateways, ["10.1.0.1", "fd00:1::1"]);
        assert!(decision.state.is_empty());
    }

    #[test]
    fn published_ports_are_passed_on() {
        let mut endpoint = endpoint();
        endpoint.bindings = vec![binding("0.0.0.0", "10.1.0.2"), binding("::", "fd00:1::2")];
        let decision = decided(&network(), &endpoint);
        assert_eq!(decision.resources[0], pair(true));
        for binding in endpoint.bindings {
            assert!(decision.resources.contains(&Desired::Publish(binding)));
        }
    }

    #[test]
    fn an_internal_network_publishes_nothing_and_leads_nowhere() {
        let mut network = network();
        network.internal = true;
        let mut endpoint = endpoint();
        assert!(decided(&network, &endpoint).gateways.is_empty());
        endpoint.bindings = vec![binding("0.0.0.0", "10.1.0.2")];
        let answer = decide(&network, &Options::read(&network).unwrap(), &endpoint);
        assert!(
            matches!(answer, Err(Fault::Invalid(violation)) if violation.field == "spec.published_ports")
        );
    }

    #[test]
    fn without_gateways_there_is_no_default_route() {
        let network = network().with_option("inhibit-gateway", "true");
        assert!(decided(&network, &endpoint()).gateways.is_empty());
    }

    #[test]
    fn a_default_gateway_takes_the_bridges_place() {
        let network = network().with_option("default-gateway-ipv4", "10.1.0.9");
        assert_eq!(decided(&network, &endpoint()).gateways[0], "10.1.0.9");
    }

    #[test]
    fn without_an_ipv6_address_there_is_no_ipv6() {
        let mut endpoint = endpoint();
        endpoint.addresses.pop();
        let decision = decided(&network(), &endpoint);
        let off = Desired::sysctl(PORT, Side::Sandbox, Family::V6, "disable_ipv6", "1");
        assert!(decision.resources.contains(&off));
        assert_eq!(decision.gateways, ["10.1.0.1"]);
    }
}
