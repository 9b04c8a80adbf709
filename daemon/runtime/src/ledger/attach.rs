//! Joining an endpoint to a sandbox; connecting, which is making and joining in one. The way
//! back is in `detach`.

use std::collections::BTreeSet;

use postern_kernel::Kernel;
use postern_model::decision::Desired;
use postern_model::driver::EndpointView;
use postern_model::endpoint::{Attachment, Endpoint};
use postern_model::event::{Action, ObjectKind};
use postern_model::intent::{Connect, JoinEndpoint, Outcome};
use postern_model::name::{IfName, Name};
use postern_model::network::Network;
use postern_model::plan::Plan;
use postern_model::port::PortBinding;
use postern_model::refusal::{Class, Refusal};
use postern_model::resource::ResourceSet;
use postern_model::sandbox::Sandbox;
use postern_model::topology::{Put, Topology};
use postern_planner::view::View;
use postern_planner::{desired, diff};
use postern_plugin::LoadedDriver;

use super::endpoints::draft;
use super::locks::LockKey;
use super::ports::Reserved;
use super::{Committed, Core, Draft, Ledger, Retry, check, outcome, parent};

/// An endpoint as its driver sees it. A driver that makes no link is told of the first
/// name all the same; it has no use for it.
pub(super) fn view(
    endpoint: &Endpoint,
    interface: Option<&IfName>,
    bindings: &[PortBinding],
) -> Option<EndpointView> {
    let interface = interface.cloned().or_else(|| "eth0".parse().ok())?;
    let state = endpoint.attachment.as_ref().map(|a| a.decision.state.clone());
    Some(EndpointView {
        id: endpoint.id.to_string(),
        name: endpoint.name.to_string(),
        addresses: endpoint.addresses.clone(),
        mac: endpoint.mac,
        interface,
        bindings: bindings.to_vec(),
        labels: endpoint.spec.labels.clone(),
        options: endpoint.spec.options.clone(),
        state: state.unwrap_or_default(),
    })
}

/// The interface an endpoint gets: the one asked for, else the first free `eth<n>`.
/// `foreign` are links of an adopted namespace, ours among them.
fn choose_interface(
    topology: &Topology,
    sandbox: &Sandbox,
    endpoint: &Endpoint,
    foreign: &BTreeSet<IfName>,
) -> Result<IfName, Refusal> {
    let mut taken: BTreeSet<&IfName> = topology
        .endpoints_of_sandbox(sandbox.id)
        .filter_map(|other| other.attachment.as_ref()?.interface.as_ref())
        .collect();
    taken.extend(foreign);
    if let Some(wanted) = &endpoint.spec.interface {
        if taken.contains(wanted) {
            let text = format!("sandbox `{}` has an interface `{wanted}` already", sandbox.name);
            let refusal = outcome::precondition("INTERFACE_TAKEN", text);
            return Err(refusal.at("spec.interface_name"));
        }
        return Ok(wanted.clone());
    }
    let mut candidates = (0..=taken.len()).filter_map(|n| format!("eth{n}").parse::<IfName>().ok());
    candidates.find(|name| !taken.contains(name)).ok_or_else(|| {
        Refusal::new(Class::Exhausted, "NO_INTERFACE_FREE", "no interface name is free")
    })
}

/// The plan from one form of an endpoint to another. It is felt by its sandbox, whose
/// routes and files depend on all of its endpoints, and by those that have a link to it.
pub(super) fn plan_between(
    topology: &Topology,
    sandbox: &Sandbox,
    network: &Network,
    (old, new): (Option<&Endpoint>, Option<&Endpoint>),
) -> Plan {
    let Some(id) = old.or(new).map(|endpoint| endpoint.id) else { return Plan::default() };
    let set = |form: Option<&Endpoint>| {
        let view = View::of(topology).with_endpoint(id, form);
        let touched = view.touched(sandbox).into_iter();
        let mut set: ResourceSet = touched.flat_map(|one| desired::sandbox(&view, one)).collect();
        let own = form.map(|form| desired::endpoint(form, network, sandbox));
        set.extend(own.unwrap_or_default());
        for linker in view.remote_linkers(sandbox.name.as_str()) {
            set.extend(desired::remote_links(&view, linker));
        }
        set
    };
    let namespaces = std::iter::once(super::namespace_ref(sandbox)).collect();
    diff::plan(&set(new), &set(old), namespaces)
}

