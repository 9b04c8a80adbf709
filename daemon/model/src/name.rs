//! Names: of objects, of interfaces, and labels.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of an object: one DNS label (RFC 1035 §2.3.4).
pub const NAME_MAX: usize = 63;
/// Longest name of an interface: `IFNAMSIZ` less its closing NUL.
pub const IFNAME_MAX: usize = 15;
/// Longest label key.
pub const LABEL_KEY_MAX: usize = 63;
/// Longest label value.
pub const LABEL_VALUE_MAX: usize = 255;
/// Most labels, or options, on one object.
pub const LABELS_MAX: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than the limit.
    #[error("is {length} bytes long, at most {max} are allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character that is not allowed there.
    #[error("`{character}` is not allowed at byte {position}")]
    Character {
        /// The offending character.
        character: char,
        /// Its byte offset.
        position: usize,
    },
    /// A reserved word.
    #[error("`{0}` is reserved")]
    Reserved(String),
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text!(
    /// The name of a network, sandbox, endpoint or driver: 1 to 63 letters, digits, `_`,
    /// `.`, `-`, beginning with a letter or digit. Never the form of a uid, so that a
    /// reference is either a name or a uid.
    Name,
    check_name
);
text!(
    /// The name of an interface: 1 to 15 bytes of printable ASCII without `/`, `:`, `%`
    /// and space; not `.`, `..`, `lo`, `all` or `default` (the kernel's sysctl folders).
    IfName,
    check_ifname
);

/// Longest name of an endpoint: `<sandbox>.<network>` is its default name.
pub const ENDPOINT_NAME_MAX: usize = 2 * NAME_MAX + 1;

fn length(text: &str, max: usize) -> Result<(), InvalidName> {
    match text.len() {
        0 => Err(InvalidName::Empty),
        length if length > max => Err(InvalidName::TooLong { length, max }),
        _ => Ok(()),
    }
}

fn characters(text: &str, allowed: impl Fn(usize, char) -> bool) -> Result<(), InvalidName> {
    match text.char_indices().find(|&(position, character)| !allowed(position, character)) {
        Some((position, character)) => Err(InvalidName::Character { character, position }),
        None => Ok(()),
    }
}

fn check_name(text: &str) -> Result<(), InvalidName> {
    length(text, ENDPOINT_NAME_MAX)?;
    characters(text, |position, c| {
        c.is_ascii_alphanumeric() || (position > 0 && matches!(c, '_' | '.' | '-'))
    })?;
    if uuid::Uuid::try_parse(text).is_ok() {
        return Err(InvalidName::Reserved(text.to_owned()));
    }
    Ok(())
}

impl Name {
    /// Parses a name of at most [`NAME_MAX`] bytes, as networks, sandboxes and drivers have.
    ///
    /// # Errors
    /// The text is not a name, or longer than that.
    pub fn short(text: &str) -> Result<Self, InvalidName> {
        length(text, NAME_MAX)?;
        text.parse()
    }
}

fn check_ifname(text: &str) -> Result<(), InvalidName> {
    length(text, IFNAME_MAX)?;
    characters(text, |_, c| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%' | '"' | '\\'))?;
    if matches!(text, "." | ".." | "lo" | "all" | "default") {
        return Err(InvalidName::Reserved(text.to_owned()));
    }
    Ok(())
}

/// Labels or options: short texts by key.
pub type Labels = BTreeMap<String, String>;

/// Why a set of labels is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    /// Too many of them.
    #[error("{count} entries, at most {LABELS_MAX} are allowed")]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// A key that is not one.
    #[error("key `{key}` {source}")]
    Key {
        /// The key given.
        key: String,
        /// What is wrong with it.
        source: InvalidName,
    },
    /// A value over its limit or with control characters.
    #[error("value of `{key}` must be at most {LABEL_VALUE_MAX} bytes without control characters")]
    Value {
        /// Whose value.
        key: String,
    },
}

/// Checks labels or options: keys of 1 to 63 letters, digits, `_`, `.`, `-`, `/`; values up
/// to 255 bytes without control characters; at most 64 of them.
///
/// # Errors
/// The first key or value that breaks a rule.
pub fn check_labels(labels: &Labels) -> Result<(), InvalidLabels> {
    if labels.len() > LABELS_MAX {
        return Err(InvalidLabels::TooMany { count: labels.len() });
    }
    for (key, value) in labels {
        length(key, LABEL_KEY_MAX)
            .and_then(|()| {
                characters(key, |_, c| {
                    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/')
                })
            })
            .map_err(|source| InvalidLabels::Key { key: key.clone(), source })?;
        if value.len() > LABEL_VALUE_MAX || value.chars().any(char::is_control) {
            return Err(InvalidLabels::Value { key: key.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["web", "a", "0", "web.blue", "a_b-c.d"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "01932c07-a9d0-7000-8abc-0123456789ab"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!(Name::short(&"a".repeat(63)).is_ok());
        assert_eq!(Name::short(&"a".repeat(64)), Err(InvalidName::TooLong { length: 64, max: 63 }));
    }

    #[test]
    fn interface_names() {
        for good in ["eth0", "eth0.10", "a", "fifteen-bytes-x"] {
            assert!(good.parse::<IfName>().is_ok(), "{good}");
        }
        for bad in ["", "sixteen-bytes-xy", "a/b", "a:b", "a b", "..", "lo", "all", "e\0", "ä"] {
            assert!(bad.parse::<IfName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn labels() {
        let one = |k: &str, v: &str| Labels::from([(k.to_owned(), v.to_owned())]);
        assert!(check_labels(&one("app.kubernetes.io/name", "web")).is_ok());
        assert!(check_labels(&one("", "x")).is_err());
        assert!(check_labels(&one("a b", "x")).is_err());
        assert!(check_labels(&one("a", &"x".repeat(256))).is_err());
        assert!(check_labels(&one("a", "x\n")).is_err());
    }
}
