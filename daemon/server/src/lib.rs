//! The gRPC face: tonic services over a [`Backend`], and the conversions between proto
//! and model.
//!
//! Every field of every request is checked here and nowhere else: what leaves
//! `convert` is an intent of the model, or a refusal that names the field.

mod backend;
mod convert;
mod flow;
mod serve;
mod service;
mod status;

pub use backend::{
    Backend, ClusterFacts, DecisionChange, DriftFacts, DriverFacts, DriverOutcome, DriverState,
    EndFacts, EndpointFacts, EventItem, ExplanationFacts, ImpactFacts, LinkFacts, LintFacts,
    LookedFacts, NetworkFacts, PageOf, PairFacts, PolicyFacts, Repair, RuleCount, SandboxFacts,
    SideFacts, SystemFacts,
};
pub use flow::{AuditFacts, FlowFacts, FlowItem};
pub use serve::{GRACE, MESSAGE_MAX, ServeError, serve};