/// What watchers are told of an endpoint and the sandbox it joins or leaves.
pub(super) fn draft_in<'a>(
    endpoint: &Endpoint,
    network: &Network,
    sandbox: &Sandbox,
    action: Action,
    request: Option<&'a Retry>,
) -> Draft<'a> {
    let mut draft = draft(endpoint, network, action, request);
    draft.attributes.insert("sandbox".to_owned(), sandbox.name.to_string());
    draft
}

/// That a name is taken in the sandbox's namespace is about the interface's name.
fn at_interface(refusal: Refusal) -> Refusal {
    if refusal.reason == outcome::LINK_EXISTS { refusal.at("spec.interface_name") } else { refusal }
}

impl<K: Kernel> Ledger<K> {
    pub(crate) async fn join_endpoint_now(
        &self,
        intent: JoinEndpoint,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Endpoint>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let (_locks, old, network, sandbox) =
            core.lock_for_join(&intent.endpoint, &intent.sandbox).await?;
        if old.attachment.is_some() {
            let text = format!("endpoint `{}` is joined already", old.name);
            let refusal = outcome::precondition("ENDPOINT_JOINED", text);
            return Err(refusal.about(ObjectKind::Endpoint, old.name.to_string()));
        }
        let driver = core.driver(network.spec.driver.as_str())?;
        let mut new = old.clone();
        let reserved = core.attach(&mut new, &network, &sandbox, &driver, retry).await?;
        let plan =
            plan_between(core.state().topology(), &sandbox, &network, (Some(&old), Some(&new)));
        if validate_only {
            return Ok(Outcome { object: new, plan: Some(plan) });
        }
        let mut committed = core.commit_joined(&mut new, (&network, &sandbox), (&plan, retry))?;
        match core.realize(&mut committed).await {
            Ok(_) => {
                reserved.keep();
                core.settle(committed);
                Ok(Outcome { object: new, plan: None })
            }
            Err(refusal) => {
                let ends = (Some(&new), Some(&old));
                let cleanup = core.cleanup(&sandbox, &network, ends);
                core.withdraw(committed, &cleanup).await;
                Err(at_interface(refusal))
            }
        }
    }

    pub(crate) async fn connect_now(
        &self,
        intent: Connect,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Endpoint>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let Connect { network, sandbox, name, spec } = intent;
        let name = core.endpoint_name(name, &network, &sandbox)?;
        let _name = core.locks.write(LockKey::EndpointName(name.to_string())).await;
        let (_sandbox, sandbox) = core.using_sandbox(&sandbox).await?;
        let (_network, network) = core.using_network(&network).await?;
        let (driver, mut drafted) = core.draft_endpoint(name, &network, spec).await?;
        let mut new = drafted.endpoint.clone();
        let reserved = core.attach(&mut new, &network, &sandbox, &driver, retry).await?;
        let plan = plan_between(core.state().topology(), &sandbox, &network, (None, Some(&new)));
        if validate_only {
            return Ok(Outcome { object: new, plan: Some(plan) });
        }
        // One change with two events: there is no moment at which only half of it is done.
        let about = vec![
            draft(&drafted.endpoint, &network, Action::Created, retry),
            draft_in(&new, &network, &sandbox, Action::Joined, retry),
        ];
        let mut committed = core.commit(about, &plan, |generation| {
            new.revision = generation;
            drafted.endpoint = new.clone();
            drafted.puts(generation)
        })?;
        drafted.keep();
        match core.realize(&mut committed).await {
            Ok(_) => {
                reserved.keep();
                core.settle(committed);
                Ok(Outcome { object: new, plan: None })
            }
            Err(refusal) => {
                let cleanup = core.cleanup(&sandbox, &network, (Some(&new), None));
                core.withdraw(committed, &cleanup).await;
                Err(at_interface(refusal))
            }
        }
    }
}

