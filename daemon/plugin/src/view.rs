//! From the model to what a driver is shown.

use ipnetwork::IpNetwork;
use postern_model::driver::{Context, EndpointView, NetworkView, PeerView, SubnetView, TunnelView};
use postern_model::name::Labels;
use postern_model::port::{PortBinding, Protocol};

use crate::contract::v0_1::{self as wit, types};

pub(crate) fn context(context: &Context) -> wit::Context {
    wit::Context { request_id: context.request_id.clone(), now: context.now, seed: context.seed }
}

pub(crate) fn network(view: &NetworkView) -> wit::NetworkView {
    wit::NetworkView {
        id: view.id.clone(),
        name: view.name.clone(),
        subnets: view.subnets.iter().map(subnet).collect(),
        internal: view.internal,
        icc: view.icc,
        mtu: view.mtu,
        mac: view.mac.to_string(),
        tunnel: view.tunnel.map(tunnel),
        labels: entries(&view.labels),
        options: entries(&view.options),
        state: view.state.clone(),
    }
}

pub(crate) fn endpoint(view: &EndpointView) -> wit::EndpointView {
    wit::EndpointView {
        id: view.id.clone(),
        name: view.name.clone(),
        addresses: view.addresses.iter().map(IpNetwork::to_string).collect(),
        mac: view.mac.to_string(),
        interface_name: view.interface.to_string(),
        bindings: view.bindings.iter().map(binding).collect(),
        labels: entries(&view.labels),
        options: entries(&view.options),
        state: view.state.clone(),
    }
}

pub(crate) fn peer(view: &PeerView) -> wit::multi_host::PeerView {
    wit::multi_host::PeerView {
        id: view.id.clone(),
        name: view.name.clone(),
        addresses: view.addresses.iter().map(IpNetwork::to_string).collect(),
        mac: view.mac.to_string(),
        host: view.host.to_string(),
    }
}

fn tunnel(view: TunnelView) -> types::TunnelView {
    types::TunnelView { vni: view.vni.number(), local: view.local.to_string() }
}

fn subnet(view: &SubnetView) -> types::SubnetView {
    types::SubnetView {
        subnet: view.subnet.to_string(),
        gateway: view.gateway.map(|gateway| gateway.to_string()),
    }
}

fn binding(binding: &PortBinding) -> types::PortBinding {
    types::PortBinding {
        protocol: match binding.protocol {
            Protocol::Tcp => types::Protocol::Tcp,
            Protocol::Udp => types::Protocol::Udp,
            Protocol::Sctp => types::Protocol::Sctp,
        },
        host_ip: binding.host_ip.to_string(),
        host_first: binding.host.first(),
        host_last: binding.host.last(),
        target: binding.target.to_string(),
        target_first: binding.target_first,
    }
}

fn entries(labels: &Labels) -> Vec<types::Entry> {
    let entry =
        |(key, value): (&String, &String)| types::Entry { key: key.clone(), value: value.clone() };
    labels.iter().map(entry).collect()
}
