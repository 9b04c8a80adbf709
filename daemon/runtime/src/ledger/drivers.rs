//! Drivers that were installed: put in, changed, taken out, and loaded at the start.
//!
//! Their records are in the topology, their modules on disk beside it. A module is written
//! before the record that names it, and removed after it: what a crash leaves is a module
//! without a record, which the next change or start removes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use postern_kernel::Kernel;
use postern_model::driver::Driver;
use postern_model::event::{Action, ObjectKind};
use postern_model::intent::{EnableDriver, GrantDriver, Outcome, RemoveDriver};
use postern_model::name::Labels;
use postern_model::plan::Plan;
use postern_model::refusal::{Class, Refusal};
use postern_model::topology::Put;
use postern_plugin::{Keys, LoadedDriver, Modules};
use postern_server::{DecisionChange, DriverFacts, DriverOutcome, DriverState};

use super::{Core, Draft, Ledger, Retry, chain, outcome};

/// What belongs to installed drivers beside their records.
#[derive(Debug)]
pub(crate) struct Installed {
    /// Their modules.
    pub(super) modules: Modules,
    /// Whose signature a module must have; none asks for none.
    pub(super) keys: Option<Keys>,
    /// Which could not be loaded, and why.
    broken: Mutex<BTreeMap<String, String>>,
}

impl Installed {
    /// Modules, and the keys that they must be signed by.
    pub(crate) fn new(modules: Modules, keys: Option<Keys>) -> Self {
        Self { modules, keys, broken: Mutex::default() }
    }

    fn problem(&self, name: &str) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(super) fn note(&self, name: &str, problem: Option<String>) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        match problem {
            Some(problem) => drop(broken.insert(name.to_owned(), problem)),
            None => drop(broken.remove(name)),
        }
    }
}

pub(super) fn draft<'a>(driver: &Driver, action: Action, request: Option<&'a Retry>) -> Draft<'a> {
    Draft {
        kind: ObjectKind::Driver,
        action,
        uid: driver.name.to_string(),
        name: driver.name.to_string(),
        attributes: Labels::from([("digest".to_owned(), driver.digest.clone())]),
        request,
    }
}

impl<K: Kernel> Ledger<K> {
    /// Loads what is installed. One that cannot be loaded any more is broken: its networks
    /// stay as they are, and the daemon starts.
    pub(crate) fn load_drivers(&self) {
        let core = &*self.0;
        core.sweep_modules();
        let records: Vec<Driver> = core.state().topology().drivers().cloned().collect();
        for record in records {
            core.load(&record);
        }
    }

    pub(crate) async fn enable_driver_now(
        &self,
        intent: EnableDriver,
        (retry, _): (Option<&Retry>, bool),
    ) -> Result<Outcome<DriverOutcome>, Refusal> {
        let core = &*self.0;
        let _still = core.standstill.write().await;
        let old = core.installed_record(&intent.driver)?;
        let new = core.change_driver(Driver { enabled: intent.enabled, ..old }, retry).await?;
        if new.enabled {
            // By the operator's word: whatever it did before.
            core.load(&new);
        }
        Ok(Outcome { object: core.driver_outcome(new.name.as_str())?, plan: None })
    }

    pub(crate) async fn grant_driver_now(
        &self,
        intent: GrantDriver,
        (retry, _): (Option<&Retry>, bool),
    ) -> Result<Outcome<DriverOutcome>, Refusal> {
        let core = &*self.0;
        let _still = core.standstill.write().await;
        let old = core.installed_record(&intent.driver)?;
        let new = core.change_driver(Driver { grants: intent.grants, ..old }, retry).await?;
        core.drivers.regrant(new.name.as_str(), &new.grants);
        Ok(Outcome { object: core.driver_outcome(new.name.as_str())?, plan: None })
    }

