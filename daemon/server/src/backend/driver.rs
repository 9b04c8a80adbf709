//! Drivers, as the services show them.

use std::time::Duration;

use postern_model::driver::{Capability, Driver, DriverInfo};

/// How a driver fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverState {
    /// It is asked.
    Enabled,
    /// The operator does not let it be asked.
    Disabled,
    /// It failed, and is not asked for a while.
    Quarantined {
        /// How long still.
        left: Duration,
        /// Why.
        reason: String,
    },
    /// It could not be loaded.
    Broken {
        /// Why.
        reason: String,
    },
}

/// A driver with what its record does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverFacts {
    /// Its name.
    pub name: String,
    /// The record; none of one that is built in.
    pub record: Option<Driver>,
    /// What it says of itself; none while it is broken.
    pub info: Option<DriverInfo>,
    /// How it fares.
    pub state: DriverState,
    /// How many networks are its.
    pub networks: usize,
    /// What its calls came to.
    pub counters: Vec<(&'static str, u64)>,
}

/// What an installation, or a change of a driver, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverOutcome {
    /// The driver.
    pub driver: DriverFacts,
    /// What it asks for and is not granted.
    pub missing: Vec<Capability>,
    /// What it decides otherwise than before.
    pub changes: Vec<DecisionChange>,
}

/// One object of which a driver decides otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionChange {
    /// Which.
    pub object: String,
    /// What comes and goes.
    pub changes: Vec<String>,
}
