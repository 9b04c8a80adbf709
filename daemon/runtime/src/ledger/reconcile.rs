//! The whole of what should be against the whole of what is: at start, on request and
//! when something failed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::{StreamExt, stream};
use postern_kernel::Kernel;
use postern_model::id::SandboxId;
use postern_model::plan::{NamespaceRef, Plan, Step};
use postern_model::refusal::{Class, Refusal};
use postern_model::resource::{Element, Key, Resource, ResourceSet};
use postern_model::sandbox::Sandbox;
use postern_model::topology::Topology;
use postern_planner::policy::Compiler;
use postern_planner::view::View;
use postern_planner::{desired, diff};
use postern_server::DriftFacts;

use super::shared::senders;
use super::{Core, Ledger, namespace_ref, outcome};

/// What should be, object by object, so that one that cannot be repaired does not hold
/// up the others.
struct Parts {
    /// What sandboxes stand on, in this order.
    shared: Vec<(String, ResourceSet)>,
    /// Each with all that joins it: its routes go with its links.
    sandboxes: Vec<(Sandbox, ResourceSet)>,
}

impl Parts {
    fn whole(&self) -> ResourceSet {
        let shared = self.shared.iter().map(|(_, set)| set);
        let sets = shared.chain(self.sandboxes.iter().map(|(_, set)| set));
        sets.flat_map(ResourceSet::iter).map(|(_, resource)| resource.clone()).collect()
    }

    fn namespaces(&self) -> BTreeMap<SandboxId, NamespaceRef> {
        self.sandboxes.iter().map(|(sandbox, _)| namespace_ref(sandbox)).collect()
    }
}

/// How many sandboxes are repaired side by side. After a table was replaced, the kernel has
/// the closing of the socket wait (8 to 29 ms, seen on Linux 6.18): one after the other,
/// 1,000 sandboxes took 18 s at every start.
const AT_ONCE: usize = 32;

/// What a reconciliation came to.
#[derive(Default)]
pub(super) struct Repairs {
    pub(super) done: Plan,
    /// Objects that are not as they should be, with the reason.
    pub(super) failed: Vec<String>,
}

impl Repairs {
    fn absorb(&mut self, of: Self) {
        let Self { mut done, failed } = of;
        self.done.rules |= done.rules;
        self.done.remove.append(&mut done.remove);
        self.done.add.append(&mut done.add);
        self.done.flows.append(&mut done.flows);
        self.done.steps.append(&mut done.steps);
        self.failed.extend(failed);
    }
}

/// Endpoints in these sandboxes count as not joined: an adopted namespace that is gone
/// is not ours to bring back.
fn parts(
    (topology, policies): (&Topology, &Compiler),
    gone: &BTreeSet<SandboxId>,
    underlay: Option<IpAddr>,
) -> Parts {
    // Policies first: whoever they speak of is not there without them, and all of them as
    // one part, which changes at once.
    let elements = policies.elements().cloned().map(Resource::Element);
    let mut shared = vec![("policies".to_owned(), elements.collect::<ResourceSet>())];
    let view = View::of(topology);
    shared.extend(topology.networks().map(|network| {
        let mut set = desired::network(network, policies.is_policed(network.id), underlay);
        set.extend(senders(topology, network));
        for remote in topology.peers().of_network(network.id) {
            set.extend(desired::peer(remote, network));
        }
        let peers = topology.peers().of_network(network.id);
        let linking = peers.filter(|remote| !remote.peer.sandbox.spec.links.is_empty());
        let linking: BTreeSet<SandboxId> = linking.map(|remote| remote.peer.sandbox.id).collect();
        let linking = linking.into_iter().filter_map(|id| view.remote_sandbox(id));
        set.extend(linking.flat_map(|sandbox| desired::remote_links(&view, sandbox)));
        (format!("network `{}`", network.name), set)
    }));
    let present = topology.sandboxes().filter(|sandbox| !gone.contains(&sandbox.id));
    let sandboxes = present.map(|sandbox| {
        let joined = view.joined(sandbox.id);
        let mut set = desired::sandbox(&view, sandbox);
        set.extend(joined.iter().flat_map(|(e, network)| desired::endpoint(e, network, sandbox)));
        (sandbox.clone(), set)
    });
    Parts { sandboxes: sandboxes.collect(), shared }
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
    /// nothing, and holds the published ports again. What cannot be repaired is logged,
    /// and tried again as soon as the daemon serves.
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
        core.adopt_names().await?;
        let Repairs { done, failed } = self.repair().await?;
        if !failed.is_empty() {
            core.failed.notify_one();
        }
        tracing::info!(changes = done.changes(), "kernel state taken over");
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

    pub(super) async fn repair(&self) -> Result<Repairs, Refusal> {
        let core = &*self.0;
        let _standstill = core.standstill.write().await;
        let parts = core.parts();
        let whole = parts.whole();
        let rules = core.repair_rules(&whole).await?;
        let observed = core.observed(&parts).await?;
        let beyond = beyond(&observed, &whole);
        let nothing = ResourceSet::default();
        let mut repairs = core.repair("leftovers", (&beyond, &nothing), parts.namespaces()).await;
        repairs.absorb(rules);
        for (name, set) in &parts.shared {
            let is = restricted(&observed, set);
            repairs.absorb(core.repair(name, (&is, set), BTreeMap::new()).await);
        }
        let sandboxes = parts.sandboxes.iter();
        let work: Vec<_> =
            sandboxes.map(|(sandbox, set)| core.repair_sandbox(sandbox, set, &observed)).collect();
        let mut repaired = stream::iter(work).buffered(AT_ONCE);
        while let Some(of) = repaired.next().await {
            repairs.absorb(of);
        }
        if let Err(refusal) = core.mend_names().await {
            tracing::error!(%refusal, "what names stand for cannot be repaired");
            repairs.failed.push(format!("names: {refusal}"));
        }
        // Namespaces that were gone have been made anew.
        core.note_namespaces();
        Ok(repairs)
    }

    /// Compares and changes nothing.
    pub(crate) async fn drift_now(&self) -> Result<DriftFacts, Refusal> {
        let core = &*self.0;
        let _standstill = core.standstill.write().await;
        let parts = core.parts();
        let whole = parts.whole();
        let mut observed = core.observed(&parts).await?;
        diff::assume_unobservable(&whole, &mut observed);
        let mut plan = diff::plan(&whole, &observed, parts.namespaces());
        plan.rules = !core.rules_are_intact().await?;
        Ok(DriftFacts { plan, last_repair: core.last_repair().clone() })
    }
}

