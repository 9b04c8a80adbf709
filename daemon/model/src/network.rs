//! Networks.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::cluster::Vni;
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

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
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
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
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

/// Whether two prefixes share an address.
pub fn overlaps(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.ip()) || b.contains(a.ip())
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
    /// What its frames carry between hosts; none of a network of this host alone.
    #[serde(default)]
    pub vni: Option<Vni>,
    /// Of a network that hosts share: where this host gives addresses from.
    #[serde(default)]
    pub blocks: Vec<IpNetwork>,
}

impl Network {
    /// Whether the hosts of a cluster share it.
    pub const fn is_shared(&self) -> bool {
        self.vni.is_some()
    }

    /// The subnet of a family.
    pub fn subnet(&self, family: Family) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| subnet.family() == family)
    }

    /// The gateways' addresses.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.subnets.iter().filter_map(|subnet| subnet.gateway)
    }
}

/// Blocks that no interface of a network can have addresses of (RFC 6890), and what they
/// are for. Of 240.0.0.0/4 Linux takes all but the last address.
const SPECIAL: [(IpAddr, u8, &str); 9] = [
    (IpAddr::V4(Ipv4Addr::new(0, 0, 0, 0)), 8, "this network (RFC 1122)"),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8, "loopback"),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16, "link-local"),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4, "multicast"),
    (IpAddr::V4(Ipv4Addr::BROADCAST), 32, "limited broadcast"),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 96, "loopback and no address"),
    (IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0)), 96, "IPv4-mapped"),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10, "link-local"),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8, "multicast"),
];

/// What is special about addresses of a prefix, so that no network can have it; none of
/// one that can be used.
pub fn special_purpose(prefix: IpNetwork) -> Option<&'static str> {
    let overlaps = |(ip, length, _): &&(IpAddr, u8, &str)| {
        IpNetwork::new(*ip, *length)
            .is_ok_and(|block| block.contains(prefix.ip()) || prefix.contains(*ip))
    };
    SPECIAL.iter().find(overlaps).map(|(_, _, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_blocks_their_parts_and_what_covers_them() {
        let special = |text: &str| special_purpose(text.parse().unwrap()).is_some();
        for text in [
            "0.1.0.0/16",
            "127.0.0.1/8",
            "169.254.1.0/24",
            "224.0.0.0/24",
            "255.255.255.0/24",
            "0.0.0.0/0",
            "126.0.0.0/7",
            "::/0",
            "::1/128",
            "::ffff:10.0.0.0/120",
            "fe80::/64",
            "ff02::/16",
        ] {
            assert!(special(text), "{text}");
        }
        for text in ["10.0.0.0/8", "1.0.0.0/8", "240.0.0.0/24", "fd00::/8", "2001:db8::/32"] {
            assert!(!special(text), "{text}");
        }
    }
}
