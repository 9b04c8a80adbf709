//! What can go wrong, one type for each operation.

use std::io;
use std::path::PathBuf;

use postern_model::id::SandboxId;
use postern_model::name::IfName;

use crate::conntrack::ConntrackError;
use crate::nft::NftError;
use crate::rtnl::NetlinkError;

/// Why a plan was not carried out to its end. What came before the failure stands; the
/// caller observes and plans again.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Its name, or its place, is taken by something that is not it.
    #[error("{object} exists already")]
    Exists {
        /// What was to be made.
        object: String,
    },
    /// Somebody else has a route to the same destination.
    #[error("there is a route of somebody else in the way of {route}")]
    RouteExists {
        /// What was to be made.
        route: String,
    },
    /// A sandbox's namespace is not, or no longer, at its path.
    #[error("the namespace of sandbox/{sandbox} is not at {}", path.display())]
    NamespaceGone {
        /// The sandbox.
        sandbox: SandboxId,
        /// Where its namespace should be; `?` if the plan does not say.
        path: PathBuf,
    },
    /// A bridge has 1,023 ports, and the kernel gives it no more.
    #[error("the bridge {bridge} has no port left")]
    BridgeFull {
        /// The bridge.
        bridge: IfName,
    },
    /// A link of the host takes no further macvlan, or none like this.
    #[error("no such macvlan can be on {parent}")]
    ParentBusy {
        /// The link.
        parent: IfName,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// Something that the step builds on does not exist.
    #[error("{object} does not exist")]
    Missing {
        /// What is missing.
        object: String,
    },
    /// The kernel cannot do it.
    #[error("{object} needs {what}, which this kernel does not have")]
    Unsupported {
        /// What was to be made.
        object: String,
        /// What it takes.
        what: &'static str,
    },
    /// It is somebody else's and must not be changed.
    #[error("{object} is not the daemon's to change")]
    Foreign {
        /// What was to be changed.
        object: String,
    },
    /// The ruleset was not changed.
    #[error("the elements were not committed")]
    Nft {
        /// Why.
        #[source]
        source: NftError,
    },
    /// Flows may go on.
    #[error("flows were not ended")]
    Conntrack {
        /// Why.
        #[source]
        source: ConntrackError,
    },
    /// The kernel refused a change of a link, an address or a route.
    #[error("{object} was refused")]
    Netlink {
        /// What was to be made, changed or removed.
        object: String,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// A kernel parameter was not set.
    #[error("{object} was not set")]
    Sysctl {
        /// The parameter and its value.
        object: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A sandbox has no resolver.
    #[error("{object} is not served")]
    NameServer {
        /// Where it should be.
        object: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of a sandbox was not written or removed.
    #[error("{object} cannot be written or removed")]
    File {
        /// The file.
        object: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A namespace was not made, entered or removed.
    #[error("the namespace {object} cannot be made, entered or removed")]
    Namespace {
        /// The path.
        object: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No socket or thread could be had, or the work was cut off by a shutdown.
    #[error("the plan cannot be carried out")]
    Io {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ApplyError {
    pub(crate) fn netlink(object: impl ToString) -> impl FnOnce(NetlinkError) -> Self {
        move |source| Self::Netlink { object: object.to_string(), source }
    }

    pub(crate) fn file(object: impl ToString) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { object: object.to_string(), source }
    }
}

/// Why the kernel's state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// Links, addresses or routes could not be listed.
    #[error("the {what} cannot be listed")]
    Netlink {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// The ruleset could not be read.
    #[error("the ruleset cannot be read")]
    Nft {
        /// Why.
        #[source]
        source: NftError,
    },
    /// New flows cannot be followed.
    #[error("new flows cannot be followed")]
    FlowLog {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A namespace that is there could not be entered.
    #[error("the namespace {} cannot be entered", path.display())]
    Namespace {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: NamespaceError,
    },
    /// No socket or thread could be had, or the work was cut off by a shutdown.
    #[error("the kernel's state cannot be read")]
    Io {
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ObserveError {
    pub(crate) const fn netlink(what: &'static str) -> impl FnOnce(NetlinkError) -> Self {
        move |source| Self::Netlink { what, source }
    }
}

/// Why a path is no network namespace one can enter.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// Nothing is there.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{} is not a network namespace", path.display())]
    NotANamespace {
        /// The path.
        path: PathBuf,
    },
    /// It could not be looked at.
    #[error("{} cannot be opened", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why the kernel cannot be worked with at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The ruleset could not be loaded.
    #[error("the base ruleset cannot be loaded")]
    Nft {
        /// Why.
        #[source]
        source: NftError,
    },
    /// Connection tracking could not be reached.
    #[error("connection tracking cannot be reached")]
    Conntrack {
        /// Why.
        #[source]
        source: ConntrackError,
    },
    /// Links left over from before could not be listed or taken out of service.
    #[error("links left over from an earlier run cannot be removed")]
    Leftovers {
        /// Why.
        #[source]
        source: NetlinkError,
    },
    /// Forwarding could not be turned on.
    #[error("{key} cannot be set")]
    Forwarding {
        /// The kernel parameter.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No socket, thread or directory could be had.
    #[error("{what} cannot be made")]
    Io {
        /// What was to be made.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}
