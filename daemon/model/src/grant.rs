//! What an operator grants a driver: kinds of resources, and of some of them which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::decision::{Desired, LinkKind};
use crate::driver::Capability;
use crate::port::{PortBinding, PortRange};

/// Longest list of a scope.
const SCOPE_MAX: usize = 64;

/// What a driver may decide about. A capability that is not in it is not granted; an empty
/// grant admits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Grants(BTreeMap<Capability, Scope>);

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
pub struct Pattern(String);

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

/// A text that is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a grant: {reason}")]
pub struct InvalidGrant {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// One capability with its scope: `veth`, `publish=8000-8999`, `address=10.0.0.0/8,fd00::/8`,
/// `sysctl=accept_*`, `adopt-link=br-*`, `macvlan=eth1,eth1.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant(pub Capability, pub Scope);

impl FromStr for Grant {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let wrong = |reason: String| InvalidGrant { text: text.to_owned(), reason };
        let (name, scope) = match text.split_once('=') {
            Some((name, scope)) => (name, Some(scope)),
            None => (text, None),
        };
        let capability: Capability = name.parse().map_err(|_| {
            let known: Vec<_> = Capability::ALL.iter().map(|known| known.as_str()).collect();
            wrong(format!("no capability `{name}`; there are {}", known.join(", ")))
        })?;
        let Some(scope) = scope else { return Ok(Self(capability, Scope::Any)) };
        let parts: Vec<&str> = scope.split(',').collect();
        if parts.len() > SCOPE_MAX {
            return Err(wrong(format!("{} parts, at most {SCOPE_MAX}", parts.len())));
        }
        Ok(Self(capability, scope_of(capability, &parts).map_err(wrong)?))
    }
}

fn scope_of(capability: Capability, parts: &[&str]) -> Result<Scope, String> {
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
        Capability::Veth | Capability::Filter => {
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

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(capability, scope) = self;
        let parts: Vec<String> = match scope {
            Scope::Any => return write!(f, "{capability}"),
            Scope::Names(names) => names.iter().map(|pattern| pattern.0.clone()).collect(),
            Scope::Prefixes(prefixes) => prefixes.iter().map(ToString::to_string).collect(),
            Scope::Ports(ranges) => ranges.iter().map(ToString::to_string).collect(),
        };
        write!(f, "{capability}={}", parts.join(","))
    }
}

impl Grants {
    /// The grants of a list with commas between them, as people type it. What is no capability
    /// belongs to the scope before it: `veth,address=10.0.0.0/8,fd00::/8` is two.
    pub fn split(list: &str) -> Vec<String> {
        let mut grants: Vec<String> = Vec::new();
        for part in list.split(',') {
            let name = part.split('=').next().unwrap_or_default();
            match grants.last_mut() {
                Some(last) if last.contains('=') && name.parse::<Capability>().is_err() => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => grants.push(part.to_owned()),
            }
        }
        grants
    }

    /// Everything of some kinds.
    pub fn all_of(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self(capabilities.into_iter().map(|capability| (capability, Scope::Any)).collect())
    }

    /// Only what is asked for, too.
    #[must_use]
    pub fn within(&self, asked: &BTreeSet<Capability>) -> Self {
        let both = self.0.iter().filter(|(capability, _)| asked.contains(capability));
        Self(both.map(|(capability, scope)| (*capability, scope.clone())).collect())
    }

    /// What is asked for and not granted at all.
    pub fn missing(&self, asked: &BTreeSet<Capability>) -> Vec<Capability> {
        asked.iter().filter(|capability| !self.0.contains_key(capability)).copied().collect()
    }

    /// Each capability with its scope.
    pub fn iter(&self) -> impl Iterator<Item = Grant> {
        self.0.iter().map(|(capability, scope)| Grant(*capability, scope.clone()))
    }

    /// Whether a resource may be decided about.
    ///
    /// # Errors
    /// What is not granted, in words.
    pub fn admit(&self, resource: &Desired) -> Result<(), String> {
        let capability = resource.capability();
        let Some(scope) = self.0.get(&capability) else {
            return Err(format!("capability `{capability}` is not granted"));
        };
        scope.admit(resource).map_err(|what| {
            format!("capability `{capability}` is granted for `{}` alone, not for {what}", {
                Grant(capability, scope.clone())
            })
        })
    }
}