    pub(crate) async fn remove_driver_now(
        &self,
        intent: &RemoveDriver,
        (retry, _): (Option<&Retry>, bool),
    ) -> Result<Outcome<()>, Refusal> {
        let core = &*self.0;
        let _still = core.standstill.write().await;
        let driver = core.installed_record(&intent.driver)?;
        let name = driver.name.to_string();
        let networks = core.networks_of_driver(&name);
        if let Some(first) = networks.first() {
            let others = match networks.len() - 1 {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            let text = format!("driver `{name}` is in use by network `{first}`{others}");
            let refusal = outcome::precondition("DRIVER_IN_USE", text);
            return Err(refusal.about(ObjectKind::Driver, name));
        }
        let about = vec![draft(&driver, Action::Deleted, retry)];
        let gone = vec![Put::DriverGone(driver.name.clone())];
        let mut committed = core.commit(about, &Plan::default(), |_| gone)?;
        let durable = core.realize(&mut committed).await;
        core.settle(committed);
        durable?;
        core.drivers.remove(&name);
        core.installed.note(&name, None);
        core.sweep_modules();
        Ok(Outcome { object: (), plan: None })
    }

    /// The outcome of a change that was made before.
    pub(crate) fn driver_outcome(&self, name: &str) -> Result<DriverOutcome, Refusal> {
        self.0.driver_outcome(name)
    }

    pub(crate) fn driver_now(&self, name: &str) -> Result<DriverFacts, Refusal> {
        self.0.driver_facts(name)
    }

    pub(crate) fn drivers_now(&self) -> Vec<DriverFacts> {
        let core = &*self.0;
        let loaded = core.drivers.list().into_iter().map(|info| info.manifest.name.to_string());
        let mut names: BTreeSet<String> = loaded.collect();
        names.extend(core.state().topology().drivers().map(|driver| driver.name.to_string()));
        names.iter().filter_map(|name| core.driver_facts(name).ok()).collect()
    }
}

/// A driver with what it asks for in vain.
pub(super) fn outcome_of(driver: DriverFacts, changes: Vec<DecisionChange>) -> DriverOutcome {
    let (record, info) = (driver.record.as_ref(), driver.info.as_ref());
    let missing =
        record.zip(info).map(|(record, info)| record.grants.missing(&info.manifest.capabilities));
    DriverOutcome { missing: missing.unwrap_or_default(), driver, changes }
}

impl<K: Kernel> Core<K> {
    /// Loads an installed driver, or notes why it cannot be.
    pub(super) fn load(&self, record: &Driver) {
        let name = record.name.as_str();
        if self.drivers.driver(name).is_some_and(|driver| driver.info().built_in) {
            // One that comes with a later daemon; what has its name is not put in its place.
            let problem = "a driver of this name is part of the daemon now".to_owned();
            return self.installed.note(name, Some(problem));
        }
        let loaded = self.installed.modules.read(&record.digest).map_err(|error| chain(&error));
        let prepared =
            loaded.and_then(|bytes| self.drivers.prepare(&bytes).map_err(|error| chain(&error)));
        match prepared {
            Ok(prepared) => {
                self.drivers.put(prepared.under(false, &record.grants));
                self.installed.note(record.name.as_str(), None);
            }
            Err(problem) => {
                tracing::error!(driver = %record.name, problem, "an installed driver is broken");
                self.installed.note(record.name.as_str(), Some(problem));
            }
        }
    }

    /// Removes modules of which no record speaks.
    pub(super) fn sweep_modules(&self) {
        let kept: BTreeSet<String> = {
            let state = self.state();
            state.topology().drivers().map(|driver| driver.digest.clone()).collect()
        };
        if let Err(error) = self.installed.modules.keep_only(&kept) {
            tracing::warn!(error = chain(&error), "modules of drivers that are gone stay");
        }
    }