impl<K: Kernel> Core<K> {
    /// Gives an endpoint what it has while joined: an interface, ports and a decision.
    async fn attach<'a>(
        &'a self,
        endpoint: &mut Endpoint,
        network: &Network,
        sandbox: &Sandbox,
        driver: &LoadedDriver,
        retry: Option<&Retry>,
    ) -> Result<Reserved<'a>, Refusal> {
        check::attach(driver.info(), network, sandbox)?;
        self.check_namespace(sandbox)?;
        let foreign = self.foreign_interfaces(sandbox)?;
        let interface = choose_interface(self.state().topology(), sandbox, endpoint, &foreign)?;
        let reserved = Reserved::take(
            self.kernel.ports(),
            ("spec.published_ports", &endpoint.spec.published),
            |_| true,
            endpoint,
            self.options.publish_address,
        )?;
        let bindings = reserved.bindings().to_vec();
        let view = view(endpoint, Some(&interface), &bindings)
            .ok_or_else(|| Refusal::new(Class::Internal, "NO_INTERFACE", "no interface"))?;
        let request_id = retry.map(|r| r.id.as_str());
        let decision = self.ask_endpoint(driver, network, &view, request_id).await?;
        parent::take_mac(endpoint, &decision)?;
        let has_link = decision.resources.iter().any(|r| matches!(r, Desired::Link(_)));
        endpoint.attachment = Some(Attachment {
            sandbox: sandbox.id,
            interface: has_link.then_some(interface),
            bindings,
            decision,
        });
        Ok(reserved)
    }

    /// An adopted namespace must still be the one that was adopted, and one of ours must
    /// be where it was pinned.
    fn check_namespace(&self, sandbox: &Sandbox) -> Result<(), Refusal> {
        if self.namespace_is_there(sandbox) {
            return Ok(());
        }
        let path = sandbox.path.display();
        let text = format!("the namespace of sandbox `{}` is not at {path} any more", sandbox.name);
        let refusal = outcome::precondition("NAMESPACE_GONE", text);
        Err(refusal.about(ObjectKind::Sandbox, sandbox.name.to_string()).at("sandbox"))
    }

    /// The links of an adopted namespace. Into one of ours nobody else is expected to put any,
    /// and a look would cost every call a thread; who does has the kernel refuse the name.
    fn foreign_interfaces(&self, sandbox: &Sandbox) -> Result<BTreeSet<IfName>, Refusal> {
        if sandbox.identity.is_none() {
            return Ok(BTreeSet::new());
        }
        let found = self.kernel.interfaces(&sandbox.path);
        found.map_err(|error| outcome::of_namespace("sandbox", &error))
    }

    pub(super) fn namespace_is_there(&self, sandbox: &Sandbox) -> bool {
        match (self.kernel.identify(&sandbox.path), sandbox.identity) {
            (Ok(found), Some(adopted)) => found == adopted,
            (Ok(_), None) if sandbox.is_host() => true,
            // One of ours carries no identity in its record: it is made anew after a boot.
            (Ok(found), None) => self.state().namespaces.get(&found) == Some(&sandbox.id),
            (Err(_), _) => false,
        }
    }

    fn commit_joined(
        &self,
        endpoint: &mut Endpoint,
        (network, sandbox): (&Network, &Sandbox),
        (plan, retry): (&Plan, Option<&Retry>),
    ) -> Result<Committed, Refusal> {
        let about = draft_in(endpoint, network, sandbox, Action::Joined, retry);
        self.commit(vec![about], plan, |generation| {
            endpoint.revision = generation;
            vec![Put::Endpoint(Box::new(endpoint.clone()))]
        })
    }

    /// The name of a new endpoint: the one asked for, else `<sandbox>.<network>`.
    fn endpoint_name(
        &self,
        name: Option<Name>,
        network: &str,
        sandbox: &str,
    ) -> Result<Name, Refusal> {
        if let Some(name) = name {
            return Ok(name);
        }
        let state = self.state();
        let network = check::network(state.topology(), network)?;
        let sandbox = check::sandbox(state.topology(), sandbox)?;
        let name = format!("{}.{}", sandbox.name, network.name);
        name.parse().map_err(|error| Refusal::field("name", error))
    }
}
