//! Asking a driver as the daemon does: first for the network, then for the endpoint that
//! is on it; each decision admitted before the next question.

use postern_model::decision::{EndpointDecision, NetworkDecision};
use postern_model::driver::NetworkView;
use postern_model::grant::Grants;
use postern_planner::admission::{Admitted, admit_endpoint, admit_network};
use postern_planner::parent::{Others, Parent, ParentLink};
use postern_plugin::{LoadedDriver, Observed, Usage};

use crate::outcome::{Function, Outcome, Verdict};
use crate::request::Request;

/// What a call took, and which it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which function.
    pub of: Function,
    /// What it took.
    pub usage: Usage,
}

/// What came of a request, and of the calls that were made for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The outcome.
    pub outcome: Outcome,
    /// The calls in their order.
    pub calls: Vec<Call>,
}

/// Asks a driver.
pub fn ask(driver: &LoadedDriver, request: &Request, granted: &Grants) -> Answer {
    let mut calls = Vec::new();
    let outcome = match network(driver, request, granted, &mut calls) {
        Ok(decision) if request.endpoint.is_some() => {
            let verdict = endpoint(driver, request, granted, &decision, &mut calls);
            Outcome { of: Function::Endpoint, verdict }
        }
        Ok(decision) => Outcome { of: Function::Network, verdict: decision.into() },
        Err(verdict) => Outcome { of: Function::Network, verdict },
    };
    Answer { outcome, calls }
}

/// What should exist for the network, admitted.
///
/// # Errors
/// What there is in place of it.
pub(crate) fn network(
    driver: &LoadedDriver,
    request: &Request,
    granted: &Grants,
    calls: &mut Vec<Call>,
) -> Result<NetworkDecision, Verdict> {
    let observed = driver.observe_network(&request.context, &request.network);
    let decision = note(calls, Function::Network, observed)?;
    admit_network(decision, granted, &request.network, request.named)
        .map(Admitted::into_inner)
        .map_err(Verdict::from)
}

fn endpoint(
    driver: &LoadedDriver,
    request: &Request,
    granted: &Grants,
    decision: &NetworkDecision,
    calls: &mut Vec<Call>,
) -> Verdict {
    let Some(view) = &request.endpoint else { return decision.clone().into() };
    let mut network = request.network.clone();
    if request.own_state {
        network.state.clone_from(&decision.state);
    }
    let observed = driver.observe_endpoint(&request.context, &network, view);
    let admitted = note(calls, Function::Endpoint, observed).and_then(|answer| {
        let parent = parent(&answer, &network);
        admit_endpoint(answer, granted, decision, &network, view, parent).map_err(Verdict::from)
    });
    admitted.map_or_else(|verdict| verdict, |admitted| admitted.into_inner().into())
}

/// The parent of a macvlan: there is no host here, so that it is as it should be.
fn parent(decision: &EndpointDecision, network: &NetworkView) -> Parent {
    match decision.macvlan() {
        None => Parent::Absent,
        Some(_) => {
            Parent::Fit(ParentLink { mac: network.mac, mtu: network.mtu, others: Others::Nothing })
        }
    }
}

fn note<T>(calls: &mut Vec<Call>, of: Function, observed: Observed<T>) -> Result<T, Verdict> {
    calls.push(Call { of, usage: observed.usage });
    observed.answer.map_err(Verdict::from)
}
