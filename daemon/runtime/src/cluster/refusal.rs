//! From errors of the cluster to refusals a client can act on.

use postern_cluster::ClusterError;
use postern_model::refusal::{Class, Refusal};

use crate::ledger::chain;

/// What a client is told. Whatever has to do with etcd itself is UNAVAILABLE: to be tried
/// again, once it is there.
pub(super) fn refusal(error: &ClusterError) -> Refusal {
    let text = chain(error);
    let (class, reason, field) = match error {
        ClusterError::Away { .. } | ClusterError::Etcd { .. } => {
            (Class::Unavailable, "CLUSTER_AWAY", None)
        }
        ClusterError::Encode(_) => (Class::Internal, "CLUSTER_RECORD", None),
        ClusterError::NameTaken(_) => (Class::Exists, "NAME_TAKEN", Some("name")),
        ClusterError::SubnetTaken { .. } => {
            (Class::Precondition, "SUBNET_OVERLAPS", Some("spec.subnets"))
        }
        ClusterError::NoVniFree => (Class::Exhausted, "NO_VNI_FREE", None),
        ClusterError::InUse | ClusterError::HeldByAway { .. } => {
            (Class::Precondition, "NETWORK_IN_USE", None)
        }
        ClusterError::Changed(_) | ClusterError::PolicyChanged(_) => {
            (Class::Aborted, "CHANGED_MEANWHILE", None)
        }
        ClusterError::NoBlockFree { .. } => (Class::Exhausted, "NO_ADDRESS_FREE", None),
        ClusterError::BlockTaken { .. } => (Class::Exists, "ADDRESS_TAKEN", None),
    };
    let refusal = Refusal::new(class, reason, text);
    match field {
        Some(field) => refusal.at(field),
        None => refusal,
    }
}
