//! This host as one of a cluster, if it is.
//!
//! The feature `cluster` brings etcd's protocol, which is compiled by `protoc`; a build for
//! single hosts does without.

#[cfg(not(feature = "cluster"))]
mod alone;
#[cfg(feature = "cluster")]
mod member;

#[cfg(not(feature = "cluster"))]
pub(crate) use alone::{JoinError, Membership};
#[cfg(feature = "cluster")]
pub(crate) use member::{JoinError, Membership};
