//! What hosts must agree on before it is done: networks and blocks. Each claim is one
//! transaction that compares first (etcd, "Transaction"); who loses is told, and nothing of
//! his is there.

use etcd_client::{Client, Compare, CompareOp, DeleteOptions, GetOptions, Txn, TxnOp};
use ipnetwork::IpNetwork;
use postern_model::cluster::{NodeId, SharedNetwork, Vni};
use postern_model::id::NetworkId;
use postern_model::network::{Network, overlaps};

use crate::block::{Block, candidates};
use crate::error::ClusterError;
use crate::layout::Key;
use crate::record::{decode, encode};
use crate::session::Cluster;

/// So many VNIs and blocks are tried before it is believed that none is free. Most often the
/// first is; where others claim at the same time, the next.
const ATTEMPTS: usize = 64;

fn failed(operation: &'static str) -> impl Fn(etcd_client::Error) -> ClusterError {
    move |source| ClusterError::Etcd { operation, source }
}

fn absent(key: &str) -> Compare {
    Compare::version(key, CompareOp::Equal, 0)
}

fn present(key: &str) -> Compare {
    Compare::version(key, CompareOp::Greater, 0)
}

fn check_subnets(network: &Network, others: &[SharedNetwork]) -> Result<(), ClusterError> {
    for SharedNetwork { network: other, .. } in others {
        for subnet in &network.subnets {
            if other.subnets.iter().any(|theirs| overlaps(theirs.subnet, subnet.subnet)) {
                let (subnet, name) = (subnet.subnet, other.name.clone());
                return Err(ClusterError::SubnetTaken { subnet, network: name });
            }
        }
    }
    Ok(())
}

impl Cluster {
    /// Has a network be the cluster's, under its name, and with a VNI and subnets that no other
    /// has.
    ///
    /// # Errors
    /// [`ClusterError::NameTaken`], [`ClusterError::SubnetTaken`],
    /// [`ClusterError::NoVniFree`], and etcd's own.
    pub async fn claim_network(&self, network: Network) -> Result<SharedNetwork, ClusterError> {
        let mut client = self.client()?;
        let (listed, mut revision) = self.list_networks(&mut client).await?;
        check_subnets(&network, &listed)?;
        let key = |key: &Key| self.0.layout.encode(key);
        let (own, name) =
            (key(&Key::Network(network.id)), key(&Key::NetworkName(network.name.clone())));
        let owner = encode(&network.id)?;
        for vni in self.free_vnis(&mut client, network.id).await? {
            let shared = SharedNetwork { network: network.clone(), vni, origin: self.0.node };
            let number = key(&Key::Vni(vni));
            // Prefixes that overlap have no key in common: none may have come since.
            let networks = format!("{}networks/", self.0.layout.prefix());
            let as_listed = Compare::mod_revision(networks, CompareOp::Less, revision + 1);
            let claim = Txn::new()
                .when([absent(&name), absent(&number), absent(&own), as_listed.with_prefix()])
                .and_then([
                    TxnOp::put(name.as_str(), owner.clone(), None),
                    TxnOp::put(number.as_str(), owner.clone(), None),
                    TxnOp::put(own.as_str(), encode(&shared)?, None),
                ])
                .or_else([TxnOp::get(name.as_str(), Some(GetOptions::new().with_keys_only()))]);
            let answer = client.txn(claim).await.map_err(failed("claim a network"))?;
            if answer.succeeded() {
                self.follow(answer.header()).await;
                return Ok(shared);
            }
            let responses = answer.op_responses();
            let taken = responses.iter().any(|response| match response {
                etcd_client::TxnOpResponse::Get(found) => found.count() > 0,
                _ => false,
            });
            if taken {
                return Err(ClusterError::NameTaken(network.name));
            }
            let (listed, now) = self.list_networks(&mut client).await?;
            check_subnets(&network, &listed)?;
            revision = now;
        }
        Err(ClusterError::NoVniFree)
    }

