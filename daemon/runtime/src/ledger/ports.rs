//! Published ports: reserved before anything changes, given back if nothing comes of it.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_kernel::{PortAsk, Ports};
use postern_model::endpoint::Endpoint;
use postern_model::port::{HostPorts, PortBinding, PublishedPort};
use postern_model::refusal::Refusal;

use super::outcome;

/// Ports that are held; released again unless kept.
pub(super) struct Reserved<'a> {
    ports: &'a Ports,
    bindings: Vec<PortBinding>,
}

impl<'a> Reserved<'a> {
    /// Reserves every entry of `published` that `wanted` selects.
    ///
    /// # Errors
    /// A port is busy, or its address is not one of this host. Nothing is held then.
    pub(super) fn take(
        ports: &'a Ports,
        (field, published): (&str, &[PublishedPort]),
        wanted: impl Fn(&PublishedPort) -> bool,
        endpoint: &Endpoint,
        default_ip: Option<IpAddr>,
    ) -> Result<Self, Refusal> {
        let mut reserved = Self { ports, bindings: Vec::new() };
        let targets: Vec<IpAddr> = endpoint.addresses.iter().map(IpNetwork::ip).collect();
        if targets.is_empty() && !published.is_empty() {
            let text = "the network gives the endpoint no address to publish";
            return Err(Refusal::field(field, text));
        }
        for (index, port) in published.iter().enumerate().filter(|(_, port)| wanted(port)) {
            let ask = PortAsk { published: port.clone(), targets: targets.clone(), default_ip };
            let bound =
                ports.reserve(&[ask]).map_err(|error| outcome::of_port(field, index, &error))?;
            reserved.bindings.extend(bound);
        }
        Ok(reserved)
    }

    /// What is held.
    pub(super) fn bindings(&self) -> &[PortBinding] {
        &self.bindings
    }

    /// Keeps the ports; whoever ends their use releases them.
    pub(super) fn keep(mut self) {
        self.bindings.clear();
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.ports.release(&self.bindings);
    }
}

/// Whether a binding is what became of this entry.
pub(super) fn stems_from(binding: &PortBinding, published: &PublishedPort) -> bool {
    let host = match published.host {
        HostPorts::Ephemeral => true,
        HostPorts::Exactly(range) => binding.host == range,
        HostPorts::FirstFreeOf(range) => range.overlaps(binding.host),
    };
    host && binding.protocol == published.protocol
        && binding.target_first == published.container.first()
        && binding.host.count() == published.container.count()
        && published.host_ip.is_none_or(|ip| ip == binding.host_ip)
}
