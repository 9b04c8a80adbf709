//! Links: added and removed on living sandboxes, and what they come to.

use postern_kernel::Kernel;
use postern_model::dns::{LINKS_MAX, Link};
use postern_model::event::{Action, ObjectKind};
use postern_model::intent::{AddLink, Outcome, RemoveLink, SetQuarantine};
use postern_model::plan::{Flows, Plan};
use postern_model::refusal::{Class, Refusal};
use postern_model::resource::ResourceSet;
use postern_model::sandbox::Sandbox;
use postern_model::topology::Put;
use postern_planner::view::View;
use postern_planner::{desired, diff, environment, links};

use super::locks::LockKey;
use super::{Core, Ledger, Retry, check, outcome, sandboxes};

impl<K: Kernel> Ledger<K> {
    pub(crate) async fn add_link_now(
        &self,
        intent: AddLink,
        run: (Option<&Retry>, bool),
    ) -> Result<Outcome<Sandbox>, Refusal> {
        let AddLink { sandbox, link } = intent;
        let _moving = self.0.standstill.read().await;
        let _source = self.0.lock_sources(std::slice::from_ref(&link)).await;
        self.0.change_sandbox(&sandbox, run, |sandbox| add(sandbox, link)).await
    }

    pub(crate) async fn remove_link_now(
        &self,
        intent: RemoveLink,
        run: (Option<&Retry>, bool),
    ) -> Result<Outcome<Sandbox>, Refusal> {
        let _moving = self.0.standstill.read().await;
        let RemoveLink { sandbox, alias } = intent;
        let of_alias = |link: &&Link| link.alias == alias;
        let sources: Vec<Link> = {
            let state = self.0.state();
            let found = check::sandbox(state.topology(), &sandbox)?;
            found.spec.links.iter().filter(of_alias).cloned().collect()
        };
        let _source = self.0.lock_sources(&sources).await;
        self.0
            .change_sandbox(&sandbox, run, |sandbox| remove(sandbox, &sources, alias.as_str()))
            .await
    }

    pub(crate) async fn set_quarantine_now(
        &self,
        intent: SetQuarantine,
        run: (Option<&Retry>, bool),
    ) -> Result<Outcome<Sandbox>, Refusal> {
        let SetQuarantine { sandbox, on } = intent;
        let _moving = self.0.standstill.read().await;
        let change = |sandbox: &mut Sandbox| {
            if sandbox.is_host() {
                let text = format!("sandbox `{}` shares the host's namespace", sandbox.name);
                let refusal = outcome::precondition("SANDBOX_HOST", text).at("sandbox");
                return Err(refusal.about(ObjectKind::Sandbox, sandbox.name.to_string()));
            }
            sandbox.quarantined = on;
            Ok(())
        };
        self.0.change_sandbox(&sandbox, run, change).await
    }

    /// The environment variables of a sandbox's links.
    pub(crate) fn variables(&self, reference: &str) -> Result<Vec<(String, String)>, Refusal> {
        let state = self.0.state();
        let sandbox = check::sandbox(state.topology(), reference)?;
        let links = links::resolve(&View::of(state.topology()), sandbox);
        Ok(links.iter().flat_map(|link| environment::variables(sandbox, link)).collect())
    }
}

fn add(sandbox: &mut Sandbox, link: Link) -> Result<(), Refusal> {
    let about = |refusal: Refusal| refusal.about(ObjectKind::Sandbox, sandbox.name.to_string());
    if sandbox.is_host() {
        let text = format!(
            "sandbox `{}` shares the host's namespace, which has names of its own",
            sandbox.name
        );
        return Err(about(outcome::precondition("SANDBOX_HOST", text)).at("sandbox"));
    }
    if link.source == sandbox.name {
        return Err(Refusal::field("link.source", "is the sandbox itself"));
    }
    if sandbox.spec.links.iter().any(|other| other.alias == link.alias) {
        let text = format!("sandbox `{}` has a link `{}` already", sandbox.name, link.alias);
        let refusal = Refusal::new(Class::Exists, "ALIAS_TAKEN", text);
        return Err(about(refusal).at("link.alias"));
    }
    if sandbox.spec.links.len() >= LINKS_MAX {
        let text =
            format!("sandbox `{}` has {LINKS_MAX} links, the most there can be", sandbox.name);
        return Err(about(Refusal::new(Class::Exhausted, "TOO_MANY_LINKS", text)));
    }
    sandbox.spec.links.push(link);
    Ok(())
}

/// Removes the link that was found before its source was locked.
fn remove(sandbox: &mut Sandbox, found: &[Link], alias: &str) -> Result<(), Refusal> {
    let before = sandbox.spec.links.len();
    sandbox.spec.links.retain(|link| !found.contains(link));
    if sandbox.spec.links.len() < before {
        return Ok(());
    }
    let text = format!("sandbox `{}` has no link `{alias}`", sandbox.name);
    let refusal = Refusal::new(Class::NotFound, "LINK_NOT_FOUND", text);
    Err(refusal.about(ObjectKind::Sandbox, sandbox.name.to_string()).at("alias"))
}

impl<K: Kernel> Core<K> {
    pub(super) async fn change_sandbox(
        &self,
        reference: &str,
        (retry, validate_only): (Option<&Retry>, bool),
        change: impl FnOnce(&mut Sandbox) -> Result<(), Refusal>,
    ) -> Result<Outcome<Sandbox>, Refusal> {
        let id = check::sandbox(self.state().topology(), reference)?.id;
        let _sandbox = self.locks.write(LockKey::Sandbox(id)).await;
        let old = check::sandbox(self.state().topology(), &id.to_string())?.clone();
        let mut new = old.clone();
        change(&mut new)?;
        let plan = self.plan_of_sandbox(&old, &new);
        if validate_only {
            return Ok(Outcome { object: new, plan: Some(plan) });
        }
        let about = sandboxes::draft(&new, Action::Updated, retry);
        let mut committed = self.commit(vec![about], &plan, |generation| {
            new.revision = generation;
            vec![Put::Sandbox(new.clone())]
        })?;
        match self.realize(&mut committed).await {
            Ok(_) => {
                self.settle(committed);
                Ok(Outcome { object: new, plan: None })
            }
            Err(refusal) => {
                let back = self.plan_of_sandbox(&new, &old);
                self.withdraw(committed, &back).await;
                Err(refusal)
            }
        }
    }

    fn plan_of_sandbox(&self, old: &Sandbox, new: &Sandbox) -> Plan {
        let state = self.state();
        // A quarantine takes away what its endpoints have inside.
        let set = |form| {
            let view = View::of(state.topology()).with_sandbox(form);
            let joined = view.joined(form.id).into_iter();
            let mut set: ResourceSet =
                joined.flat_map(|(e, network)| desired::endpoint(e, network, form)).collect();
            set.extend(desired::sandbox(&view, form));
            set
        };
        let mut plan = diff::plan(&set(new), &set(old), Self::namespaces([new]));
        if new.quarantined && !old.quarantined {
            let joined = state.topology().endpoints_of_sandbox(new.id);
            let addresses = joined.flat_map(|endpoint| &endpoint.addresses);
            plan.flows.extend(addresses.map(|address| Flows::Of(address.ip())));
        }
        plan
    }
}
