//! A change from its commit to its end, for callers that have nothing else to do meanwhile.

use postern_kernel::Kernel;
use postern_model::plan::Plan;
use postern_model::refusal::Refusal;
use postern_model::topology::Put;

use super::{Core, Draft};

impl<K: Kernel> Core<K> {
    /// Commits a change and makes it true. One that cannot be is withdrawn, with the plan that
    /// `back` makes then. Returns how many flows it cut.
    pub(super) async fn carry_out(
        &self,
        about: Draft<'_>,
        plan: &Plan,
        puts: impl FnOnce(u64) -> Vec<Put>,
        back: impl FnOnce() -> Plan,
    ) -> Result<usize, Refusal> {
        let mut committed = self.commit(vec![about], plan, puts)?;
        match self.realize(&mut committed).await {
            Ok(flows_cut) => {
                self.settle(committed);
                Ok(flows_cut)
            }
            Err(refusal) => {
                self.withdraw(committed, &back()).await;
                Err(refusal)
            }
        }
    }
}
