//! The other end of a flow, as rules name it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::selector::Selector;
use crate::dns::DnsName;
use crate::name::Name;

/// Endpoints by the labels of their network and their own (see
/// [`crate::topology::Topology::labels_of`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SelectorPeer {
    /// On networks whose labels match; of a peer, none means the subject's own network.
    pub networks: Option<Selector>,
    /// Whose own labels match.
    pub endpoints: Selector,
}

/// A prefix without some prefixes inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cidr {
    prefix: IpNetwork,
    except: Vec<IpNetwork>,
}

/// Why prefixes are no [`Cidr`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Bits beyond the length are set.
    #[error("{0} has host bits set")]
    HostBits(IpNetwork),
    /// An exception is not inside the prefix, or is all of it.
    #[error("{except} is not inside {prefix}")]
    Outside {
        /// The prefix.
        prefix: IpNetwork,
        /// The exception.
        except: IpNetwork,
    },
}

impl Cidr {
    /// A prefix with exceptions.
    ///
    /// # Errors
    /// Host bits are set, or an exception is not a part of the prefix.
    pub fn new(prefix: IpNetwork, except: Vec<IpNetwork>) -> Result<Self, CidrError> {
        for one in std::iter::once(&prefix).chain(&except) {
            if one.ip() != one.network() {
                return Err(CidrError::HostBits(*one));
            }
        }
        let outside =
            |one: &&IpNetwork| !prefix.contains(one.ip()) || one.prefix() <= prefix.prefix();
        if let Some(except) = except.iter().find(outside) {
            return Err(CidrError::Outside { prefix, except: *except });
        }
        Ok(Self { prefix, except })
    }

    /// The prefix.
    pub const fn prefix(&self) -> IpNetwork {
        self.prefix
    }

    /// The exceptions.
    pub fn except(&self) -> &[IpNetwork] {
        &self.except
    }

    /// Whether an address is in the prefix and in no exception.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefix.contains(address) && !self.except.iter().any(|one| one.contains(address))
    }
}

/// What is not an endpoint of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// The host, by whichever of its addresses, the gateways of its networks among them.
    Host,
    /// What is neither the host nor an endpoint.
    World,
    /// The host by the address of a network's gateway.
    Gateway,
    /// Endpoints on the subject's network.
    SameNetwork,
    /// Endpoints on whatever network.
    AllEndpoints,
}

/// A domain name, or all names below one: `*.example.org`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainPattern {
    wildcard: bool,
    name: DnsName,
}

/// The text is no [`DomainPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a domain name nor one with `*.` in front")]
pub struct DomainPatternError(pub String);

impl DomainPattern {
    /// Whether it stands for a name, given in lower case and without a dot at its end.
    pub fn matches(&self, name: &str) -> bool {
        let own = self.name.as_str().trim_end_matches('.');
        if !self.wildcard {
            return name.eq_ignore_ascii_case(own);
        }
        let Some(split) = name.len().checked_sub(own.len()) else { return false };
        match (name.get(..split), name.get(split..)) {
            (Some(below), Some(end)) => {
                below.len() > 1 && below.ends_with('.') && end.eq_ignore_ascii_case(own)
            }
            _ => false,
        }
    }
}

impl FromStr for DomainPattern {
    type Err = DomainPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name = name.parse().map_err(|_| DomainPatternError(text.to_owned()))?;
        Ok(Self { wildcard, name })
    }
}

impl TryFrom<String> for DomainPattern {
    type Error = DomainPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DomainPattern> for String {
    fn from(pattern: DomainPattern) -> Self {
        pattern.to_string()
    }
}

/// The other end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Endpoints by labels.
    Selector(SelectorPeer),
    /// Addresses, of endpoints and of the world; not of the host, which is an entity.
    Cidr(Cidr),
    /// The world by names, as the daemon's resolver answers them.
    Domain(DomainPattern),
    /// One that is no endpoint.
    Entity(Entity),
    /// One endpoint, by name.
    Endpoint(Name),
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        write!(f, "{}", self.name)
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::World => "world",
            Self::Gateway => "gateway",
            Self::SameNetwork => "same-network",
            Self::AllEndpoints => "all-endpoints",
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selector(SelectorPeer { networks: None, endpoints }) => {
                write!(f, "endpoints {endpoints} of the same network")
            }
            Self::Selector(SelectorPeer { networks: Some(networks), endpoints }) => {
                write!(f, "endpoints {endpoints} of networks {networks}")
            }
            Self::Cidr(cidr) => {
                write!(f, "{}", cidr.prefix)?;
                for (index, except) in cidr.except.iter().enumerate() {
                    write!(f, "{}{except}", if index == 0 { " except " } else { ", " })?;
                }
                Ok(())
            }
            Self::Domain(pattern) => write!(f, "{pattern}"),
            Self::Entity(entity) => write!(f, "{entity}"),
            Self::Endpoint(name) => write!(f, "endpoint {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_inside() {
        let prefix = |text: &str| text.parse::<IpNetwork>().unwrap();
        let cidr = Cidr::new(prefix("10.0.0.0/8"), vec![prefix("10.1.0.0/16")]).unwrap();
        let contains = |text: &str| cidr.contains(text.parse().unwrap());
        assert!(contains("10.0.0.1") && !contains("10.1.0.1") && !contains("11.0.0.1"));
        for (outer, inner) in [
            ("10.0.0.1/8", "10.1.0.0/16"),
            ("10.0.0.0/8", "10.1.0.1/16"),
            ("10.0.0.0/8", "11.0.0.0/16"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.0/8", "0.0.0.0/0"),
            ("10.0.0.0/8", "fd00::/64"),
        ] {
            assert!(Cidr::new(prefix(outer), vec![prefix(inner)]).is_err(), "{outer} {inner}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_names_below_and_not_for_the_name_itself() {
        let matches =
            |pattern: &str, name: &str| pattern.parse::<DomainPattern>().unwrap().matches(name);
        assert!(matches("example.org", "example.org") && matches("Example.org", "example.ORG"));
        assert!(!matches("example.org", "www.example.org"));
        assert!(matches("*.example.org", "www.example.org"));
        assert!(matches("*.example.org", "a.b.example.org"));
        assert!(!matches("*.example.org", "example.org"));
        assert!(!matches("*.example.org", "badexample.org"));
        assert!(!matches("*.example.org", ".example.org"));
        for bad in ["", "*", "*.", "*.*.org", "a b", "a.*.org"] {
            assert!(bad.parse::<DomainPattern>().is_err(), "{bad}");
        }
    }
}
