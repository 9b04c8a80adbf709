//! From errors of the rooms below to refusals a client can act on.

use std::error::Error;
use std::io;

use postern_kernel::flow_log::GROUP;
use postern_kernel::{ApplyError, NamespaceError, ObserveError, PortError};
use postern_model::event::ObjectKind;
use postern_model::refusal::{Class, FieldViolation, Refusal};
use postern_planner::admission::Rejection;
use postern_planner::subnets::SubnetError;
use postern_plugin::{CallError, CompileError, Fault, LoadError, LoadedDriver};

/// The reason of a link whose name is taken.
pub(super) const LINK_EXISTS: &str = "LINK_EXISTS";

/// An error with all its sources, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// A number of endpoints, for people.
pub(super) fn endpoints(count: usize) -> String {
    if count == 1 { "one endpoint".to_owned() } else { format!("{count} endpoints") }
}

pub(super) fn internal(reason: &'static str, error: &dyn Error) -> Refusal {
    Refusal::new(Class::Internal, reason, chain(error))
}

pub(super) fn precondition(reason: &'static str, description: impl Into<String>) -> Refusal {
    Refusal::new(Class::Precondition, reason, description)
}

pub(super) fn of_apply(error: &ApplyError) -> Refusal {
    let (class, reason) = match error {
        ApplyError::Exists { .. } => (Class::Precondition, LINK_EXISTS),
        ApplyError::RouteExists { .. } => (Class::Precondition, "ROUTE_EXISTS"),
        ApplyError::NamespaceGone { .. } => (Class::Precondition, "NAMESPACE_GONE"),
        ApplyError::BridgeFull { .. } => (Class::Exhausted, "BRIDGE_FULL"),
        ApplyError::ParentBusy { .. } => (Class::Precondition, "PARENT_BUSY"),
        ApplyError::Missing { .. } => (Class::Precondition, "LINK_MISSING"),
        ApplyError::Unsupported { .. } => (Class::Precondition, "KERNEL_UNSUPPORTED"),
        ApplyError::Foreign { .. } => (Class::Precondition, "LINK_FOREIGN"),
        _ => (Class::Internal, "KERNEL_FAILED"),
    };
    Refusal::new(class, reason, chain(error))
}

pub(super) fn of_observe(error: &ObserveError) -> Refusal {
    internal("KERNEL_FAILED", error)
}

pub(super) fn of_flow_log(error: &ObserveError) -> Refusal {
    match error {
        ObserveError::FlowLog { source } if source.kind() == io::ErrorKind::PermissionDenied => {
            let text = format!("something else listens to the kernel's log group {GROUP}");
            precondition("FLOW_LOG_BUSY", text)
        }
        ObserveError::FlowLog { .. } => precondition("KERNEL_UNSUPPORTED", chain(error)),
        _ => of_observe(error),
    }
}

pub(super) fn of_namespace(field: &str, error: &NamespaceError) -> Refusal {
    match error {
        NamespaceError::NotFound { .. } | NamespaceError::NotANamespace { .. } => {
            Refusal::field(field, error)
        }
        NamespaceError::Io { .. } => internal("KERNEL_FAILED", error),
    }
}

pub(super) fn of_subnet(error: &SubnetError) -> Refusal {
    match error {
        SubnetError::OverlapsNetwork { index, network, .. } => {
            precondition("SUBNET_OVERLAPS", error.to_string())
                .about(ObjectKind::Network, network.to_string())
                .at(format!("spec.subnets[{index}].subnet"))
        }
        SubnetError::OverlapsHost { index, .. } => {
            precondition("SUBNET_OVERLAPS", error.to_string())
                .at(format!("spec.subnets[{index}].subnet"))
        }
        SubnetError::PoolsExhausted { .. } => {
            Refusal::new(Class::Exhausted, "NO_SUBNET_FREE", error.to_string())
        }
    }
}

