//! Elements of the daemon's nftables sets and maps.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::cluster::Vni;
use crate::mac::MacAddr;
use crate::name::IfName;
use crate::network::Family;
use crate::policy::{Direction, Match};
use crate::port::Protocol;
use crate::time::Timestamp;

/// An element of one of the daemon's own nftables sets or maps. Set names are in
/// [`Element::set`]; `postern` is the name of both tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// A bridge of a network.
    Bridge(IfName),
    /// A bridge whose neighbours may reach each other.
    Neighbours(IfName),
    /// A bridge open to other open bridges.
    Open(IfName),
    /// A bridge without a way to the world.
    Internal(IfName),
    /// A bridge whose endpoints may be reached from outside on unpublished ports.
    Direct(IfName),
    /// A bridge whose flows to other links are masqueraded.
    Masquerade(Family, IfName),
    /// A bridge whose flows to other links get a fixed source address.
    Snat(IfName, IpAddr),
    /// A port of a bridge that is an endpoint's: frames from it are guarded.
    Port(IfName),
    /// The MAC behind a port.
    PortMac(IfName, MacAddr),
    /// An address and the MAC behind a port: what the endpoint may send from.
    Guard(IfName, MacAddr, IpAddr),
    /// An endpoint's address on a bridge.
    Endpoint(IpAddr, IfName),
    /// An endpoint's address with published ports, where its sandbox's default route goes
    /// by another endpoint: what comes from outside must seem to come from the bridge, or
    /// the answers would leave by the wrong network.
    OffGateway(IpAddr),
    /// A port of one endpoint that another one reaches by a link, from its address to the
    /// other's, both of one family.
    Link {
        /// The linking endpoint's address.
        from: IpAddr,
        /// The source's address.
        to: IpAddr,
        /// The transport.
        protocol: Protocol,
        /// The exposed port.
        port: u16,
    },
    /// The address of an endpoint on another host, on a bridge: what may reach it is decided
    /// there.
    Remote(IpAddr, IfName),
    /// A VNI whose frames come from certain hosts alone.
    Tunnel(Vni),
    /// One of these hosts, by its address in the underlay.
    TunnelFrom(IpAddr, Vni),
    /// A port whose sandbox is cut off.
    Quarantine(IfName),
    /// The identity of an endpoint's or a gateway's address.
    Identity(IpAddr, u32),
    /// The identity of a range of addresses that are no endpoint's.
    PrefixIdentity {
        /// The lowest.
        first: IpAddr,
        /// The highest.
        last: IpAddr,
        /// Its identity.
        identity: u32,
    },
    /// An endpoint's address that some policy speaks of in a direction.
    Policed(Direction, IpAddr),
    /// An endpoint's address that accepts in a direction only what some rule accepts.
    Isolated(Direction, IpAddr),
    /// What an endpoint's policies say of some flows.
    Decision(Decision),
    /// An address that a name resolved to, as an endpoint may reach it by that name.
    Named(NamedAddress),
    /// A port of an endpoint that is published to some alone.
    Restricted(IpAddr, Protocol, u16),
    /// Whom such a port is published to.
    AllowFrom(IpAddr, Protocol, u16, IpNetwork),
    /// A port of the host that leads to an endpoint; an unspecified host address stands
    /// for every one of its family.
    Publish {
        /// The host's address.
        host: IpAddr,
        /// The transport.
        protocol: Protocol,
        /// The host's port.
        port: u16,
        /// The endpoint's address.
        target: IpAddr,
        /// The endpoint's port.
        target_port: u16,
    },
}

/// An address of the world that an endpoint asked for by name. Of the endpoint's own flows
/// it has another identity while the answer holds; the kernel forgets it by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedAddress {
    /// The endpoint's address.
    pub subject: IpAddr,
    /// The address of the answer, of the same family.
    pub address: IpAddr,
    /// What the address is to the endpoint.
    pub identity: u32,
    /// When it is forgotten.
    pub until: Timestamp,
    /// The names, in lower case and with a space between them; kept beside the element for
    /// whoever lists it, and for the daemon's next start.
    pub names: String,
}

/// What policies say of the flows of an endpoint in a direction. Of several that fit, the
/// most particular one holds: first by peer, then by what is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// Which flows.
    pub direction: Direction,
    /// The endpoint's address.
    pub subject: IpAddr,
    /// The identity of the other end; none for everybody.
    pub peer: Option<u32>,
    /// Protocol, and ports or ICMP types; none for everything.
    pub what: Option<Match>,
    /// What is said.
    pub verdict: Verdict,
}

