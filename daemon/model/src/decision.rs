//! What a driver answers: the resources that should exist, as data.
//!
//! A decision names links by the driver's own *handles*; kernel names are the host's
//! choice, so a driver cannot speak of a link that is not its own. The two exceptions,
//! [`LinkKind::Adopt`] and the parent of a [`LinkKind::Macvlan`], need capabilities of
//! their own.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::driver::Capability;
use crate::mac::MacAddr;
use crate::name::IfName;
use crate::network::Family;
use crate::port::PortBinding;

/// Longest handle.
pub const HANDLE_MAX: usize = 32;

/// A driver's own name for a link: 1 to 32 lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Handle(String);

/// The text is not a handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a handle: 1 to 32 lower-case letters, digits and `-`")]
pub struct InvalidHandle(pub String);

impl Handle {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Handle {
    type Err = InvalidHandle;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > HANDLE_MAX || !text.bytes().all(allowed) {
            return Err(InvalidHandle(text.chars().take(HANDLE_MAX).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Handle {
    type Error = InvalidHandle;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Handle> for String {
    fn from(handle: Handle) -> Self {
        handle.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which side of an endpoint a resource is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The daemon's namespace.
    Host,
    /// The sandbox.
    Sandbox,
}

/// How macvlan links on one parent reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MacvlanMode {
    /// Not at all.
    Private,
    /// By a switch that sends frames back by the port they came in by.
    Vepa,
    /// Directly.
    Bridge,
    /// There is only one, which has the parent and its MAC for itself.
    Passthru,
}

impl fmt::Display for MacvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Vepa => "vepa",
            Self::Bridge => "bridge",
            Self::Passthru => "passthru",
        })
    }
}

/// What a link is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// A bridge that the host makes, and names by `name` if that is given.
    Bridge {
        /// The kernel's name for it, if the user chose one.
        name: Option<IfName>,
    },
    /// A bridge that exists already; never deleted.
    Adopt {
        /// The kernel's name.
        name: IfName,
    },
    /// A pair: one end a port of `master`, the other in the sandbox.
    Veth {
        /// The bridge the host's end is a port of.
        master: Handle,
        /// The name of the end in the sandbox.
        interface: IfName,
        /// Whether frames may leave by the port they came in by.
        hairpin: bool,
    },
    /// A link of the sandbox that sends and receives by a link of the host.
    Macvlan {
        /// The host's link. Somebody else's: it is used and never changed.
        parent: IfName,
        /// The name of the link in the sandbox.
        interface: IfName,
        /// How it reaches others on the parent.
        mode: MacvlanMode,
    },
    /// The port of a bridge by which frames reach other hosts.
    Vxlan {
        /// The bridge.
        master: Handle,
    },
}

/// A link that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The driver's name for it.
    pub handle: Handle,
    /// What it is.
    pub kind: LinkKind,
    /// Bytes; none leaves the kernel's default.
    pub mtu: Option<u32>,
    /// The address (of a pair: of the end in the sandbox; of a macvlan that has its parent
    /// for itself: the parent's).
    pub mac: Option<MacAddr>,
}

/// Which kernel parameter of a link: `net.<family>.conf.<link>.<key>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkSysctl {
    /// The family.
    pub family: Family,
    /// The last part of the key, as `route_localnet`.
    pub key: String,
}

/// Something that should exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Desired {
    /// A link.
    Link(Link),
    /// An address on a link.
    Address {
        /// Which link.
        link: Handle,
        /// The address with its prefix length.
        address: IpNetwork,
        /// On which side.
        side: Side,
    },
    /// A route in the sandbox.
    Route {
        /// Through which link.
        link: Handle,
        /// Where to.
        destination: IpNetwork,
        /// By which gateway; none means it is on the link.
        via: Option<IpAddr>,
    },
    /// What may pass a bridge.
    Filter {
        /// Which bridge.
        link: Handle,
        /// Flows between neighbours.
        neighbours: bool,
        /// Flows to and from other networks that say the same.
        networks: bool,
        /// Flows to the world.
        world: bool,
        /// Flows from outside to unpublished ports.
        direct: bool,
    },
    /// Flows that leave by another link get the host's address.
    Masquerade {
        /// Which bridge they come from.
        link: Handle,
        /// Of which family.
        family: Family,
        /// A fixed address instead of the outgoing link's.
        to: Option<IpAddr>,
    },
    /// Ports of the host that lead to the endpoint.
    Publish(PortBinding),
    /// A kernel parameter of a link.
    Sysctl {
        /// Which link.
        link: Handle,
        /// On which side.
        side: Side,
        /// Which parameter.
        sysctl: LinkSysctl,
        /// The value.
        value: String,
    },
}

impl Desired {
    /// The capability without which the resource is not admitted.
    pub const fn capability(&self) -> Capability {
        match self {
            Self::Link(link) => match link.kind {
                LinkKind::Bridge { .. } => Capability::Bridge,
                LinkKind::Adopt { .. } => Capability::AdoptLink,
                LinkKind::Veth { .. } => Capability::Veth,
                LinkKind::Macvlan { .. } => Capability::Macvlan,
                LinkKind::Vxlan { .. } => Capability::Vxlan,
            },
            Self::Address { .. } => Capability::Address,
            Self::Route { .. } => Capability::Route,
            Self::Filter { .. } => Capability::Filter,
            Self::Masquerade { .. } => Capability::Masquerade,
            Self::Publish(_) => Capability::Publish,
            Self::Sysctl { .. } => Capability::Sysctl,
        }
    }
}

/// What should exist for a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDecision {
    /// The resources.
    pub resources: Vec<Desired>,
    /// What the driver wants to be shown next time.
    pub state: Vec<u8>,
}

/// What should exist for an endpoint while it is joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDecision {
    /// The resources.
    pub resources: Vec<Desired>,
    /// Gateways the endpoint offers for the sandbox's default routes, at most one of a family.
    pub gateways: Vec<IpAddr>,
    /// What the driver wants to be shown next time.
    pub state: Vec<u8>,
}

impl EndpointDecision {
    /// The macvlan of the decision with its parent and mode, if it has one.
    pub fn macvlan(&self) -> Option<(&Link, &IfName, MacvlanMode)> {
        self.resources.iter().find_map(|resource| match resource {
            Desired::Link(link) => match &link.kind {
                LinkKind::Macvlan { parent, mode, .. } => Some((link, parent, *mode)),
                _ => None,
            },
            _ => None,
        })
    }
}

/// Something that should exist on this host for an endpoint on another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Frames for a MAC leave by a VXLAN link.
    Forwarding {
        /// Which link.
        link: Handle,
        /// The MAC.
        mac: MacAddr,
        /// The host, by its address in the underlay.
        to: IpAddr,
    },
    /// An address has a MAC, as a bridge answers.
    Neighbour {
        /// Which bridge.
        link: Handle,
        /// The address.
        address: IpAddr,
        /// The MAC.
        mac: MacAddr,
    },
}

/// What should exist on this host for an endpoint on another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerDecision {
    /// The resources.
    pub resources: Vec<Reach>,
}
