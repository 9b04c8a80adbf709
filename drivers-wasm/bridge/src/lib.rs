//! The `bridge` driver: networks of one Linux bridge, endpoints of one veth pair.
//!
//! A network's options are read and checked once, in `options`; `network` and `endpoint`
//! turn view and options into resources.

mod endpoint;
mod network;
mod options;

use postern_sdk::{
    Attach, Capability, Context, Driver, EndpointDecision, EndpointView, Fault, Manifest,
    NetworkDecision, NetworkView, export_driver,
};

use options::Options;

/// The handle of a network's bridge.
const BRIDGE: &str = "bridge";
/// The handle of an endpoint's pair.
const PORT: &str = "port";

/// The driver.
#[derive(Debug)]
pub struct Bridge;

impl Driver for Bridge {
    fn describe() -> Manifest {
        Manifest {
            name: "bridge".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "A Linux bridge with a way out through the host".to_owned(),
            capabilities: vec![
                Capability::Bridge,
                Capability::AdoptLink,
                Capability::Veth,
                Capability::Address,
                Capability::Filter,
                Capability::Masquerade,
                Capability::Publish,
                Capability::Sysctl,
            ],
            options: options::specs(),
            addressing: true,
            attach: Attach::Own,
            max_networks: None,
        }
    }

    fn network(_: &Context, network: &NetworkView) -> Result<NetworkDecision, Fault> {
        Ok(network::decide(network, &Options::read(network)?))
    }

    fn endpoint(
        _: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Result<EndpointDecision, Fault> {
        endpoint::decide(network, &Options::read(network)?, endpoint)
    }
}

export_driver!(Bridge);
