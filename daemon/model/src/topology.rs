//! All records with their indexes, and the [`Change`] that moves them on.
//!
//! A change is applied here and written to the store from the same data, here first; one
//! that the disk refuses is taken back by its inverse.

mod inverse;
mod peers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cluster::Remote;
use crate::driver::Driver;
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::id::{EndpointId, NetworkId, PolicyId, SandboxId};
use crate::name::{IfName, Labels, Name};
use crate::network::Network;
use crate::policy::Policy;
use crate::reference::References;
use crate::sandbox::Sandbox;
use crate::time::Timestamp;

pub use peers::Peers;

/// The label that every network and endpoint has beside its own: its name.
pub const NAME_LABEL: &str = "postern.io/name";
/// The label that a joined endpoint has beside its own: its sandbox's name.
pub const SANDBOX_LABEL: &str = "postern.io/sandbox";

/// An address of a network that is not free: an endpoint has it, or it rests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lease {
    /// An endpoint has it.
    Held(EndpointId),
    /// Nobody has it since then; it is not offered again at once.
    Resting(Timestamp),
}

/// The outcome of a request with a `request_id`, kept for retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The client's id.
    pub id: String,
    /// A hash of method and request, to tell a retry from a mistake.
    pub digest: u64,
    /// The generation the request made.
    pub generation: u64,
    /// uid of the object it made or changed.
    pub uid: String,
}

/// One record put or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// A network is made or changed.
    Network(Network),
    /// A network is gone, and its leases with it.
    NetworkGone(NetworkId),
    /// A sandbox is made or changed.
    Sandbox(Sandbox),
    /// A sandbox is gone.
    SandboxGone(SandboxId),
    /// An endpoint is made or changed.
    Endpoint(Box<Endpoint>),
    /// An endpoint is gone.
    EndpointGone(EndpointId),
    /// An endpoint on another host is there, or is changed.
    Peer(Box<Remote>),
    /// An endpoint on another host is gone.
    PeerGone(EndpointId),
    /// A policy is made or changed.
    Policy(Box<Policy>),
    /// A policy is gone.
    PolicyGone(PolicyId),
    /// A driver is installed or changed.
    Driver(Box<Driver>),
    /// A driver is removed.
    DriverGone(Name),
    /// An address is taken or begins to rest.
    Lease(NetworkId, IpAddr, Lease),
    /// An address has rested.
    LeaseGone(NetworkId, IpAddr),
    /// The change of this generation was withdrawn before anybody was told of it.
    EventGone(u64),
    /// The request of this id came to nothing; a retry is a new one.
    RequestGone(String),
}

/// What one mutation does to the records: all of it, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The generation it makes; with several events, the last one's.
    pub generation: u64,
    /// Records put and removed, in order.
    pub puts: Vec<Put>,
    /// What watchers are told, in order, the last one of this generation; none for a
    /// withdrawal, which nobody was told of.
    pub events: Vec<Event>,
    /// The request, if it had an id.
    pub request: Option<RequestRecord>,
}

/// All records.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    generation: u64,
    networks: BTreeMap<NetworkId, Network>,
    sandboxes: BTreeMap<SandboxId, Sandbox>,
    endpoints: BTreeMap<EndpointId, Endpoint>,
    peers: Peers,
    policies: BTreeMap<PolicyId, Policy>,
    drivers: BTreeMap<Name, Driver>,
    leases: BTreeMap<NetworkId, BTreeMap<IpAddr, Lease>>,
    network_references: References<NetworkId>,
    sandbox_references: References<SandboxId>,
    endpoint_references: References<EndpointId>,
    policy_references: References<PolicyId>,
    by_network: BTreeMap<NetworkId, BTreeSet<EndpointId>>,
    by_sandbox: BTreeMap<SandboxId, BTreeSet<EndpointId>>,
    /// Which endpoints have a macvlan on a link of the host.
    by_parent: BTreeMap<IfName, BTreeSet<EndpointId>>,
    /// Which networks have a gateway's address.
    by_gateway: BTreeMap<IpAddr, BTreeSet<NetworkId>>,
    /// Which sandboxes have a link to the one of a name.
    linkers: HashMap<String, BTreeSet<SandboxId>>,
}

/// The link of the host that an endpoint's macvlan is on.
fn parent(endpoint: &Endpoint) -> Option<&IfName> {
    endpoint.attachment.as_ref()?.decision.macvlan().map(|(_, parent, _)| parent)
}

impl Topology {
    /// The generation of the last change.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Applies a change.
    pub fn apply(&mut self, change: &Change) {
        self.generation = self.generation.max(change.generation);
        for put in &change.puts {
            self.put(put);
        }
    }

