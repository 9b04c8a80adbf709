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
    /// Reserves every entry of `published` whose index `wanted` selects.
    ///
    /// # Errors
    /// A port is busy, or its address is not one of this host. Nothing is held then.
    pub(super) fn take(
        ports: &'a Ports,
        (field, published): (&str, &[PublishedPort]),
        wanted: impl Fn(usize) -> bool,
        endpoint: &Endpoint,
        default_ip: Option<IpAddr>,
    ) -> Result<Self, Refusal> {
        let mut reserved = Self { ports, bindings: Vec::new() };
        let targets: Vec<IpAddr> = endpoint.addresses.iter().map(IpNetwork::ip).collect();
        if targets.is_empty() && !published.is_empty() {
            let text = "the network gives the endpoint no address to publish";
            return Err(Refusal::field(field, text));
        }
        for (index, port) in published.iter().enumerate().filter(|(index, _)| wanted(*index)) {
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

/// Which entry each binding stems from. Entries are served in order, one binding of each
/// host address, the most particular ones first: a binding of port 8080 comes from the
/// entry that asks for 8080 though an ephemeral one would fit too.
pub(super) fn origins(bindings: &[PortBinding], published: &[PublishedPort]) -> Vec<Option<usize>> {
    let mut origins: Vec<Option<usize>> = vec![None; bindings.len()];
    let mut entries: Vec<usize> = (0..published.len()).collect();
    entries.sort_by_key(|entry| match published[*entry].host {
        HostPorts::Exactly(_) => 0,
        HostPorts::FirstFreeOf(_) => 1,
        HostPorts::Ephemeral => 2,
    });
    for entry in entries {
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut range = None;
        for (index, binding) in bindings.iter().enumerate() {
            // Of one entry every address has the same ports.
            let same_ports = range.is_none_or(|range| range == binding.host);
            if origins[index].is_none()
                && same_ports
                && !addresses.contains(&binding.host_ip)
                && fits(binding, &published[entry])
            {
                origins[index] = Some(entry);
                range = Some(binding.host);
                addresses.push(binding.host_ip);
            }
        }
    }
    origins
}

/// Which entries of `old` stay, and which of `new` are to be bound afresh: an entry is
/// kept as often as it is in both.
pub(super) fn kept_entries(
    old: &[PublishedPort],
    new: &[PublishedPort],
) -> (Vec<usize>, Vec<usize>) {
    let (mut kept, mut fresh) = (Vec::new(), Vec::new());
    for (index, wanted) in new.iter().enumerate() {
        let same = (0..old.len()).find(|entry| !kept.contains(entry) && old[*entry] == *wanted);
        match same {
            Some(entry) => kept.push(entry),
            None => fresh.push(index),
        }
    }
    (kept, fresh)
}

/// Whether a binding can be what became of an entry.
fn fits(binding: &PortBinding, published: &PublishedPort) -> bool {
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

#[cfg(test)]
mod tests {
    use postern_model::port::{PortRange, Protocol};

    use super::*;

    fn entry(host: HostPorts) -> PublishedPort {
        let container = PortRange::new(80, 80).unwrap();
        PublishedPort {
            protocol: Protocol::Tcp,
            host_ip: None,
            host,
            container,
            allow_from: Vec::new(),
        }
    }

    fn exactly(port: u32) -> PublishedPort {
        entry(HostPorts::Exactly(PortRange::new(port, port).unwrap()))
    }

    fn bound(host_ip: &str, port: u32) -> PortBinding {
        PortBinding {
            protocol: Protocol::Tcp,
            host_ip: host_ip.parse().unwrap(),
            host: PortRange::new(port, port).unwrap(),
            target: "10.0.0.2".parse().unwrap(),
            target_first: 80,
        }
    }

    #[test]
    fn a_particular_entry_has_its_binding_though_an_ephemeral_one_fits() {
        let published = [entry(HostPorts::Ephemeral), exactly(8080)];
        let bindings = [
            bound("0.0.0.0", 40000),
            bound("::", 40000),
            bound("0.0.0.0", 8080),
            bound("::", 8080),
        ];
        assert_eq!(origins(&bindings, &published), [Some(0), Some(0), Some(1), Some(1)]);
    }

    #[test]
    fn equal_entries_have_a_binding_each() {
        let published = [entry(HostPorts::Ephemeral), entry(HostPorts::Ephemeral)];
        let bindings = [bound("0.0.0.0", 40000), bound("0.0.0.0", 40001)];
        assert_eq!(origins(&bindings, &published), [Some(0), Some(1)]);
    }

    #[test]
    fn an_entry_is_kept_as_often_as_it_is_in_both() {
        let ephemeral = || entry(HostPorts::Ephemeral);
        assert_eq!(kept_entries(&[ephemeral(), ephemeral()], &[ephemeral()]), (vec![0], vec![]));
        let three = [ephemeral(), ephemeral(), exactly(80)];
        assert_eq!(kept_entries(&[ephemeral()], &three), (vec![0], vec![1, 2]));
    }
}
