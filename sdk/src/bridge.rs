//! What drivers have in common whose networks are bridges of the host: a bridge with the
//! gateways' addresses, and a pair of links for each endpoint.

use crate::{
    Desired, EndpointDecision, EndpointView, Family, Fault, Link, NetworkView, Side, SubnetView,
};

/// Kernel parameters of the bridge of a network.
pub fn parameters(bridge: &str, network: &NetworkView) -> [Desired; 4] {
    let disable_ipv6 = if network.has(Family::V6) { "0" } else { "1" };
    [
        // So that a port published on 127.0.0.1 can be translated towards the bridge.
        (Family::V4, "route_localnet", "1"),
        // A workload must not be able to give the host routes.
        (Family::V6, "accept_ra", "0"),
        // Nobody else can have the bridge's address, and while it is being looked for the
        // host cannot ask for its neighbours: the first seconds of a new port.
        (Family::V6, "accept_dad", "0"),
        (Family::V6, "disable_ipv6", disable_ipv6),
    ]
    .map(|(family, key, value)| Desired::sysctl(bridge, Side::Host, family, key, value))
}

/// The gateways' addresses, on the bridge.
pub fn gateways(bridge: &str, network: &NetworkView) -> Vec<Desired> {
    let addresses = network.subnets.iter().filter_map(SubnetView::gateway_address);
    addresses.map(|address| Desired::address(bridge, Side::Host, &address)).collect()
}

/// A pair called `port` on `bridge` with the endpoint's addresses and published ports; no
/// gateway is offered yet.
///
/// # Errors
/// Ports are to be published, and the network is internal.
pub fn attach(
    (port, bridge): (&str, &str),
    network: &NetworkView,
    endpoint: &EndpointView,
) -> Result<EndpointDecision, Fault> {
    if network.internal && !endpoint.bindings.is_empty() {
        return Err(Fault::invalid(
            "spec.published_ports",
            "nothing from outside reaches an internal network",
        ));
    }
    let mut decision = EndpointDecision::default();
    // A workload that calls its own published port meets itself through its own port.
    let hairpin = !endpoint.bindings.is_empty();
    let pair = Link::veth(port, bridge, &endpoint.interface_name, hairpin);
    decision.push(pair.mtu(network.mtu).mac(&endpoint.mac));
    for (key, value) in inside(endpoint) {
        decision.push(Desired::sysctl(port, Side::Sandbox, Family::V6, key, value));
    }
    for address in &endpoint.addresses {
        decision.push(Desired::address(port, Side::Sandbox, address));
    }
    decision.publish(&endpoint.bindings);
    Ok(decision)
}

fn inside(endpoint: &EndpointView) -> Vec<(&'static str, &'static str)> {
    if endpoint.has(Family::V6) {
        // The host hands out every address of the network, so none is a duplicate, and
        // waiting to find that out would cost the first second.
        vec![("accept_ra", "0"), ("disable_ipv6", "0"), ("accept_dad", "0")]
    } else {
        vec![("accept_ra", "0"), ("disable_ipv6", "1")]
    }
}
