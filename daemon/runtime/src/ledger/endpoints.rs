//! Endpoints: create, delete, update.

use postern_kernel::Kernel;
use postern_model::driver::OptionScope;
use postern_model::endpoint::{Endpoint, EndpointSpec};
use postern_model::event::{Action, ObjectKind};
use postern_model::id::EndpointId;
use postern_model::intent::{CreateEndpoint, DeleteEndpoint, Outcome, UpdateEndpoint};
use postern_model::name::{Labels, Name};
use postern_model::network::Network;
use postern_model::plan::Plan;
use postern_model::port::PortBinding;
use postern_model::refusal::{Class, Refusal};
use postern_model::sandbox::Sandbox;
use postern_model::topology::Put;
use postern_plugin::LoadedDriver;

use super::locks::LockKey;
use super::ports::{Reserved, kept_entries, origins};
use super::state::{Offer, held, resting};
use super::{Core, Draft, Ledger, Retry, check, new_id, now, outcome, seed};

/// An endpoint on the way to its record. Dropped before its commit, it gives back the
/// addresses it was offered.
pub(super) struct EndpointDraft<'a, K: Kernel> {
    core: &'a Core<K>,
    pub(super) endpoint: Endpoint,
    offer: Option<Offer>,
}

impl<K: Kernel> EndpointDraft<'_, K> {
    /// The records are committed: the addresses are the endpoint's own.
    pub(super) fn keep(&mut self) {
        self.offer = None;
    }

    /// The records of the new endpoint.
    pub(super) fn puts(&mut self, generation: u64) -> Vec<Put> {
        self.endpoint.revision = generation;
        let mut puts = held(self.endpoint.network, self.endpoint.id, &self.endpoint.addresses);
        puts.push(Put::Endpoint(Box::new(self.endpoint.clone())));
        puts
    }
}

impl<K: Kernel> Drop for EndpointDraft<'_, K> {
    fn drop(&mut self) {
        if let Some(offer) = &self.offer {
            self.core.state().give_back(offer);
        }
    }
}

/// The records of an endpoint that is gone.
pub(super) fn gone(endpoint: &Endpoint) -> Vec<Put> {
    let mut puts = resting(endpoint.network, &endpoint.addresses, now());
    puts.push(Put::EndpointGone(endpoint.id));
    puts
}

pub(super) fn draft<'a>(
    endpoint: &Endpoint,
    network: &Network,
    action: Action,
    request: Option<&'a Retry>,
) -> Draft<'a> {
    let mut attributes = Labels::from([("network".to_owned(), network.name.to_string())]);
    for address in &endpoint.addresses {
        let key = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        attributes.insert(key.to_owned(), address.ip().to_string());
    }
    Draft {
        kind: ObjectKind::Endpoint,
        action,
        uid: endpoint.id.to_string(),
        name: endpoint.name.to_string(),
        attributes,
        request,
    }
}

impl<K: Kernel> Ledger<K> {
    pub(crate) async fn create_endpoint_now(
        &self,
        intent: CreateEndpoint,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Endpoint>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let CreateEndpoint { name, network, spec } = intent;
        let _name = core.locks.write(LockKey::EndpointName(name.to_string())).await;
        let (_network, network) = core.using_network(&network).await?;
        let (_, mut drafted) = core.draft_endpoint(name, &network, spec).await?;
        if validate_only {
            let object = drafted.endpoint.clone();
            return Ok(Outcome { object, plan: Some(Plan::default()) });
        }
        let about = draft(&drafted.endpoint, &network, Action::Created, retry);
        let mut committed =
            core.commit(vec![about], &Plan::default(), |generation| drafted.puts(generation))?;
        drafted.keep();
        match core.realize(&mut committed).await {
            Ok(_) => {
                core.settle(committed);
                Ok(Outcome { object: drafted.endpoint.clone(), plan: None })
            }
            Err(refusal) => {
                core.withdraw(committed, &Plan::default()).await;
                Err(refusal)
            }
        }
    }

    pub(crate) async fn delete_endpoint_now(
        &self,
        intent: &DeleteEndpoint,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Endpoint>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let id = check::endpoint(core.state().topology(), &intent.endpoint)?.id;
        let _endpoint = core.locks.write(LockKey::Endpoint(id)).await;
        let (endpoint, network) = core.endpoint_and_network(id, &intent.endpoint)?;
        if endpoint.attachment.is_some() {
            let text = format!("endpoint `{}` is joined to a sandbox", endpoint.name);
            let refusal = outcome::precondition("ENDPOINT_JOINED", text);
            return Err(refusal.about(ObjectKind::Endpoint, endpoint.name.to_string()));
        }
        if validate_only {
            return Ok(Outcome { object: endpoint, plan: Some(Plan::default()) });
        }
        let about = draft(&endpoint, &network, Action::Deleted, retry);
        let mut committed = core.commit(vec![about], &Plan::default(), |_| gone(&endpoint))?;
        let durable = core.realize(&mut committed).await;
        core.settle(committed);
        durable.map(|_| Outcome { object: endpoint, plan: None })
    }

