//! What a driver is, and what it is shown.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::cluster::Vni;
use crate::grant::Grants;
use crate::mac::MacAddr;
use crate::name::{IfName, Labels, Name};
use crate::port::PortBinding;
use crate::time::Timestamp;

/// A kind of resource a driver may decide about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Bridges made by the host.
    Bridge,
    /// Links that exist already, taken by name.
    AdoptLink,
    /// Pairs of links between host and sandbox.
    Veth,
    /// Links of sandboxes on a parent of the host.
    Macvlan,
    /// Links by which the frames of a network reach other hosts.
    Vxlan,
    /// Addresses.
    Address,
    /// Routes in the sandbox.
    Route,
    /// What may pass a bridge.
    Filter,
    /// Source address translation.
    Masquerade,
    /// Ports of the host.
    Publish,
    /// Kernel parameters of its own links.
    Sysctl,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 11] = [
        Self::Bridge,
        Self::AdoptLink,
        Self::Veth,
        Self::Macvlan,
        Self::Vxlan,
        Self::Address,
        Self::Route,
        Self::Filter,
        Self::Masquerade,
        Self::Publish,
        Self::Sysctl,
    ];

    /// The name in manifests and grants.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::AdoptLink => "adopt-link",
            Self::Veth => "veth",
            Self::Macvlan => "macvlan",
            Self::Vxlan => "vxlan",
            Self::Address => "address",
            Self::Route => "route",
            Self::Filter => "filter",
            Self::Masquerade => "masquerade",
            Self::Publish => "publish",
            Self::Sysctl => "sysctl",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No capability has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a capability")]
pub struct UnknownCapability(pub String);

impl FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|capability| capability.as_str() == text)
            .ok_or_else(|| UnknownCapability(text.to_owned()))
    }
}

/// What an option of a driver belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionScope {
    /// Given when a network is made.
    Network,
    /// Given when an endpoint is made.
    Endpoint,
}

/// An option that a driver understands; every other one is refused before it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionSpec {
    /// The option's key.
    pub name: String,
    /// What it belongs to.
    pub scope: OptionScope,
    /// One line for people.
    pub help: String,
}

/// Which sandboxes a driver's endpoints join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    /// Sandboxes with a namespace of their own.
    Own,
    /// Only sandboxes that share the host's namespace.
    Host,
}

/// What a driver says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name networks use.
    pub name: Name,
    /// Its own version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// What it asks for.
    pub capabilities: BTreeSet<Capability>,
    /// What options it understands.
    pub options: Vec<OptionSpec>,
    /// Whether its networks have subnets and its endpoints addresses.
    pub addressing: bool,
    /// Which sandboxes its endpoints join.
    pub attach: Attach,
    /// At most so many networks of this driver.
    pub max_networks: Option<u32>,
}

/// A driver that was installed, as the operator has it. What it says of itself is in its
/// module, which is kept beside the record, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// The name networks choose it by; its manifest's.
    pub name: Name,
    /// `sha256:…` of the module.
    pub digest: String,
    /// The generation of its last change.
    pub revision: u64,
    /// When its first version was installed.
    pub installed: Timestamp,
    /// Whether it is asked. The networks of one that is not stay as they are.
    pub enabled: bool,
    /// What it may decide about.
    pub grants: Grants,
    /// The key that signed the module, by its file's name; none if nobody was asked to.
    #[serde(default)]
    pub signed_by: Option<String>,
}

/// A driver that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    /// What it says of itself.
    pub manifest: Manifest,
    /// `sha256:…` of the module.
    pub digest: String,
    /// Part of the daemon's binary.
    pub built_in: bool,
    /// Whether its networks are shared by the hosts of a cluster: it says what reaches an
    /// endpoint on another one.
    pub multi_host: bool,
    /// What it asked for and the operator granted.
    pub granted: Grants,
}

/// What comes with every request, so that a driver needs no clock and no randomness
/// and every call can be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The request's id, for logs.
    pub request_id: String,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// A seed.
    pub seed: u64,
}

/// A subnet as a driver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetView {
    /// The prefix.
    pub subnet: IpNetwork,
    /// The gateway's address.
    pub gateway: Option<IpAddr>,
}

/// How the frames of a network that hosts share travel, as a driver sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelView {
    /// What they carry.
    pub vni: Vni,
    /// This host's address in the underlay.
    pub local: IpAddr,
}

/// A network as a driver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkView {
    /// uid.
    pub id: String,
    /// Name.
    pub name: String,
    /// Subnets, IPv4 before IPv6.
    pub subnets: Vec<SubnetView>,
    /// No way out to the world.
    pub internal: bool,
    /// Whether endpoints may reach each other.
    pub icc: bool,
    /// Bytes.
    pub mtu: u32,
    /// A MAC the host offers for the network's own link.
    pub mac: MacAddr,
    /// How its frames reach other hosts; none of a network of this host alone.
    pub tunnel: Option<TunnelView>,
    /// Labels.
    pub labels: Labels,
    /// Options.
    pub options: Labels,
    /// What the driver said last time; empty at first.
    pub state: Vec<u8>,
}

/// An endpoint on another host as a driver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// uid.
    pub id: String,
    /// Name.
    pub name: String,
    /// Its addresses, with prefix length.
    pub addresses: Vec<IpNetwork>,
    /// Its MAC.
    pub mac: MacAddr,
    /// Its host's address in the underlay.
    pub host: IpAddr,
}

/// An endpoint as a driver sees it, while it is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointView {
    /// uid.
    pub id: String,
    /// Name.
    pub name: String,
    /// The addresses the host offers, with prefix length.
    pub addresses: Vec<IpNetwork>,
    /// The MAC the host offers.
    pub mac: MacAddr,
    /// The interface's name in the sandbox.
    pub interface: IfName,
    /// The ports to publish, with host ports chosen.
    pub bindings: Vec<PortBinding>,
    /// Labels.
    pub labels: Labels,
    /// Options.
    pub options: Labels,
    /// What the driver said last time; empty at first.
    pub state: Vec<u8>,
}
