//! Leaving, and disconnecting, which is leaving and deleting in one.

use postern_kernel::Kernel;
use postern_model::endpoint::Endpoint;
use postern_model::event::{Action, ObjectKind};
use postern_model::id::{EndpointId, SandboxId};
use postern_model::intent::{Disconnect, LeaveEndpoint, Outcome};
use postern_model::network::Network;
use postern_model::plan::{Plan, Step};
use postern_model::refusal::{Class, Refusal};
use postern_model::resource::{Place, Resource};
use postern_model::sandbox::Sandbox;
use postern_model::topology::Put;

use super::attach::{draft_in, plan_between};
use super::endpoints::{draft, gone};
use super::{Committed, Core, Ledger, Retry, check, outcome};

/// The plan without what would have to be done in this sandbox: it is gone, and
/// everything in it.
fn outside_only(mut plan: Plan, sandbox: SandboxId) -> Plan {
    let inside = |resource: &Resource| match resource {
        Resource::Sysctl { place, .. }
        | Resource::Address { place, .. }
        | Resource::Route { place, .. } => *place == Place::Sandbox(sandbox),
        Resource::Macvlan(macvlan) => macvlan.sandbox == sandbox,
        _ => false,
    };
    plan.steps.retain(|step| match step {
        Step::Create(resource) | Step::Delete(resource) | Step::Update { to: resource, .. } => {
            !inside(resource)
        }
    });
    plan
}

impl<K: Kernel> Ledger<K> {
    pub(crate) async fn leave_endpoint_now(
        &self,
        intent: LeaveEndpoint,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Endpoint>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let (_locks, old, network) = core.lock_endpoint(&intent.endpoint).await?;
        let sandbox = core.joined_sandbox(&old)?;
        let mut new = Endpoint { attachment: None, ..old.clone() };
        let plan = core.cleanup(&sandbox, &network, (Some(&old), Some(&new)));
        if validate_only {
            return Ok(Outcome { object: new, plan: Some(plan) });
        }
        let mut committed =
            core.commit_left(&old, &mut new, (&network, &sandbox), (&plan, retry))?;
        let realized = core.realize(&mut committed).await;
        core.release_ports(&old, &committed);
        core.settle(committed);
        realized.map(|_| Outcome { object: new, plan: None })
    }

    pub(crate) async fn disconnect_now(
        &self,
        intent: &Disconnect,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Endpoint>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let reference = core.endpoint_to_disconnect(intent)?;
        core.disconnect(&reference, (retry, validate_only)).await
    }
}

impl<K: Kernel> Core<K> {
    /// Takes an endpoint out of its sandbox, if it is in one, and deletes it.
    async fn disconnect(
        &self,
        reference: &str,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Endpoint>, Refusal> {
        let (_locks, old, network) = self.lock_endpoint(reference).await?;
        let sandbox = self.joined_sandbox(&old).ok();
        let cleanup = |sandbox| self.cleanup(sandbox, &network, (Some(&old), None));
        let plan = sandbox.as_ref().map(cleanup).unwrap_or_default();
        if validate_only {
            return Ok(Outcome { object: old, plan: Some(plan) });
        }
        let mut about = vec![draft(&old, &network, Action::Deleted, retry)];
        if let Some(sandbox) = &sandbox {
            about.insert(0, draft_in(&old, &network, sandbox, Action::Left, retry));
        }
        let mut committed = self.commit(about, &plan, |_| gone(&old))?;
        let realized = self.realize(&mut committed).await;
        self.release_ports(&old, &committed);
        self.settle(committed);
        realized.map(|_| Outcome { object: old, plan: None })
    }

    /// Disconnects an endpoint whose sandbox is deleted; that it is gone already is fine.
    pub(super) async fn disconnect_for_deletion(&self, id: EndpointId) -> Result<(), Refusal> {
        match self.disconnect(&id.to_string(), (None, false)).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.class == Class::NotFound => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Its ports are free, unless it is back.
    fn release_ports(&self, endpoint: &Endpoint, committed: &Committed) {
        if let Some(attachment) =
            endpoint.attachment.as_ref().filter(|_| !committed.is_taken_back())
        {
            self.kernel.ports().release(&attachment.bindings);
        }
    }

    fn commit_left(
        &self,
        old: &Endpoint,
        new: &mut Endpoint,
        (network, sandbox): (&Network, &Sandbox),
        (plan, retry): (&Plan, Option<&Retry>),
    ) -> Result<Committed, Refusal> {
        let about = draft_in(old, network, sandbox, Action::Left, retry);
        self.commit(vec![about], plan, |generation| {
            new.revision = generation;
            vec![Put::Endpoint(Box::new(new.clone()))]
        })
    }

    pub(super) fn joined_sandbox(&self, endpoint: &Endpoint) -> Result<Sandbox, Refusal> {
        let state = self.state();
        let sandbox = endpoint.sandbox().and_then(|id| state.topology().sandbox(id)).cloned();
        sandbox.ok_or_else(|| {
            let text = format!("endpoint `{}` is not joined", endpoint.name);
            let refusal = outcome::precondition("ENDPOINT_NOT_JOINED", text);
            refusal.about(ObjectKind::Endpoint, endpoint.name.to_string())
        })
    }

    /// The endpoint that a disconnect means.
    fn endpoint_to_disconnect(&self, intent: &Disconnect) -> Result<String, Refusal> {
        let (network, sandbox) = match intent {
            Disconnect::Endpoint(reference) => return Ok(reference.clone()),
            Disconnect::Pair { network, sandbox } => (network, sandbox),
        };
        let state = self.state();
        let network = check::network(state.topology(), network)?;
        let sandbox = check::sandbox(state.topology(), sandbox)?;
        let mut found = state
            .topology()
            .endpoints_of_sandbox(sandbox.id)
            .filter(|endpoint| endpoint.network == network.id);
        match (found.next(), found.next()) {
            (Some(endpoint), None) => Ok(endpoint.id.to_string()),
            (None, _) => {
                let text =
                    format!("sandbox `{}` is not on network `{}`", sandbox.name, network.name);
                Err(Refusal::new(Class::NotFound, "ENDPOINT_NOT_FOUND", text)
                    .about(ObjectKind::Sandbox, sandbox.name.to_string()))
            }
            (Some(_), Some(_)) => Err(Refusal::field(
                "endpoint",
                format!(
                    "sandbox `{}` has several endpoints on network `{}`; name one",
                    sandbox.name, network.name
                ),
            )),
        }
    }

    /// The plan from one form of a joined endpoint to another, which also works when the
    /// sandbox's namespace is gone.
    pub(super) fn cleanup(
        &self,
        sandbox: &Sandbox,
        network: &Network,
        ends: (Option<&Endpoint>, Option<&Endpoint>),
    ) -> Plan {
        let plan = plan_between(self.state().topology(), sandbox, network, ends);
        if self.namespace_is_there(sandbox) { plan } else { outside_only(plan, sandbox.id) }
    }
}
