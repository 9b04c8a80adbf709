//! Elements of the daemon's nftables sets and maps.

use std::fmt;
use std::net::IpAddr;

use crate::mac::MacAddr;
use crate::name::IfName;
use crate::network::Family;
use crate::port::Protocol;

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

/// An element without the value a map gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElementKey {
    /// A whole element of a set.
    Set(Element),
    /// A key of the map of fixed source addresses.
    Snat(Family, IfName),
    /// A key of a map of published ports.
    Publish(IpAddr, Protocol, u16),
}

impl Element {
    /// What makes it the same element, though a map's value changes.
    pub fn key(&self) -> ElementKey {
        match self {
            Self::Snat(bridge, to) => ElementKey::Snat(Family::of(*to), bridge.clone()),
            Self::Publish { host, protocol, port, .. } => {
                ElementKey::Publish(*host, *protocol, *port)
            }
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
            Self::PortMac(..) => "port-mac",
            Self::Guard(_, _, IpAddr::V4(_)) => "guard4",
            Self::Guard(_, _, IpAddr::V6(_)) => "guard6",
            Self::Endpoint(IpAddr::V4(_), _) => "endpoint4",
            Self::Endpoint(IpAddr::V6(_), _) => "endpoint6",
            Self::OffGateway(IpAddr::V4(_)) => "off-gateway4",
            Self::OffGateway(IpAddr::V6(_)) => "off-gateway6",
            Self::Link { to: IpAddr::V4(_), .. } => "link4",
            Self::Link { to: IpAddr::V6(_), .. } => "link6",
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
            | Self::Port(name) => write!(f, "{name}"),
            Self::Snat(name, to) => write!(f, "{name} to {to}"),
            Self::PortMac(name, mac) => write!(f, "{name} . {mac}"),
            Self::Guard(name, mac, ip) => write!(f, "{name} . {mac} . {ip}"),
            Self::Endpoint(ip, name) => write!(f, "{ip} . {name}"),
            Self::OffGateway(ip) => write!(f, "{ip}"),
            Self::Link { from, to, protocol, port } => {
                write!(f, "{from} . {to} . {protocol} . {port}")
            }
            Self::Publish { host, protocol, port, target, target_port } => {
                write!(f, "{host} . {protocol} . {port} to {target} . {target_port}")
            }
        }
    }
}
