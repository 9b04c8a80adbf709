//! Names that rules have: what the resolver answers an endpoint is in force before it is
//! told.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use postern_kernel::Kernel;
use postern_model::id::SandboxId;
use postern_model::refusal::Refusal;
use postern_planner::policy::Answer;
use postern_resolver::{Admission, NameGate, Withheld};

use super::{Core, Ledger, chain, now, outcome};

/// The ledger as the resolver's gate; without it, nothing is let through.
struct Gate<K>(Weak<Core<K>>);

impl<K> fmt::Debug for Gate<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl<K: Kernel> NameGate for Gate<K> {
    fn concerns(&self, sandbox: SandboxId, name: &str) -> bool {
        self.0.upgrade().is_none_or(|core| {
            core.has_names.load(Ordering::Acquire) && core.state().asks_for(sandbox, name)
        })
    }

    fn admit(
        &self,
        sandbox: SandboxId,
        name: String,
        addresses: Vec<(IpAddr, Duration)>,
    ) -> Admission<'_> {
        Box::pin(async move {
            let core = self.0.upgrade().ok_or(Withheld)?;
            core.admit(sandbox, &Answer { name, addresses }).await
        })
    }
}

impl<K: Kernel> Ledger<K> {
    /// Has the resolver wait for the ledger where rules have names.
    pub(super) fn guard_names(&self) {
        self.0.resolver.guard(Arc::new(Gate(Arc::downgrade(&self.0))));
    }
}

impl<K: Kernel> Core<K> {
    async fn admit(&self, sandbox: SandboxId, answer: &Answer) -> Result<usize, Withheld> {
        // Or a repair that began before would take its decisions for leftovers.
        let _moving = self.standstill.read().await;
        let (submitted, evicted) = {
            let mut state = self.state();
            let (delta, evicted) = state.resolve(sandbox, answer, (self.options.names, now()));
            (self.kernel.submit(&delta.remove, &delta.add), evicted)
        };
        match submitted.done().await {
            Ok(()) => Ok(evicted),
            Err(error) => {
                tracing::error!(error = chain(&error), name = answer.name, "an answer is withheld");
                self.failed.notify_one();
                Err(Withheld)
            }
        }
    }

    /// Lets names go whose time is over.
    pub(super) async fn lapse_names(&self) {
        if !self.has_names.load(Ordering::Acquire) {
            return;
        }
        let _moving = self.standstill.read().await;
        let submitted = {
            let mut state = self.state();
            let delta = state.lapse_names(now());
            self.kernel.submit(&delta.remove, &delta.add)
        };
        if let Err(error) = submitted.done().await {
            tracing::error!(error = chain(&error), "names whose time is over stay");
            self.failed.notify_one();
        }
    }

    /// Takes over the addresses that the kernel still holds of an earlier life.
    pub(super) async fn adopt_names(&self) -> Result<(), Refusal> {
        let held = self.kernel.named().await.map_err(|error| outcome::of_observe(&error))?;
        self.state().adopt_names(held);
        Ok(())
    }

    /// Makes the kernel hold the addresses that names stand for, and no others.
    pub(super) async fn mend_names(&self) -> Result<(), Refusal> {
        let held = self.kernel.named().await.map_err(|error| outcome::of_observe(&error))?;
        let submitted = {
            let state = self.state();
            let (remove, add) = state.differing_names(held, now());
            self.kernel.submit(&remove, &add)
        };
        let failed = |error| outcome::internal("KERNEL_FAILED", &error);
        submitted.done().await.map_err(failed)
    }
}
