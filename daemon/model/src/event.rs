//! What watchers are told: one event for every change of the topology.

use serde::{Deserialize, Serialize};

use crate::name::Labels;
use crate::time::Timestamp;

/// The kind of object an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// A network.
    Network,
    /// A sandbox.
    Sandbox,
    /// An endpoint.
    Endpoint,
    /// A policy.
    Policy,
    /// A driver.
    Driver,
    /// An endpoint on another host.
    Peer,
    /// What the daemon has in the kernel.
    Kernel,
}

impl ObjectKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Sandbox => "sandbox",
            Self::Endpoint => "endpoint",
            Self::Policy => "policy",
            Self::Driver => "driver",
            Self::Peer => "peer",
            Self::Kernel => "kernel",
        }
    }
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It was made.
    Created,
    /// Its properties changed.
    Updated,
    /// It is gone.
    Deleted,
    /// An endpoint joined a sandbox.
    Joined,
    /// An endpoint left its sandbox.
    Left,
    /// The kernel was not as it should be, and was put right.
    Repaired,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The generation it made; the resume point.
    pub generation: u64,
    /// When.
    pub time: Timestamp,
    /// About what.
    pub kind: ObjectKind,
    /// What happened.
    pub action: Action,
    /// The object's uid.
    pub uid: String,
    /// The object's name.
    pub name: String,
    /// What one would want to know beside.
    pub attributes: Labels,
}
