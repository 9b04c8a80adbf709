//! What can go wrong.

use ipnetwork::IpNetwork;
use postern_model::cluster::NodeId;
use postern_model::id::NetworkId;
use postern_model::name::Name;

use crate::block::Block;

/// etcd cannot be used as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No endpoint was given.
    #[error("no endpoint of etcd is given")]
    NoEndpoint,
    /// One is no URL of a kind that etcd has.
    #[error("`{0}` is not http://HOST:PORT or https://HOST:PORT")]
    Endpoint(String),
    /// The lease is too short to be kept, or so long that a dead host is never missed.
    #[error("a lease lasts from 3 to 3600 seconds")]
    Lease,
}

/// What was asked of the cluster did not come about. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// etcd is not reached.
    #[error("etcd is not reached: {why}")]
    Away {
        /// Why not, as of the last attempt.
        why: String,
    },
    /// etcd refused, or was lost in the middle: then nobody knows what came of it.
    #[error("etcd did not {operation}")]
    Etcd {
        /// What it was asked for.
        operation: &'static str,
        /// Its answer.
        source: etcd_client::Error,
    },
    /// A value cannot be put into words.
    #[error("a value cannot be encoded")]
    Encode(#[from] serde_json::Error),
    /// A network of the cluster has the name.
    #[error("a network of the cluster is called `{0}`")]
    NameTaken(Name),
    /// A network of the cluster has some of the addresses.
    #[error("{subnet} overlaps a subnet of the cluster's network `{network}`")]
    SubnetTaken {
        /// The subnet.
        subnet: IpNetwork,
        /// The other network.
        network: Name,
    },
    /// Every VNI is taken.
    #[error("no VNI is free")]
    NoVniFree,
    /// Endpoints of it are left, here or on other hosts.
    #[error("the network has endpoints on some host")]
    InUse,
    /// It is not there, or was changed since it was read.
    #[error("network {0} is not there, or was changed meanwhile")]
    Changed(NetworkId),
    /// A policy was changed, made or deleted since it was read.
    #[error("policy `{0}` was changed meanwhile")]
    PolicyChanged(Name),
    /// A host that is away may have endpoints of the network.
    #[error("host {node}, which is away, may have endpoints of the network")]
    HeldByAway {
        /// The host.
        node: NodeId,
    },
    /// Hosts have taken all blocks.
    #[error("no block of {subnet} is free")]
    NoBlockFree {
        /// The subnet.
        subnet: IpNetwork,
    },
    /// Another host gives the addresses of a block.
    #[error("addresses of {block} are given by host {node}")]
    BlockTaken {
        /// The block.
        block: Block,
        /// The host.
        node: NodeId,
    },
}