    /// The networks that can be read, and the revision at which they were.
    async fn list_networks(
        &self,
        client: &mut Client,
    ) -> Result<(Vec<SharedNetwork>, i64), ClusterError> {
        let prefix = format!("{}networks/", self.0.layout.prefix());
        let found = client.get(prefix, Some(GetOptions::new().with_prefix())).await;
        let found = found.map_err(failed("list the networks"))?;
        let revision = found.header().map_or(0, etcd_client::ResponseHeader::revision);
        let networks = found.kvs().iter().filter_map(|kv| decode(kv.value()).ok());
        Ok((networks.collect(), revision))
    }

    /// Some VNIs that nobody had a moment ago, from a place in them that follows from the
    /// network: hosts that claim at the same time do not ask for the same.
    async fn free_vnis(
        &self,
        client: &mut Client,
        network: NetworkId,
    ) -> Result<Vec<Vni>, ClusterError> {
        let prefix = format!("{}vnis/", self.0.layout.prefix());
        let options = GetOptions::new().with_prefix().with_keys_only();
        let taken = client.get(prefix, Some(options)).await.map_err(failed("list the VNIs"))?;
        let taken: std::collections::BTreeSet<Vni> = taken
            .kvs()
            .iter()
            .filter_map(|kv| match self.0.layout.decode(kv.key())? {
                Key::Vni(vni) => Some(vni),
                _ => None,
            })
            .collect();
        let (first, last) = self.0.settings.vnis;
        let count = last.number() - first.number() + 1;
        let start = u32::try_from(network.uuid().as_u128() % u128::from(count)).unwrap_or(0);
        let numbers = (0..count).map(move |step| (start + step) % count + first.number());
        let vnis = numbers.filter_map(|number| Vni::try_from(number).ok());
        Ok(vnis.filter(|vni| !taken.contains(vni)).take(ATTEMPTS).collect())
    }

    /// Changes a network that is as it was read.
    ///
    /// # Errors
    /// [`ClusterError::Changed`], and etcd's own.
    pub async fn change_network(
        &self,
        from: &SharedNetwork,
        to: &SharedNetwork,
    ) -> Result<(), ClusterError> {
        let mut client = self.client()?;
        let key = self.0.layout.encode(&Key::Network(from.network.id));
        let same = Compare::value(key.as_str(), CompareOp::Equal, encode(from)?);
        let change = Txn::new().when([same]).and_then([TxnOp::put(key, encode(to)?, None)]);
        let answer = client.txn(change).await.map_err(failed("change a network"))?;
        if !answer.succeeded() {
            return Err(ClusterError::Changed(from.network.id));
        }
        self.follow(answer.header()).await;
        Ok(())
    }

    /// Has a network be nobody's any more, with its name, its VNI and its blocks. That it is
    /// gone already is no error.
    ///
    /// A host that is away and has a block of it may have endpoints that nobody is told of:
    /// it would come back to a network that is not there, while others have its VNI.
    ///
    /// # Errors
    /// [`ClusterError::InUse`], [`ClusterError::HeldByAway`], and etcd's own.
    pub async fn release_network(&self, shared: &SharedNetwork) -> Result<(), ClusterError> {
        let mut client = self.client()?;
        self.check_holders(&mut client, shared.network.id).await?;
        let (id, name) = (shared.network.id, shared.network.name.clone());
        let layout = &self.0.layout;
        let endpoints = format!("{}endpoints/{id}/", layout.prefix());
        let unused = Compare::version(endpoints, CompareOp::Equal, 0).with_prefix();
        let gone = |key: Key| TxnOp::delete(layout.encode(&key), None);
        let blocks = Some(DeleteOptions::new().with_prefix());
        let there = present(&layout.encode(&Key::Network(id)));
        let release = Txn::new().when([unused, there]).and_then([
            gone(Key::Network(id)),
            gone(Key::NetworkName(name)),
            gone(Key::Vni(shared.vni)),
            TxnOp::delete(layout.blocks(id), blocks),
        ]);
        let own = layout.encode(&Key::Network(id));
        let release = release.or_else([TxnOp::get(own, None)]);
        let answer = client.txn(release).await.map_err(failed("release a network"))?;
        if answer.succeeded() {
            self.follow(answer.header()).await;
            return Ok(());
        }
        let left = answer.op_responses().iter().any(|response| match response {
            etcd_client::TxnOpResponse::Get(found) => found.count() > 0,
            _ => false,
        });
        if left { Err(ClusterError::InUse) } else { Ok(()) }
    }

