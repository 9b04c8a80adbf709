//! Endpoints: what joins one sandbox to one network.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::decision::EndpointDecision;
use crate::dns::DnsName;
use crate::id::{EndpointId, NetworkId, SandboxId};
use crate::mac::MacAddr;
use crate::name::{IfName, Labels, Name};
use crate::network::Family;
use crate::port::{ExposedPort, PortBinding, PublishedPort};
use crate::time::Timestamp;

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// A static address.
    pub ipv4: Option<Ipv4Addr>,
    /// A static address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed MAC.
    pub mac: Option<MacAddr>,
    /// A fixed interface name.
    pub interface: Option<IfName>,
    /// The highest gives the sandbox its default route.
    pub gateway_priority: i32,
    /// Further names.
    pub aliases: Vec<DnsName>,
    /// Ports the workload serves.
    pub exposed: Vec<ExposedPort>,
    /// Ports published on the host.
    pub published: Vec<PublishedPort>,
    /// Free labels.
    pub labels: Labels,
    /// Options of the driver.
    pub options: Labels,
}

impl EndpointSpec {
    /// The static address of a family, if one is asked for.
    pub fn wanted(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.ipv4.map(IpAddr::V4),
            Family::V6 => self.ipv6.map(IpAddr::V6),
        }
    }
}

/// What an endpoint has while it is joined to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The interface's name there; none where the driver makes no link.
    pub interface: Option<IfName>,
    /// The published ports as bound.
    pub bindings: Vec<PortBinding>,
    /// What the driver decided and admission let through.
    pub decision: EndpointDecision,
}

/// An endpoint as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its uid.
    pub id: EndpointId,
    /// Its unique name.
    pub name: Name,
    /// The generation of its last change.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// The network.
    pub network: NetworkId,
    /// What was asked for.
    pub spec: EndpointSpec,
    /// Its MAC.
    pub mac: MacAddr,
    /// Its addresses with the subnet's prefix length, IPv4 before IPv6.
    pub addresses: Vec<IpNetwork>,
    /// What it has while joined.
    pub attachment: Option<Attachment>,
}

/// See [`Endpoint::gateway_rank`].
pub type GatewayRank<'a> = (Reverse<i32>, &'a str, EndpointId);

impl Endpoint {
    /// The address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(IpNetwork::ip).find(|ip| Family::of(*ip) == family)
    }

    /// The first in this order gives a sandbox its default routes: the highest priority;
    /// among equals the network whose name sorts first, then the older endpoint.
    pub const fn gateway_rank(priority: i32, network: &str, id: EndpointId) -> GatewayRank<'_> {
        (Reverse(priority), network, id)
    }

    /// Whether it is joined by a macvlan: its flows pass none of the host's rules then.
    pub fn is_macvlan(&self) -> bool {
        self.attachment.as_ref().is_some_and(|attachment| attachment.decision.macvlan().is_some())
    }

    /// The sandbox, while joined.
    pub fn sandbox(&self) -> Option<SandboxId> {
        self.attachment.as_ref().map(|attachment| attachment.sandbox)
    }
}
