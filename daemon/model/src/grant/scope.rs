//! Which resources of a kind a grant is for.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::decision::{Desired, LinkKind};
use crate::driver::Capability;
use crate::port::{PortBinding, PortRange};

/// Which resources of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every one that admission lets through.
    Any,
    /// Those whose name matches: of a link that is taken or named, of a parent, or of a
    /// kernel parameter by the last part of its key.
    Names(Vec<Pattern>),
    /// Those inside one of the prefixes: addresses, destinations, fixed source addresses.
    Prefixes(Vec<IpNetwork>),
    /// Host ports inside one of the ranges.
    Ports(Vec<PortRange>),
}

/// A name in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub(super) String);

impl Pattern {
    /// Whether a name is as the pattern says.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
        for part in middle {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

/// The parts of a scope, read.
pub(super) fn read(capability: Capability, parts: &[&str]) -> Result<Scope, String> {
    match capability {
        Capability::Bridge | Capability::AdoptLink | Capability::Macvlan | Capability::Sysctl => {
            parts.iter().map(|part| pattern(part)).collect::<Result<_, _>>().map(Scope::Names)
        }
        Capability::Address | Capability::Route | Capability::Masquerade => {
            parts.iter().map(|part| prefix(part)).collect::<Result<_, _>>().map(Scope::Prefixes)
        }
        Capability::Publish => {
            parts.iter().map(|part| ports(part)).collect::<Result<_, _>>().map(Scope::Ports)
        }
        Capability::Veth | Capability::Vxlan | Capability::Filter => {
            Err(format!("`{capability}` has no scope: grant it or not"))
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"*_-.:@".contains(&b);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
        return Err(format!("`{text}` is no name, in which `*` stands for any text"));
    }
    Ok(Pattern(text.to_owned()))
}

fn prefix(text: &str) -> Result<IpNetwork, String> {
    let prefix: IpNetwork = text.parse().map_err(|_| format!("`{text}` is no prefix"))?;
    if prefix.network() != prefix.ip() {
        return Err(format!("`{text}` has host bits set"));
    }
    Ok(prefix)
}

fn ports(text: &str) -> Result<PortRange, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is no port"));
    PortRange::new(number(first)?, number(last)?).map_err(|error| error.to_string())
}

impl Scope {
    /// What of a resource is outside.
    pub(super) fn admit(&self, resource: &Desired) -> Result<(), String> {
        let inside = match (self, resource) {
            (Self::Any, _) => return Ok(()),
            (Self::Names(names), Desired::Link(link)) => {
                let name = match &link.kind {
                    LinkKind::Bridge { name } => name.as_ref(),
                    LinkKind::Adopt { name } => Some(name),
                    LinkKind::Macvlan { parent, .. } => Some(parent),
                    LinkKind::Veth { .. } | LinkKind::Vxlan { .. } => None,
                };
                // A link that the host names is nobody else's.
                let fits = |name: &str| names.iter().any(|pattern| pattern.matches(name));
                name.is_none_or(|name| fits(name.as_str()))
            }
            (Self::Names(names), Desired::Sysctl { sysctl, .. }) => {
                names.iter().any(|pattern| pattern.matches(&sysctl.key))
            }
            (Self::Prefixes(prefixes), Desired::Address { address, .. }) => {
                holds(prefixes, address.ip())
            }
            (Self::Prefixes(prefixes), Desired::Route { destination, .. }) => {
                prefixes.iter().any(|prefix| {
                    prefix.prefix() <= destination.prefix() && prefix.contains(destination.ip())
                })
            }
            (Self::Prefixes(prefixes), Desired::Masquerade { to, .. }) => {
                to.is_none_or(|to| holds(prefixes, to))
            }
            (Self::Ports(ranges), Desired::Publish(binding)) => covers(ranges, binding),
            _ => false,
        };
        if inside { Ok(()) } else { Err(what(resource)) }
    }
}

fn holds(prefixes: &[IpNetwork], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address))
}

fn covers(ranges: &[PortRange], binding: &PortBinding) -> bool {
    let (first, last) = (binding.host.first(), binding.host.last());
    ranges.iter().any(|range| range.first() <= first && last <= range.last())
}

/// A resource by what its scope is about.
fn what(resource: &Desired) -> String {
    match resource {
        Desired::Link(link) => match &link.kind {
            LinkKind::Bridge { name: Some(name) } | LinkKind::Adopt { name } => format!("`{name}`"),
            LinkKind::Macvlan { parent, .. } => format!("`{parent}`"),
            LinkKind::Bridge { name: None } | LinkKind::Veth { .. } | LinkKind::Vxlan { .. } => {
                "a link".to_owned()
            }
        },
        Desired::Address { address, .. } => format!("`{address}`"),
        Desired::Route { destination, .. } => format!("`{destination}`"),
        Desired::Masquerade { to, .. } => to.map_or_else(String::new, |to| format!("`{to}`")),
        Desired::Publish(binding) => format!("port {}", binding.host),
        Desired::Sysctl { sysctl, .. } => format!("`{}`", sysctl.key),
        Desired::Filter { .. } => "a filter".to_owned(),
    }
}