/// What is done with a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It passes.
    Accept,
    /// It is dropped.
    Drop,
    /// It is dropped, and its sender told.
    Reject,
    /// Somebody else decides.
    Return,
    /// It passes only as a link, by a name, or by a port's own list.
    Isolated,
}

/// An element without the value a map gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElementKey {
    /// A whole element of a set.
    Set(Element),
    /// A key of the map of fixed source addresses.
    Snat(Family, IfName),
    /// A key of a map of published ports.
    Publish(IpAddr, Protocol, u16),
    /// A key of a map of identities.
    Identity(IpAddr),
    /// A key of a map of addresses by name.
    Named(IpAddr, IpAddr),
    /// A key of a map of decisions.
    Decision(Direction, IpAddr, Option<u32>, Option<Match>),
}

impl Element {
    /// What makes it the same element, though a map's value changes.
    pub fn key(&self) -> ElementKey {
        match self {
            Self::Snat(bridge, to) => ElementKey::Snat(Family::of(*to), bridge.clone()),
            Self::Publish { host, protocol, port, .. } => {
                ElementKey::Publish(*host, *protocol, *port)
            }
            Self::Identity(address, _) => ElementKey::Identity(*address),
            Self::Named(of) => ElementKey::Named(of.subject, of.address),
            Self::Decision(of) => ElementKey::Decision(of.direction, of.subject, of.peer, of.what),
            set => ElementKey::Set(set.clone()),
        }
    }

    /// The name of the set or map it belongs to.
    pub const fn set(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridges",
            Self::Neighbours(_) => "neighbours",
            Self::Open(_) => "open",
            Self::Internal(_) => "internal",
            Self::Direct(_) => "direct",
            Self::Masquerade(Family::V4, _) => "masquerade4",
            Self::Masquerade(Family::V6, _) => "masquerade6",
            Self::Snat(_, IpAddr::V4(_)) => "snat4",
            Self::Snat(_, IpAddr::V6(_)) => "snat6",
            Self::Port(_) => "port",
            Self::Quarantine(_) => "quarantine",
            Self::PortMac(..) => "port-mac",
            Self::Guard(_, _, IpAddr::V4(_)) => "guard4",
            Self::Guard(_, _, IpAddr::V6(_)) => "guard6",
            Self::Endpoint(IpAddr::V4(_), _) => "endpoint4",
            Self::Endpoint(IpAddr::V6(_), _) => "endpoint6",
            Self::Tunnel(_) => "tunnels",
            Self::TunnelFrom(IpAddr::V4(_), _) => "tunnel-from4",
            Self::TunnelFrom(IpAddr::V6(_), _) => "tunnel-from6",
            Self::Remote(IpAddr::V4(_), _) => "remote4",
            Self::Remote(IpAddr::V6(_), _) => "remote6",
            Self::OffGateway(IpAddr::V4(_)) => "off-gateway4",
            Self::OffGateway(IpAddr::V6(_)) => "off-gateway6",
            Self::Link { to: IpAddr::V4(_), .. } => "link4",
            Self::Link { to: IpAddr::V6(_), .. } => "link6",
            Self::Identity(IpAddr::V4(_), _) => "identity4",
            Self::Identity(IpAddr::V6(_), _) => "identity6",
            Self::PrefixIdentity { first: IpAddr::V4(_), .. } => "prefix4",
            Self::PrefixIdentity { first: IpAddr::V6(_), .. } => "prefix6",
            Self::Policed(Direction::Ingress, IpAddr::V4(_)) => "policed-in4",
            Self::Policed(Direction::Ingress, IpAddr::V6(_)) => "policed-in6",
            Self::Policed(Direction::Egress, IpAddr::V4(_)) => "policed-out4",
            Self::Policed(Direction::Egress, IpAddr::V6(_)) => "policed-out6",
            Self::Isolated(Direction::Ingress, IpAddr::V4(_)) => "isolated-in4",
            Self::Isolated(Direction::Ingress, IpAddr::V6(_)) => "isolated-in6",
            Self::Isolated(Direction::Egress, IpAddr::V4(_)) => "isolated-out4",
            Self::Isolated(Direction::Egress, IpAddr::V6(_)) => "isolated-out6",
            Self::Restricted(IpAddr::V4(_), ..) => "restricted4",
            Self::Restricted(IpAddr::V6(_), ..) => "restricted6",
            Self::AllowFrom(IpAddr::V4(_), ..) => "allow-from4",
            Self::AllowFrom(IpAddr::V6(_), ..) => "allow-from6",
            Self::Decision(of) => of.set(),
            Self::Named(NamedAddress { subject: IpAddr::V4(_), .. }) => "named4",
            Self::Named(NamedAddress { subject: IpAddr::V6(_), .. }) => "named6",
            Self::Publish { host: IpAddr::V4(host), .. } => {
                if host.is_unspecified() {
                    "publish4-any"
                } else {
                    "publish4"
                }
            }
            Self::Publish { host: IpAddr::V6(host), .. } => {
                if host.is_unspecified() {
                    "publish6-any"
                } else {
                    "publish6"
                }
            }
        }
    }
}

