//! A driver for tests. It makes bridge networks, and does what the option `do` says: `trap`,
//! `loop`, `refuse`, `lie` (an answer that is no decision) or `steal` (a link that is not its
//! own).

use postern_sdk::{
    Attach, Capability, Context, Desired, Driver, EndpointDecision, EndpointView, Fault, Filter,
    Link, Manifest, NetworkDecision, NetworkView, OptionScope, OptionSpec, Side, SubnetView,
    export_driver, log,
};

/// The driver.
#[derive(Debug)]
pub struct Lan;

impl Driver for Lan {
    fn describe() -> Manifest {
        Manifest {
            name: "lan".to_owned(),
            version: version().to_owned(),
            summary: "Bridge networks, for tests".to_owned(),
            capabilities: vec![
                Capability::Bridge,
                Capability::Veth,
                Capability::Address,
                Capability::Filter,
            ],
            options: vec![OptionSpec {
                name: "do".to_owned(),
                scope: OptionScope::Network,
                help: "trap, loop, refuse, lie or steal".to_owned(),
            }],
            addressing: true,
            attach: Attach::Own,
            max_networks: None,
        }
    }

    fn network(_: &Context, network: &NetworkView) -> Result<NetworkDecision, Fault> {
        let mut decision = NetworkDecision::default();
        match network.option("do") {
            None => {}
            Some("trap") => misbehave("asked to"),
            Some("loop") => endless(),
            Some("refuse") => return Err(Fault::invalid_option("do", "as you say")),
            Some("lie") => decision.push(Desired::address("bridge", Side::Host, "everywhere")),
            Some("steal") => decision.push(Link::adopt("other", "uplink0")),
            Some(_) => return Err(Fault::invalid_option("do", "is not one of them")),
        }
        decision.push(Link::bridge("bridge", None).mtu(network.mtu).mac(&network.mac));
        for address in network.subnets.iter().filter_map(SubnetView::gateway_address) {
            decision.push(Desired::address("bridge", Side::Host, &address));
        }
        decision.push(Desired::Filter(Filter {
            link: "bridge".to_owned(),
            neighbours: network.icc,
            networks: false,
            world: !cfg!(feature = "three"),
            direct: false,
        }));
        decision.state = format!("{} times", calls(&network.state) + 1).into_bytes();
        Ok(decision)
    }

    fn endpoint(
        _: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Result<EndpointDecision, Fault> {
        let mut decision = EndpointDecision::default();
        let port = Link::veth("port", "bridge", &endpoint.interface_name, false);
        decision.push(port.mtu(network.mtu).mac(&endpoint.mac));
        for address in &endpoint.addresses {
            decision.push(Desired::address("port", Side::Sandbox, address));
        }
        if cfg!(feature = "three") {
            decision.gateways = network.subnets.iter().filter_map(|s| s.gateway.clone()).collect();
        }
        Ok(decision)
    }
}

const fn version() -> &'static str {
    if cfg!(feature = "three") {
        "3.0.0"
    } else if cfg!(feature = "two") {
        "2.0.0"
    } else {
        "1.0.0"
    }
}

/// How often it was asked before, by its own account.
fn calls(state: &[u8]) -> u32 {
    let text = std::str::from_utf8(state).unwrap_or_default();
    text.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[expect(clippy::panic, reason = "that is what it is asked for")]
fn misbehave(why: &str) {
    panic!("{why}");
}

fn endless() {
    log::info("once round");
    let mut count = 0_u64;
    loop {
        count = std::hint::black_box(count.wrapping_add(1));
    }
}

export_driver!(Lan);
