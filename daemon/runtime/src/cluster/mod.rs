//! This host as one of a cluster, if it is.
//!
//! The feature `cluster` brings etcd's protocol, which is compiled by `protoc`; a build for
//! single hosts does without.

use std::collections::BTreeSet;

use postern_model::id::{EndpointId, NetworkId};
use postern_model::name::Name;

#[cfg(not(feature = "cluster"))]
mod alone;
#[cfg(feature = "cluster")]
mod member;
#[cfg(feature = "cluster")]
mod place;
#[cfg(feature = "cluster")]
mod refusal;

#[cfg(not(feature = "cluster"))]
pub(crate) use alone::{JoinError, Membership};
#[cfg(feature = "cluster")]
pub(crate) use member::Membership;
#[cfg(feature = "cluster")]
pub(crate) use place::JoinError;

/// What is to be looked at again: of each the cluster's word may be another one now.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) networks: BTreeSet<NetworkId>,
    pub(crate) endpoints: BTreeSet<(NetworkId, EndpointId)>,
    pub(crate) policies: BTreeSet<Name>,
    /// Everything, as etcd is reached again: also what the cluster says nothing of.
    pub(crate) all: bool,
}
