//! How a driver ended, with every error of the crate in one of the classes.

use crate::call::CallError;
use crate::{CompileError, InspectError, Limit, LoadError};

/// An error, and what was being done.
pub(super) enum End {
    Load(LoadError),
    Network(CallError),
    Endpoint(CallError),
}

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Load,
    Describe,
    Network,
    Endpoint,
    /// Nothing failed.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Heard,
    Limit(Limit),
    Trap,
    BadDecision,
    Fault,
    Precompiled,
    Malformed,
    NoContract,
    ContractVersion,
    UnknownImport,
    NoExport,
    TwoDrivers,
    NotComponent,
    NotCompiled,
    Unbounded,
    Link,
    BadManifest,
    NameTaken,
    /// The host is at fault, which no driver may bring about.
    Host,
}

pub(super) fn of(end: Result<(), End>) -> (Stage, Class, String) {
    match end {
        Ok(()) => (Stage::End, Class::Heard, String::new()),
        Err(End::Network(error)) => (Stage::Network, of_call(&error), error.to_string()),
        Err(End::Endpoint(error)) => (Stage::Endpoint, of_call(&error), error.to_string()),
        Err(End::Load(LoadError::Describe(error))) => {
            (Stage::Describe, of_call(&error), error.to_string())
        }
        Err(End::Load(error)) => (Stage::Load, of_load(&error), error.to_string()),
    }
}

fn of_load(error: &LoadError) -> Class {
    match error {
        LoadError::Inspect(error) => of_inspect(error),
        LoadError::Compile(error) => of_compile(error),
        LoadError::Cache(_) => Class::Host,
        LoadError::Needs(hit) => Class::Limit(hit.which),
        LoadError::Unbounded => Class::Unbounded,
        LoadError::Link { .. } => Class::Link,
        LoadError::Describe(error) => of_call(error),
        LoadError::BadManifest { .. } => Class::BadManifest,
        LoadError::NameTaken { .. } => Class::NameTaken,
    }
}

fn of_inspect(error: &InspectError) -> Class {
    match error {
        InspectError::TooLarge(hit) => Class::Limit(hit.which),
        InspectError::Precompiled => Class::Precompiled,
        InspectError::Malformed { .. } => Class::Malformed,
        InspectError::NoContract => Class::NoContract,
        InspectError::ContractVersion { .. } => Class::ContractVersion,
        InspectError::UnknownImport { .. } => Class::UnknownImport,
        InspectError::NoExport => Class::NoExport,
        InspectError::TwoDrivers { .. } => Class::TwoDrivers,
    }
}

fn of_compile(error: &CompileError) -> Class {
    match error {
        CompileError::Componentize { .. } => Class::NotComponent,
        CompileError::Compile { .. } => Class::NotCompiled,
        CompileError::Limit(hit) => Class::Limit(hit.which),
        CompileError::Died { .. } | CompileError::Spawn { .. } => Class::Host,
    }
}

fn of_call(error: &CallError) -> Class {
    match error {
        CallError::Fault(_) => Class::Fault,
        CallError::Limit(hit) => Class::Limit(hit.which),
        CallError::Trap { .. } => Class::Trap,
        CallError::BadDecision { .. } => Class::BadDecision,
        // Nobody is asked twice in a row often enough here.
        CallError::Quarantined(_) | CallError::Host { .. } => Class::Host,
    }
}
