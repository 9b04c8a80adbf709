//! Networks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::decision::NetworkDecision;
use crate::id::NetworkId;
use crate::name::{Labels, Name};
use crate::time::Timestamp;

/// The address families, in the order the product lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bits in an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// `0.0.0.0` or `::`.
    pub const fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        }
    }
}

/// A subnet as a client asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSpec {
    /// The prefix; an unspecified address asks for a prefix of that length from the pools.
    pub subnet: IpNetwork,
    /// Where dynamic addresses come from; none means all of `subnet`.
    pub range: Option<IpNetwork>,
    /// The gateway; none means the first usable address.
    pub gateway: Option<IpAddr>,
    /// Addresses never given to an endpoint.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The driver's name.
    pub driver: Name,
    /// At most one subnet of each family.
    pub subnets: Vec<SubnetSpec>,
    /// Whether the network has IPv4.
    pub ipv4: bool,
    /// Whether the network has IPv6.
    pub ipv6: bool,
    /// No way out to the world and none in.
    pub internal: bool,
    /// Whether endpoints may reach each other on every port.
    pub icc: bool,
    /// Bytes; none means the daemon's default.
    pub mtu: Option<u32>,
    /// DNS servers that its sandboxes ask for names that are not the daemon's; none: the host's.
    #[serde(default)]
    pub dns_servers: Vec<SocketAddr>,
    /// Free labels.
    pub labels: Labels,
    /// Options of the driver.
    pub options: Labels,
}

impl NetworkSpec {
    /// Whether the network has the family.
    pub const fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        }
    }
}

/// A subnet with every choice made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The prefix.
    pub subnet: IpNetwork,
    /// Where dynamic addresses come from.
    pub range: IpNetwork,
    /// The gateway's address; none where no usable address is left for one (a /32 or /128).
    pub gateway: Option<IpAddr>,
    /// Addresses never given to an endpoint.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

impl Subnet {
    /// The subnet's family.
    pub fn family(&self) -> Family {
        Family::of(self.subnet.ip())
    }
}

/// A network as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its uid.
    pub id: NetworkId,
    /// Its unique name.
    pub name: Name,
    /// The generation of its last change.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is one of `bridge`, `host`, `none`.
    pub predefined: bool,
    /// What was asked for, with defaults filled in.
    pub spec: NetworkSpec,
    /// The subnets, IPv4 before IPv6.
    pub subnets: Vec<Subnet>,
    /// What the driver decided and admission let through.
    pub decision: NetworkDecision,
    /// The digest of the driver that decided.
    pub driver_digest: String,
}

impl Network {
    /// The subnet of a family.
    pub fn subnet(&self, family: Family) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.family() == family)
    }
}
