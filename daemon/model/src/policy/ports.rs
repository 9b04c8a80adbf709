//! What a rule lets be used: protocols with their ports and types.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::network::Family;
use crate::port::{PortRange, Protocol};

/// A protocol that rules tell apart, by its number in the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportProtocol {
    /// One with ports.
    Ports(Protocol),
    /// ICMP, or for IPv6 its counterpart.
    Icmp,
}

impl TransportProtocol {
    /// The number of the protocol within a family (IANA protocol numbers).
    pub const fn number(self, family: Family) -> u8 {
        match (self, family) {
            (Self::Ports(protocol), _) => protocol.number(),
            (Self::Icmp, Family::V4) => 1,
            (Self::Icmp, Family::V6) => 58,
        }
    }
}

/// An ICMP message's type, of one family, with or without its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IcmpType {
    /// Types mean different things in the two families.
    pub family: Family,
    /// The type.
    pub kind: u8,
    /// The code; none means all.
    pub code: Option<u8>,
}

/// What of a protocol a rule matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyPort {
    /// All of it.
    Whole(TransportProtocol),
    /// Ports by number.
    Ports(Protocol, PortRange),
    /// A port by the name that the endpoint which serves it gives it.
    Named(Protocol, String),
    /// A type of message.
    Icmp(IcmpType),
}

/// What a packet carries that rules look at: the protocol's number and, in 16 bits, the
/// port it is for, or the ICMP type and code. Other protocols have 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selection {
    /// The protocol's number.
    pub protocol: u8,
    /// Port, or type and code.
    pub number: u16,
}

/// `tcp/80`, `icmp/8` (the type alone), or the protocol's number.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, number } = *self;
        match (Protocol::from_number(protocol), protocol) {
            (Some(protocol), _) => write!(f, "{protocol}/{number}"),
            (None, 1) => write!(f, "icmp/{}", number >> 8),
            (None, 58) => write!(f, "icmpv6/{}", number >> 8),
            (None, protocol) => write!(f, "protocol {protocol}"),
        }
    }
}

/// A range of [`Selection`]s of one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Match {
    /// The protocol's number.
    pub protocol: u8,
    /// The lowest number.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Match {
    /// Whether it is one of them.
    pub const fn contains(self, selection: Selection) -> bool {
        self.protocol == selection.protocol
            && self.first <= selection.number
            && selection.number <= self.last
    }

    /// Ports of a protocol.
    pub const fn ports(protocol: Protocol, ports: PortRange) -> Self {
        Self { protocol: protocol.number(), first: ports.first(), last: ports.last() }
    }
}

impl PolicyPort {
    /// What it matches in a family. Names mean what `named` says of the endpoint that
    /// serves; a name that it does not have matches nothing.
    pub fn matches(
        &self,
        family: Family,
        named: impl Fn(Protocol, &str) -> Vec<PortRange>,
    ) -> Vec<Match> {
        match self {
            Self::Whole(protocol) => {
                let protocol = protocol.number(family);
                vec![Match { protocol, first: 0, last: u16::MAX }]
            }
            Self::Ports(protocol, ports) => vec![Match::ports(*protocol, *ports)],
            Self::Named(protocol, name) => {
                let ports = named(*protocol, name).into_iter();
                ports.map(|ports| Match::ports(*protocol, ports)).collect()
            }
            Self::Icmp(icmp) if icmp.family != family => Vec::new(),
            Self::Icmp(icmp) => {
                let code = |code| u16::from_be_bytes([icmp.kind, code]);
                vec![Match {
                    protocol: TransportProtocol::Icmp.number(family),
                    first: code(icmp.code.unwrap_or(0)),
                    last: code(icmp.code.unwrap_or(u8::MAX)),
                }]
            }
        }
    }
}

impl fmt::Display for TransportProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ports(protocol) => write!(f, "{protocol}"),
            Self::Icmp => f.write_str("icmp"),
        }
    }
}

impl fmt::Display for PolicyPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(protocol) => write!(f, "{protocol}"),
            Self::Ports(protocol, ports) => write!(f, "{protocol}/{ports}"),
            Self::Named(protocol, name) => write!(f, "{protocol}/{name}"),
            Self::Icmp(IcmpType { family, kind, code }) => {
                let icmp = if *family == Family::V4 { "icmp" } else { "icmpv6" };
                write!(f, "{icmp}/{kind}")?;
                code.map_or(Ok(()), |code| write!(f, "/{code}"))
            }
        }
    }
}
