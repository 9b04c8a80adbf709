//! Sandboxes: network namespaces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// Of an adopted namespace: which one it was, so that another one that later
    /// stands at the same path is not mistaken for it.
    pub identity: Option<NamespaceIdentity>,
}

impl Sandbox {
    /// Whether the daemon made the namespace, and so removes it.
    pub const fn is_ours(&self) -> bool {
        matches!(self.spec.namespace, NamespaceSpec::Create)
    }

    /// Whether the sandbox is the host's namespace.
    pub const fn is_host(&self) -> bool {
        matches!(self.spec.namespace, NamespaceSpec::Host)
    }
}
