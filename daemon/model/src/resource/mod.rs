//! What the kernel should hold: concrete, comparable, each with a key of its own.
//!
//! Desired and observed state are both sets of [`Resource`], so that a diff is a
//! comparison of maps.

mod element;
mod set;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::cluster::Vni;
use crate::decision::{LinkSysctl, MacvlanMode};
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::mac::MacAddr;
use crate::name::IfName;
use crate::network::Family;

pub use element::{Decision, Element, ElementKey, NamedAddress, Verdict};
pub use set::ResourceSet;

/// Whose a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// A network.
    Network(NetworkId),
    /// A sandbox.
    Sandbox(SandboxId),
    /// An endpoint.
    Endpoint(EndpointId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(id) => write!(f, "network/{id}"),
            Self::Sandbox(id) => write!(f, "sandbox/{id}"),
            Self::Endpoint(id) => write!(f, "endpoint/{id}"),
        }
    }
}

impl Owner {
    /// The inverse of `Display`; none if the text is no owner.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once('/')?;
        match kind {
            "network" => id.parse().ok().map(Self::Network),
            "sandbox" => id.parse().ok().map(Self::Sandbox),
            "endpoint" => id.parse().ok().map(Self::Endpoint),
            _ => None,
        }
    }
}

/// Where a resource lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The daemon's namespace.
    Host,
    /// A sandbox's.
    Sandbox(SandboxId),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Sandbox(id) => write!(f, "sandbox/{id}"),
        }
    }
}

/// A bridge in the host's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The kernel's name.
    pub name: IfName,
    /// Whose it is.
    pub owner: Owner,
    /// Somebody else's bridge: used, never made, changed or deleted, and given no mark.
    pub adopted: bool,
    /// Its pinned address; of an adopted one, none.
    pub mac: Option<MacAddr>,
    /// Bytes; of an adopted one, none.
    pub mtu: Option<u32>,
    /// Frames between neighbours pass the forward hook (`nf_call_iptables`, `nf_call_ip6tables`).
    pub filtered: bool,
}

/// A pair of links, one end a port of a bridge, the other in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Veth {
    /// The name of the host's end.
    pub name: IfName,
    /// Whose it is.
    pub owner: Owner,
    /// The bridge.
    pub master: IfName,
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The name of the sandbox's end.
    pub interface: IfName,
    /// The address of the sandbox's end.
    pub mac: MacAddr,
    /// Bytes, of both ends.
    pub mtu: u32,
    /// Whether frames may leave by the port they came in by.
    pub hairpin: bool,
    /// Whether it hears as little as can be of what is meant for others: what the bridge
    /// answers itself is kept from it, and the bridge knows who is there from the first frame.
    pub quiet: bool,
}

/// A link of a sandbox on a parent in the host's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macvlan {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// Its name there.
    pub interface: IfName,
    /// Whose it is.
    pub owner: Owner,
    /// The host's link, which is somebody else's.
    pub parent: IfName,
    /// How it reaches others on the parent.
    pub mode: MacvlanMode,
    /// Its address; none in the mode that has the parent's.
    pub mac: Option<MacAddr>,
    /// Bytes.
    pub mtu: u32,
}

/// UDP, as IANA has it for VXLAN (RFC 7348 §8).
pub const VXLAN_PORT: u16 = 4789;

/// The port of a bridge by which the frames of a network reach other hosts (RFC 7348): it
/// learns nothing and floods nothing, and knows only what [`Resource::Forwarding`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vxlan {
    /// The kernel's name.
    pub name: IfName,
    /// Whose it is.
    pub owner: Owner,
    /// The bridge. It answers for neighbours that it knows by [`Resource::Neighbour`], so
    /// that no question for a MAC has to go anywhere.
    pub master: IfName,
    /// What its frames carry.
    pub vni: Vni,
    /// UDP, at both ends.
    pub port: u16,
    /// The host's address in the underlay.
    pub local: IpAddr,
    /// Bytes, of what it carries.
    pub mtu: u32,
}

/// What makes a resource the same one, though its properties change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A namespace.
    Namespace(SandboxId),
    /// A link in the host's namespace, of whatever kind.
    Link(IfName),
    /// A link in a sandbox that has no end on the host.
    Interface(SandboxId, IfName),
    /// A kernel parameter.
    Sysctl(Place, IfName, LinkSysctlKey),
    /// An address.
    Address(Place, IfName, IpNetwork),
    /// A route.
    Route(Place, IpNetwork),
    /// What answers a sandbox's questions for names.
    NameServer(SandboxId),
    /// A file of a sandbox.
    File(SandboxId, SandboxFile),
    /// Where frames for a MAC are sent.
    Forwarding(IfName, MacAddr),
    /// The MAC of an address.
    Neighbour(IfName, IpAddr),
    /// An element; of a map, without its value.
    Element(ElementKey),
}

/// [`LinkSysctl`] as a part of a key.
pub type LinkSysctlKey = (Family, String);

/// A file that a runtime mounts into a sandbox's workload, under `/etc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SandboxFile {
    /// hosts(5).
    Hosts,
    /// hostname(5).
    Hostname,
    /// resolv.conf(5).
    ResolvConf,
}

impl SandboxFile {
    /// Every file.
    pub const ALL: [Self; 3] = [Self::Hosts, Self::Hostname, Self::ResolvConf];

    /// The file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Hostname => "hostname",
            Self::ResolvConf => "resolv.conf",
        }
    }
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// This text, written by the daemon.
    Written(String),
    /// What somebody else made of it; observed, never desired. It is left alone.
    Edited,
}