impl Scope {
    /// What of a resource is outside.
    fn admit(&self, resource: &Desired) -> Result<(), String> {
        let inside = match (self, resource) {
            (Self::Any, _) => return Ok(()),
            (Self::Names(names), Desired::Link(link)) => {
                let name = match &link.kind {
                    LinkKind::Bridge { name } => name.as_ref(),
                    LinkKind::Adopt { name } => Some(name),
                    LinkKind::Macvlan { parent, .. } => Some(parent),
                    LinkKind::Veth { .. } => None,
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
            LinkKind::Bridge { name: None } | LinkKind::Veth { .. } => "a link".to_owned(),
        },
        Desired::Address { address, .. } => format!("`{address}`"),
        Desired::Route { destination, .. } => format!("`{destination}`"),
        Desired::Masquerade { to, .. } => to.map_or_else(String::new, |to| format!("`{to}`")),
        Desired::Publish(binding) => format!("port {}", binding.host),
        Desired::Sysctl { sysctl, .. } => format!("`{}`", sysctl.key),
        Desired::Filter { .. } => "a filter".to_owned(),
    }
}

impl TryFrom<Vec<String>> for Grants {
    type Error = InvalidGrant;

    /// A capability that is named twice has what both say; without a scope, everything.
    fn try_from(texts: Vec<String>) -> Result<Self, InvalidGrant> {
        let mut grants = Self::default();
        for text in texts {
            let Grant(capability, scope) = text.parse()?;
            let merged = match (grants.0.remove(&capability), scope) {
                (None, scope) => scope,
                (Some(Scope::Names(mut a)), Scope::Names(b)) => {
                    a.extend(b);
                    Scope::Names(a)
                }
                (Some(Scope::Prefixes(mut a)), Scope::Prefixes(b)) => {
                    a.extend(b);
                    Scope::Prefixes(a)
                }
                (Some(Scope::Ports(mut a)), Scope::Ports(b)) => {
                    a.extend(b);
                    Scope::Ports(a)
                }
                _ => Scope::Any,
            };
            grants.0.insert(capability, merged);
        }
        Ok(grants)
    }
}

impl From<Grants> for Vec<String> {
    fn from(grants: Grants) -> Self {
        grants.iter().map(|grant| grant.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Link, LinkSysctl, MacvlanMode, Side};
    use crate::network::Family;
    use crate::port::Protocol;

    fn grants(texts: &[&str]) -> Grants {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        texts.try_into().unwrap()
    }

    fn macvlan(parent: &str) -> Desired {
        link(LinkKind::Macvlan {
            parent: parent.parse().unwrap(),
            interface: "eth0".parse().unwrap(),
            mode: MacvlanMode::Bridge,
        })
    }

    fn link(kind: LinkKind) -> Desired {
        Desired::Link(Link { handle: "l".parse().unwrap(), kind, mtu: None, mac: None })
    }

    fn sysctl(key: &str) -> Desired {
        Desired::Sysctl {
            link: "l".parse().unwrap(),
            side: Side::Sandbox,
            sysctl: LinkSysctl { family: Family::V4, key: key.to_owned() },
            value: "1".to_owned(),
        }
    }

    fn publish(first: u32, last: u32) -> Desired {
        Desired::Publish(PortBinding {
            protocol: Protocol::Tcp,
            host_ip: "0.0.0.0".parse().unwrap(),
            host: PortRange::new(first, last).unwrap(),
            target: "10.0.0.2".parse().unwrap(),
            target_first: 80,
        })
    }

    /// One resource for each capability; a capability without one does not compile.
    fn one_of(capability: Capability) -> Desired {
        let handle = || "l".parse().unwrap();
        match capability {
            Capability::Bridge => link(LinkKind::Bridge { name: None }),
            Capability::AdoptLink => link(LinkKind::Adopt { name: "br0".parse().unwrap() }),
            Capability::Veth => link(LinkKind::Veth {
                master: handle(),
                interface: "eth0".parse().unwrap(),
                hairpin: false,
            }),
            Capability::Macvlan => macvlan("eth1"),
            Capability::Address => Desired::Address {
                link: handle(),
                address: "10.0.0.2/24".parse().unwrap(),
                side: Side::Sandbox,
            },
            Capability::Route => Desired::Route {
                link: handle(),
                destination: "10.1.0.0/16".parse().unwrap(),
                via: None,
            },
            Capability::Filter => Desired::Filter {
                link: handle(),
                neighbours: true,
                networks: false,
                world: true,
                direct: false,
            },
            Capability::Masquerade => Desired::Masquerade {
                link: handle(),
                family: Family::V4,
                to: Some("192.0.2.1".parse().unwrap()),
            },
            Capability::Publish => publish(8080, 8080),
            Capability::Sysctl => sysctl("accept_ra"),
        }
    }

    #[test]
    fn an_empty_grant_admits_nothing_and_each_kind_alone_admits_itself() {
        for capability in Capability::ALL {
            let resource = one_of(capability);
            assert_eq!(resource.capability(), capability);
            let refused = Grants::default().admit(&resource).unwrap_err();
            assert!(refused.contains(&format!("`{capability}` is not granted")), "{refused}");
            for other in Capability::ALL {
                let admitted = Grants::all_of([other]).admit(&resource).is_ok();
                assert_eq!(admitted, other == capability, "{other} for {capability}");
            }
        }
    }

    #[test]
    fn scopes() {
        for (grant, inside, outside) in [
            ("adopt-link=br*", link(LinkKind::Adopt { name: "br0".parse().unwrap() }), {
                link(LinkKind::Adopt { name: "eth0".parse().unwrap() })
            }),
            ("bridge=br-*", link(LinkKind::Bridge { name: Some("br-x".parse().unwrap()) }), {
                link(LinkKind::Bridge { name: Some("virbr0".parse().unwrap()) })
            }),
            ("macvlan=eth1,eth1.*", macvlan("eth1.10"), macvlan("eth10")),
            ("address=10.0.0.0/24", one_of(Capability::Address), {
                Desired::Address {
                    link: "l".parse().unwrap(),
                    address: "10.0.1.2/16".parse().unwrap(),
                    side: Side::Sandbox,
                }
            }),
            ("route=10.1.0.0/16,fd00::/8", one_of(Capability::Route), {
                Desired::Route {
                    link: "l".parse().unwrap(),
                    destination: "0.0.0.0/0".parse().unwrap(),
                    via: None,
                }
            }),
            ("publish=8000-8999", publish(8000, 8999), publish(8999, 9000)),
            ("sysctl=accept_*,rp_filter", sysctl("accept_ra"), sysctl("forwarding")),
        ] {
            let grants = grants(&[grant]);
            assert_eq!(grants.admit(&inside), Ok(()), "{grant}");
            let refused = grants.admit(&outside).unwrap_err();
            assert!(refused.contains(&format!("granted for `{grant}` alone")), "{refused}");
        }
        assert!(
            grants(&["masquerade=192.0.2.0/24"]).admit(&one_of(Capability::Masquerade)).is_ok()
        );
        assert!(grants(&["masquerade=10.0.0.0/8"]).admit(&one_of(Capability::Masquerade)).is_err());
        // A bridge that the host names is nobody's.
        assert!(grants(&["bridge=x"]).admit(&one_of(Capability::Bridge)).is_ok());
    }

    #[test]
    fn patterns() {
        let matches = |pattern: &str, name: &str| Pattern(pattern.to_owned()).matches(name);
        assert!(matches("br0", "br0") && !matches("br0", "br01") && !matches("br0", "br"));
        assert!(matches("*", "") && matches("a*", "a") && matches("*a", "ba"));
        assert!(matches("a*c*e", "abcde") && !matches("a*c*e", "abde") && matches("a**b", "ab"));
        assert!(!matches("ab*ba", "aba"), "no byte counts twice");
    }

    #[test]
    fn lists() {
        let list = "bridge,veth,address=10.0.0.0/8,fd00::/8,publish=80,8000-8999,filter";
        let parts =
            ["bridge", "veth", "address=10.0.0.0/8,fd00::/8", "publish=80,8000-8999", "filter"];
        assert_eq!(Grants::split(list), parts);
        assert_eq!(Grants::split("veth"), ["veth"]);
        assert_eq!(Grants::split("veth,root"), ["veth", "root"], "for its reader to refuse");
    }

    #[test]
    fn texts_and_back() {
        let texts = ["bridge", "veth", "address=10.0.0.0/8", "publish=80", "publish=8000-8999"];
        let parsed = grants(&texts);
        let shown: Vec<String> = parsed.clone().into();
        assert_eq!(shown, ["bridge", "veth", "address=10.0.0.0/8", "publish=80,8000-8999"]);
        assert_eq!(Grants::try_from(shown).unwrap(), parsed);
        assert_eq!(grants(&["publish=80", "publish"]), grants(&["publish"]));
        for wrong in
            ["", "root", "veth=x", "publish=0", "publish=9-8", "address=10.0.0.1/8", "sysctl=a/b"]
        {
            assert!(wrong.parse::<Grant>().is_err(), "{wrong}");
        }
    }
}
