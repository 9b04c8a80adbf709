//! The whole of what should be against the whole of what is: at start, on request and
//! when something failed.

use std::collections::BTreeSet;
use std::time::Duration;

use postern_kernel::Kernel;
use postern_model::id::SandboxId;
use postern_model::plan::{Plan, Step};
use postern_model::refusal::{Class, Refusal};
use postern_model::resource::{Key, Resource, ResourceSet};
use postern_model::sandbox::Sandbox;
use postern_model::topology::Topology;
use postern_planner::policy::Compiler;
use postern_planner::view::View;
use postern_planner::{desired, diff};

use super::{Core, Ledger, outcome};

/// What should be, object by object, so that one that cannot be repaired does not hold
/// up the others.
struct Parts {
    parts: Vec<(String, ResourceSet)>,
    sandboxes: Vec<Sandbox>,
}

impl Parts {
    fn whole(&self) -> ResourceSet {
        let resources = self.parts.iter().flat_map(|(_, set)| set.iter().map(|(_, r)| r.clone()));
        resources.collect()
    }
}

/// How often everything is compared when nothing seems to be wrong. It costs a listing of
/// all that is ours, and calls wait meanwhile.
const FULL_CHECK: Duration = Duration::from_secs(300);

/// What a reconciliation came to.
struct Repairs {
    done: Plan,
    /// Objects that are not as they should be, with the reason.
    failed: Vec<String>,
}

/// Endpoints in these sandboxes count as not joined: an adopted namespace that is gone
/// is not ours to bring back.
fn parts(topology: &Topology, policies: &Compiler, gone: &BTreeSet<SandboxId>) -> Parts {
    // Policies first: whoever they speak of is not there without them, and all of them as
    // one part, which changes at once.
    let elements = policies.elements().cloned().map(Resource::Element);
    let mut parts = vec![("policies".to_owned(), elements.collect::<ResourceSet>())];
    parts.extend(topology.networks().map(|network| {
        let set = desired::network(network, policies.is_policed(network.id));
        (format!("network `{}`", network.name), set)
    }));
    let view = View::of(topology);
    let present = |sandbox: &&Sandbox| !gone.contains(&sandbox.id);
    // A sandbox is one part with all that joins it: its routes go with its links.
    for sandbox in topology.sandboxes().filter(present) {
        let joined = view.joined(sandbox.id);
        let mut set = desired::sandbox(&view, sandbox);
        set.extend(joined.iter().flat_map(|(e, network)| desired::endpoint(e, network)));
        parts.push((format!("sandbox `{}`", sandbox.name), set));
    }
    Parts { parts, sandboxes: topology.sandboxes().filter(present).cloned().collect() }
}

/// The part of `observed` that has a key in `of`.
fn restricted(observed: &ResourceSet, of: &ResourceSet) -> ResourceSet {
    of.iter().filter_map(|(key, _)| observed.get(key).cloned()).collect()
}

/// The part of `observed` that has no key in `of`.
fn beyond(observed: &ResourceSet, of: &ResourceSet) -> ResourceSet {
    let foreign = |(key, _): &(&Key, _)| of.get(key).is_none();
    observed.iter().filter(foreign).map(|(_, resource)| resource.clone()).collect()
}

impl<K: Kernel> Ledger<K> {
    /// Takes over what is in the kernel at start: repairs it object by object, flushes
    /// nothing, and holds the published ports again. What cannot be repaired is logged
    /// and stays for a later reconciliation.
    ///
    /// # Errors
    /// The kernel cannot be observed.
    pub async fn adopt(&self) -> Result<(), Refusal> {
        let core = &*self.0;
        let bindings: Vec<_> = {
            let state = core.state();
            let joined = state.topology().endpoints().filter_map(|e| e.attachment.as_ref());
            joined.flat_map(|attachment| attachment.bindings.clone()).collect()
        };
        for binding in bindings {
            if let Err(error) = core.kernel.ports().hold(std::slice::from_ref(&binding)) {
                let (address, port) = (binding.host_ip, binding.host);
                tracing::warn!(%address, %port, %error, "a published port is held by another process");
            }
        }
        let Repairs { done, .. } = self.repair().await?;
        let changes = done.steps.len() + done.add.len() + done.remove.len();
        tracing::info!(changes, "kernel state taken over");
        Ok(())
    }

