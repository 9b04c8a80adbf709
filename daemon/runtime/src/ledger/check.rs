//! Checks that need the topology or a driver's manifest.

use postern_model::driver::{Attach, DriverInfo, OptionScope};
use postern_model::endpoint::Endpoint;
use postern_model::event::ObjectKind;
use postern_model::name::Labels;
use postern_model::network::Network;
use postern_model::policy::Policy;
use postern_model::refusal::{FieldViolation, Refusal};
use postern_model::sandbox::Sandbox;
use postern_model::topology::Topology;

use super::outcome::precondition;

pub(super) fn network<'a>(topology: &'a Topology, reference: &str) -> Result<&'a Network, Refusal> {
    topology
        .find_network(reference)
        .ok_or_else(|| Refusal::not_found(ObjectKind::Network, reference))
}

pub(super) fn sandbox<'a>(topology: &'a Topology, reference: &str) -> Result<&'a Sandbox, Refusal> {
    topology
        .find_sandbox(reference)
        .ok_or_else(|| Refusal::not_found(ObjectKind::Sandbox, reference))
}

pub(super) fn endpoint<'a>(
    topology: &'a Topology,
    reference: &str,
) -> Result<&'a Endpoint, Refusal> {
    topology
        .find_endpoint(reference)
        .ok_or_else(|| Refusal::not_found(ObjectKind::Endpoint, reference))
}

pub(super) fn policy<'a>(topology: &'a Topology, reference: &str) -> Result<&'a Policy, Refusal> {
    topology.find_policy(reference).ok_or_else(|| Refusal::not_found(ObjectKind::Policy, reference))
}

/// Every option must be one that the driver's manifest names.
pub(super) fn options(
    driver: &DriverInfo,
    scope: OptionScope,
    options: &Labels,
) -> Result<(), Refusal> {
    let known: Vec<&str> = driver
        .manifest
        .options
        .iter()
        .filter(|option| option.scope == scope)
        .map(|option| option.name.as_str())
        .collect();
    let unknown = options.keys().filter(|key| !known.contains(&key.as_str()));
    let violations: Vec<_> = unknown
        .map(|key| FieldViolation {
            field: format!("spec.options[\"{key}\"]"),
            description: if known.is_empty() {
                format!("driver `{}` has no options here", driver.manifest.name)
            } else {
                let known = known.join(", ");
                format!("is not an option of driver `{}`, which has {known}", driver.manifest.name)
            },
        })
        .collect();
    if violations.is_empty() { Ok(()) } else { Err(Refusal::fields(violations)) }
}

/// A revision must be the current one.
pub(super) fn revision(
    kind: ObjectKind,
    name: &impl ToString,
    given: u64,
    current: u64,
) -> Result<(), Refusal> {
    if given == current {
        Ok(())
    } else {
        Err(Refusal::stale(kind, name.to_string(), given, current))
    }
}

/// The host's namespace is for `host` networks and they for it.
pub(super) fn attach(
    driver: &DriverInfo,
    network: &Network,
    sandbox: &Sandbox,
) -> Result<(), Refusal> {
    match (driver.manifest.attach, sandbox.is_host()) {
        (Attach::Own, false) | (Attach::Host, true) => Ok(()),
        (Attach::Own, true) => Err(precondition(
            "SANDBOX_MISMATCH",
            format!(
                "sandbox `{}` shares the host's namespace and can join only networks that do, not `{}`",
                sandbox.name, network.name
            ),
        )
        .about(ObjectKind::Sandbox, sandbox.name.to_string())
        .at("sandbox")),
        (Attach::Host, false) => Err(precondition(
            "SANDBOX_MISMATCH",
            format!(
                "network `{}` is the host's; sandbox `{}` has a namespace of its own",
                network.name, sandbox.name
            ),
        )
        .about(ObjectKind::Sandbox, sandbox.name.to_string())
        .at("sandbox")),
    }
}
