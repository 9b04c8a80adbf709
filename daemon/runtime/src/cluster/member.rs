//! A member, and what it was told last.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use ipnetwork::IpNetwork;
use postern_cluster::ClusterError;
use postern_cluster::block::Block;
use postern_cluster::mirror::Change;
use postern_cluster::session::{Cluster, Notice};
use postern_model::cluster::{Node, NodeId, Peer, SharedNetwork};
use postern_model::decision::NetworkDecision;
use postern_model::endpoint::Endpoint;
use postern_model::event::ObjectKind;
use postern_model::id::{EndpointId, NetworkId};
use postern_model::name::Name;
use postern_model::network::{Network, Subnet};
use postern_model::policy::Policy;
use postern_model::refusal::Refusal;
use postern_model::sandbox::Sandbox;
use postern_model::time::Timestamp;
use postern_server::ClusterFacts;
use tokio::sync::{Notify, mpsc};

use super::News;
use super::place::{JoinError, etcd, node_name, underlay};
use super::refusal::refusal;
use crate::settings::ClusterSettings;

/// This host as one of a cluster.
pub(crate) struct Membership {
    cluster: Cluster,
    name: Name,
    about: Node,
    known: Arc<Known>,
    /// The network of each endpoint that others are told of.
    published: Mutex<HashMap<EndpointId, NetworkId>>,
}

/// What was told last, and not looked at yet.
struct Known {
    contact: Mutex<Contact>,
    news: Mutex<News>,
    wake: Notify,
    /// What of it this host cannot follow, in words.
    unfollowed: Mutex<Vec<String>>,
}

/// Whether etcd is reached.
struct Contact {
    connected: bool,
    /// Why it is not.
    why: String,
    since: Timestamp,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Collects news for whoever looks at them. It waits for nobody: the mirror goes on while
/// what is new of it is being carried out.
async fn collect(mut told: mpsc::Receiver<Notice>, known: Arc<Known>) {
    while let Some(notice) = told.recv().await {
        match notice {
            Notice::Connected => {
                let since = SystemTime::now().into();
                *lock(&known.contact) = Contact { connected: true, why: String::new(), since };
                lock(&known.news).all = true;
            }
            Notice::Changed(changes) => {
                let mut news = lock(&known.news);
                changes.into_iter().for_each(|change| news.add(change));
            }
            Notice::Away { why } => {
                let since = SystemTime::now().into();
                *lock(&known.contact) = Contact { connected: false, why, since };
            }
        }
        known.wake.notify_one();
    }
}

impl Membership {
    /// Checks what can be checked before anything is touched.
    pub(crate) fn check(settings: &ClusterSettings) -> Result<(), JoinError> {
        node_name(settings)?;
        etcd(settings).map(drop)
    }

    /// The address by which others reach this host.
    pub(crate) fn underlay_of(settings: &ClusterSettings) -> Result<IpAddr, JoinError> {
        underlay(settings)
    }

