//! Views for tests.

use postern_sdk::{EndpointView, Entry, NetworkView, PortBinding, Protocol, SubnetView};

pub(crate) fn network() -> NetworkView {
    let subnet = |subnet: &str, gateway: &str| SubnetView {
        subnet: subnet.into(),
        gateway: Some(gateway.into()),
    };
    NetworkView {
        id: "01932c07-a9d0-7000-8abc-0123456789ab".into(),
        name: "blue".into(),
        subnets: vec![subnet("10.1.0.0/24", "10.1.0.1"), subnet("fd00:1::/64", "fd00:1::1")],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:5e:00:53:01".into(),
        labels: Vec::new(),
        options: Vec::new(),
        state: Vec::new(),
    }
}

pub(crate) fn with(mut network: NetworkView, options: &[(&str, &str)]) -> NetworkView {
    let entry = |&(key, value): &(&str, &str)| Entry { key: key.into(), value: value.into() };
    network.options = options.iter().map(entry).collect();
    network
}

pub(crate) fn endpoint() -> EndpointView {
    EndpointView {
        id: "01932c07-a9d0-7000-8abc-0123456789ac".into(),
        name: "web.blue".into(),
        addresses: vec!["10.1.0.2/24".into(), "fd00:1::2/64".into()],
        mac: "02:00:5e:00:53:02".into(),
        interface_name: "eth0".into(),
        bindings: Vec::new(),
        labels: Vec::new(),
        options: Vec::new(),
        state: Vec::new(),
    }
}

pub(crate) fn binding(host_ip: &str, target: &str) -> PortBinding {
    PortBinding {
        protocol: Protocol::Tcp,
        host_ip: host_ip.into(),
        host_first: 8080,
        host_last: 8080,
        target: target.into(),
        target_first: 80,
    }
}
