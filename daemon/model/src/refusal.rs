//! Why a request is not done, in the words a client gets.

use std::fmt;

use crate::event::ObjectKind;

/// The class of a refusal; each has its gRPC status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A field is wrong whatever the state of the system.
    Invalid,
    /// The object does not exist.
    NotFound,
    /// The name, address or namespace belongs to another object.
    Exists,
    /// The system is not in a state for this.
    Precondition,
    /// Nothing is left of something finite.
    Exhausted,
    /// The object has changed since the client read it.
    Aborted,
    /// Beyond what exists, as a generation that lies in the future.
    OutOfRange,
    /// Not now; the same request may work later.
    Unavailable,
    /// The daemon, a driver or the kernel failed.
    Internal,
}

/// One wrong field, by its path in the request: `spec.subnets[0].gateway`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path.
    pub field: String,
    /// What is wrong, in words that fit behind the field's name.
    pub description: String,
}

/// Why a request is not done. Nothing of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its class.
    pub class: Class,
    /// A stable word for programs: `SUBNET_OVERLAPS`.
    pub reason: &'static str,
    /// For people.
    pub description: String,
    /// The wrong fields, if fields are wrong.
    pub violations: Vec<FieldViolation>,
    /// The object it is about: kind and name.
    pub object: Option<(ObjectKind, String)>,
}

impl Refusal {
    /// A refusal without fields and object.
    pub fn new(class: Class, reason: &'static str, description: impl Into<String>) -> Self {
        Self {
            class,
            reason,
            description: description.into(),
            violations: Vec::new(),
            object: None,
        }
    }

    /// One field is wrong.
    pub fn field(field: impl Into<String>, description: impl fmt::Display) -> Self {
        Self::fields(vec![FieldViolation {
            field: field.into(),
            description: description.to_string(),
        }])
    }

    /// Fields are wrong.
    pub fn fields(violations: Vec<FieldViolation>) -> Self {
        let list: Vec<_> =
            violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
        Self {
            class: Class::Invalid,
            reason: "INVALID_FIELD",
            description: list.join("; "),
            violations,
            object: None,
        }
    }

    /// The object does not exist.
    pub fn not_found(kind: ObjectKind, reference: impl Into<String>) -> Self {
        let reference = reference.into();
        let reason = match kind {
            ObjectKind::Network => "NETWORK_NOT_FOUND",
            ObjectKind::Sandbox => "SANDBOX_NOT_FOUND",
            ObjectKind::Endpoint => "ENDPOINT_NOT_FOUND",
            ObjectKind::Policy => "POLICY_NOT_FOUND",
            ObjectKind::Driver => "DRIVER_NOT_FOUND",
            ObjectKind::Peer => "PEER_NOT_FOUND",
            ObjectKind::Kernel => "KERNEL_NOT_FOUND",
        };
        let description = format!("there is no {} `{reference}`", kind.as_str());
        Self::new(Class::NotFound, reason, description).about(kind, reference)
    }

    /// The name is taken.
    pub fn name_taken(kind: ObjectKind, name: impl Into<String>) -> Self {
        let name = name.into();
        let article = if kind == ObjectKind::Endpoint { "an" } else { "a" };
        let description = format!("there is {article} {} `{name}` already", kind.as_str());
        Self::new(Class::Exists, "NAME_TAKEN", description).about(kind, name)
    }

    /// The object has changed since the client read it.
    pub fn stale(kind: ObjectKind, name: impl Into<String>, given: u64, current: u64) -> Self {
        let name = name.into();
        let description = format!(
            "{} `{name}` is at revision {current}, the request was based on {given}",
            kind.as_str()
        );
        Self::new(Class::Aborted, "STALE_REVISION", description).about(kind, name)
    }

    /// Names the object.
    #[must_use]
    pub fn about(mut self, kind: ObjectKind, name: impl Into<String>) -> Self {
        self.object = Some((kind, name.into()));
        self
    }

    /// Names the field that led to it.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        let description = self.description.clone();
        self.violations.push(FieldViolation { field: field.into(), description });
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description)
    }
}

impl std::error::Error for Refusal {}