    /// Applies one record, as [`Topology::apply`] and a load from disk do.
    pub fn put(&mut self, put: &Put) {
        match put {
            Put::Network(network) => {
                self.network_references.add(network.name.as_str(), network.id.short(), network.id);
                // A network keeps its subnets for life.
                for gateway in network.gateways() {
                    self.by_gateway.entry(gateway).or_default().insert(network.id);
                }
                self.networks.insert(network.id, network.clone());
            }
            Put::NetworkGone(id) => {
                if let Some(network) = self.networks.remove(id) {
                    for gateway in network.gateways() {
                        if let Some(ids) = self.by_gateway.get_mut(&gateway) {
                            ids.remove(id);
                            if ids.is_empty() {
                                self.by_gateway.remove(&gateway);
                            }
                        }
                    }
                    self.network_references.remove(
                        network.name.as_str(),
                        &network.id.short(),
                        network.id,
                    );
                }
                self.by_network.remove(id);
                self.leases.remove(id);
            }
            Put::Sandbox(sandbox) => {
                self.forget_sandbox(sandbox.id);
                self.sandbox_references.add(sandbox.name.as_str(), sandbox.id.short(), sandbox.id);
                for link in &sandbox.spec.links {
                    self.linkers.entry(link.source.to_string()).or_default().insert(sandbox.id);
                }
                self.sandboxes.insert(sandbox.id, sandbox.clone());
            }
            Put::SandboxGone(id) => {
                self.forget_sandbox(*id);
                self.by_sandbox.remove(id);
            }
            Put::Endpoint(endpoint) => {
                self.unlink(endpoint.id);
                self.endpoint_references.add(
                    endpoint.name.as_str(),
                    endpoint.id.short(),
                    endpoint.id,
                );
                self.by_network.entry(endpoint.network).or_default().insert(endpoint.id);
                if let Some(sandbox) = endpoint.sandbox() {
                    self.by_sandbox.entry(sandbox).or_default().insert(endpoint.id);
                }
                if let Some(parent) = parent(endpoint) {
                    self.by_parent.entry(parent.clone()).or_default().insert(endpoint.id);
                }
                self.endpoints.insert(endpoint.id, Endpoint::clone(endpoint));
            }
            Put::EndpointGone(id) => self.unlink(*id),
            Put::Peer(remote) => self.peers.put(remote),
            Put::PeerGone(id) => self.peers.forget(*id),
            Put::Policy(policy) => {
                self.policy_references.add(policy.name.as_str(), policy.id.short(), policy.id);
                self.policies.insert(policy.id, Policy::clone(policy));
            }
            Put::PolicyGone(id) => {
                if let Some(policy) = self.policies.remove(id) {
                    self.policy_references.remove(policy.name.as_str(), &id.short(), *id);
                }
            }
            Put::Driver(driver) => {
                self.drivers.insert(driver.name.clone(), Driver::clone(driver));
            }
            Put::DriverGone(name) => drop(self.drivers.remove(name)),
            Put::Lease(network, address, lease) => {
                self.leases.entry(*network).or_default().insert(*address, lease.clone());
            }
            Put::LeaseGone(network, address) => {
                if let Some(leases) = self.leases.get_mut(network) {
                    leases.remove(address);
                }
            }
            Put::EventGone(_) | Put::RequestGone(_) => {}
        }
    }

    /// The records that make an empty topology this one, but for the leases.
    pub fn puts(&self) -> Vec<Put> {
        let networks = self.networks.values().cloned().map(Put::Network);
        let sandboxes = self.sandboxes.values().cloned().map(Put::Sandbox);
        let endpoints = self.endpoints.values().cloned().map(Box::new).map(Put::Endpoint);
        let policies = self.policies.values().cloned().map(Box::new).map(Put::Policy);
        let drivers = self.drivers.values().cloned().map(Box::new).map(Put::Driver);
        let peers = self.peers.iter().cloned().map(Box::new).map(Put::Peer);
        let ends = networks.chain(sandboxes).chain(endpoints).chain(peers);
        ends.chain(policies).chain(drivers).collect()
    }