    /// Compares and repairs; returns what was done.
    ///
    /// # Errors
    /// The kernel cannot be observed, or something cannot be repaired; all else is.
    pub(crate) async fn reconcile_now(&self) -> Result<Plan, Refusal> {
        let Repairs { done, failed } = self.repair().await?;
        if failed.is_empty() {
            return Ok(done);
        }
        let text = format!("cannot be repaired: {}", failed.join("; "));
        Err(Refusal::new(Class::Internal, "REPAIR_FAILED", text))
    }

    /// Repairs whenever a change failed in the kernel, and now and then in any case. Ends
    /// only with the task it runs in.
    pub(crate) async fn keep_repaired(self) {
        loop {
            let failed = self.0.failed.notified();
            let waited = tokio::time::timeout(FULL_CHECK, failed).await;
            match self.repair().await {
                Ok(Repairs { done, .. }) if !done.is_empty() => {
                    let steps = done.steps.len() + done.add.len() + done.remove.len();
                    tracing::warn!(steps, after_failure = waited.is_ok(), "drift repaired");
                }
                Ok(_) => {}
                Err(refusal) => tracing::error!(%refusal, "the kernel cannot be compared"),
            }
        }
    }

    async fn repair(&self) -> Result<Repairs, Refusal> {
        let core = &*self.0;
        let _standstill = core.standstill.write().await;
        let (parts, observed) = core.survey().await?;
        let whole = parts.whole();
        let mut repairs = Repairs { done: Plan::default(), failed: Vec::new() };
        let leftovers = (beyond(&observed, &whole), ResourceSet::default());
        core.repair("leftovers", leftovers, &parts, &mut repairs).await;
        for (name, set) in &parts.parts {
            let pair = (restricted(&observed, set), set.clone());
            core.repair(name, pair, &parts, &mut repairs).await;
        }
        // Namespaces that were gone have been made anew.
        core.note_namespaces();
        Ok(repairs)
    }

    /// Compares and changes nothing.
    pub(crate) async fn drift_now(&self) -> Result<Plan, Refusal> {
        let core = &*self.0;
        let _standstill = core.standstill.write().await;
        let (parts, mut observed) = core.survey().await?;
        let whole = parts.whole();
        diff::assume_unobservable(&whole, &mut observed);
        Ok(diff::plan(&whole, &observed, Core::<K>::namespaces(&parts.sandboxes)))
    }
}

impl<K: Kernel> Core<K> {
    async fn survey(&self) -> Result<(Parts, ResourceSet), Refusal> {
        let (topology, policies) = {
            let state = self.state();
            (state.topology().clone(), state.policies().clone())
        };
        let gone: BTreeSet<SandboxId> = topology
            .sandboxes()
            .filter(|sandbox| !sandbox.is_ours() && !self.namespace_is_there(sandbox))
            .map(|sandbox| sandbox.id)
            .collect();
        for id in &gone {
            tracing::warn!(sandbox = %id, "the adopted namespace is gone");
        }
        let parts = parts(&topology, &policies, &gone);
        let namespaces = Self::namespaces(&parts.sandboxes);
        let observed = self.kernel.observe(&namespaces).await;
        Ok((parts, observed.map_err(|error| outcome::of_observe(&error))?))
    }

    async fn repair(
        &self,
        name: &str,
        (observed, desired): (ResourceSet, ResourceSet),
        parts: &Parts,
        repairs: &mut Repairs,
    ) {
        let mut plan = diff::plan(&desired, &observed, Self::namespaces(&parts.sandboxes));
        if plan.is_empty() {
            return;
        }
        match self.kernel.apply(&plan).await {
            Ok(_) => {
                let Repairs { done, .. } = repairs;
                // Parameters cannot be observed and are always written: no news.
                plan.steps.retain(|step| !matches!(step, Step::Create(Resource::Sysctl { .. })));
                done.remove.append(&mut plan.remove);
                done.add.append(&mut plan.add);
                done.flows.append(&mut plan.flows);
                done.steps.append(&mut plan.steps);
            }
            Err(error) => {
                let error = outcome::chain(&error);
                tracing::error!(object = name, error, "cannot be repaired");
                repairs.failed.push(format!("{name}: {error}"));
            }
        }
    }
}
