//! A build that knows of no cluster.

use postern_server::ClusterFacts;

use crate::settings::ClusterSettings;

/// There is no cluster to be of.
#[derive(Debug, thiserror::Error)]
#[error("cluster-endpoints: this build is for single hosts")]
pub(crate) struct JoinError;

/// Nobody's.
pub(crate) enum Membership {}

impl Membership {
    pub(crate) fn check(_: &ClusterSettings) -> Result<(), JoinError> {
        Err(JoinError)
    }

    pub(crate) fn join(_: &ClusterSettings, _: u64) -> Result<Self, JoinError> {
        Err(JoinError)
    }

    pub(crate) fn facts(&self) -> ClusterFacts {
        match *self {}
    }
}
