//! What etcd holds, as far as it can be read, and what changes of it.

use std::collections::{BTreeMap, BTreeSet};

use postern_model::cluster::{Node, NodeId, Peer, SharedNetwork};
use postern_model::id::{EndpointId, NetworkId};
use postern_model::name::Name;
use postern_model::policy::Policy;

use crate::block::Block;
use crate::layout::{Key, Layout};
use crate::record::decode;

/// What is different from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A host came or says something else of itself.
    Node(NodeId, Node),
    /// A host left, or its lease ended.
    NodeGone(NodeId),
    /// A network was made or changed.
    Network(Box<SharedNetwork>),
    /// A network was deleted.
    NetworkGone(NetworkId),
    /// A host took a block.
    Block(NetworkId, Block, NodeId),
    /// A block is nobody's any more.
    BlockGone(NetworkId, Block),
    /// An endpoint came or changed.
    Endpoint(Box<Peer>),
    /// An endpoint left, or its host did.
    EndpointGone(NetworkId, EndpointId),
    /// A policy was made or changed.
    Policy(Box<Policy>),
    /// A policy was deleted.
    PolicyGone(Name),
}

/// What etcd held when it was last heard of.
#[derive(Debug, Clone)]
pub struct Mirror {
    layout: Layout,
    nodes: BTreeMap<NodeId, Node>,
    networks: BTreeMap<NetworkId, SharedNetwork>,
    blocks: BTreeMap<(NetworkId, Block), NodeId>,
    endpoints: BTreeMap<NetworkId, BTreeMap<EndpointId, Peer>>,
    policies: BTreeMap<Name, Policy>,
    unreadable: BTreeSet<Vec<u8>>,
}

impl Mirror {
    /// Of an etcd that nothing is known of yet.
    pub const fn new(layout: Layout) -> Self {
        Self {
            layout,
            nodes: BTreeMap::new(),
            networks: BTreeMap::new(),
            blocks: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            policies: BTreeMap::new(),
            unreadable: BTreeSet::new(),
        }
    }

    /// The hosts whose leases last.
    pub const fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// The networks.
    pub const fn networks(&self) -> &BTreeMap<NetworkId, SharedNetwork> {
        &self.networks
    }

    /// Which host has which block.
    pub const fn blocks(&self) -> &BTreeMap<(NetworkId, Block), NodeId> {
        &self.blocks
    }

    /// The endpoints of every host.
    pub fn endpoints(&self) -> impl Iterator<Item = &Peer> {
        self.endpoints.values().flat_map(BTreeMap::values)
    }

    /// One of them.
    pub fn endpoint(&self, network: NetworkId, id: EndpointId) -> Option<&Peer> {
        self.endpoints.get(&network)?.get(&id)
    }

    /// Those of a network.
    pub fn endpoints_of(&self, network: NetworkId) -> impl Iterator<Item = &Peer> {
        self.endpoints.get(&network).into_iter().flat_map(BTreeMap::values)
    }

    /// The blocks of a network that a host has.
    pub fn blocks_of(&self, network: NetworkId, node: NodeId) -> impl Iterator<Item = Block> {
        let of = move |((of, block), owner): (&(NetworkId, Block), &NodeId)| {
            (*of == network && *owner == node).then_some(*block)
        };
        self.blocks.iter().filter_map(of)
    }

    /// The policies, by name.
    pub const fn policies(&self) -> &BTreeMap<Name, Policy> {
        &self.policies
    }

    /// Keys that are not ours to understand, or whose values are not.
    pub const fn unreadable(&self) -> &BTreeSet<Vec<u8>> {
        &self.unreadable
    }

