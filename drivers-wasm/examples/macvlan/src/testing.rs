//! Views for tests.

use postern_sdk::{Context, EndpointView, Entry, NetworkView, SubnetView};

pub(crate) fn context() -> Context {
    Context { request_id: "r".into(), now: 0, seed: 0 }
}

pub(crate) fn network() -> NetworkView {
    with(&[("parent", "eth1")])
}

pub(crate) fn with(options: &[(&str, &str)]) -> NetworkView {
    let subnet = |subnet: &str, gateway: Option<&str>| SubnetView {
        subnet: subnet.into(),
        gateway: gateway.map(str::to_owned),
    };
    let entry = |&(key, value): &(&str, &str)| Entry { key: key.into(), value: value.into() };
    NetworkView {
        id: "01932c07-a9d0-7000-8abc-0123456789ab".into(),
        name: "lan".into(),
        subnets: vec![
            subnet("10.1.0.0/24", Some("10.1.0.1")),
            subnet("fd00:1::/64", Some("fd00:1::1")),
        ],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:5e:00:53:01".into(),
        labels: Vec::new(),
        options: options.iter().map(entry).collect(),
        state: Vec::new(),
    }
}

pub(crate) fn endpoint() -> EndpointView {
    EndpointView {
        id: "01932c07-a9d0-7000-8abc-0123456789ac".into(),
        name: "web.lan".into(),
        addresses: vec!["10.1.0.2/24".into(), "fd00:1::2/64".into()],
        mac: "02:00:5e:00:53:02".into(),
        interface_name: "eth0".into(),
        bindings: Vec::new(),
        labels: Vec::new(),
        options: Vec::new(),
        state: Vec::new(),
    }
}
