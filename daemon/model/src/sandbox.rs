//! Sandboxes: network namespaces.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dns::{DnsConfig, DnsName, ExtraHost, Identity, Link};
use crate::id::SandboxId;
use crate::name::{Labels, Name};
use crate::time::Timestamp;

/// Which namespace a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamespaceSpec {
    /// A new one.
    Create,
    /// The one at a path.
    Path(PathBuf),
    /// The one of a process.
    Pid(u32),
    /// The host's.
    Host,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Which namespace.
    pub namespace: NamespaceSpec,
    /// Free labels.
    pub labels: Labels,
    /// What it is called.
    #[serde(default)]
    pub identity: Identity,
    /// Where it asks for names.
    #[serde(default)]
    pub dns: DnsConfig,
    /// Further lines of its hosts file.
    #[serde(default)]
    pub extra_hosts: Vec<ExtraHost>,
    /// Its links to other sandboxes, of different aliases.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Its workload's environment, as far as sandboxes linked to it are told of it.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

impl SandboxSpec {
    /// A sandbox of which nothing is asked but its namespace.
    pub fn of(namespace: NamespaceSpec) -> Self {
        Self {
            namespace,
            labels: Labels::new(),
            identity: Identity::default(),
            dns: DnsConfig::default(),
            extra_hosts: Vec::new(),
            links: Vec::new(),
            environment: BTreeMap::new(),
        }
    }
}

/// What tells one namespace from every other. The inode alone does not: the kernel gives
/// the lowest free number, so that a new namespace soon has an old one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespaceIdentity {
    /// `SO_NETNS_COOKIE` (Linux 5.14), never used twice; 0 where the kernel has none.
    pub cookie: u64,
    /// Inode of the namespace in nsfs.
    pub inode: u64,
}

/// A sandbox as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Its uid.
    pub id: SandboxId,
    /// Its unique name.
    pub name: Name,
    /// The generation of its last change.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// What was asked for.
    pub spec: SandboxSpec,
    /// Where the namespace is found.
    pub path: PathBuf,
    /// Cut off: no frame from it or to it passes, and it is told no names.
    #[serde(default)]
    pub quarantined: bool,
    /// Of an adopted namespace: which one it was, so that another one that later
    /// stands at the same path is not mistaken for it.
    pub identity: Option<NamespaceIdentity>,
}

impl Sandbox {
    /// Whether the daemon made the namespace, and so removes it.
    pub const fn is_ours(&self) -> bool {
        matches!(self.spec.namespace, NamespaceSpec::Create)
    }

    /// What the sandbox calls itself: one label.
    pub fn hostname(&self) -> DnsName {
        let named =
            || self.name.as_str().parse().ok().filter(|n: &DnsName| !n.as_str().contains('.'));
        let hostname = self.spec.identity.hostname.clone().or_else(named);
        // Twelve hexadecimal digits are a label.
        hostname.unwrap_or_else(|| self.id.label())
    }

    /// The hostname with the domain name, where there is one.
    pub fn fqdn(&self) -> Option<DnsName> {
        let domain = self.spec.identity.domain_name.as_ref()?;
        format!("{}.{domain}", self.hostname()).parse().ok()
    }

    /// Whether the sandbox is the host's namespace.
    pub const fn is_host(&self) -> bool {
        matches!(self.spec.namespace, NamespaceSpec::Host)
    }
}
