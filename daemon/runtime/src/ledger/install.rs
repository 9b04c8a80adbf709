//! Installing a driver, or a new version of one, to which its networks move over.

use postern_kernel::Kernel;
use postern_model::decision::{Desired, EndpointDecision, NetworkDecision};
use postern_model::driver::Driver;
use postern_model::endpoint::{Attachment, Endpoint};
use postern_model::event::{Action, ObjectKind};
use postern_model::grant::Grants;
use postern_model::intent::{InstallDriver, Outcome};
use postern_model::network::Network;
use postern_model::plan::Plan;
use postern_model::refusal::{Class, Refusal};
use postern_model::topology::Put;
use postern_plugin::{LoadedDriver, Prepared, digest};
use postern_server::{DecisionChange, DriverOutcome};
use tokio::task::spawn_blocking;

use super::ask::NetworkDraft;
use super::{Core, Ledger, Retry, attach, drivers, network_forms, now, outcome, parent};

/// A network and its endpoints as another version of their driver decides.
struct Moved {
    old: Network,
    new: Network,
    /// Those of which the decision or the state is another.
    endpoints: Vec<(Endpoint, Endpoint)>,
    changes: Vec<DecisionChange>,
}

impl<K: Kernel> Ledger<K> {
    pub(crate) async fn install_driver_now(
        &self,
        intent: InstallDriver,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<DriverOutcome>, Refusal> {
        let core = &*self.0;
        let signed_by = core.check_origin(&intent)?;
        let prepared = self.prepare(intent.module.clone()).await?;
        // No network is made, joined or changed while its driver is.
        let _still = core.standstill.write().await;
        let old = core.replaced(&prepared, &intent)?;
        let kept = old.as_ref().map(|old| old.grants.clone());
        let grants = intent.grants.clone().or(kept).unwrap_or_default();
        let record = record(&prepared, old.as_ref(), grants, signed_by);
        let driver = prepared.under(false, &record.grants);
        let moved = core.rehearse(&driver).await?;
        let changes: Vec<DecisionChange> =
            moved.iter().flat_map(|moved| moved.changes.clone()).collect();
        if !changes.is_empty() && !intent.accept_changes && !validate_only {
            return Err(would_change(record.name.as_str(), &changes));
        }
        if validate_only {
            let plan = moved.iter().fold(Plan::default(), |plan, m| merged(plan, core.plan_of(m)));
            let name = record.name.to_string();
            let facts = core.facts_of_driver(&name, Some(record), Some(&driver));
            let object = drivers::outcome_of(facts, changes);
            return Ok(Outcome { object, plan: Some(plan) });
        }
        let kept = core.installed.modules.keep(&record.digest, &intent.module);
        kept.map_err(|error| outcome::internal("STORE_FAILED", &error))?;
        core.take_over((record, driver), moved, retry).await.map(|object| {
            let object = DriverOutcome { changes, ..object };
            Outcome { object, plan: None }
        })
    }

    /// Compiles a module, off the threads that serve.
    async fn prepare(&self, module: Vec<u8>) -> Result<Prepared, Refusal> {
        let ledger = self.clone();
        let prepared = spawn_blocking(move || ledger.0.drivers.prepare(&module)).await;
        let prepared = prepared.map_err(|error| outcome::internal("PANIC", &error))?;
        prepared.map_err(|error| outcome::of_load(&error))
    }
}

fn record(
    prepared: &Prepared,
    old: Option<&Driver>,
    grants: Grants,
    signed_by: Option<String>,
) -> Driver {
    let granted = grants.missing(&prepared.manifest.capabilities).is_empty();
    Driver {
        name: prepared.manifest.name.clone(),
        digest: prepared.digest.clone(),
        revision: 0,
        installed: old.map_or_else(now, |old| old.installed),
        enabled: old.map_or(granted, |old| old.enabled),
        grants,
        signed_by,
    }
}

fn would_change(name: &str, changes: &[DecisionChange]) -> Refusal {
    let objects: Vec<&str> = changes.iter().map(|change| change.object.as_str()).collect();
    let text = format!(
        "driver `{name}` would decide otherwise about {}; see with validate_only, and say \
         accept_changes",
        objects.join(", ")
    );
    let refusal = outcome::precondition("DECISIONS_CHANGE", text);
    refusal.about(ObjectKind::Driver, name).at("header.accept_changes")
}

/// What two decisions do not have in common, a line each.
fn difference(old: &[Desired], new: &[Desired]) -> Vec<String> {
    let words = |desired: &Desired| serde_json::to_string(desired).unwrap_or_default();
    let mut gone: Vec<String> = old.iter().map(words).collect();
    let mut come = Vec::new();
    for word in new.iter().map(words) {
        match gone.iter().position(|other| *other == word) {
            Some(at) => drop(gone.swap_remove(at)),
            None => come.push(format!("+ {word}")),
        }
    }
    gone.sort();
    gone.into_iter().map(|word| format!("- {word}")).chain(come).collect()
}

fn of_network(old: &NetworkDecision, new: &NetworkDecision) -> Vec<String> {
    difference(&old.resources, &new.resources)
}

fn of_endpoint(old: &EndpointDecision, new: &EndpointDecision) -> Vec<String> {
    let mut lines = difference(&old.resources, &new.resources);
    if old.gateways != new.gateways {
        lines.push(format!("- gateways {:?}", old.gateways));
        lines.push(format!("+ gateways {:?}", new.gateways));
    }
    lines
}

/// One plan after another.
fn merged(mut first: Plan, then: Plan) -> Plan {
    first.remove.extend(then.remove);
    first.add.extend(then.add);
    first.flows.extend(then.flows);
    first.steps.extend(then.steps);
    first.namespaces.extend(then.namespaces);
    first
}

impl<K: Kernel> Core<K> {
    /// Whether the module is the one that is meant, and whose it is; before anything of it
    /// is read.
    fn check_origin(&self, intent: &InstallDriver) -> Result<Option<String>, Refusal> {
        let found = digest(&intent.module);
        if let Some(wanted) = intent.digest.as_ref().filter(|wanted| **wanted != found) {
            let text = format!("the module has {found}, not {wanted}");
            return Err(outcome::precondition("DIGEST_MISMATCH", text).at("header.digest"));
        }
        let Some(keys) = &self.installed.keys else { return Ok(None) };
        let Some(signature) = &intent.signature else {
            let text = "the daemon asks for a signature by one of its keys";
            return Err(outcome::precondition("SIGNATURE_NEEDED", text).at("header.signature"));
        };
        match keys.signer(&intent.module, signature) {
            Some(key) => Ok(Some(key.to_owned())),
            None => {
                let text = "none of the daemon's keys made this signature of this module";
                Err(outcome::precondition("SIGNATURE_WRONG", text).at("header.signature"))
            }
        }
    }