    /// Takes a key's value; none if that changes nothing. One that cannot be read is as if it
    /// were not there: nobody is let in by what nobody understands.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Option<Change> {
        let Some(found) = self.layout.decode(key) else {
            self.unreadable.insert(key.to_vec());
            return None;
        };
        match self.read(&found, value) {
            Some(read) => {
                self.unreadable.remove(key);
                read
            }
            None => {
                self.unreadable.insert(key.to_vec());
                self.forget(&found)
            }
        }
    }

    /// Takes it that a key is gone; none if that changes nothing.
    pub fn delete(&mut self, key: &[u8]) -> Option<Change> {
        self.unreadable.remove(key);
        let found = self.layout.decode(key)?;
        self.forget(&found)
    }

    /// Follows a change that another mirror has told, as a listener does that was given a copy.
    pub fn follow(&mut self, change: &Change) {
        match change.clone() {
            Change::Node(id, node) => drop(self.nodes.insert(id, node)),
            Change::NodeGone(id) => drop(self.nodes.remove(&id)),
            Change::Network(shared) => drop(self.networks.insert(shared.network.id, *shared)),
            Change::NetworkGone(id) => drop(self.networks.remove(&id)),
            Change::Block(network, block, node) => {
                self.blocks.insert((network, block), node);
            }
            Change::BlockGone(network, block) => drop(self.blocks.remove(&(network, block))),
            Change::Endpoint(peer) => {
                self.endpoints.entry(peer.network()).or_default().insert(peer.id(), *peer);
            }
            Change::EndpointGone(network, id) => drop(self.remove(network, id)),
            Change::Policy(policy) => drop(self.policies.insert(policy.name.clone(), *policy)),
            Change::PolicyGone(name) => drop(self.policies.remove(&name)),
        }
    }

    /// Takes a listing of everything in the place of what was known.
    pub fn replace(&mut self, all: &[(Vec<u8>, Vec<u8>)]) -> Vec<Change> {
        let there: BTreeSet<&[u8]> = all.iter().map(|(key, _)| key.as_slice()).collect();
        let gone: Vec<String> = self
            .keys()
            .map(|key| self.layout.encode(&key))
            .filter(|key| !there.contains(key.as_bytes()))
            .collect();
        self.unreadable.retain(|key| there.contains(key.as_slice()));
        // What goes first: an address may have another owner by now.
        let mut changes: Vec<Change> =
            gone.iter().filter_map(|key| self.delete(key.as_bytes())).collect();
        changes.extend(all.iter().filter_map(|(key, value)| self.put(key, value)));
        changes
    }

    /// Every key that changes something when it goes.
    fn keys(&self) -> impl Iterator<Item = Key> {
        let nodes = self.nodes.keys().map(|id| Key::Node(*id));
        let networks = self.networks.keys().map(|id| Key::Network(*id));
        let blocks = self.blocks.keys().map(|(network, block)| Key::Block(*network, *block));
        let endpoints = self.endpoints().map(|peer| Key::Endpoint(peer.network(), peer.id()));
        let policies = self.policies.keys().cloned().map(Key::Policy);
        endpoints.chain(blocks).chain(networks).chain(policies).chain(nodes)
    }

    /// The outer none: it cannot be read, or contradicts its key.
    fn read(&mut self, key: &Key, value: &[u8]) -> Option<Option<Change>> {
        Some(match key {
            Key::Node(id) => {
                let node: Node = decode(value).ok()?;
                let news = self.nodes.insert(*id, node.clone()).as_ref() != Some(&node);
                news.then_some(Change::Node(*id, node))
            }
            Key::Network(id) => {
                let shared: SharedNetwork = decode(value).ok()?;
                if shared.network.id != *id {
                    return None;
                }
                let news = self.networks.insert(*id, shared.clone()).as_ref() != Some(&shared);
                news.then(|| Change::Network(Box::new(shared)))
            }
            // They only keep others from taking them, and are read by whoever takes one.
            Key::NetworkName(_) | Key::Vni(_) => None,
            Key::Block(network, block) => {
                let node: NodeId = decode(value).ok()?;
                let news = self.blocks.insert((*network, *block), node) != Some(node);
                news.then_some(Change::Block(*network, *block, node))
            }
            Key::Policy(name) => {
                let policy: Policy = decode(value).ok()?;
                if policy.name != *name {
                    return None;
                }
                let before = self.policies.insert(name.clone(), policy.clone());
                (before.as_ref() != Some(&policy)).then(|| Change::Policy(Box::new(policy)))
            }
            Key::Endpoint(network, id) => {
                let peer: Peer = decode(value).ok()?;
                if (peer.network(), peer.id()) != (*network, *id) {
                    return None;
                }
                let of_network = self.endpoints.entry(*network).or_default();
                let before = of_network.insert(*id, peer.clone());
                (before.as_ref() != Some(&peer)).then(|| Change::Endpoint(Box::new(peer)))
            }
        })
    }

    fn remove(&mut self, network: NetworkId, id: EndpointId) -> Option<Peer> {
        let of_network = self.endpoints.get_mut(&network)?;
        let gone = of_network.remove(&id);
        if of_network.is_empty() {
            self.endpoints.remove(&network);
        }
        gone
    }

    fn forget(&mut self, key: &Key) -> Option<Change> {
        match key {
            Key::Node(id) => self.nodes.remove(id).map(|_| Change::NodeGone(*id)),
            Key::Network(id) => self.networks.remove(id).map(|_| Change::NetworkGone(*id)),
            Key::NetworkName(_) | Key::Vni(_) => None,
            Key::Policy(name) => {
                self.policies.remove(name).map(|_| Change::PolicyGone(name.clone()))
            }
            Key::Block(network, block) => {
                let gone = self.blocks.remove(&(*network, *block));
                gone.map(|_| Change::BlockGone(*network, *block))
            }
            Key::Endpoint(network, id) => {
                let gone = self.remove(*network, *id);
                gone.map(|_| Change::EndpointGone(*network, *id))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::encode;

    const NETWORK: &str = "01932c07-a9d0-7000-8abc-0123456789ab";

    fn mirror() -> Mirror {
        Mirror::new(layout())
    }

    fn layout() -> Layout {
        Layout::of(&"test".parse().unwrap())
    }

    fn node(name: &str) -> Node {
        Node {
            name: name.parse().unwrap(),
            underlay: "192.0.2.1".parse().unwrap(),
            mtu: 1500,
            version: "0.1.0".to_owned(),
        }
    }

    fn of_node(id: u64, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = layout().encode(&Key::Node(NodeId::new(id)));
        (key.into_bytes(), encode(&node(name)).unwrap())
    }

    fn of_block(prefix: &str, owner: u64) -> (Vec<u8>, Vec<u8>) {
        let block = Block::of_prefix(prefix.parse().unwrap()).unwrap();
        let key = layout().encode(&Key::Block(NETWORK.parse().unwrap(), block));
        (key.into_bytes(), encode(&NodeId::new(owner)).unwrap())
    }

    #[test]
    fn only_what_is_different_is_a_change() {
        let mut mirror = mirror();
        let (key, value) = of_node(1, "a");
        assert_eq!(mirror.put(&key, &value), Some(Change::Node(NodeId::new(1), node("a"))));
        assert_eq!(mirror.put(&key, &value), None);
        let (_, other) = of_node(1, "b");
        assert_eq!(mirror.put(&key, &other), Some(Change::Node(NodeId::new(1), node("b"))));
        assert_eq!(mirror.delete(&key), Some(Change::NodeGone(NodeId::new(1))));
        assert_eq!(mirror.delete(&key), None);
    }

    /// A peer whose address changed while nobody listened, one that went, one that came; and
    /// what goes is told before what comes.
    #[test]
    fn a_listing_after_a_gap_yields_the_differences() {
        let mut mirror = mirror();
        let all = [of_node(1, "a"), of_node(2, "b"), of_block("10.0.0.0/28", 1)];
        assert_eq!(mirror.replace(&all).len(), 3);
        assert_eq!(mirror.replace(&all), []);
        let later = [of_node(2, "c"), of_node(3, "d"), of_block("10.0.0.0/28", 3)];
        let network = NETWORK.parse().unwrap();
        let block = Block::of_prefix("10.0.0.0/28".parse().unwrap()).unwrap();
        assert_eq!(
            mirror.replace(&later),
            [
                Change::NodeGone(NodeId::new(1)),
                Change::Node(NodeId::new(2), node("c")),
                Change::Node(NodeId::new(3), node("d")),
                Change::Block(network, block, NodeId::new(3)),
            ]
        );
        assert_eq!(mirror.blocks().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_as_if_it_were_not_there() {
        let mut mirror = mirror();
        let (key, value) = of_node(1, "a");
        mirror.put(&key, &value);
        let newer = br#"{"v":2,"d":{"name":"a","underlay":"192.0.2.1","version":"9"}}"#;
        assert_eq!(mirror.put(&key, newer), Some(Change::NodeGone(NodeId::new(1))));
        let what = b"/postern/test/v1/what/ever".to_vec();
        assert_eq!(mirror.put(&what, &value), None);
        let block = of_block("10.0.0.0/28", 1).0;
        assert_eq!(mirror.put(&block, b"\xff"), None);
        assert_eq!(mirror.unreadable().len(), 3);
        // By being written anew, by going, and by not being listed any more.
        assert!(mirror.put(&key, &value).is_some());
        assert_eq!(mirror.delete(&block), None);
        assert_eq!(mirror.unreadable().iter().collect::<Vec<_>>(), [&what]);
        assert_eq!(mirror.replace(&[(key, value)]), []);
        assert!(mirror.unreadable().is_empty());
    }
}