    fn forget_sandbox(&mut self, id: SandboxId) {
        let Some(sandbox) = self.sandboxes.remove(&id) else { return };
        self.sandbox_references.remove(sandbox.name.as_str(), &sandbox.id.short(), sandbox.id);
        for link in &sandbox.spec.links {
            if let Some(ids) = self.linkers.get_mut(link.source.as_str()) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.linkers.remove(link.source.as_str());
                }
            }
        }
    }

    fn unlink(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.remove(&id) else { return };
        self.endpoint_references.remove(endpoint.name.as_str(), &endpoint.id.short(), endpoint.id);
        if let Some(ids) = self.by_network.get_mut(&endpoint.network) {
            ids.remove(&id);
        }
        if let Some(sandbox) = endpoint.sandbox()
            && let Some(ids) = self.by_sandbox.get_mut(&sandbox)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_sandbox.remove(&sandbox);
            }
        }
        if let Some(parent) = parent(&endpoint)
            && let Some(ids) = self.by_parent.get_mut(parent)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_parent.remove(parent);
            }
        }
    }

    /// Sets the generation when a topology is loaded.
    pub const fn set_generation(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// The network of this name, uid or short id.
    pub fn find_network(&self, reference: &str) -> Option<&Network> {
        self.network_references.find(reference).and_then(|id| self.networks.get(&id))
    }

    /// The sandbox of this name, uid or short id.
    pub fn find_sandbox(&self, reference: &str) -> Option<&Sandbox> {
        self.sandbox_references.find(reference).and_then(|id| self.sandboxes.get(&id))
    }

    /// The endpoint of this name, uid or short id.
    pub fn find_endpoint(&self, reference: &str) -> Option<&Endpoint> {
        self.endpoint_references.find(reference).and_then(|id| self.endpoints.get(&id))
    }

    /// The policy of this name, uid or short id.
    pub fn find_policy(&self, reference: &str) -> Option<&Policy> {
        self.policy_references.find(reference).and_then(|id| self.policies.get(&id))
    }

    /// A policy.
    pub fn policy(&self, id: PolicyId) -> Option<&Policy> {
        self.policies.get(&id)
    }

    /// Every policy, in the order of ids.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// The installed driver of a name.
    pub fn driver(&self, name: &str) -> Option<&Driver> {
        self.drivers.get(name)
    }

    /// Every installed driver, by name.
    pub fn drivers(&self) -> impl Iterator<Item = &Driver> {
        self.drivers.values()
    }

    /// The labels by which rules know a network: its own, and [`NAME_LABEL`].
    pub fn labels_of_network(network: &Network) -> Labels {
        let mut labels: Labels = [(NAME_LABEL.to_owned(), network.name.to_string())].into();
        labels.extend(network.spec.labels.clone());
        labels
    }

    /// The labels by which rules know an endpoint: its sandbox's and its own, which win,
    /// [`NAME_LABEL`], and [`SANDBOX_LABEL`] while it is joined.
    pub fn labels_of(&self, endpoint: &Endpoint) -> Labels {
        let mut labels: Labels = [(NAME_LABEL.to_owned(), endpoint.name.to_string())].into();
        if let Some(sandbox) = endpoint.sandbox().and_then(|id| self.any_sandbox(id)) {
            labels.insert(SANDBOX_LABEL.to_owned(), sandbox.name.to_string());
            labels.extend(sandbox.spec.labels.clone());
        }
        labels.extend(endpoint.spec.labels.clone());
        labels
    }

    /// A network.
    pub fn network(&self, id: NetworkId) -> Option<&Network> {
        self.networks.get(&id)
    }

    /// A sandbox.
    pub fn sandbox(&self, id: SandboxId) -> Option<&Sandbox> {
        self.sandboxes.get(&id)
    }

    /// An endpoint.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id)
    }

    /// The endpoints on other hosts.
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// An endpoint, of whatever host.
    pub fn any_endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoint(id).or_else(|| self.peers.get(id).map(|remote| &remote.peer.endpoint))
    }

    /// A sandbox, of whatever host.
    pub fn any_sandbox(&self, id: SandboxId) -> Option<&Sandbox> {
        self.sandbox(id).or_else(|| self.peers.sandbox(id))
    }

    /// Every network.
    pub fn networks(&self) -> impl ExactSizeIterator<Item = &Network> {
        self.networks.values()
    }

    /// Every sandbox.
    pub fn sandboxes(&self) -> impl ExactSizeIterator<Item = &Sandbox> {
        self.sandboxes.values()
    }

    /// Every endpoint.
    pub fn endpoints(&self) -> impl ExactSizeIterator<Item = &Endpoint> {
        self.endpoints.values()
    }

    /// The endpoints of a network.
    pub fn endpoints_of_network(&self, id: NetworkId) -> impl Iterator<Item = &Endpoint> {
        let ids = self.by_network.get(&id).into_iter().flatten();
        ids.filter_map(|id| self.endpoints.get(id))
    }

    /// How many endpoints a network has.
    pub fn endpoint_count(&self, id: NetworkId) -> usize {
        self.by_network.get(&id).map_or(0, BTreeSet::len)
    }

    /// The endpoints in a sandbox.
    pub fn endpoints_of_sandbox(&self, id: SandboxId) -> impl Iterator<Item = &Endpoint> {
        let ids = self.by_sandbox.get(&id).into_iter().flatten();
        ids.filter_map(|id| self.endpoints.get(id))
    }

    /// The endpoints that have a macvlan on this link of the host.
    pub fn endpoints_on(&self, parent: &IfName) -> impl Iterator<Item = &Endpoint> {
        let ids = self.by_parent.get(parent).into_iter().flatten();
        ids.filter_map(|id| self.endpoints.get(id))
    }

    /// Whether this is the address of a network's gateway.
    pub fn is_gateway(&self, address: IpAddr) -> bool {
        self.by_gateway.contains_key(&address)
    }

    /// The sandboxes that have a link to the one of this name, whether it exists or not.
    pub fn linkers(&self, source: &str) -> impl Iterator<Item = &Sandbox> {
        let ids = self.linkers.get(source).into_iter().flatten();
        ids.filter_map(|id| self.sandboxes.get(id))
    }

    /// The lease of an address.
    pub fn lease(&self, network: NetworkId, address: IpAddr) -> Option<&Lease> {
        self.leases.get(&network)?.get(&address)
    }

    /// Every lease of a network, by address.
    pub fn leases(&self, network: NetworkId) -> impl Iterator<Item = (IpAddr, &Lease)> {
        let leases = self.leases.get(&network).into_iter().flatten();
        leases.map(|(address, lease)| (*address, lease))
    }
}
