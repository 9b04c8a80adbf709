//! A new flow in the model's words.

use postern_model::network::Family;
use postern_model::policy::{Direction, FlowVerdict, Selection};
use postern_model::time::Timestamp;

use crate::backend::{EndFacts, SideFacts};

/// One item of a stream of flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowItem {
    /// A flow.
    Flow(Box<FlowFacts>),
    /// So many were not told.
    Lost(u64),
}

/// A new flow, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowFacts {
    /// When the daemon was told of it.
    pub time: Timestamp,
    /// Its beginner.
    pub from: EndFacts,
    /// Its other end.
    pub to: EndFacts,
    /// Of which family.
    pub family: Family,
    /// The beginner's port; none of a protocol without ports.
    pub source_port: Option<u16>,
    /// What is used.
    pub what: Selection,
    /// Whether it came by a published port.
    pub published: bool,
    /// What became of it.
    pub verdict: FlowVerdict,
    /// Why, in one line.
    pub reason: String,
    /// What the beginner's policies say; without what was looked at.
    pub egress: SideFacts,
    /// What the other end's policies say; without what was looked at.
    pub ingress: SideFacts,
    /// What would have become of it, if audited policies decide otherwise.
    pub audit: Option<AuditFacts>,
}

/// What would become of a flow if audited policies were enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFacts {
    /// What would.
    pub verdict: FlowVerdict,
    /// Why, in one line.
    pub reason: String,
    /// The policy that would decide, if one would: its side, name and rule.
    pub cause: Option<(Direction, String, Option<usize>)>,
}
