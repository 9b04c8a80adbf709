//! The topology as it would be with one record changed.

use postern_model::endpoint::Endpoint;
use postern_model::id::{EndpointId, SandboxId};
use postern_model::network::Network;
use postern_model::sandbox::Sandbox;
use postern_model::topology::Topology;

/// A topology, seen with one endpoint and one sandbox in the place of those of their ids.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    topology: &'a Topology,
    endpoint: Option<(EndpointId, Option<&'a Endpoint>)>,
    sandbox: Option<&'a Sandbox>,
}

impl<'a> View<'a> {
    /// As it is.
    pub const fn of(topology: &'a Topology) -> Self {
        Self { topology, endpoint: None, sandbox: None }
    }

    /// With an endpoint in this form, or without it.
    #[must_use]
    pub const fn with_endpoint(self, id: EndpointId, form: Option<&'a Endpoint>) -> Self {
        Self { endpoint: Some((id, form)), ..self }
    }

    /// With a sandbox in this form, which may be new.
    #[must_use]
    pub const fn with_sandbox(self, form: &'a Sandbox) -> Self {
        Self { sandbox: Some(form), ..self }
    }

    /// The sandbox of a name.
    pub fn sandbox_named(&self, name: &str) -> Option<&'a Sandbox> {
        match self.sandbox {
            Some(form) if form.name.as_str() == name => Some(form),
            // A name is given once.
            _ => self.topology.find_sandbox(name).filter(|found| found.name.as_str() == name),
        }
    }

    /// The endpoints in a sandbox with their networks, in the order in which they were made.
    pub fn joined(&self, sandbox: SandboxId) -> Vec<(&'a Endpoint, &'a Network)> {
        let (replaced, form) = self.endpoint.unzip();
        let others = self.topology.endpoints_of_sandbox(sandbox);
        let others = others.filter(|endpoint| replaced != Some(endpoint.id));
        let form = form.flatten().filter(|endpoint| endpoint.sandbox() == Some(sandbox));
        let all = others.chain(form);
        let mut joined: Vec<_> = all
            .filter_map(|endpoint| Some((endpoint, self.topology.network(endpoint.network)?)))
            .collect();
        joined.sort_by_key(|(endpoint, _)| endpoint.id);
        joined
    }

    /// A sandbox and those that have a link to it: all that a change of its endpoints
    /// is felt by.
    pub fn touched(&self, sandbox: &'a Sandbox) -> Vec<&'a Sandbox> {
        let linkers = self.topology.linkers(sandbox.name.as_str());
        std::iter::once(sandbox).chain(linkers.filter(|other| other.id != sandbox.id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use postern_model::endpoint::Endpoint;
    use postern_model::network::{Network, Subnet};
    use postern_model::sandbox::{NamespaceSpec, SandboxSpec};
    use postern_model::time::Timestamp;
    use postern_model::topology::{Lease, Put, Topology};

    use crate::fixture;

    fn network(last: u8, gateways: &[&str]) -> Network {
        let subnet = |gateway: &&str| {
            let gateway: IpAddr = gateway.parse().unwrap();
            let subnet = gateway.into();
            Subnet { subnet, range: subnet, gateway: Some(gateway), auxiliary: BTreeMap::new() }
        };
        let subnets = gateways.iter().map(subnet).collect();
        Network { subnets, ..fixture::network(last, &format!("n{last}")) }
    }

    #[test]
    fn gateways_are_known_as_long_as_a_network_has_them() {
        let blue = network(1, &["10.1.0.1", "fd00:1::1"]);
        let red = network(2, &["10.1.0.1"]);
        let mut topology = Topology::default();
        // Once more, as an update puts it.
        for network in [&blue, &red, &blue] {
            topology.put(&Put::Network(network.clone()));
        }
        let known = |topology: &Topology| {
            ["10.1.0.1", "fd00:1::1", "10.1.0.2"].map(|ip| topology.is_gateway(ip.parse().unwrap()))
        };
        assert_eq!(known(&topology), [true, true, false]);
        topology.put(&Put::NetworkGone(blue.id));
        assert_eq!(known(&topology), [true, false, false]);
        topology.put(&Put::NetworkGone(red.id));
        assert_eq!(known(&topology), [false, false, false]);
    }

    #[test]
    fn what_is_put_can_be_taken_back() {
        let now = Timestamp(9);
        let blue = network(1, &["10.1.0.1"]);
        let web = fixture::sandbox(1, "web", SandboxSpec::of(NamespaceSpec::Create));
        let endpoint = fixture::endpoint(2, &blue, &web);
        let address = endpoint.addresses[0].ip();
        let mut topology = Topology::default();
        let held = Put::Lease(blue.id, address, Lease::Held(endpoint.id));
        let all = [
            Put::Network(blue.clone()),
            Put::Sandbox(web.clone()),
            Put::Endpoint(Box::new(endpoint.clone())),
            held.clone(),
        ];
        let gone = vec![
            Put::EndpointGone(endpoint.id),
            Put::Lease(blue.id, address, Lease::Resting(now)),
            Put::SandboxGone(web.id),
            Put::NetworkGone(blue.id),
        ];
        let left = Endpoint { attachment: None, ..endpoint.clone() };
        let records = |of: &Topology| {
            let lease = of.lease(blue.id, address).cloned();
            (of.puts(), lease, of.endpoints_of_sandbox(web.id).count())
        };
        // Of nothing, and of all there is: made, changed and deleted.
        for change in [all.to_vec(), vec![Put::Endpoint(Box::new(left))], gone] {
            let (before, undo) = (records(&topology), topology.inverse(&change, now));
            let mut other = topology.clone();
            change.iter().for_each(|put| other.put(put));
            assert_ne!(records(&other), before);
            undo.iter().for_each(|put| other.put(put));
            let (mut back, before) = (records(&other), before);
            if topology.lease(blue.id, address).is_none() {
                // Somebody may have been told of the address.
                assert_eq!(back.1.take(), Some(Lease::Resting(now)));
            }
            assert_eq!(back, before);
            all.iter().for_each(|put| topology.put(put));
        }
    }
}
