//! What the driver is asked about.

use std::error::Error;

use postern_model::driver::{Context, EndpointView, NetworkView, SubnetView};
use postern_model::name::Labels;
use postern_model::port::{PortBinding, PortRange, Protocol};

/// A question, whole.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) context: Context,
    pub(crate) network: NetworkView,
    pub(crate) endpoint: EndpointView,
}

pub(crate) fn question() -> Result<Question, Box<dyn Error>> {
    let context = Context { request_id: "bench".into(), now: 1_764_000_000_000, seed: 7 };
    Ok(Question { context, network: network()?, endpoint: endpoint()? })
}

fn network() -> Result<NetworkView, Box<dyn Error>> {
    let subnet = SubnetView { subnet: "10.1.0.0/24".parse()?, gateway: Some("10.1.0.1".parse()?) };
    Ok(NetworkView {
        id: "01932c07-a9d0-7000-8abc-0123456789ab".into(),
        name: "blue".into(),
        subnets: vec![subnet],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:5e:00:53:01".parse()?,
        tunnel: None,
        labels: Labels::new(),
        options: Labels::new(),
        state: Vec::new(),
    })
}

fn endpoint() -> Result<EndpointView, Box<dyn Error>> {
    Ok(EndpointView {
        id: "01932c07-a9d0-7000-8abc-0123456789ac".into(),
        name: "web.blue".into(),
        addresses: vec!["10.1.0.2/24".parse()?],
        mac: "02:00:5e:00:53:02".parse()?,
        interface: "eth0".parse()?,
        bindings: vec![PortBinding {
            protocol: Protocol::Tcp,
            host_ip: "0.0.0.0".parse()?,
            host: PortRange::new(8080, 8080)?,
            target: "10.1.0.2".parse()?,
            target_first: 80,
        }],
        labels: Labels::new(),
        options: Labels::new(),
        state: Vec::new(),
    })
}