    /// The record of a driver that is not built in.
    pub(super) fn installed_record(&self, name: &str) -> Result<Driver, Refusal> {
        if let Some(driver) = self.state().topology().driver(name) {
            return Ok(driver.clone());
        }
        if self.drivers.driver(name).is_some() {
            let text = format!("driver `{name}` is part of the daemon");
            let refusal = outcome::precondition("DRIVER_BUILT_IN", text);
            return Err(refusal.about(ObjectKind::Driver, name));
        }
        Err(Refusal::not_found(ObjectKind::Driver, name))
    }

    pub(super) fn networks_of_driver(&self, name: &str) -> Vec<String> {
        let state = self.state();
        let own =
            state.topology().networks().filter(|network| network.spec.driver.as_str() == name);
        own.map(|network| network.name.to_string()).collect()
    }

    async fn change_driver(
        &self,
        mut driver: Driver,
        retry: Option<&Retry>,
    ) -> Result<Driver, Refusal> {
        let about = vec![draft(&driver, Action::Updated, retry)];
        let mut committed = self.commit(about, &Plan::default(), |generation| {
            driver.revision = generation;
            vec![Put::Driver(Box::new(driver.clone()))]
        })?;
        let durable = self.realize(&mut committed).await;
        self.settle(committed);
        durable.map(|_| driver)
    }

    pub(super) fn driver_outcome(&self, name: &str) -> Result<DriverOutcome, Refusal> {
        Ok(outcome_of(self.driver_facts(name)?, Vec::new()))
    }

    pub(super) fn driver_facts(&self, name: &str) -> Result<DriverFacts, Refusal> {
        let record = self.state().topology().driver(name).cloned();
        let loaded = self.drivers.driver(name);
        if record.is_none() && loaded.is_none() {
            return Err(Refusal::not_found(ObjectKind::Driver, name));
        }
        Ok(self.facts_of_driver(name, record, loaded.as_deref()))
    }

    pub(super) fn facts_of_driver(
        &self,
        name: &str,
        record: Option<Driver>,
        loaded: Option<&LoadedDriver>,
    ) -> DriverFacts {
        DriverFacts {
            name: name.to_owned(),
            state: self.driver_state(record.as_ref(), loaded),
            info: loaded.map(|driver| driver.info().clone()),
            record,
            networks: self.networks_of_driver(name).len(),
            counters: loaded.map(|driver| driver.counters().named().to_vec()).unwrap_or_default(),
        }
    }

    fn driver_state(&self, record: Option<&Driver>, loaded: Option<&LoadedDriver>) -> DriverState {
        let problem = record.and_then(|record| self.installed.problem(record.name.as_str()));
        match (record, problem, loaded.and_then(LoadedDriver::rest)) {
            (Some(record), _, _) if !record.enabled => DriverState::Disabled,
            (_, Some(reason), _) => DriverState::Broken { reason },
            (_, _, Some(rest)) => DriverState::Quarantined { left: rest.left, reason: rest.reason },
            _ => DriverState::Enabled,
        }
    }

    /// The driver of this name, if it may be asked.
    pub(super) fn driver(&self, name: &str) -> Result<std::sync::Arc<LoadedDriver>, Refusal> {
        let disabled = self.state().topology().driver(name).is_some_and(|driver| !driver.enabled);
        let unavailable = |reason, text: String| {
            Refusal::new(Class::Unavailable, reason, text).about(ObjectKind::Driver, name)
        };
        if disabled {
            let text = format!("driver `{name}` is disabled; `postern driver enable {name}`");
            return Err(unavailable("DRIVER_DISABLED", text));
        }
        if let Some(problem) = self.installed.problem(name) {
            let text = format!("driver `{name}` could not be loaded: {problem}");
            return Err(unavailable("DRIVER_BROKEN", text));
        }
        self.drivers.driver(name).ok_or_else(|| {
            let known: Vec<_> =
                self.drivers.list().into_iter().map(|d| d.manifest.name.to_string()).collect();
            let known = known.join(", ");
            Refusal::field("spec.driver", format!("there is no driver `{name}`; there are {known}"))
        })
    }
}