pub(super) fn of_call(driver: &str, error: &CallError) -> Refusal {
    let text = format!("driver `{driver}`: {error}");
    match error {
        CallError::Fault(Fault::Invalid { field, description }) => {
            // A driver names options and ports as it was shown them, without the `spec`.
            let spec = if field.starts_with("spec.") { "" } else { "spec." };
            Refusal::field(format!("{spec}{field}"), description)
        }
        CallError::Fault(Fault::Unsupported(_)) => precondition("DRIVER_UNSUPPORTED", text),
        CallError::Fault(Fault::Conflict(_)) => precondition("DRIVER_CONFLICT", text),
        CallError::Fault(Fault::Internal(_)) => Refusal::new(Class::Internal, "DRIVER_FAULT", text),
        CallError::Limit(hit) if hit.which.is_load() => {
            Refusal::new(Class::Exhausted, "DRIVER_BUSY", text)
        }
        CallError::Quarantined(_) => Refusal::new(Class::Unavailable, "DRIVER_QUARANTINED", text),
        CallError::Limit(_) => Refusal::new(Class::Internal, "DRIVER_LIMIT", text),
        CallError::Trap { .. } => Refusal::new(Class::Internal, "DRIVER_CRASHED", text),
        CallError::BadDecision { .. } => Refusal::new(Class::Internal, "DRIVER_DECISION", text),
        CallError::Host { .. } => Refusal::new(Class::Internal, "DRIVER_HOST", text),
    }
}

/// A module that cannot be installed. It is the client's, but for what the daemon itself
/// cannot do.
pub(super) fn of_load(error: &LoadError) -> Refusal {
    let text = chain(error);
    let (class, reason) = match error {
        LoadError::Cache(_) => (Class::Internal, "STORE_FAILED"),
        LoadError::Compile(CompileError::Spawn { .. }) => (Class::Internal, "COMPILER_FAILED"),
        LoadError::Compile(CompileError::Limit(_)) | LoadError::Needs(_) => {
            (Class::Invalid, "DRIVER_LIMIT")
        }
        LoadError::Describe(CallError::Limit(_)) => (Class::Invalid, "DRIVER_LIMIT"),
        LoadError::Describe(_) => (Class::Invalid, "DRIVER_CRASHED"),
        _ => (Class::Invalid, "DRIVER_INVALID"),
    };
    Refusal::new(class, reason, text).at("module")
}

/// A decision that was not admitted. Where the operator's choice of a bridge is the
/// cause, it is his to change; all else is the driver's fault.
pub(super) fn of_rejections(driver: &LoadedDriver, rejections: Vec<Rejection>) -> Refusal {
    driver.reject();
    let driver = &driver.info().manifest.name;
    let list: Vec<_> = rejections.iter().map(ToString::to_string).collect();
    let description =
        format!("driver `{driver}` decided what is not admitted: {}", list.join("; "));
    let mut refusal = precondition("DECISION_REJECTED", description);
    refusal.violations = rejections
        .into_iter()
        .map(|r| FieldViolation { field: format!("decision.{}", r.path), description: r.reason })
        .collect();
    refusal
}

/// A port of the `index`-th entry of `field` that cannot be had.
pub(super) fn of_port(field: &str, index: usize, error: &PortError) -> Refusal {
    let path = format!("{field}[{index}]");
    let text = chain(error);
    match error {
        PortError::Busy { .. } => precondition("PORT_BUSY", text).at(format!("{path}.host_port")),
        PortError::NoneFree { .. } => {
            Refusal::new(Class::Exhausted, "NO_PORT_FREE", text).at(format!("{path}.host_port"))
        }
        PortError::NoFamily { .. } | PortError::NotLocal { .. } | PortError::Loopback6 => {
            Refusal::field(format!("{path}.host_ip"), text)
        }
        PortError::TooMany => {
            Refusal::new(Class::Exhausted, "TOO_MANY_PORTS", text).at(format!("{path}.host_port"))
        }
        PortError::Io { .. } => internal("KERNEL_FAILED", error),
    }
}
