//! The topology as it would be with one record changed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use postern_model::cluster::Remote;
use postern_model::endpoint::Endpoint;
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::network::Network;
use postern_model::sandbox::Sandbox;
use postern_model::topology::Topology;

/// A topology, seen with one endpoint, one sandbox and one endpoint on another host in the
/// place of those of their ids.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    topology: &'a Topology,
    endpoint: Option<(EndpointId, Option<&'a Endpoint>)>,
    sandbox: Option<&'a Sandbox>,
    peer: Option<(EndpointId, Option<&'a Remote>)>,
}

impl<'a> View<'a> {
    /// As it is.
    pub const fn of(topology: &'a Topology) -> Self {
        Self { topology, endpoint: None, sandbox: None, peer: None }
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

    /// With an endpoint on another host in this form, or without it.
    #[must_use]
    pub const fn with_peer(self, id: EndpointId, form: Option<&'a Remote>) -> Self {
        Self { peer: Some((id, form)), ..self }
    }

    /// What is there of the peers that an index has, with the one form in its place.
    fn peers<'v>(
        &'v self,
        indexed: impl Iterator<Item = &'a Remote> + 'v,
        belongs: impl Fn(&Remote) -> bool + 'v,
    ) -> impl Iterator<Item = &'a Remote> + 'v {
        let (replaced, form) = self.peer.unzip();
        let others = indexed.filter(move |remote| replaced != Some(remote.peer.id()));
        others.chain(form.flatten().filter(move |remote| belongs(remote)))
    }

    /// The sandbox of a name. One of this host that is on a network goes before one of
    /// another host, and of several others the oldest: names are given once on each host.
    pub fn sandbox_named(&self, name: &str) -> Option<&'a Sandbox> {
        let here = self.local_named(name);
        if here.is_some_and(|here| !self.joined(here.id).is_empty()) {
            return here;
        }
        let indexed = self.topology.peers().of_sandboxes_named(name);
        let named = |remote: &Remote| remote.peer.sandbox.name.as_str() == name;
        let oldest = self.peers(indexed, named).map(|remote| remote.peer.sandbox.id).min();
        oldest.and_then(|id| self.remote_sandbox(id)).or(here)
    }

    fn local_named(&self, name: &str) -> Option<&'a Sandbox> {
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
        let indexed = self.topology.peers().of_sandbox(sandbox);
        let there = self.peers(indexed, |remote| remote.peer.sandbox.id == sandbox);
        let all = others.chain(form).chain(there.map(|remote| &remote.peer.endpoint));
        let mut joined: Vec<_> = all
            .filter_map(|endpoint| Some((endpoint, self.topology.network(endpoint.network)?)))
            .collect();
        joined.sort_by_key(|(endpoint, _)| endpoint.id);
        joined
    }

    /// Sandboxes of other hosts that have a link to the one of a name.
    pub fn remote_linkers(&self, name: &str) -> Vec<&'a Sandbox> {
        let indexed = self.topology.peers().of_linkers(name);
        let links = |remote: &Remote| {
            let mut links = remote.peer.sandbox.spec.links.iter();
            links.any(|link| link.source.as_str() == name)
        };
        let ids = self.peers(indexed, links).map(|remote| remote.peer.sandbox.id);
        let ids: BTreeSet<SandboxId> = ids.collect();
        ids.into_iter().filter_map(|id| self.remote_sandbox(id)).collect()
    }

    /// A sandbox of another host, as the last of its endpoints to be told of has it.
    pub fn remote_sandbox(&self, id: SandboxId) -> Option<&'a Sandbox> {
        let indexed = self.topology.peers().of_sandbox(id);
        let of = self.peers(indexed, |remote| remote.peer.sandbox.id == id);
        of.map(|remote| &remote.peer.sandbox).max_by_key(|sandbox| sandbox.revision)
    }

    /// Whether a host has an endpoint of a network.
    pub fn has_on(&self, network: NetworkId, host: IpAddr) -> bool {
        let is = |remote: &Remote| remote.peer.network() == network && remote.peer.underlay == host;
        let (replaced, form) = self.peer.unzip();
        let replaced = replaced.and_then(|id| self.topology.peers().get(id)).is_some_and(is);
        let others = self.topology.peers().count_on(network, host) - usize::from(replaced);
        others > 0 || form.flatten().is_some_and(is)
    }

    /// Whether an endpoint is of this host.
    pub fn is_here(&self, id: EndpointId) -> bool {
        match self.endpoint {
            Some((replaced, form)) if replaced == id => form.is_some(),
            _ => self.topology.endpoint(id).is_some(),
        }
    }

    /// A sandbox and those that have a link to it: all that a change of its endpoints
    /// is felt by on this host.
    pub fn touched(&self, sandbox: &'a Sandbox) -> Vec<&'a Sandbox> {
        let linkers = self.topology.linkers(sandbox.name.as_str());
        std::iter::once(sandbox).chain(linkers.filter(|other| other.id != sandbox.id)).collect()
    }
}
