//! Keys.

use ipnetwork::IpNetwork;
use postern_model::cluster::{NodeId, Vni};
use postern_model::id::{EndpointId, NetworkId};
use postern_model::name::Name;

use crate::block::Block;

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A host.
    Node(NodeId),
    /// A network.
    Network(NetworkId),
    /// Which network has a name.
    NetworkName(Name),
    /// Which network has a VNI.
    Vni(Vni),
    /// Which host gives addresses from a block.
    Block(NetworkId, Block),
    /// An endpoint.
    Endpoint(NetworkId, EndpointId),
    /// A policy.
    Policy(Name),
}

/// Where one cluster's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    prefix: String,
}

impl Layout {
    /// That of the cluster of a name.
    pub fn of(cluster: &Name) -> Self {
        Self { prefix: format!("/postern/{cluster}/v1/") }
    }

    /// What all its keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What all keys of a network's blocks begin with.
    pub fn blocks(&self, network: NetworkId) -> String {
        format!("{}blocks/{network}/", self.prefix)
    }

    /// A key as etcd has it.
    pub fn encode(&self, key: &Key) -> String {
        let prefix = &self.prefix;
        match key {
            Key::Node(node) => format!("{prefix}nodes/{node}"),
            Key::Network(network) => format!("{prefix}networks/{network}"),
            Key::NetworkName(name) => format!("{prefix}names/{name}"),
            Key::Vni(vni) => format!("{prefix}vnis/{vni}"),
            Key::Block(network, block) => {
                // The length comes after a character that no address has.
                let (first, length) = (block.prefix().ip(), block.prefix().prefix());
                format!("{}{first}-{length}", self.blocks(*network))
            }
            Key::Policy(name) => format!("{prefix}policies/{name}"),
            Key::Endpoint(network, endpoint) => format!("{prefix}endpoints/{network}/{endpoint}"),
        }
    }

    /// What a key is about; none of one that has no form of ours.
    pub fn decode(&self, key: &[u8]) -> Option<Key> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        let (kind, rest) = rest.split_once('/')?;
        let found = match kind {
            "nodes" => Key::Node(rest.parse().ok()?),
            "networks" => Key::Network(rest.parse().ok()?),
            "names" => Key::NetworkName(rest.parse().ok()?),
            "vnis" => Key::Vni(rest.parse::<u32>().ok()?.try_into().ok()?),
            "policies" => Key::Policy(rest.parse().ok()?),
            "blocks" => {
                let (network, block) = rest.split_once('/')?;
                let (first, length) = block.split_once('-')?;
                let prefix = IpNetwork::new(first.parse().ok()?, length.parse().ok()?).ok()?;
                Key::Block(network.parse().ok()?, Block::of_prefix(prefix)?)
            }
            "endpoints" => {
                let (network, endpoint) = rest.split_once('/')?;
                Key::Endpoint(network.parse().ok()?, endpoint.parse().ok()?)
            }
            _ => return None,
        };
        // One that is written otherwise would be another key of the same thing.
        (self.encode(&found).as_bytes() == key).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn layout() -> Layout {
        Layout::of(&"test".parse().unwrap())
    }

    fn any_key() -> impl Strategy<Value = Key> {
        let network = any::<u128>().prop_map(|n| NetworkId::new(Uuid::from_u128(n)));
        let endpoint = any::<u128>().prop_map(|n| EndpointId::new(Uuid::from_u128(n)));
        let block = (any::<IpAddr>(), 0_u8..=32).prop_map(|(ip, length)| {
            let prefix = IpNetwork::new(ip, length).unwrap();
            Block::of_prefix(IpNetwork::new(prefix.network(), length).unwrap()).unwrap()
        });
        prop_oneof![
            any::<u64>().prop_map(|n| Key::Node(NodeId::new(n))),
            network.clone().prop_map(Key::Network),
            "[a-z][a-z0-9_.-]{0,20}".prop_map(|name| Key::NetworkName(name.parse().unwrap())),
            "[a-z][a-z0-9_.-]{0,20}".prop_map(|name| Key::Policy(name.parse().unwrap())),
            (1_u32..1 << 24).prop_map(|n| Key::Vni(n.try_into().unwrap())),
            (network.clone(), block).prop_map(|(network, block)| Key::Block(network, block)),
            (network, endpoint).prop_map(|(network, one)| Key::Endpoint(network, one)),
        ]
    }

    proptest! {
        #[test]
        fn keys_round_trip(key in any_key()) {
            let text = layout().encode(&key);
            prop_assert_eq!(layout().decode(text.as_bytes()), Some(key));
        }

        #[test]
        fn whatever_is_there_is_read(bytes: Vec<u8>, rest in "[a-z0-9/.:-]{0,40}") {
            layout().decode(&bytes);
            let key = format!("/postern/test/v1/{rest}");
            if let Some(found) = layout().decode(key.as_bytes()) {
                prop_assert_eq!(layout().encode(&found), key);
            }
        }
    }

    #[test]
    fn another_cluster_and_another_form_are_not_ours() {
        for key in [
            "/postern/other/v1/nodes/0000000000000001",
            "/postern/test/v2/nodes/0000000000000001",
            "/postern/test/v1/nodes/1",
            "/postern/test/v1/vnis/007",
            "/postern/test/v1/vnis/0",
            "/postern/test/v1/networks/",
            "/postern/test/v1/what/ever",
            "/postern/test/v1/blocks/01932c07-a9d0-7000-8abc-0123456789ab/10.0.0.1-24",
            "/postern/test/v1/blocks/01932c07-a9d0-7000-8abc-0123456789ab/10.0.0.0/24",
        ] {
            assert_eq!(layout().decode(key.as_bytes()), None, "{key}");
        }
    }
}
