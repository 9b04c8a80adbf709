//! The whole of what should be against the whole of what is: at start, on request and
//! when something failed.

use std::collections::BTreeSet;

use postern_kernel::Kernel;
use postern_model::endpoint::Endpoint;
use postern_model::id::SandboxId;
use postern_model::plan::Plan;
use postern_model::refusal::Refusal;
use postern_model::resource::{Key, ResourceSet};
use postern_model::sandbox::Sandbox;
use postern_model::topology::Topology;
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

/// Endpoints in these sandboxes count as not joined: an adopted namespace that is gone
/// is not ours to bring back.
fn parts(topology: &Topology, gone: &BTreeSet<SandboxId>) -> Parts {
    let mut parts: Vec<(String, ResourceSet)> = topology
        .networks()
        .map(|network| (format!("network `{}`", network.name), desired::network(network)))
        .collect();
    let network_of = |endpoint: &Endpoint| topology.network(endpoint.network);
    let present = |sandbox: &&Sandbox| !gone.contains(&sandbox.id);
    // Namespaces before what joins them, default routes after.
    for sandbox in topology.sandboxes().filter(present) {
        parts.push((format!("sandbox `{}`", sandbox.name), desired::sandbox(sandbox, [])));
        for endpoint in topology.endpoints_of_sandbox(sandbox.id) {
            let set = network_of(endpoint).map(|network| desired::endpoint(endpoint, network));
            parts.push((format!("endpoint `{}`", endpoint.name), set.unwrap_or_default()));
        }
        let joined = topology
            .endpoints_of_sandbox(sandbox.id)
            .filter_map(|endpoint| Some((endpoint, network_of(endpoint)?)));
        // The namespace itself is in the sandbox's first part already.
        let routes = beyond(&desired::sandbox(sandbox, joined), &desired::sandbox(sandbox, []));
        parts.push((format!("routes of sandbox `{}`", sandbox.name), routes));
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
        let plan = self.reconcile_now().await?;
        let steps = plan.steps.len() + plan.add.len() + plan.remove.len();
        tracing::info!(steps, "kernel state taken over");
        Ok(())
    }

    /// Compares and repairs; returns what was done.
    pub(crate) async fn reconcile_now(&self) -> Result<Plan, Refusal> {
        let core = &*self.0;
        let _standstill = core.standstill.write().await;
        let (parts, observed) = core.survey().await?;
        let whole = parts.whole();
        let mut done = Plan::default();
        let leftovers = (beyond(&observed, &whole), ResourceSet::default());
        core.repair("leftovers", leftovers, &parts, &mut done).await;
        for (name, set) in &parts.parts {
            let pair = (restricted(&observed, set), set.clone());
            core.repair(name, pair, &parts, &mut done).await;
        }
        Ok(done)
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
        let topology = self.state().topology().clone();
        let gone: BTreeSet<SandboxId> = topology
            .sandboxes()
            .filter(|sandbox| !sandbox.is_ours() && !self.namespace_is_there(sandbox))
            .map(|sandbox| sandbox.id)
            .collect();
        for id in &gone {
            tracing::warn!(sandbox = %id, "the adopted namespace is gone");
        }
        let parts = parts(&topology, &gone);
        let namespaces = Self::namespaces(&parts.sandboxes);
        let observed = self.kernel.observe(&namespaces).await;
        Ok((parts, observed.map_err(|error| outcome::of_observe(&error))?))
    }

    async fn repair(
        &self,
        name: &str,
        (observed, desired): (ResourceSet, ResourceSet),
        parts: &Parts,
        done: &mut Plan,
    ) {
        let mut plan = diff::plan(&desired, &observed, Self::namespaces(&parts.sandboxes));
        if plan.is_empty() {
            return;
        }
        match self.kernel.apply(&plan).await {
            Ok(_) => {
                done.remove.append(&mut plan.remove);
                done.add.append(&mut plan.add);
                done.flows.append(&mut plan.flows);
                done.steps.append(&mut plan.steps);
            }
            Err(error) => {
                tracing::error!(
                    object = name,
                    error = outcome::chain(&error),
                    "cannot be repaired"
                );
            }
        }
    }
}