    /// The version that the new one takes the place of.
    fn replaced(
        &self,
        prepared: &Prepared,
        intent: &InstallDriver,
    ) -> Result<Option<Driver>, Refusal> {
        let name = prepared.manifest.name.as_str();
        let old = self.state().topology().driver(name).cloned();
        let built_in = old.is_none() && self.drivers.driver(name).is_some();
        match old {
            Some(old) if !intent.upgrade => {
                let text = format!("driver `{name}` is installed, from {}", old.digest);
                let refusal = Refusal::new(Class::Exists, "NAME_TAKEN", text);
                Err(refusal.about(ObjectKind::Driver, name).at("header.upgrade"))
            }
            None if built_in => {
                let text = format!("driver `{name}` is part of the daemon");
                let refusal = Refusal::new(Class::Exists, "NAME_TAKEN", text);
                Err(refusal.about(ObjectKind::Driver, name))
            }
            old => Ok(old),
        }
    }

    /// Asks a driver again for everything that it has decided.
    async fn rehearse(&self, driver: &LoadedDriver) -> Result<Vec<Moved>, Refusal> {
        let name = driver.info().manifest.name.as_str();
        let networks: Vec<Network> = {
            let state = self.state();
            let own = state.topology().networks().filter(|n| n.spec.driver.as_str() == name);
            own.cloned().collect()
        };
        let mut moved = Vec::new();
        for old in networks {
            moved.push(self.rehearse_network(driver, old).await?);
        }
        Ok(moved)
    }

