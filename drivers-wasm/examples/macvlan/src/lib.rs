//! The `macvlan` driver: endpoints on the networks that the host itself is on, each with a
//! MAC and addresses of its own there.

mod options;

#[cfg(test)]
mod testing;

use postern_sdk::{
    Attach, Capability, Context, Desired, Driver, EndpointDecision, EndpointView, Family, Fault,
    Link, MacvlanMode, Manifest, NetworkDecision, NetworkView, Side, export_driver,
};

use options::Options;

/// The handle of an endpoint's link.
const LINK: &str = "link";

/// The driver.
#[derive(Debug)]
pub struct Macvlan;

impl Driver for Macvlan {
    fn describe() -> Manifest {
        Manifest {
            name: "macvlan".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Endpoints on a network of the host's, past its rules".to_owned(),
            capabilities: vec![Capability::Macvlan, Capability::Address, Capability::Sysctl],
            options: options::specs(),
            addressing: true,
            attach: Attach::Own,
            max_networks: None,
        }
    }

    /// A network has nothing on the host. That its parent exists is seen when an endpoint
    /// joins.
    fn network(_: &Context, network: &NetworkView) -> Result<NetworkDecision, Fault> {
        let state = Options::read(network)?.state();
        // Endpoints stay where they have joined.
        if !network.state.is_empty() && network.state != state {
            return Err(Fault::Conflict(
                "`parent` and `macvlan_mode` cannot change on a living network".to_owned(),
            ));
        }
        Ok(NetworkDecision { state, ..NetworkDecision::default() })
    }

    fn endpoint(
        _: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Result<EndpointDecision, Fault> {
        let Options { parent, mode } = Options::read(network)?;
        if !endpoint.bindings.is_empty() {
            return Err(Fault::invalid(
                "spec.published_ports",
                "the endpoint has addresses of its own on the parent's network; no port of \
                 the host leads to it",
            ));
        }
        let mut decision = EndpointDecision::default();
        let link = Link::macvlan(LINK, &parent, &endpoint.interface_name, mode).mtu(network.mtu);
        // In passthru mode it has the parent's MAC.
        decision.push(if mode == MacvlanMode::Passthru { link } else { link.mac(&endpoint.mac) });
        for (key, value) in parameters(endpoint) {
            decision.push(Desired::sysctl(LINK, Side::Sandbox, Family::V6, key, value));
        }
        for address in &endpoint.addresses {
            decision.push(Desired::address(LINK, Side::Sandbox, address));
        }
        let subnets = network.subnets.iter().filter(|subnet| endpoint.has(subnet.family()));
        decision.gateways = subnets.filter_map(|subnet| subnet.gateway.clone()).collect();
        Ok(decision)
    }
}

/// Whatever routers there announce, an endpoint has the addresses and routes that it was
/// given.
fn parameters(endpoint: &EndpointView) -> [(&'static str, &'static str); 2] {
    let off = if endpoint.has(Family::V6) { "0" } else { "1" };
    [("accept_ra", "0"), ("disable_ipv6", off)]
}

export_driver!(Macvlan);

#[cfg(test)]
mod tests {
    use postern_sdk::{PortBinding, Protocol};

    use super::*;
    use crate::testing::{context, endpoint, network, with};

    fn decided(network: &NetworkView, endpoint: &EndpointView) -> EndpointDecision {
        Macvlan::endpoint(&context(), network, endpoint).unwrap()
    }

    #[test]
    fn an_ordinary_endpoint() {
        let decision = decided(&network(), &endpoint());
        let link = Link::macvlan(LINK, "eth1", "eth0", MacvlanMode::Bridge);
        assert_eq!(
            decision.resources,
            [
                link.mtu(1500).mac("02:00:5e:00:53:02").into(),
                Desired::sysctl(LINK, Side::Sandbox, Family::V6, "accept_ra", "0"),
                Desired::sysctl(LINK, Side::Sandbox, Family::V6, "disable_ipv6", "0"),
                Desired::address(LINK, Side::Sandbox, "10.1.0.2/24"),
                Desired::address(LINK, Side::Sandbox, "fd00:1::2/64"),
            ]
        );
        assert_eq!(decision.gateways, ["10.1.0.1", "fd00:1::1"]);
    }

    #[test]
    fn in_passthru_mode_it_has_no_mac_of_its_own() {
        let network = with(&[("parent", "eth1"), ("macvlan_mode", "passthru")]);
        let link = Link::macvlan(LINK, "eth1", "eth0", MacvlanMode::Passthru).mtu(1500);
        assert_eq!(decided(&network, &endpoint()).resources[0], link.into());
    }

    #[test]
    fn what_a_family_is_missing_is_not_made_up() {
        let mut without = endpoint();
        without.addresses.pop();
        let decision = decided(&network(), &without);
        let off = Desired::sysctl(LINK, Side::Sandbox, Family::V6, "disable_ipv6", "1");
        assert!(decision.resources.contains(&off));
        assert_eq!(decision.gateways, ["10.1.0.1"]);
        let mut network = network();
        network.subnets[0].gateway = None;
        assert_eq!(decided(&network, &endpoint()).gateways, ["fd00:1::1"]);
    }

    #[test]
    fn ports_are_not_published() {
        let mut endpoint = endpoint();
        endpoint.bindings.push(PortBinding {
            protocol: Protocol::Tcp,
            host_ip: "0.0.0.0".into(),
            host_first: 80,
            host_last: 80,
            target: "10.1.0.2".into(),
            target_first: 80,
        });
        let answer = Macvlan::endpoint(&context(), &network(), &endpoint);
        assert!(
            matches!(answer, Err(Fault::Invalid(violation)) if violation.field == "spec.published_ports")
        );
    }

    #[test]
    fn a_network_has_nothing_and_stays_where_it_is() {
        let asked = |network: &NetworkView| Macvlan::network(&context(), network);
        let made = asked(&network()).unwrap();
        assert!(made.resources.is_empty());
        let living = |options: &[(&str, &str)]| NetworkView {
            state: made.state.clone(),
            labels: Vec::new(),
            ..with(options)
        };
        assert_eq!(asked(&living(&[("parent", "eth1")])), Ok(made.clone()));
        assert_eq!(
            asked(&living(&[("parent", "eth1"), ("macvlan_mode", "bridge")])),
            Ok(made.clone())
        );
        for other in [&[("parent", "eth2")][..], &[("parent", "eth1"), ("macvlan_mode", "private")]]
        {
            assert!(matches!(asked(&living(other)), Err(Fault::Conflict(_))), "{other:?}");
        }
    }
}
