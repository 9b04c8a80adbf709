//! Sandboxes: create, update, delete.

use std::path::PathBuf;

use postern_kernel::Kernel;
use postern_model::event::{Action, ObjectKind};
use postern_model::id::SandboxId;
use postern_model::intent::{CreateSandbox, DeleteSandbox, Outcome, UpdateSandbox};
use postern_model::name::Labels;
use postern_model::plan::Plan;
use postern_model::refusal::{Class, Refusal};
use postern_model::resource::ResourceSet;
use postern_model::sandbox::{NamespaceIdentity, NamespaceSpec, Sandbox, SandboxSpec};
use postern_model::topology::Put;
use postern_planner::view::View;
use postern_planner::{desired, diff};

use super::locks::LockKey;
use super::{Core, Draft, Ledger, Retry, check, new_id, now, outcome};

/// The daemon's own namespace: the host's, as far as it is concerned.
const HOST_NAMESPACE: &str = "/proc/self/ns/net";

pub(super) fn draft<'a>(
    sandbox: &Sandbox,
    action: Action,
    request: Option<&'a Retry>,
) -> Draft<'a> {
    Draft {
        kind: ObjectKind::Sandbox,
        action,
        uid: sandbox.id.to_string(),
        name: sandbox.name.to_string(),
        attributes: Labels::new(),
        request,
    }
}

impl<K: Kernel> Ledger<K> {
    pub(crate) async fn create_sandbox_now(
        &self,
        intent: CreateSandbox,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Sandbox>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let adopts =
            matches!(intent.spec.namespace, NamespaceSpec::Path(_) | NamespaceSpec::Pid(_));
        let _adopting = if adopts { Some(core.adopting.lock().await) } else { None };
        let _name = core.locks.write(LockKey::SandboxName(intent.name.to_string())).await;
        let _sources = core.lock_sources(&intent.spec.links).await;
        let mut sandbox = core.draft_sandbox(intent)?;
        // Nobody joins it before it is there.
        let _sandbox = core.locks.write(LockKey::Sandbox(sandbox.id)).await;
        let plan = core.sandbox_plan(&sandbox, &ResourceSet::default());
        if validate_only {
            return Ok(Outcome { object: sandbox, plan: Some(plan) });
        }
        let mut committed =
            core.commit(vec![draft(&sandbox, Action::Created, retry)], &plan, |generation| {
                sandbox.revision = generation;
                vec![Put::Sandbox(sandbox.clone())]
            })?;
        match core.realize(&mut committed).await {
            Ok(_) => {
                if let Ok(identity) = core.kernel.identify(&sandbox.path) {
                    core.state().namespaces.insert(identity, sandbox.id);
                }
                core.settle(committed);
                Ok(Outcome { object: sandbox, plan: None })
            }
            Err(refusal) => {
                let cleanup = core.removal_plan(&sandbox);
                core.withdraw(committed, &cleanup).await;
                Err(refusal)
            }
        }
    }

    pub(crate) async fn update_sandbox_now(
        &self,
        intent: UpdateSandbox,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Sandbox>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let UpdateSandbox { sandbox, labels, revision } = intent;
        let id = check::sandbox(core.state().topology(), &sandbox)?.id;
        let _sandbox = core.locks.write(LockKey::Sandbox(id)).await;
        let mut new = check::sandbox(core.state().topology(), &id.to_string())?.clone();
        check::revision(ObjectKind::Sandbox, &new.name, revision, new.revision)?;
        new.spec.labels = labels;
        if validate_only {
            return Ok(Outcome { object: new, plan: Some(Plan::default()) });
        }
        let mut committed = core.commit(
            vec![draft(&new, Action::Updated, retry)],
            &Plan::default(),
            |generation| {
                new.revision = generation;
                vec![Put::Sandbox(new.clone())]
            },
        )?;
        let durable = core.realize(&mut committed).await;
        core.settle(committed);
        durable.map(|_| Outcome { object: new, plan: None })
    }

