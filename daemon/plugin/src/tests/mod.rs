//! Whole drivers in a host. What is built in is compared with the same driver called
//! natively; what is hostile is hand-written WebAssembly.

mod built_in;
mod calls;
mod limits;
mod lines;
mod loading;
mod module;
mod zoo;

use std::path::Path;
use std::sync::Arc;

use postern_model::driver::{Context, EndpointView, NetworkView, SubnetView};
use postern_model::grant::Grants;
use postern_model::name::Labels;
use postern_model::port::{PortBinding, PortRange, Protocol};
use tempfile::TempDir;

use crate::{Compiler, DriverHost, HostOptions, Limits, LoadError, LoadedDriver};

pub(crate) fn open(state: &Path, limits: Limits) -> DriverHost {
    let compiler = Compiler::InProcess;
    DriverHost::open(HostOptions { state: state.to_owned(), limits, compiler }).unwrap()
}

/// Loads one driver into a host of its own.
pub(crate) fn load(module: &[u8], limits: Limits) -> Result<Arc<LoadedDriver>, LoadError> {
    let state = TempDir::new().unwrap();
    let host = open(state.path(), limits);
    let info = host.load(module, false, &Grants::default())?;
    Ok(host.driver(info.manifest.name.as_str()).unwrap())
}

pub(crate) fn context() -> Context {
    Context { request_id: "r-1".into(), now: 1_764_000_000_000, seed: 7 }
}

pub(crate) fn network(options: &[(&str, &str)]) -> NetworkView {
    let subnet = |subnet: &str, gateway: &str| SubnetView {
        subnet: subnet.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
    };
    NetworkView {
        id: "01932c07-a9d0-7000-8abc-0123456789ab".into(),
        name: "blue".into(),
        subnets: vec![subnet("10.1.0.0/24", "10.1.0.1"), subnet("fd00:1::/64", "fd00:1::1")],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:5e:00:53:01".parse().unwrap(),
        tunnel: None,
        labels: Labels::from([("team".into(), "a".into())]),
        options: options.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
        state: vec![1, 2, 3],
    }
}

pub(crate) fn endpoint() -> EndpointView {
    EndpointView {
        id: "01932c07-a9d0-7000-8abc-0123456789ac".into(),
        name: "web.blue".into(),
        addresses: vec!["10.1.0.2/24".parse().unwrap(), "fd00:1::2/64".parse().unwrap()],
        mac: "02:00:5e:00:53:02".parse().unwrap(),
        interface: "eth0".parse().unwrap(),
        bindings: vec![PortBinding {
            protocol: Protocol::Udp,
            host_ip: "0.0.0.0".parse().unwrap(),
            host: PortRange::new(8080, 8081).unwrap(),
            target: "10.1.0.2".parse().unwrap(),
            target_first: 80,
        }],
        labels: Labels::new(),
        options: Labels::new(),
        state: Vec::new(),
    }
}
