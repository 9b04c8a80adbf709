//! The steps from what is to what should be. Made by the planner, taken by the
//! executor, which has no choice left to make.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::id::SandboxId;
use crate::port::{PortRange, Protocol};
use crate::resource::{Element, Resource};
use crate::sandbox::NamespaceIdentity;

/// Which flows are to end: their connection tracking entries are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flows {
    /// All from or to an endpoint's address.
    Of(IpAddr),
    /// All that were translated to ports of an endpoint's address.
    To {
        /// The endpoint's address.
        target: IpAddr,
        /// The transport.
        protocol: Protocol,
        /// The endpoint's ports.
        ports: PortRange,
    },
    /// All to ports of the host, or of every address if it is unspecified, that nothing
    /// has answered yet and that are translated to no endpoint.
    Unanswered {
        /// The host's address.
        host: IpAddr,
        /// The transport.
        protocol: Protocol,
        /// The host's ports.
        ports: PortRange,
    },
    /// All from one endpoint's address to ports of another's.
    Link {
        /// Who begins them.
        from: IpAddr,
        /// Whose ports.
        to: IpAddr,
        /// The transport.
        protocol: Protocol,
        /// The ports.
        ports: PortRange,
    },
}

/// One change of something other than an nftables element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make it. That it is there already is no error only for addresses, routes and sysctls.
    Create(Resource),
    /// Change it in place.
    Update {
        /// As it is.
        from: Resource,
        /// As it should be.
        to: Resource,
    },
    /// Remove it. That it is gone already is no error.
    Delete(Resource),
}

/// Where a sandbox's namespace is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRef {
    /// The path.
    pub path: PathBuf,
    /// Which namespace must be there, where that is known.
    pub identity: Option<NamespaceIdentity>,
}

/// The steps, in the order they are taken:
/// 1. `rules`, as elements need their sets;
/// 2. elements in one nftables transaction: a new endpoint is judged before its
///    first packet, an old one is out of service before its link goes;
/// 3. `flows` end;
/// 4. `steps` one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whether the constant rules and their sets are to be loaded again.
    pub rules: bool,
    /// Elements to remove. An element whose value changes is both removed and added.
    pub remove: Vec<Element>,
    /// Elements to add.
    pub add: Vec<Element>,
    /// Flows to end.
    pub flows: Vec<Flows>,
    /// Everything else.
    pub steps: Vec<Step>,
    /// Every sandbox that a step speaks of.
    pub namespaces: BTreeMap<SandboxId, NamespaceRef>,
}

impl Plan {
    /// How many changes it makes, those of flows apart.
    pub const fn changes(&self) -> usize {
        self.rules as usize + self.remove.len() + self.add.len() + self.steps.len()
    }

    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.changes() == 0 && self.flows.is_empty()
    }
}

impl fmt::Display for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(address) => write!(f, "of {address}"),
            Self::To { target, protocol, ports } => {
                write!(f, "to {protocol}/{ports} of {target}")
            }
            Self::Unanswered { host, protocol, ports } => {
                write!(f, "unanswered, to {protocol}/{ports} of {host}")
            }
            Self::Link { from, to, protocol, ports } => {
                write!(f, "from {from} to {protocol}/{ports} of {to}")
            }
        }
    }
}
