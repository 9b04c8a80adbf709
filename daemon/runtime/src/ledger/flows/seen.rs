//! A first packet as a flow with names and a verdict.
//!
//! It is judged by the policies of now, not of when the packet came. As tables and records
//! change together, the two differ only for what came within a moment of a change.

use std::net::IpAddr;

use postern_kernel::flow_log::{FirstPacket, Way};
use postern_model::endpoint::Endpoint;
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::network::Family;
use postern_model::policy::FlowVerdict;
use postern_model::time::Timestamp;
use postern_planner::policy::{Cause, Compiler, Flow, Judgement, Party};
use postern_server::{AuditFacts, EndFacts, FlowFacts};

use super::LOG_TARGET;
use crate::ledger::explain::{End, facts, reason, side};
use crate::ledger::state::State;

/// Why a connection is reset whose beginning was not seen.
const MID_STREAM: &str =
    "a policy judges who begins a TCP connection, and this one's beginning was not seen";

/// A flow that was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) facts: FlowFacts,
    /// Those of its ends that are endpoints.
    pub(super) members: Vec<Member>,
    /// The policies that decide it, or would, and are to log that.
    logged_by: Vec<String>,
}

/// What an end is, and is on.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) endpoint: EndpointId,
    pub(super) network: NetworkId,
    pub(super) sandbox: Option<SandboxId>,
}

/// Judges a flow; none if neither end is an endpoint.
pub(super) fn judge(state: &State, packet: &FirstPacket, time: Timestamp) -> Option<Seen> {
    let (topology, policies) = (state.topology(), state.policies());
    let endpoint = |ip: IpAddr| topology.any_endpoint(policies.endpoint_at(ip)?);
    let flow = flow(packet, time);
    let from = End { party: flow.from, endpoint: endpoint(packet.from) };
    let to = End { party: flow.to, endpoint: endpoint(packet.to) };
    let ends = [from.endpoint, to.endpoint];
    if ends.iter().all(Option::is_none) {
        return None;
    }
    let judgement = policies.judge(topology, &flow);
    let audited = policies.judge_audited(topology, &flow);
    let logs = |cause: &Cause| {
        let policy = topology.find_policy(&cause.policy);
        policy.is_some_and(|policy| policy.spec.log).then(|| cause.policy.clone())
    };
    let deciding = std::iter::once(&judgement).chain(&audited).flat_map(Judgement::deciders);
    let mut logged_by: Vec<String> = deciding.filter_map(|(_, cause)| logs(cause)).collect();
    logged_by.sort();
    logged_by.dedup();
    let (verdict, reason) = became(policies, packet, &flow, &judgement);
    let audit = audited.filter(|_| reason != MID_STREAM);
    let audit = audit.filter(|audited| audited.verdict() != verdict);
    let audit = audit.as_ref().map(audit_facts);
    let facts = FlowFacts {
        time,
        from: facts(topology, policies, &from),
        to: EndFacts { names: policies.names_of(&flow), ..facts(topology, policies, &to) },
        family: flow.family,
        source_port: packet.source_port,
        what: packet.what,
        published: packet.published,
        verdict,
        reason,
        egress: side(judgement.egress, Vec::new()),
        ingress: side(judgement.ingress, Vec::new()),
        audit,
    };
    Some(Seen { facts, members: ends.into_iter().flatten().map(member).collect(), logged_by })
}

fn flow(packet: &FirstPacket, time: Timestamp) -> Flow {
    let party = |ip, host: Way| match packet.way == host {
        true => Party::HostAt(ip),
        false => Party::Address(ip),
    };
    Flow {
        from: party(packet.from, Way::FromHost),
        to: party(packet.to, Way::ToHost),
        family: Family::of(packet.to),
        what: packet.what,
        published: packet.published,
        begins: Some(time),
    }
}

/// What became of it, and why.
fn became(
    policies: &Compiler,
    packet: &FirstPacket,
    flow: &Flow,
    judgement: &Judgement,
) -> (FlowVerdict, String) {
    if packet.mid_stream && judgement.passes && policies.is_policed_flow(flow) {
        return (FlowVerdict::Rejected, MID_STREAM.to_owned());
    }
    (judgement.verdict(), reason(judgement))
}

fn audit_facts(audited: &Judgement) -> AuditFacts {
    // Of two that accept the one that is asked last: only its word counts.
    let cause = audited.deciders().pop().map(|(direction, cause)| (direction, cause.clone()));
    let cause = cause.map(|(direction, Cause { policy, rule })| (direction, policy, rule));
    AuditFacts { verdict: audited.verdict(), reason: reason(audited), cause }
}

fn member(endpoint: &Endpoint) -> Member {
    Member { endpoint: endpoint.id, network: endpoint.network, sandbox: endpoint.sandbox() }
}

impl Seen {
    /// Logs it, if a policy that decides asks for that.
    pub(super) fn log(&self) {
        if self.logged_by.is_empty() {
            return;
        }
        let FlowFacts { from, to, what, published, verdict, reason, audit, .. } = &self.facts;
        let (from, to) = (named(from), named(to));
        let (what, policy) = (what.to_string(), self.logged_by.join(","));
        let audit = audit.as_ref().map(|audit| audit.verdict.to_string());
        tracing::info!(
            target: LOG_TARGET,
            from, to, what, published, %verdict, policy, reason, audit,
            "flow"
        );
    }
}

/// `web.blue (10.0.0.2)`, or an address that has no name.
fn named(end: &EndFacts) -> String {
    match end.address.map(|address| address.to_string()) {
        Some(address) if address != end.name => format!("{} ({address})", end.name),
        _ => end.name.clone(),
    }
}