impl<K: Kernel> Core<K> {
    /// What should be. It is put together from a copy: nobody waits for it.
    fn parts(&self) -> Parts {
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
        parts((&topology, &policies), &gone, self.underlay())
    }

    async fn observed(&self, parts: &Parts) -> Result<ResourceSet, Refusal> {
        let observed = self.kernel.observe(&parts.namespaces()).await;
        observed.map_err(|error| outcome::of_observe(&error))
    }

    async fn rules_are_intact(&self) -> Result<bool, Refusal> {
        self.kernel.rules_are_intact().await.map_err(|error| outcome::of_observe(&error))
    }

    /// First of all: elements need their sets.
    async fn repair_rules(&self, should: &ResourceSet) -> Result<Repairs, Refusal> {
        if self.rules_are_intact().await? {
            return Ok(Repairs::default());
        }
        let done = Plan { rules: true, ..Plan::default() };
        let applied = self.kernel.apply(&done).await;
        applied.map_err(|error| outcome::of_apply(&error))?;
        self.refill(should).await;
        Ok(Repairs { done, failed: Vec::new() })
    }

    /// Puts every element back that should be, before anything is compared: a ruleset that
    /// was flushed is most often empty, and until it is filled nobody is reached.
    async fn refill(&self, should: &ResourceSet) {
        let element = |(_, resource): (&Key, &Resource)| match resource {
            Resource::Element(element) => Some(element.clone()),
            _ => None,
        };
        let elements: Vec<Element> = should.iter().filter_map(element).collect();
        // One that is there with another value has all refused; then the comparison does it.
        if let Err(error) = self.kernel.submit(&[], &elements).done().await {
            tracing::debug!(error = outcome::chain(&error), "elements are put back one by one");
        }
    }

    async fn repair_sandbox(
        &self,
        sandbox: &Sandbox,
        should: &ResourceSet,
        observed: &ResourceSet,
    ) -> Repairs {
        let name = format!("sandbox `{}`", sandbox.name);
        let is = restricted(observed, should);
        self.repair(&name, (&is, should), Self::namespaces([sandbox])).await
    }

    async fn repair(
        &self,
        name: &str,
        (is, should): (&ResourceSet, &ResourceSet),
        namespaces: BTreeMap<SandboxId, NamespaceRef>,
    ) -> Repairs {
        let mut done = diff::plan(should, is, namespaces);
        if done.is_empty() {
            return Repairs::default();
        }
        match self.kernel.apply(&done).await {
            Ok(_) => {
                // Parameters cannot be observed and are always written: no news.
                done.steps.retain(|step| !matches!(step, Step::Create(Resource::Sysctl { .. })));
                Repairs { done, failed: Vec::new() }
            }
            Err(error) => {
                let error = outcome::chain(&error);
                tracing::error!(object = name, error, "cannot be repaired");
                Repairs { done: Plan::default(), failed: vec![format!("{name}: {error}")] }
            }
        }
    }
}