/// Something the kernel should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A network namespace that the daemon makes, pinned at a path, with its loopback up.
    Namespace {
        /// Whose.
        sandbox: SandboxId,
        /// Where it is pinned.
        path: PathBuf,
    },
    /// A bridge.
    Bridge(Bridge),
    /// A pair of links.
    Veth(Veth),
    /// A link of a sandbox on a parent of the host.
    Macvlan(Macvlan),
    /// A kernel parameter of a link.
    Sysctl {
        /// Where.
        place: Place,
        /// Which link.
        link: IfName,
        /// Which parameter.
        sysctl: LinkSysctl,
        /// The value.
        value: String,
    },
    /// An address on a link.
    Address {
        /// Where.
        place: Place,
        /// Which link.
        link: IfName,
        /// The address with its prefix length.
        address: IpNetwork,
    },
    /// A route, marked with the daemon's own protocol number.
    Route {
        /// Where.
        place: Place,
        /// Through which link.
        link: IfName,
        /// Where to.
        destination: IpNetwork,
        /// By which gateway.
        via: Option<IpAddr>,
    },
    /// Sockets in a sandbox's namespace, and the rules there that lead what is sent to
    /// [`crate::dns::RESOLVER`] to them.
    NameServer {
        /// Whose.
        sandbox: SandboxId,
    },
    /// A file of a sandbox.
    File {
        /// Whose.
        sandbox: SandboxId,
        /// Which one.
        file: SandboxFile,
        /// What it says.
        content: Content,
    },
    /// A VXLAN link.
    Vxlan(Vxlan),
    /// Frames for a MAC leave by a VXLAN link, to a host.
    Forwarding {
        /// The VXLAN link.
        link: IfName,
        /// The MAC.
        mac: MacAddr,
        /// The host's address in the underlay.
        to: IpAddr,
    },
    /// An address that is behind a bridge has a MAC, as the bridge answers.
    Neighbour {
        /// The bridge.
        link: IfName,
        /// The address.
        address: IpAddr,
        /// Its MAC.
        mac: MacAddr,
    },
    /// An element of an nftables set or map.
    Element(Element),
}

impl Resource {
    /// What makes it the same resource, though its properties change.
    pub fn key(&self) -> Key {
        match self {
            Self::Namespace { sandbox, .. } => Key::Namespace(*sandbox),
            Self::Bridge(bridge) => Key::Link(bridge.name.clone()),
            Self::Veth(veth) => Key::Link(veth.name.clone()),
            Self::Macvlan(link) => Key::Interface(link.sandbox, link.interface.clone()),
            Self::Sysctl { place, link, sysctl, .. } => {
                Key::Sysctl(*place, link.clone(), (sysctl.family, sysctl.key.clone()))
            }
            Self::Address { place, link, address } => Key::Address(*place, link.clone(), *address),
            Self::Route { place, destination, .. } => Key::Route(*place, *destination),
            Self::NameServer { sandbox } => Key::NameServer(*sandbox),
            Self::File { sandbox, file, .. } => Key::File(*sandbox, *file),
            Self::Vxlan(vxlan) => Key::Link(vxlan.name.clone()),
            Self::Forwarding { link, mac, .. } => Key::Forwarding(link.clone(), *mac),
            Self::Neighbour { link, address, .. } => Key::Neighbour(link.clone(), *address),
            Self::Element(element) => Key::Element(element.key()),
        }
    }

    /// The kind, as the API names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Namespace { .. } => "namespace",
            Self::Bridge(_) => "bridge",
            Self::Veth(_) => "veth",
            Self::Macvlan(_) => "macvlan",
            Self::Sysctl { .. } => "sysctl",
            Self::Address { .. } => "address",
            Self::Route { .. } => "route",
            Self::NameServer { .. } => "name-server",
            Self::File { .. } => "file",
            Self::Vxlan(_) => "vxlan",
            Self::Forwarding { .. } => "forwarding",
            Self::Neighbour { .. } => "neighbour",
            Self::Element(_) => "element",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace { path, .. } => write!(f, "{}", path.display()),
            Self::Bridge(bridge) => {
                write!(f, "{}", bridge.name)?;
                if bridge.adopted { f.write_str(" (adopted)") } else { Ok(()) }
            }
            Self::Veth(veth) => write!(
                f,
                "{} on {} to {} in sandbox/{}",
                veth.name, veth.master, veth.interface, veth.sandbox
            ),
            Self::Macvlan(Macvlan { sandbox, interface, parent, mode, .. }) => {
                write!(f, "{interface} on {parent} ({mode}) in sandbox/{sandbox}")
            }
            Self::Sysctl { place, link, sysctl, value } => {
                let family = match sysctl.family {
                    Family::V4 => "ipv4",
                    Family::V6 => "ipv6",
                };
                write!(f, "net.{family}.conf.{link}.{}={value} in {place}", sysctl.key)
            }
            Self::Address { place, link, address } => write!(f, "{address} on {link} in {place}"),
            Self::Route { place, link, destination, via } => {
                write!(f, "{destination}")?;
                if let Some(via) = via {
                    write!(f, " via {via}")?;
                }
                write!(f, " dev {link} in {place}")
            }
            Self::NameServer { sandbox } => {
                write!(f, "{} in sandbox/{sandbox}", crate::dns::RESOLVER)
            }
            Self::File { sandbox, file, .. } => write!(f, "{} of sandbox/{sandbox}", file.name()),
            Self::Vxlan(Vxlan { name, master, vni, local, port, .. }) => {
                write!(f, "{name} on {master}, VNI {vni} from {local} port {port}")
            }
            Self::Forwarding { link, mac, to } => write!(f, "{mac} by {link} to {to}"),
            Self::Neighbour { link, address, mac } => write!(f, "{address} is {mac} on {link}"),
            Self::Element(element) => write!(f, "{element}"),
        }
    }
}
