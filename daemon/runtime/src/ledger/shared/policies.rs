//! Policies: every host of a cluster carries out the same ones.

use postern_kernel::Kernel;
use postern_model::event::Action;
use postern_model::name::Name;
use postern_model::plan::Plan;
use postern_model::policy::Policy;
use postern_model::refusal::Refusal;
use postern_model::topology::Put;

use crate::cluster::Membership;
use crate::ledger::locks::LockKey;
use crate::ledger::policies::draft;
use crate::ledger::{Core, now};

impl<K: Kernel> Core<K> {
    /// Has a policy be here as the cluster says.
    pub(super) async fn see_policy(
        &self,
        membership: &Membership,
        name: &Name,
    ) -> Result<(), Refusal> {
        let _moving = self.standstill.read().await;
        let _policy = self.locks.write(LockKey::Policy(name.to_string())).await;
        // As it is now: whoever had the lock may have changed it.
        let wanted = membership.policy(name);
        let here = self.state().topology().find_policy(name.as_str()).cloned();
        let here = here.filter(|policy| policy.name == *name);
        // Each host ends one by itself, whoever then says so in the cluster.
        let ended = |policy: &Policy| policy.spec.expires.is_some_and(|time| time <= now());
        match (wanted.filter(|policy| !ended(policy)), here) {
            (None, None) => Ok(()),
            (Some(wanted), Some(here)) if same(&wanted, &here) => Ok(()),
            (Some(wanted), here) => self.follow_policy(wanted, here).await,
            // One that was made before this host was of the cluster.
            (None, Some(here)) if !here.shared && !ended(&here) => {
                membership.put_policy(&here).await?;
                self.follow_policy(Policy { shared: true, ..here.clone() }, Some(here)).await
            }
            (None, Some(here)) => {
                let about = draft(&here, Action::Deleted, None);
                let gone = |_| vec![Put::PolicyGone(here.id)];
                self.carry_out(about, &Plan::default(), gone, Plan::default).await.map(drop)
            }
        }
    }

    async fn follow_policy(&self, mut wanted: Policy, here: Option<Policy>) -> Result<(), Refusal> {
        let action = if here.is_some() { Action::Updated } else { Action::Created };
        // The cluster's goes before one that was made here by the same name.
        let other = here.map(|here| here.id).filter(|id| *id != wanted.id);
        let about = draft(&wanted, action, None);
        self.put_in_force(about, other, &mut wanted).await.map(drop)
    }
}

fn same(wanted: &Policy, here: &Policy) -> bool {
    here.shared && (wanted.id, &wanted.spec) == (here.id, &here.spec)
}
