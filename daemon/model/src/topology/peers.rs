//! Endpoints on other hosts, with their indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::cluster::Remote;
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::sandbox::Sandbox;

/// Every endpoint on another host that this one knows of.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    all: BTreeMap<EndpointId, Remote>,
    by_network: HashMap<NetworkId, BTreeSet<EndpointId>>,
    by_sandbox: HashMap<SandboxId, BTreeSet<EndpointId>>,
    /// How many of a network are on the host at an address of the underlay.
    hosts: HashMap<(NetworkId, IpAddr), usize>,
    by_address: HashMap<(NetworkId, IpAddr), EndpointId>,
    /// By the sandbox's name: on different hosts several may have it.
    by_name: HashMap<String, BTreeSet<EndpointId>>,
    /// By the name that its sandbox has a link to.
    linkers: HashMap<String, BTreeSet<EndpointId>>,
}

impl Peers {
    pub(super) fn put(&mut self, remote: &Remote) {
        let id = remote.peer.id();
        self.forget(id);
        let sandbox = &remote.peer.sandbox;
        self.by_network.entry(remote.peer.network()).or_default().insert(id);
        *self.hosts.entry((remote.peer.network(), remote.peer.underlay)).or_default() += 1;
        for address in &remote.peer.endpoint.addresses {
            self.by_address.insert((remote.peer.network(), address.ip()), id);
        }
        self.by_sandbox.entry(sandbox.id).or_default().insert(id);
        self.by_name.entry(sandbox.name.to_string()).or_default().insert(id);
        for link in &sandbox.spec.links {
            self.linkers.entry(link.source.to_string()).or_default().insert(id);
        }
        self.all.insert(id, remote.clone());
    }

    pub(super) fn forget(&mut self, id: EndpointId) {
        let Some(remote) = self.all.remove(&id) else { return };
        let sandbox = &remote.peer.sandbox;
        take(self.by_network.get_mut(&remote.peer.network()), id);
        let host = (remote.peer.network(), remote.peer.underlay);
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
        for address in &remote.peer.endpoint.addresses {
            let key = (remote.peer.network(), address.ip());
            if self.by_address.get(&key) == Some(&id) {
                self.by_address.remove(&key);
            }
        }
        take(self.by_sandbox.get_mut(&sandbox.id), id);
        take(self.by_name.get_mut(sandbox.name.as_str()), id);
        for link in &sandbox.spec.links {
            take(self.linkers.get_mut(link.source.as_str()), id);
        }
        self.sweep(&remote);
    }

    /// Leaves no trace of what has none left.
    fn sweep(&mut self, gone: &Remote) {
        let sandbox = &gone.peer.sandbox;
        sweep(&mut self.by_network, &gone.peer.network());
        sweep(&mut self.by_sandbox, &sandbox.id);
        sweep(&mut self.by_name, &sandbox.name.to_string());
        for link in &sandbox.spec.links {
            sweep(&mut self.linkers, &link.source.to_string());
        }
    }

    /// One of them.
    pub fn get(&self, id: EndpointId) -> Option<&Remote> {
        self.all.get(&id)
    }

    /// All of them, in the order of ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Remote> {
        self.all.values()
    }

    fn of<'a>(
        &'a self,
        ids: Option<&'a BTreeSet<EndpointId>>,
    ) -> impl Iterator<Item = &'a Remote> + use<'a> {
        ids.into_iter().flatten().filter_map(|id| self.all.get(id))
    }

    /// Those on a network.
    pub fn of_network(&self, id: NetworkId) -> impl Iterator<Item = &Remote> {
        self.of(self.by_network.get(&id))
    }

    /// How many there are on a network.
    pub fn count(&self, network: NetworkId) -> usize {
        self.by_network.get(&network).map_or(0, BTreeSet::len)
    }

    /// Which one has an address of a network.
    pub fn at(&self, network: NetworkId, address: IpAddr) -> Option<&Remote> {
        self.by_address.get(&(network, address)).and_then(|id| self.all.get(id))
    }

    /// How many endpoints of a network a host has.
    pub fn count_on(&self, network: NetworkId, host: IpAddr) -> usize {
        self.hosts.get(&(network, host)).copied().unwrap_or_default()
    }

    /// Those in a sandbox.
    pub fn of_sandbox(&self, id: SandboxId) -> impl Iterator<Item = &Remote> {
        self.of(self.by_sandbox.get(&id))
    }

    /// Those in the sandboxes of a name.
    pub fn of_sandboxes_named(&self, name: &str) -> impl Iterator<Item = &Remote> {
        self.of(self.by_name.get(name))
    }

    /// Those in sandboxes that have a link to the one of this name.
    pub fn of_linkers(&self, source: &str) -> impl Iterator<Item = &Remote> {
        self.of(self.linkers.get(source))
    }

    /// A sandbox on another host: as the last of its endpoints to be told of has it.
    pub fn sandbox(&self, id: SandboxId) -> Option<&Sandbox> {
        let sandboxes = self.of_sandbox(id).map(|remote| &remote.peer.sandbox);
        sandboxes.max_by_key(|sandbox| sandbox.revision)
    }
}

fn take(ids: Option<&mut BTreeSet<EndpointId>>, id: EndpointId) {
    if let Some(ids) = ids {
        ids.remove(&id);
    }
}

fn sweep<K: Eq + std::hash::Hash>(index: &mut HashMap<K, BTreeSet<EndpointId>>, key: &K) {
    if index.get(key).is_some_and(BTreeSet::is_empty) {
        index.remove(key);
    }
}