    pub(crate) async fn update_endpoint_now(
        &self,
        intent: UpdateEndpoint,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Endpoint>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let UpdateEndpoint { endpoint, aliases, exposed, published, labels, revision } = intent;
        let (_locks, old, network) = core.lock_endpoint(&endpoint).await?;
        check::revision(ObjectKind::Endpoint, &old.name, revision, old.revision)?;
        let mut new = old.clone();
        new.spec = EndpointSpec { aliases, exposed, published, labels, ..old.spec.clone() };
        let change = core.rebind(&old, &mut new, &network, retry).await?;
        let sandbox = core.joined_sandbox(&old).ok();
        let plan = core.plan_of_update(sandbox.as_ref(), &network, (&old, &new));
        if validate_only {
            return Ok(Outcome { object: new, plan: Some(plan) });
        }
        let about = draft(&new, &network, Action::Updated, retry);
        let mut committed = core.commit(vec![about], &plan, |generation| {
            new.revision = generation;
            vec![Put::Endpoint(Box::new(new.clone()))]
        })?;
        match core.realize(&mut committed).await {
            Ok(_) => {
                change.keep();
                core.settle(committed);
                Ok(Outcome { object: new, plan: None })
            }
            Err(refusal) => {
                let back = core.plan_of_update(sandbox.as_ref(), &network, (&new, &old));
                core.withdraw(committed, &back).await;
                Err(refusal)
            }
        }
    }
}

/// Ports that an update takes and gives up. Dropped without being kept, the old ones
/// are held again and the new ones released.
struct Rebinding<'a, K: Kernel> {
    core: &'a Core<K>,
    reserved: Option<Reserved<'a>>,
    given_up: Vec<PortBinding>,
}

impl<K: Kernel> Rebinding<'_, K> {
    fn keep(mut self) {
        self.given_up.clear();
        if let Some(reserved) = self.reserved.take() {
            reserved.keep();
        }
    }
}

impl<K: Kernel> Drop for Rebinding<'_, K> {
    fn drop(&mut self) {
        drop(self.reserved.take());
        if !self.given_up.is_empty()
            && let Err(error) = self.core.kernel.ports().hold(&self.given_up)
        {
            tracing::warn!(%error, "a port was taken by another process meanwhile");
        }
    }
}

impl<K: Kernel> Core<K> {
    /// Checks a new endpoint and finds addresses for it, of those that this host gives.
    pub(super) fn draft_endpoint_here(
        &self,
        name: Name,
        network: &Network,
        spec: EndpointSpec,
    ) -> Result<(std::sync::Arc<LoadedDriver>, EndpointDraft<'_, K>), Refusal> {
        let driver = self.driver(network.spec.driver.as_str())?;
        check::options(driver.info(), OptionScope::Endpoint, &spec.options)?;
        let mut state = self.state();
        if state.topology().find_endpoint(name.as_str()).is_some() {
            return Err(Refusal::name_taken(ObjectKind::Endpoint, name.to_string()).at("name"));
        }
        let clock = (now(), self.options.address_rest);
        let offer = state.offer(network, &spec, seed(), clock)?;
        let endpoint = Endpoint {
            id: EndpointId::new(new_id()),
            name,
            revision: 0,
            created: now(),
            network: network.id,
            spec,
            mac: offer.mac,
            addresses: offer.addresses().to_vec(),
            attachment: None,
        };
        let drafted = EndpointDraft { core: self, endpoint, offer: Some(offer) };
        Ok((driver, drafted))
    }

    /// The plan from one form of an endpoint to another; nothing while it is not joined.
    fn plan_of_update(
        &self,
        sandbox: Option<&Sandbox>,
        network: &Network,
        (old, new): (&Endpoint, &Endpoint),
    ) -> Plan {
        let plan = |sandbox| self.cleanup(sandbox, network, (Some(old), Some(new)));
        sandbox.map(plan).unwrap_or_default()
    }

    /// Gives `new` the bindings and the decision of its published ports, if it is joined.
    async fn rebind<'a>(
        &'a self,
        old: &Endpoint,
        new: &mut Endpoint,
        network: &Network,
        retry: Option<&Retry>,
    ) -> Result<Rebinding<'a, K>, Refusal> {
        let mut change = Rebinding { core: self, reserved: None, given_up: Vec::new() };
        let Some(attachment) = &old.attachment else { return Ok(change) };
        let origins = origins(&attachment.bindings, &old.spec.published);
        let (kept, fresh) = kept_entries(&old.spec.published, &new.spec.published);
        let (mut bindings, mut given_up) = (Vec::new(), Vec::new());
        for (binding, origin) in attachment.bindings.iter().zip(origins) {
            let stays = origin.is_some_and(|entry| kept.contains(&entry));
            if stays { &mut bindings } else { &mut given_up }.push(binding.clone());
        }
        self.kernel.ports().release(&given_up);
        change.given_up = given_up;
        let reserved = Reserved::take(
            self.kernel.ports(),
            ("published_ports", &new.spec.published),
            |index| fresh.contains(&index),
            old,
            self.options.publish_address,
        )?;
        bindings.extend_from_slice(reserved.bindings());
        change.reserved = Some(reserved);
        let driver = self.driver(network.spec.driver.as_str())?;
        let view = super::attach::view(new, attachment.interface.as_ref(), &bindings)
            .ok_or_else(|| Refusal::new(Class::Internal, "NO_INTERFACE", "no interface"))?;
        let request_id = retry.map(|r| r.id.as_str());
        let decision = self.ask_endpoint(&driver, network, &view, request_id).await?;
        super::parent::take_mac(new, &decision)?;
        let attachment =
            postern_model::endpoint::Attachment { bindings, decision, ..attachment.clone() };
        new.attachment = Some(attachment);
        Ok(change)
    }
}