impl Decision {
    /// The name of the map it belongs to: by direction, family, whether it is for one peer,
    /// and whether it is for one number, for a range or for everything.
    pub const fn set(&self) -> &'static str {
        let what = match self.what {
            None => 2,
            Some(what) if what.first == what.last => 0,
            Some(_) => 1,
        };
        let names = match (self.direction, self.subject, self.peer) {
            (Direction::Ingress, IpAddr::V4(_), Some(_)) => {
                ["in4-peer-one", "in4-peer-range", "in4-peer"]
            }
            (Direction::Ingress, IpAddr::V4(_), None) => ["in4-one", "in4-range", "in4"],
            (Direction::Ingress, IpAddr::V6(_), Some(_)) => {
                ["in6-peer-one", "in6-peer-range", "in6-peer"]
            }
            (Direction::Ingress, IpAddr::V6(_), None) => ["in6-one", "in6-range", "in6"],
            (Direction::Egress, IpAddr::V4(_), Some(_)) => {
                ["out4-peer-one", "out4-peer-range", "out4-peer"]
            }
            (Direction::Egress, IpAddr::V4(_), None) => ["out4-one", "out4-range", "out4"],
            (Direction::Egress, IpAddr::V6(_), Some(_)) => {
                ["out6-peer-one", "out6-peer-range", "out6-peer"]
            }
            (Direction::Egress, IpAddr::V6(_), None) => ["out6-one", "out6-range", "out6"],
        };
        names[what]
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, peer, what, verdict, direction: _ } = self;
        write!(f, "{subject}")?;
        if let Some(peer) = peer {
            write!(f, " . {peer:#x}")?;
        }
        match what {
            Some(what) if what.first == what.last => {
                write!(f, " . {} . {}", what.protocol, what.first)?;
            }
            Some(what) => write!(f, " . {} . {}-{}", what.protocol, what.first, what.last)?,
            None => {}
        }
        let verdict = match verdict {
            Verdict::Accept => "accept",
            Verdict::Drop => "drop",
            Verdict::Reject => "reject",
            Verdict::Return => "return",
            Verdict::Isolated => "isolated",
        };
        write!(f, " to {verdict}")
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.set())?;
        match self {
            Self::Bridge(name)
            | Self::Neighbours(name)
            | Self::Open(name)
            | Self::Internal(name)
            | Self::Direct(name)
            | Self::Masquerade(_, name)
            | Self::Port(name)
            | Self::Quarantine(name) => write!(f, "{name}"),
            Self::Snat(name, to) => write!(f, "{name} to {to}"),
            Self::PortMac(name, mac) => write!(f, "{name} . {mac}"),
            Self::Guard(name, mac, ip) => write!(f, "{name} . {mac} . {ip}"),
            Self::Endpoint(ip, name) | Self::Remote(ip, name) => write!(f, "{ip} . {name}"),
            Self::Tunnel(vni) => write!(f, "{vni}"),
            Self::TunnelFrom(ip, vni) => write!(f, "{ip} . {vni}"),
            Self::OffGateway(ip) | Self::Policed(_, ip) | Self::Isolated(_, ip) => {
                write!(f, "{ip}")
            }
            Self::Identity(ip, identity) => write!(f, "{ip} is {identity:#x}"),
            Self::PrefixIdentity { first, last, identity } => {
                write!(f, "{first}-{last} is {identity:#x}")
            }
            Self::Restricted(ip, protocol, port) => write!(f, "{ip} . {protocol} . {port}"),
            Self::AllowFrom(ip, protocol, port, from) => {
                write!(f, "{ip} . {protocol} . {port} . {from}")
            }
            Self::Decision(of) => write!(f, "{of}"),
            Self::Named(NamedAddress { subject, address, identity, names, until: _ }) => {
                write!(f, "{subject} . {address} is {identity:#x} ({names})")
            }
            Self::Link { from, to, protocol, port } => {
                write!(f, "{from} . {to} . {protocol} . {port}")
            }
            Self::Publish { host, protocol, port, target, target_port } => {
                write!(f, "{host} . {protocol} . {port} to {target} . {target_port}")
            }
        }
    }
}
