//! What an operator grants a driver: kinds of resources, and of some of them which.

mod scope;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decision::Desired;
use crate::driver::Capability;

pub use scope::{Pattern, Scope};

/// Longest list of a scope.
const SCOPE_MAX: usize = 64;

/// What a driver may decide about. A capability that is not in it is not granted; an empty
/// grant admits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Grants(BTreeMap<Capability, Scope>);

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
        Ok(Self(capability, scope::read(capability, &parts).map_err(wrong)?))
    }
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

    /// Whether a kind of resource may be decided about at all.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains_key(&capability)
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