    pub(crate) async fn delete_sandbox_now(
        &self,
        intent: &DeleteSandbox,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Sandbox>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let id = check::sandbox(core.state().topology(), &intent.sandbox)?.id;
        let endpoints: Vec<_> = {
            let state = core.state();
            let sandbox = check::sandbox(state.topology(), &intent.sandbox)?;
            let joined =
                state.topology().endpoints_of_sandbox(id).map(|e| e.id).collect::<Vec<_>>();
            if !joined.is_empty() && !intent.force {
                let text =
                    format!("sandbox `{}` has {}", sandbox.name, outcome::endpoints(joined.len()));
                let refusal = outcome::precondition("SANDBOX_IN_USE", text);
                return Err(refusal.about(ObjectKind::Sandbox, sandbox.name.to_string()));
            }
            joined
        };
        if !validate_only {
            for endpoint in endpoints {
                core.disconnect_for_deletion(endpoint).await?;
            }
        }
        let _sandbox = core.locks.write(LockKey::Sandbox(id)).await;
        let sandbox = core.emptied(&id.to_string(), validate_only)?;
        let plan = core.removal_plan(&sandbox);
        if validate_only {
            return Ok(Outcome { object: sandbox, plan: Some(plan) });
        }
        let mut committed =
            core.commit(vec![draft(&sandbox, Action::Deleted, retry)], &plan, |_| {
                vec![Put::SandboxGone(sandbox.id)]
            })?;
        let realized = core.realize(&mut committed).await;
        core.settle(committed);
        realized.map(|_| Outcome { object: sandbox, plan: None })
    }
}

impl<K: Kernel> Core<K> {
    fn draft_sandbox(&self, intent: CreateSandbox) -> Result<Sandbox, Refusal> {
        let CreateSandbox { name, spec } = intent;
        if self.state().topology().find_sandbox(name.as_str()).is_some() {
            return Err(Refusal::name_taken(ObjectKind::Sandbox, name.to_string()).at("name"));
        }
        let id = SandboxId::new(new_id());
        let (path, identity) = self.find_namespace(id, &spec)?;
        Ok(Sandbox {
            id,
            name,
            revision: 0,
            created: now(),
            spec,
            path,
            identity,
            quarantined: false,
        })
    }

    /// Where a sandbox's namespace is or will be, and which one an adopted one is.
    fn find_namespace(
        &self,
        id: SandboxId,
        spec: &SandboxSpec,
    ) -> Result<(PathBuf, Option<NamespaceIdentity>), Refusal> {
        let (path, field) = match &spec.namespace {
            NamespaceSpec::Create => {
                return Ok((self.options.namespace_dir.join(id.to_string()), None));
            }
            NamespaceSpec::Host => return Ok((PathBuf::from(HOST_NAMESPACE), None)),
            NamespaceSpec::Path(path) => (path.clone(), "spec.path"),
            NamespaceSpec::Pid(pid) => (PathBuf::from(format!("/proc/{pid}/ns/net")), "spec.pid"),
        };
        let identity = self.kernel.identify(&path).map_err(|e| outcome::of_namespace(field, &e))?;
        let host = self.kernel.identify(HOST_NAMESPACE.as_ref());
        if host.is_ok_and(|host| host == identity) {
            let text = "is the host's own namespace; ask for `host` to share it";
            return Err(Refusal::field(field, text));
        }
        let state = self.state();
        if let Some(other) =
            state.namespaces.get(&identity).and_then(|id| state.topology().sandbox(*id))
        {
            let text = format!("the namespace is that of sandbox `{}`", other.name);
            let refusal = Refusal::new(Class::Exists, "NAMESPACE_TAKEN", text);
            return Err(refusal.about(ObjectKind::Sandbox, other.name.to_string()).at(field));
        }
        Ok((path, Some(identity)))
    }

    fn sandbox_plan(&self, sandbox: &Sandbox, observed: &ResourceSet) -> Plan {
        let state = self.state();
        let view = View::of(state.topology()).with_sandbox(sandbox);
        let wanted = desired::sandbox(&view, sandbox);
        diff::plan(&wanted, observed, Self::namespaces([sandbox]))
    }

    fn removal_plan(&self, sandbox: &Sandbox) -> Plan {
        let state = self.state();
        let observed = desired::sandbox(&View::of(state.topology()), sandbox);
        diff::plan(&ResourceSet::default(), &observed, Self::namespaces([sandbox]))
    }

    /// The sandbox, if nobody joined it in the meantime.
    fn emptied(&self, reference: &str, validate_only: bool) -> Result<Sandbox, Refusal> {
        let state = self.state();
        let sandbox = check::sandbox(state.topology(), reference)?;
        if !validate_only && state.topology().endpoints_of_sandbox(sandbox.id).next().is_some() {
            let text = format!("an endpoint joined sandbox `{}` meanwhile", sandbox.name);
            let refusal = Refusal::new(Class::Aborted, "SANDBOX_IN_USE", text);
            return Err(refusal.about(ObjectKind::Sandbox, sandbox.name.to_string()));
        }
        Ok(sandbox.clone())
    }
}
