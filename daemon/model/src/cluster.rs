//! What hosts that share networks know of each other.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decision::PeerDecision;
use crate::endpoint::Endpoint;
use crate::id::{EndpointId, NetworkId};
use crate::name::Name;
use crate::network::Network;
use crate::sandbox::Sandbox;

/// A host of a cluster: a number drawn once, when its store was made. A name would not do,
/// as two hosts may be given the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(u64);

/// The text is not 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a node")]
pub struct InvalidNodeId(pub String);

impl NodeId {
    /// The node whose store has this identity.
    pub const fn new(identity: u64) -> Self {
        Self(identity)
    }

    /// The number itself.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let number = u64::from_str_radix(text, 16).ok();
        match number.filter(|_| text.len() == 16 && text.bytes().all(digit)) {
            Some(number) => Ok(Self(number)),
            None => Err(InvalidNodeId(text.to_owned())),
        }
    }
}

impl TryFrom<String> for NodeId {
    type Error = InvalidNodeId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

/// What a host says of itself, for as long as its lease lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What people call it.
    pub name: Name,
    /// Where frames for its sandboxes are sent: its address in the underlay (RFC 7348 calls
    /// it the VTEP's).
    pub underlay: IpAddr,
    /// Bytes that a packet to it may have there.
    pub mtu: u32,
    /// The daemon's version.
    pub version: String,
}

/// A VXLAN network identifier (RFC 7348 §5): 24 bits. 0 is left out, as other software
/// takes it for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

/// The number does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a VNI: they go from 1 to {max}", max = Vni::MAX.0)]
pub struct InvalidVni(pub u32);

impl Vni {
    /// The lowest.
    pub const MIN: Self = Self(1);
    /// The highest.
    pub const MAX: Self = Self((1 << 24) - 1);

    /// The number itself.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Vni {
    type Error = InvalidVni;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match (Self::MIN.0..=Self::MAX.0).contains(&number) {
            true => Ok(Self(number)),
            false => Err(InvalidVni(number)),
        }
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A network that hosts share, as the cluster has it. What the driver decides is each host's
/// own affair, and not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedNetwork {
    /// The network; its decision, the driver's digest and the blocks of a host are empty.
    pub network: Network,
    /// What its frames carry.
    pub vni: Vni,
    /// The host that made it.
    pub origin: NodeId,
}

/// An endpoint on a network that hosts share, with the sandbox that it is joined to: what the
/// other hosts need to reach it, to know it by name and to judge its flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The host.
    pub node: NodeId,
    /// What people call the host.
    pub host: Name,
    /// The host's address in the underlay.
    pub underlay: IpAddr,
    /// The endpoint; of its attachment only the sandbox is told.
    pub endpoint: Endpoint,
    /// The sandbox; where its namespace is concerns its host alone.
    pub sandbox: Sandbox,
}

impl Peer {
    /// The endpoint's uid.
    pub const fn id(&self) -> EndpointId {
        self.endpoint.id
    }

    /// The network.
    pub const fn network(&self) -> NetworkId {
        self.endpoint.network
    }
}

/// An endpoint on another host, with what this host does to reach it. It is kept with the
/// records: a daemon that begins while etcd is away goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// What the cluster says.
    pub peer: Peer,
    /// What the driver decided and admission let through.
    pub decision: PeerDecision,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_sixteen_digits() {
        let id = NodeId::new(0xfeed);
        assert_eq!(id.to_string(), "000000000000feed");
        assert_eq!("000000000000feed".parse(), Ok(id));
        for text in ["", "feed", "000000000000FEED", "+00000000000feed", "00000000000000feed"] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_vni_has_24_bits_and_is_not_zero() {
        assert!([1, 4096, (1 << 24) - 1].into_iter().all(|n| Vni::try_from(n).is_ok()));
        assert!([0, 1 << 24, u32::MAX].into_iter().all(|n| Vni::try_from(n).is_err()));
    }
}