    async fn rehearse_network(
        &self,
        driver: &LoadedDriver,
        old: Network,
    ) -> Result<Moved, Refusal> {
        let object = format!("network {}", old.name);
        let asked = self.ask_network(driver, &NetworkDraft::of(&old), None).await;
        let (decision, _) = asked.map_err(|refusal| refuses(&object, refusal))?;
        let mut changes = Vec::new();
        let lines = of_network(&old.decision, &decision);
        if !lines.is_empty() {
            changes.push(DecisionChange { object, changes: lines });
        }
        let driver_digest = driver.info().digest.clone();
        let new = Network { decision, driver_digest, ..old.clone() };
        let joined: Vec<Endpoint> = {
            let state = self.state();
            state.topology().endpoints_of_network(old.id).cloned().collect()
        };
        let mut endpoints = Vec::new();
        for endpoint in joined {
            let Some(attachment) = &endpoint.attachment else { continue };
            let object = format!("endpoint {}", endpoint.name);
            let view = attach::view(&endpoint, attachment.interface.as_ref(), &attachment.bindings)
                .ok_or_else(|| Refusal::new(Class::Internal, "NO_INTERFACE", "no interface"))?;
            let asked = self.ask_endpoint(driver, &new, &view, None).await;
            let decision = asked.map_err(|refusal| refuses(&object, refusal))?;
            let lines = of_endpoint(&attachment.decision, &decision);
            if !lines.is_empty() {
                changes.push(DecisionChange { object, changes: lines });
            }
            if decision != attachment.decision {
                let mut other = endpoint.clone();
                parent::take_mac(&mut other, &decision)?;
                other.attachment = Some(Attachment { decision, ..attachment.clone() });
                endpoints.push((endpoint, other));
            }
        }
        Ok(Moved { old, new, endpoints, changes })
    }

    /// From what the old version decided to what the new one does.
    fn plan_of(&self, moved: &Moved) -> Plan {
        if moved.changes.is_empty() {
            return Plan::default();
        }
        let plan = self.network_plan((Some(&moved.old), Some(&moved.new)));
        moved.endpoints.iter().fold(plan, |plan, (old, new)| {
            let sandbox = self.joined_sandbox(old).ok();
            let own =
                sandbox.map(|sandbox| self.cleanup(&sandbox, &moved.new, (Some(old), Some(new))));
            merged(plan, own.unwrap_or_default())
        })
    }

    /// Puts a driver to work: its record and whatever it decides as before in one change,
    /// then, network by network, what it decides otherwise.
    async fn take_over(
        &self,
        (mut record, driver): (Driver, LoadedDriver),
        moved: Vec<Moved>,
        retry: Option<&Retry>,
    ) -> Result<DriverOutcome, Refusal> {
        let (changed, same): (Vec<Moved>, Vec<Moved>) =
            moved.into_iter().partition(|moved| !moved.changes.is_empty());
        let known = self.state().topology().driver(record.name.as_str()).is_some();
        let action = if known { Action::Updated } else { Action::Created };
        let about = vec![drivers::draft(&record, action, retry)];
        let mut committed = self.commit(about, &Plan::default(), |generation| {
            record.revision = generation;
            let mut puts = vec![Put::Driver(Box::new(record.clone()))];
            puts.extend(same.iter().flat_map(|moved| puts_of(moved, generation)));
            puts
        })?;
        let durable = self.realize(&mut committed).await;
        self.settle(committed);
        durable?;
        self.drivers.put(driver);
        self.installed.note(record.name.as_str(), None);
        for moved in changed {
            self.move_over(moved).await?;
        }
        self.sweep_modules();
        self.driver_outcome(record.name.as_str())
    }

    async fn move_over(&self, moved: Moved) -> Result<(), Refusal> {
        let plan = self.plan_of(&moved);
        let about = vec![network_forms::draft(&moved.new, Action::Updated, None)];
        let mut committed = self.commit(about, &plan, |generation| puts_of(&moved, generation))?;
        match self.realize(&mut committed).await {
            Ok(_) => {
                self.settle(committed);
                Ok(())
            }
            Err(refusal) => {
                let back = Moved {
                    old: moved.new.clone(),
                    new: moved.old.clone(),
                    endpoints: moved.endpoints.into_iter().map(|(old, new)| (new, old)).collect(),
                    changes: moved.changes,
                };
                let plan = self.plan_of(&back);
                self.withdraw(committed, &plan).await;
                Err(refusal)
            }
        }
    }
}

fn refuses(object: &str, refusal: Refusal) -> Refusal {
    let description = format!("the new version does not decide about {object}: {refusal}");
    let class = match refusal.class {
        Class::Internal => Class::Internal,
        _ => Class::Precondition,
    };
    Refusal { class, description, violations: Vec::new(), ..refusal }
}

fn puts_of(moved: &Moved, revision: u64) -> Vec<Put> {
    let network = Network { revision, ..moved.new.clone() };
    let endpoints = moved
        .endpoints
        .iter()
        .map(|(_, new)| Put::Endpoint(Box::new(Endpoint { revision, ..new.clone() })));
    std::iter::once(Put::Network(network)).chain(endpoints).collect()
}
