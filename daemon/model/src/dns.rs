//! What a sandbox knows of names: its own, those it is told, where it asks for others,
//! and its links.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// Longest label (RFC 1035 §2.3.4).
pub const LABEL_MAX: usize = 63;
/// Longest name as text, without the dot of the root: 255 bytes on the wire.
pub const NAME_MAX: usize = 253;
/// Most links of a sandbox.
pub const LINKS_MAX: usize = 64;
/// Where a sandbox's resolver listens, as Docker's does.
pub const RESOLVER: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 11)), 53);

/// Why a text is not a DNS name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDnsName {
    /// Nothing was given, or only the root.
    #[error("must not be empty")]
    Empty,
    /// Longer than a name can be.
    #[error("is {length} bytes long, a DNS name has at most {NAME_MAX}")]
    TooLong {
        /// Bytes given.
        length: usize,
    },
    /// Two dots in a row, or one at the beginning.
    #[error("has an empty label")]
    EmptyLabel,
    /// A label longer than one can be.
    #[error("label `{label}` is {} bytes long, at most {LABEL_MAX} are allowed", label.len())]
    Label {
        /// The label.
        label: String,
    },
    /// A label that begins or ends with a hyphen (RFC 1123 §2.1).
    #[error("label `{label}` begins or ends with a hyphen")]
    Hyphen {
        /// The label.
        label: String,
    },
    /// Something other than letters, digits, `-` and `_`.
    #[error("`{character}` is not allowed in a DNS name")]
    Character {
        /// The offending character.
        character: char,
    },
}

/// A DNS name below the root, in lower case and without its final dot: labels of 1 to 63
/// letters, digits, `-` and `_`, 253 bytes in all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(Box<str>);

impl DnsName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Lower-case hexadecimal digits, at most 63: always a label.
    pub(crate) fn of_hex(digits: &str) -> Self {
        Self(digits.into())
    }
}

impl FromStr for DnsName {
    type Err = InvalidDnsName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(InvalidDnsName::Empty);
        }
        if text.len() > NAME_MAX {
            return Err(InvalidDnsName::TooLong { length: text.len() });
        }
        text.split('.').try_for_each(check_label)?;
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

fn check_label(label: &str) -> Result<(), InvalidDnsName> {
    let foreign = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if let Some(character) = label.chars().find(foreign) {
        return Err(InvalidDnsName::Character { character });
    }
    match label.len() {
        0 => Err(InvalidDnsName::EmptyLabel),
        1..=LABEL_MAX if label.starts_with('-') || label.ends_with('-') => {
            Err(InvalidDnsName::Hyphen { label: label.to_owned() })
        }
        1..=LABEL_MAX => Ok(()),
        _ => Err(InvalidDnsName::Label { label: label.to_owned() }),
    }
}

impl TryFrom<String> for DnsName {
    type Error = InvalidDnsName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0.into()
    }
}

impl Borrow<str> for DnsName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where a sandbox asks for names that are not the daemon's, and how it completes names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// Servers, asked in this order; none: the network's, else the host's.
    pub servers: Vec<SocketAddr>,
    /// Domains that resolv.conf(5) searches.
    pub search: Vec<DnsName>,
    /// Further options of resolv.conf(5): `ndots:2`.
    pub options: Vec<String>,
}

/// The address of an extra host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostAddress {
    /// This one.
    Ip(IpAddr),
    /// The host's own on the sandbox's default network: `host-gateway`.
    HostGateway,
}

/// A line of the sandbox's hosts file beside those of its endpoints and links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraHost {
    /// The name.
    pub name: DnsName,
    /// Its address.
    pub address: HostAddress,
}

/// A link: the sandbox reaches the exposed ports of another one, by a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The name of the other sandbox, which need not exist yet.
    pub source: Name,
    /// The name that the linking sandbox knows it by, and nobody else.
    pub alias: DnsName,
}

/// Whether a link works, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// The source is on a network that the linking sandbox is on too.
    Live,
    /// There is no sandbox of the source's name yet.
    NoSource,
    /// One of the two sandboxes has no network.
    NotJoined,
    /// Both have networks, but none in common: a link opens ports on a network, it does
    /// not join two.
    NoCommonNetwork,
}

/// The identity of a sandbox towards names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// One label; none: the sandbox's name, where it is a label, else its short id.
    pub hostname: Option<DnsName>,
    /// What follows the hostname in the fully qualified name.
    pub domain_name: Option<DnsName>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names() {
        for (given, name) in [
            ("db", "db"),
            ("DB.Example.", "db.example"),
            ("_http._tcp.web", "_http._tcp.web"),
            ("0", "0"),
        ] {
            assert_eq!(given.parse::<DnsName>().unwrap().as_str(), name);
        }
        let label = "a".repeat(63);
        assert!(label.parse::<DnsName>().is_ok());
        let long = [label.as_str(); 4].join(".");
        assert_eq!(long[..253].parse::<DnsName>().unwrap().as_str().len(), 253);
        assert_eq!(long.parse::<DnsName>(), Err(InvalidDnsName::TooLong { length: 255 }));
        for bad in ["", ".", "a..b", ".a", "a..", "-a", "a-", "a b", "ä", "a/b", &"a".repeat(64)] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_parsed_again(text: String) {
            if let Ok(name) = text.parse::<DnsName>() {
                prop_assert_eq!(name.as_str().parse::<DnsName>(), Ok(name.clone()));
            }
        }
    }
}
