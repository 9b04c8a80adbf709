//! Explanations of flows.

use postern_model::intent::{ExplainFlow, FlowEnd};
use postern_model::policy::{PolicyPort, Tier, TransportProtocol};
use postern_model::refusal::Refusal;
use postern_proto::v1;
use postern_proto::v1::flow_end::Kind;

use super::fields::Fields;
use super::policy::port;
use super::shared::{finish, reference_in};
use crate::backend::{EndFacts, ExplanationFacts, LookedFacts, SideFacts};

pub(crate) fn explain_flow(request: v1::ExplainRequest) -> Result<ExplainFlow, Refusal> {
    let mut fields = Fields::default();
    let v1::ExplainRequest { from, to, what, published, ipv6 } = request;
    let from = end(&mut fields, "from", from);
    let to = end(&mut fields, "to", to);
    let what = port(&mut fields, "what", what.unwrap_or_default());
    let whole = |what: &PolicyPort| {
        let many = matches!(what, PolicyPort::Whole(TransportProtocol::Ports(_)));
        many || matches!(what, PolicyPort::Ports(_, ports) if ports.count() > 1)
    };
    if what.as_ref().is_some_and(whole) {
        fields.wrong("what.port", "a flow has one port");
    }
    let intent = from.zip(to).zip(what).map(|((from, to), what)| ExplainFlow {
        from,
        to,
        what,
        published,
        ipv6,
    });
    finish(fields, intent)
}

fn end(fields: &mut Fields, path: &str, given: Option<v1::FlowEnd>) -> Option<FlowEnd> {
    match given.and_then(|end| end.kind) {
        None => {
            fields.wrong(path, "must be an endpoint, a sandbox, an address or an entity");
            None
        }
        Some(Kind::Endpoint(name)) => {
            reference_in(fields, &format!("{path}.endpoint"), &name).map(FlowEnd::Endpoint)
        }
        Some(Kind::Sandbox(name)) => {
            reference_in(fields, &format!("{path}.sandbox"), &name).map(FlowEnd::Sandbox)
        }
        Some(Kind::Address(text)) => {
            fields.required(format!("{path}.address"), &text).map(FlowEnd::Address)
        }
        Some(Kind::Entity(number)) => match v1::Entity::try_from(number) {
            Ok(v1::Entity::Host) => Some(FlowEnd::Host),
            Ok(v1::Entity::World) => Some(FlowEnd::World),
            _ => {
                fields.wrong(format!("{path}.entity"), "only HOST and WORLD are one end");
                None
            }
        },
    }
}

/// An explanation as the API shows it.
pub(crate) fn explanation(facts: ExplanationFacts) -> v1::ExplainResponse {
    let ExplanationFacts {
        allowed,
        reason,
        from,
        to,
        egress,
        ingress,
        default: (default_allowed, default_reason),
        linked,
        allowed_if_audited,
        published_at,
        kernel,
        would_allow,
    } = facts;
    let kernel_agrees = kernel.iter().all(|(_, present)| *present);
    let element = |(element, present)| v1::KernelElement { element, present };
    v1::ExplainResponse {
        allowed,
        reason,
        from: Some(end_out(from)),
        to: Some(end_out(to)),
        egress: Some(side(egress)),
        ingress: Some(side(ingress)),
        default_allowed,
        default_reason: default_reason.to_owned(),
        linked,
        allowed_if_audited,
        published_at,
        kernel: kernel.into_iter().map(element).collect(),
        kernel_agrees,
        would_allow,
    }
}

pub(super) fn end_out(end: EndFacts) -> v1::ExplainedEnd {
    let EndFacts { name, address, network, sandbox, labels, identity, names } = end;
    v1::ExplainedEnd {
        name,
        address: address.map(|ip| ip.to_string()).unwrap_or_default(),
        network,
        sandbox,
        labels,
        names,
        identity,
    }
}

pub(super) fn index(rule: Option<usize>) -> i32 {
    rule.and_then(|rule| i32::try_from(rule).ok()).unwrap_or(-1)
}

fn side(side: SideFacts) -> v1::ExplainedSide {
    let SideFacts { outcome, cause, trail } = side;
    let (policy, rule) = cause.unwrap_or_default();
    v1::ExplainedSide {
        outcome: outcome.to_owned(),
        policy,
        rule: index(rule),
        trail: trail.into_iter().map(looked).collect(),
    }
}

fn looked(looked: LookedFacts) -> v1::LookedAt {
    let LookedFacts { tier, policy, rule, came, late, audit } = looked;
    let tier = match tier {
        Tier::Admin => v1::Tier::Admin,
        Tier::App => v1::Tier::App,
        Tier::Baseline => v1::Tier::Baseline,
    };
    let (at, rule_id) = rule.map_or((-1, String::new()), |(at, id)| (index(Some(at)), id));
    v1::LookedAt {
        tier: tier.into(),
        policy,
        rule: at,
        rule_id,
        came: came.to_owned(),
        late,
        audit,
    }
}