    /// Sees that every host that has a block of a network is there.
    async fn check_holders(
        &self,
        client: &mut Client,
        network: NetworkId,
    ) -> Result<(), ClusterError> {
        let options = Some(GetOptions::new().with_prefix());
        let blocks = client.get(self.0.layout.blocks(network), options).await;
        let blocks = blocks.map_err(failed("list the blocks"))?;
        let holders = blocks.kvs().iter().filter_map(|kv| decode::<NodeId>(kv.value()).ok());
        let holders: std::collections::BTreeSet<NodeId> = holders.collect();
        for node in holders.into_iter().filter(|node| *node != self.0.node) {
            let key = self.0.layout.encode(&Key::Node(node));
            let found = client.get(key, Some(GetOptions::new().with_count_only())).await;
            if found.map_err(failed("look for a host"))?.count() == 0 {
                return Err(ClusterError::HeldByAway { node });
            }
        }
        Ok(())
    }

    /// Takes a block of a subnet from which this host gives addresses: the one of an address
    /// that is wanted, else any that has one of `range`. One that it has already is taken
    /// again for a wanted address only.
    ///
    /// # Errors
    /// [`ClusterError::NoBlockFree`], [`ClusterError::BlockTaken`] for a wanted address,
    /// [`ClusterError::Changed`] where the network is gone, and etcd's own.
    pub async fn take_block(
        &self,
        network: NetworkId,
        (subnet, range): (IpNetwork, IpNetwork),
        wanted: Option<Block>,
    ) -> Result<Block, ClusterError> {
        let mut client = self.client()?;
        if let Some(block) = wanted {
            let owner = self.take(&mut client, network, block).await?;
            return match owner == self.0.node {
                true => Ok(block),
                false => Err(ClusterError::BlockTaken { block, node: owner }),
            };
        }
        let prefix = self.0.layout.blocks(network);
        let options = GetOptions::new().with_prefix().with_keys_only();
        let taken = client.get(prefix, Some(options)).await.map_err(failed("list the blocks"))?;
        let taken: std::collections::BTreeSet<Vec<u8>> =
            taken.kvs().iter().map(|kv| kv.key().to_vec()).collect();
        let free = candidates(subnet, range, self.0.node.number()).filter(|block| {
            let key = self.0.layout.encode(&Key::Block(network, *block));
            !taken.contains(key.as_bytes())
        });
        for block in free.take(ATTEMPTS) {
            if self.take(&mut client, network, block).await? == self.0.node {
                return Ok(block);
            }
        }
        Err(ClusterError::NoBlockFree { subnet })
    }

    /// Takes a block unless somebody has it; returns whose it is now.
    async fn take(
        &self,
        client: &mut Client,
        network: NetworkId,
        block: Block,
    ) -> Result<NodeId, ClusterError> {
        let key = self.0.layout.encode(&Key::Block(network, block));
        let of_network = self.0.layout.encode(&Key::Network(network));
        let take = Txn::new()
            .when([absent(&key), present(&of_network)])
            .and_then([TxnOp::put(key.as_str(), encode(&self.0.node)?, None)])
            .or_else([TxnOp::get(key.as_str(), None)]);
        let answer = client.txn(take).await.map_err(failed("take a block"))?;
        if answer.succeeded() {
            return Ok(self.0.node);
        }
        let owner = answer.op_responses().into_iter().find_map(|response| match response {
            etcd_client::TxnOpResponse::Get(found) => {
                // What nobody can read is somebody's.
                let value = found.kvs().first()?.value().to_vec();
                Some(decode::<NodeId>(&value).unwrap_or(NodeId::new(0)))
            }
            _ => None,
        });
        owner.ok_or(ClusterError::Changed(network))
    }
}
