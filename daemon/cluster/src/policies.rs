//! Policies, which all hosts carry out: each change compares first, as those of networks do.

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use postern_model::name::Name;
use postern_model::policy::Policy;

use crate::error::ClusterError;
use crate::layout::Key;
use crate::record::encode;
use crate::session::Cluster;

impl Cluster {
    /// Puts a policy in the place of one that is as it was read, or of none.
    ///
    /// # Errors
    /// [`ClusterError::PolicyChanged`], and etcd's own.
    pub async fn put_policy(&self, from: Option<&Policy>, to: &Policy) -> Result<(), ClusterError> {
        let key = self.0.layout.encode(&Key::Policy(to.name.clone()));
        let put = TxnOp::put(key.as_str(), encode(to)?, None);
        self.change_policy(&to.name, unchanged(&key, from)?, put).await
    }

    /// Deletes a policy that is as it was read.
    ///
    /// # Errors
    /// [`ClusterError::PolicyChanged`], and etcd's own.
    pub async fn delete_policy(&self, policy: &Policy) -> Result<(), ClusterError> {
        let key = self.0.layout.encode(&Key::Policy(policy.name.clone()));
        let delete = TxnOp::delete(key.as_str(), None);
        self.change_policy(&policy.name, unchanged(&key, Some(policy))?, delete).await
    }

    async fn change_policy(
        &self,
        name: &Name,
        unchanged: Compare,
        operation: TxnOp,
    ) -> Result<(), ClusterError> {
        let mut client = self.client()?;
        let change = Txn::new().when([unchanged]).and_then([operation]);
        let answer = client
            .txn(change)
            .await
            .map_err(|source| ClusterError::Etcd { operation: "change a policy", source })?;
        if !answer.succeeded() {
            return Err(ClusterError::PolicyChanged(name.clone()));
        }
        self.follow(answer.header()).await;
        Ok(())
    }
}

fn unchanged(key: &str, from: Option<&Policy>) -> Result<Compare, ClusterError> {
    Ok(match from {
        None => Compare::version(key, CompareOp::Equal, 0),
        Some(from) => Compare::value(key, CompareOp::Equal, encode(from)?),
    })
}