    /// Joins, now or whenever etcd is reached: where it is not, nothing waits for it. Must be
    /// called within a tokio runtime. `underlay` is the address by which others reach this
    /// host, with the MTU there.
    pub(crate) fn join(
        settings: &ClusterSettings,
        identity: u64,
        (underlay, mtu): (IpAddr, Option<u32>),
    ) -> Result<Self, JoinError> {
        let about = Node {
            name: node_name(settings)?,
            underlay,
            mtu: mtu.ok_or(JoinError::NoLink(underlay))?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let etcd = etcd(settings)?.with_vnis(settings.vnis);
        let (cluster, told) =
            Cluster::join(etcd, NodeId::new(identity), &about).map_err(JoinError::Cluster)?;
        let contact = Contact {
            connected: false,
            why: "not reached yet".to_owned(),
            since: SystemTime::now().into(),
        };
        let known = Arc::new(Known {
            contact: Mutex::new(contact),
            news: Mutex::default(),
            wake: Notify::new(),
            unfollowed: Mutex::default(),
        });
        tokio::spawn(collect(told, Arc::clone(&known)));
        let published = Mutex::default();
        Ok(Self { cluster, name: settings.name.clone(), about, known, published })
    }

    /// What is known of it.
    pub(crate) fn facts(&self) -> ClusterFacts {
        let mirror = self.cluster.mirror();
        let nodes = mirror.nodes().iter().map(|(id, node)| (*id, node.clone())).collect();
        let unreadable = mirror.unreadable().len();
        drop(mirror);
        let contact = lock(&self.known.contact);
        ClusterFacts {
            name: self.name.clone(),
            own: self.cluster.node(),
            connected: contact.connected,
            why: contact.why.clone(),
            since: contact.since,
            nodes,
            unreadable,
            unfollowed: lock(&self.known.unfollowed).clone(),
        }
    }

    /// Notes what cannot be followed, for whoever looks.
    pub(crate) fn note_unfollowed(&self, unfollowed: Vec<String>) {
        *lock(&self.known.unfollowed) = unfollowed;
    }

    /// This host.
    pub(crate) fn node(&self) -> NodeId {
        self.cluster.node()
    }

    /// What it says of itself.
    pub(crate) const fn about(&self) -> &Node {
        &self.about
    }

    /// Whether what needs agreement can be begun.
    pub(crate) fn check_reached(&self) -> Result<(), Refusal> {
        self.cluster.check().map_err(|error| refusal(&error))
    }

    /// Waits for news, and takes them.
    pub(crate) async fn next(&self) -> News {
        self.known.wake.notified().await;
        std::mem::take(&mut *lock(&self.known.news))
    }

    /// A network as the cluster has it.
    pub(crate) fn network(&self, id: NetworkId) -> Option<SharedNetwork> {
        self.cluster.mirror().networks().get(&id).cloned()
    }

    /// Every network of the cluster.
    pub(crate) fn networks(&self) -> Vec<SharedNetwork> {
        self.cluster.mirror().networks().values().cloned().collect()
    }

    /// An endpoint of another host.
    pub(crate) fn peer(&self, network: NetworkId, id: EndpointId) -> Option<Peer> {
        let mirror = self.cluster.mirror();
        mirror.endpoint(network, id).filter(|peer| peer.node != self.node()).cloned()
    }

    /// The endpoints of other hosts on a network.
    pub(crate) fn peers_of(&self, network: NetworkId) -> Vec<EndpointId> {
        let mirror = self.cluster.mirror();
        let of_others = mirror.endpoints_of(network).filter(|peer| peer.node != self.node());
        of_others.map(Peer::id).collect()
    }

    /// The blocks of a network that are this host's.
    pub(crate) fn own_blocks(&self, network: NetworkId) -> Vec<IpNetwork> {
        let mirror = self.cluster.mirror();
        mirror.blocks_of(network, self.node()).map(|block| block.prefix()).collect()
    }

    /// A policy as the cluster has it.
    pub(crate) fn policy(&self, name: &Name) -> Option<Policy> {
        self.cluster.mirror().policies().get(name).cloned()
    }

    /// The names of the cluster's policies.
    pub(crate) fn policy_names(&self) -> Vec<Name> {
        self.cluster.mirror().policies().keys().cloned().collect()
    }

    /// The addresses of hosts in the underlay.
    pub(crate) fn underlays(&self) -> Vec<IpAddr> {
        let mirror = self.cluster.mirror();
        let others = mirror.nodes().values().map(|node| node.underlay);
        others.chain([self.about.underlay]).collect()
    }

    /// Bytes that a frame of a network has between hosts: what is left of the smallest MTU
    /// in the underlay (RFC 7348 §4.3: 50 bytes of headers by IPv4, 70 by IPv6).
    pub(crate) fn mtu(&self) -> u32 {
        let mirror = self.cluster.mirror();
        let others = mirror.nodes().values().map(|node| node.mtu);
        let least = others.chain([self.about.mtu]).min().unwrap_or(self.about.mtu);
        least.saturating_sub(if self.about.underlay.is_ipv4() { 50 } else { 70 })
    }

    /// Has an endpoint of this host told to the others, now or whenever etcd is reached.
    pub(crate) fn publish(&self, endpoint: Endpoint, sandbox: Sandbox) {
        let Node { name, underlay, .. } = self.about.clone();
        let peer = Peer { node: self.node(), host: name, underlay, endpoint, sandbox };
        lock(&self.published).insert(peer.id(), peer.network());
        if let Err(error) = self.cluster.publish(&peer) {
            tracing::error!(%error, endpoint = %peer.id(), "an endpoint is not told to others");
        }
    }

    /// Takes an endpoint back, if others were told of it.
    pub(crate) fn retract(&self, id: EndpointId) {
        if let Some(network) = lock(&self.published).remove(&id) {
            self.cluster.retract(network, id);
        }
    }

    /// Has a network be the cluster's.
    pub(crate) async fn claim_network(&self, network: &Network) -> Result<SharedNetwork, Refusal> {
        let claimed = self.cluster.claim_network(shared_form(network)).await;
        claimed.map_err(of_network(network))
    }

    /// Changes a network for all hosts.
    pub(crate) async fn change_network(&self, network: &Network) -> Result<(), Refusal> {
        let Some(from) = self.network(network.id) else {
            return Err(of_network(network)(ClusterError::Changed(network.id)));
        };
        let to = SharedNetwork { network: shared_form(network), ..from.clone() };
        let changed = self.cluster.change_network(&from, &to).await;
        changed.map_err(of_network(network))
    }

    /// Has a network be nobody's any more.
    pub(crate) async fn release_network(&self, network: &Network) -> Result<(), Refusal> {
        let Some(vni) = network.vni else { return Ok(()) };
        let shared =
            SharedNetwork { network: shared_form(network), vni, origin: self.cluster.node() };
        let released = self.cluster.release_network(&shared).await;
        released.map_err(of_network(network))
    }

    /// Takes a block of a network's subnet, that of an address if one is wanted.
    pub(crate) async fn take_block(
        &self,
        network: &Network,
        subnet: &Subnet,
        wanted: Option<IpAddr>,
    ) -> Result<IpNetwork, Refusal> {
        let block = wanted.and_then(|address| Block::of(subnet.subnet, address));
        let place = (subnet.subnet, subnet.range);
        let taken = self.cluster.take_block(network.id, place, block).await;
        let taken = taken.map_err(|error| match (&error, wanted) {
            (ClusterError::BlockTaken { .. }, Some(address)) => {
                let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
                refusal(&error).at(format!("spec.{family}_address"))
            }
            _ => refusal(&error),
        });
        taken.map(|block| block.prefix())
    }

    /// Puts a policy in the place of the one that the cluster has, if it has one.
    pub(crate) async fn put_policy(&self, policy: &Policy) -> Result<(), Refusal> {
        let from = self.policy(&policy.name);
        let to = Policy { revision: 0, shared: true, ..policy.clone() };
        self.cluster.put_policy(from.as_ref(), &to).await.map_err(|error| refusal(&error))
    }

    /// Deletes a policy for all hosts. That it is gone already is no error.
    pub(crate) async fn delete_policy(&self, name: &Name) -> Result<(), Refusal> {
        match self.policy(name) {
            Some(policy) => {
                self.cluster.delete_policy(&policy).await.map_err(|error| refusal(&error))
            }
            None => self.cluster.check().map_err(|error| refusal(&error)),
        }
    }
}

impl News {
    fn add(&mut self, change: Change) {
        match change {
            Change::Node(..) | Change::NodeGone(_) | Change::BlockGone(..) => {}
            Change::Network(shared) => drop(self.networks.insert(shared.network.id)),
            Change::NetworkGone(id) | Change::Block(id, ..) => drop(self.networks.insert(id)),
            Change::Endpoint(peer) => drop(self.endpoints.insert((peer.network(), peer.id()))),
            Change::EndpointGone(network, id) => drop(self.endpoints.insert((network, id))),
            Change::Policy(policy) => drop(self.policies.insert(policy.name)),
            Change::PolicyGone(name) => drop(self.policies.insert(name)),
        }
    }
}

/// A network without what each host decides for itself.
fn shared_form(network: &Network) -> Network {
    Network {
        revision: 0,
        decision: NetworkDecision::default(),
        driver_digest: String::new(),
        vni: None,
        blocks: Vec::new(),
        ..network.clone()
    }
}

fn of_network(network: &Network) -> impl FnOnce(ClusterError) -> Refusal {
    let name = network.name.to_string();
    move |error| refusal(&error).about(ObjectKind::Network, name)
}
