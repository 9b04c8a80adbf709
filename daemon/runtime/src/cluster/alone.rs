//! A build that knows of no cluster.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::cluster::{Node, NodeId, Peer, SharedNetwork};
use postern_model::endpoint::Endpoint;
use postern_model::id::{EndpointId, NetworkId};
use postern_model::name::Name;
use postern_model::network::{Network, Subnet};
use postern_model::policy::Policy;
use postern_model::refusal::Refusal;
use postern_model::sandbox::Sandbox;
use postern_server::ClusterFacts;

use super::News;
use crate::settings::ClusterSettings;

/// There is no cluster to be of.
#[derive(Debug, thiserror::Error)]
#[error("cluster-endpoints: this build is for single hosts")]
pub(crate) struct JoinError;

/// Nobody's.
pub(crate) enum Membership {}

/// What nobody is asked, as there is nobody to ask.
macro_rules! unasked {
    ($(fn $name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        $(pub(crate) fn $name(&self $(, _: $argument)*) -> $answer {
            match *self {}
        })*
    };
}

/// The same, of what is waited for.
macro_rules! unawaited {
    ($(fn $name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        $(pub(crate) async fn $name(&self $(, _: $argument)*) -> $answer {
            match *self {}
        })*
    };
}

impl Membership {
    pub(crate) fn check(_: &ClusterSettings) -> Result<(), JoinError> {
        Err(JoinError)
    }

    pub(crate) fn underlay_of(_: &ClusterSettings) -> Result<IpAddr, JoinError> {
        Err(JoinError)
    }

    pub(crate) fn join(
        _: &ClusterSettings,
        _: u64,
        _: (IpAddr, Option<u32>),
    ) -> Result<Self, JoinError> {
        Err(JoinError)
    }

    unasked! {
        fn facts() -> ClusterFacts;
        fn note_unfollowed(Vec<String>) -> ();
        fn node() -> NodeId;
        fn about() -> &Node;
        fn check_reached() -> Result<(), Refusal>;
        fn network(NetworkId) -> Option<SharedNetwork>;
        fn networks() -> Vec<SharedNetwork>;
        fn peer(NetworkId, EndpointId) -> Option<Peer>;
        fn peers_of(NetworkId) -> Vec<EndpointId>;
        fn own_blocks(NetworkId) -> Vec<IpNetwork>;
        fn policy(&Name) -> Option<Policy>;
        fn policy_names() -> Vec<Name>;
        fn underlays() -> Vec<IpAddr>;
        fn mtu() -> u32;
        fn publish(Endpoint, Sandbox) -> ();
        fn retract(EndpointId) -> ();
    }

    unawaited! {
        fn next() -> News;
        fn claim_network(&Network) -> Result<SharedNetwork, Refusal>;
        fn change_network(&Network) -> Result<(), Refusal>;
        fn release_network(&Network) -> Result<(), Refusal>;
        fn take_block(&Network, &Subnet, Option<IpAddr>) -> Result<IpNetwork, Refusal>;
        fn put_policy(&Policy) -> Result<(), Refusal>;
        fn delete_policy(&Name) -> Result<(), Refusal>;
    }
}
