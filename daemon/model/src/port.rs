//! Transport ports: protocols, ranges, what is published and what is exposed.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The protocol's number in the IP header (IANA protocol numbers).
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol of an IP protocol number, where it is one of ours.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// One or more consecutive ports, never 0, first not above last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why two numbers are not a range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPorts {
    /// Not 1 to 65535.
    #[error("{0} is not a port from 1 to 65535")]
    Number(u32),
    /// The end lies before the beginning.
    #[error("the range {first}-{last} is reversed")]
    Reversed {
        /// Where it begins.
        first: u16,
        /// Where it ends.
        last: u16,
    },
}

impl PortRange {
    /// Every port there is.
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    /// The range from `first` to `last`, both within.
    ///
    /// # Errors
    /// A number is not a port, or the range is reversed.
    pub fn new(first: u32, last: u32) -> Result<Self, InvalidPorts> {
        let port = |number: u32| match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(InvalidPorts::Number(number)),
        };
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(InvalidPorts::Reversed { first, last });
        }
        Ok(Self { first, last })
    }

    /// The first port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports there are, at least 1.
    pub const fn count(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    /// Whether the two ranges share a port.
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Every port in order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Which host ports a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostPorts {
    /// Any free ones from the kernel's ephemeral range.
    Ephemeral,
    /// Exactly these, one for each container port.
    Exactly(PortRange),
    /// For a single container port: the first free one of these.
    FirstFreeOf(PortRange),
}

/// A port, or a range of them, to be published on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The transport.
    pub protocol: Protocol,
    /// The host's address; none means every address of the endpoint's families.
    pub host_ip: Option<IpAddr>,
    /// The host's ports.
    pub host: HostPorts,
    /// The ports in the sandbox.
    pub container: PortRange,
    /// Who may come by it, besides the host; empty means everybody.
    #[serde(default)]
    pub allow_from: Vec<IpNetwork>,
}

/// A port that the workload serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExposedPort {
    /// The transport.
    pub protocol: Protocol,
    /// The ports.
    pub ports: PortRange,
    /// A service name (RFC 6335), if it has one.
    pub name: Option<String>,
}

/// Published ports as they are bound: the n-th host port leads to the n-th target port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// The transport.
    pub protocol: Protocol,
    /// The host's address; an unspecified one stands for every address of its family.
    pub host_ip: IpAddr,
    /// The host's ports.
    pub host: PortRange,
    /// The endpoint's address, of the same family as `host_ip`.
    pub target: IpAddr,
    /// The first port in the sandbox; the range is as long as `host`.
    pub target_first: u16,
}

impl PortBinding {
    /// Every pair of host port and target port.
    pub fn pairs(&self) -> impl Iterator<Item = (u16, u16)> {
        self.host.iter().zip(self.target_first..)
    }

    /// Whether both would bind one address and port of the host.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.host.overlaps(other.host)
            && self.host_ip.is_ipv4() == other.host_ip.is_ipv4()
            && (self.host_ip == other.host_ip
                || self.host_ip.is_unspecified()
                || other.host_ip.is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(host_ip: &str, first: u32, last: u32) -> PortBinding {
        PortBinding {
            protocol: Protocol::Tcp,
            host_ip: host_ip.parse().unwrap(),
            host: PortRange::new(first, last).unwrap(),
            target: "10.0.0.2".parse().unwrap(),
            target_first: 80,
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(PortRange::new(0, 1), Err(InvalidPorts::Number(0)));
        assert_eq!(PortRange::new(1, 65536), Err(InvalidPorts::Number(65536)));
        assert_eq!(PortRange::new(2, 1), Err(InvalidPorts::Reversed { first: 2, last: 1 }));
        assert_eq!(PortRange::new(1, 65535).unwrap().count(), 65535);
    }

    #[test]
    fn an_unspecified_address_conflicts_with_every_one_of_its_family() {
        let any = binding("0.0.0.0", 80, 90);
        assert!(any.conflicts(&binding("192.0.2.1", 90, 99)));
        assert!(!any.conflicts(&binding("192.0.2.1", 91, 99)));
        assert!(!any.conflicts(&binding("::", 80, 80)));
        assert!(!binding("192.0.2.1", 80, 80).conflicts(&binding("192.0.2.2", 80, 80)));
    }
}
