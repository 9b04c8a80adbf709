//! What several kinds of request have in common.

use std::collections::BTreeMap;

use postern_model::intent::{Filter, Mutation, Outcome, Page};
use postern_model::name::{Labels, check_labels};
use postern_model::plan::{Plan, Step};
use postern_model::port::Protocol;
use postern_model::refusal::Refusal;
use postern_model::time::Timestamp;
use postern_proto::v1;
use postern_proto::v1::plan_step::Action;
use prost::Message;

use super::fields::Fields;

/// Longest request id.
const REQUEST_ID_MAX: usize = 64;
/// Longest reference: an endpoint's name.
const REFERENCE_MAX: usize = 127;
/// Objects on a page where the client says nothing.
const PAGE_DEFAULT: u32 = 100;
/// Most objects on a page.
const PAGE_MAX: u32 = 1000;

/// Wraps an intent with what every mutation carries.
pub(crate) fn mutation<T>(
    fields: &mut Fields,
    (method, whole): (&str, &impl Message),
    request_id: &str,
    validate_only: bool,
    intent: Option<T>,
) -> Option<Mutation<T>> {
    let plain = |b: u8| b.is_ascii_graphic();
    if request_id.len() > REQUEST_ID_MAX || !request_id.bytes().all(plain) {
        let rule =
            format!("must be at most {REQUEST_ID_MAX} bytes of printable ASCII without spaces");
        fields.wrong("request_id", rule);
    }
    Some(Mutation {
        intent: intent?,
        request_id: (!request_id.is_empty()).then(|| request_id.to_owned()),
        digest: digest(method, &whole.encode_to_vec()),
        validate_only,
    })
}

/// FNV-1a over the method's name and the request's bytes. It is kept on disk, so it must not change
/// with the standard library, as its own hasher may.
fn digest(name: &str, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    name.as_bytes().iter().chain(bytes).fold(0xcbf2_9ce4_8422_2325, step)
}

/// A name or uid in a request that has no other field.
pub(crate) fn reference(field: &str, text: &str) -> Result<String, Refusal> {
    let mut fields = Fields::default();
    let reference = reference_in(&mut fields, field, text);
    finish(fields, reference)
}

/// A name or uid; only that there is one is checked, the rest is a matter of finding it.
pub(crate) fn reference_in(fields: &mut Fields, field: &str, text: &str) -> Option<String> {
    match text.len() {
        0 => {
            fields.wrong(field, "must be a name or uid");
            None
        }
        1..=REFERENCE_MAX => Some(text.to_owned()),
        length => {
            fields.wrong(
                field,
                format!("is {length} bytes long, at most {REFERENCE_MAX} are allowed"),
            );
            None
        }
    }
}

pub(crate) fn labels(
    fields: &mut Fields,
    field: &str,
    given: BTreeMap<String, String>,
) -> Option<Labels> {
    let labels: Labels = given.into_iter().collect();
    fields.take(field, check_labels(&labels))?;
    Some(labels)
}

pub(crate) fn protocol(fields: &mut Fields, field: String, number: i32) -> Option<Protocol> {
    match v1::Protocol::try_from(number) {
        Ok(v1::Protocol::Unspecified | v1::Protocol::Tcp) => Some(Protocol::Tcp),
        Ok(v1::Protocol::Udp) => Some(Protocol::Udp),
        Ok(v1::Protocol::Sctp) => Some(Protocol::Sctp),
        Err(_) => {
            fields.wrong(field, format!("{number} is not a protocol"));
            None
        }
    }
}

pub(crate) const fn protocol_out(protocol: Protocol) -> v1::Protocol {
    match protocol {
        Protocol::Tcp => v1::Protocol::Tcp,
        Protocol::Udp => v1::Protocol::Udp,
        Protocol::Sctp => v1::Protocol::Sctp,
    }
}

pub(crate) fn page(fields: &mut Fields, page: Option<v1::PageRequest>) -> Option<Page> {
    let v1::PageRequest { size, token } = page.unwrap_or_default();
    let size = match size {
        0 => PAGE_DEFAULT,
        size if size > PAGE_MAX => {
            fields.wrong("page.size", format!("{size} is over {PAGE_MAX}"));
            return None;
        }
        size => size,
    };
    let after = match token.strip_prefix("after:") {
        _ if token.is_empty() => None,
        Some(name) => Some(name.to_owned()),
        None => {
            fields.wrong("page.token", "is not a token of an earlier page");
            return None;
        }
    };
    Some(Page { size: size as usize, after })
}

pub(crate) fn next_token(next: Option<String>) -> String {
    next.map(|name| format!("after:{name}")).unwrap_or_default()
}

pub(crate) fn filter(fields: &mut Fields, filter: Option<v1::Filter>) -> Option<Filter> {
    let v1::Filter { names, labels: wanted } = filter.unwrap_or_default();
    let labels = labels(fields, "filter.labels", wanted)?;
    Some(Filter { names, labels })
}

pub(crate) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(time.0 / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.0 % 1000 * 1_000_000).unwrap_or(0),
    }
}

pub(crate) fn timestamp_in(
    fields: &mut Fields,
    field: &str,
    time: &prost_types::Timestamp,
) -> Option<Timestamp> {
    let seconds = u64::try_from(time.seconds).ok();
    let nanos = u64::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let millis =
        seconds.zip(nanos).and_then(|(s, n)| s.checked_mul(1000)?.checked_add(n / 1_000_000));
    if millis.is_none() {
        fields.wrong(field, "is not a time after 1970");
    }
    millis.map(Timestamp)
}

/// The object of an outcome and its plan.
pub(crate) fn outcome<T>(outcome: Outcome<T>) -> (T, Option<v1::Plan>) {
    (outcome.object, outcome.plan.as_ref().map(plan))
}

/// A plan as the API shows it.
pub(crate) fn plan(plan: &Plan) -> v1::Plan {
    v1::Plan { steps: plan_steps(plan) }
}

pub(crate) fn plan_steps(plan: &Plan) -> Vec<v1::PlanStep> {
    let step = |action: Action, kind: &str, object: String| v1::PlanStep {
        action: action.into(),
        kind: kind.to_owned(),
        object,
    };
    let rules = plan.rules.then(|| step(Action::Update, "ruleset", "nftables".to_owned()));
    let removed = plan.remove.iter().map(|e| step(Action::Delete, "element", e.to_string()));
    let added = plan.add.iter().map(|e| step(Action::Create, "element", e.to_string()));
    let flows = plan.flows.iter().map(|f| step(Action::EndFlows, "flows", f.to_string()));
    let steps = plan.steps.iter().map(|s| match s {
        Step::Create(resource) => step(Action::Create, resource.kind(), resource.to_string()),
        Step::Update { to, .. } => step(Action::Update, to.kind(), to.to_string()),
        Step::Delete(resource) => step(Action::Delete, resource.kind(), resource.to_string()),
    });
    rules.into_iter().chain(removed).chain(added).chain(flows).chain(steps).collect()
}

/// A whole request is right, or its refusal.
pub(crate) fn finish<T>(fields: Fields, whole: Option<T>) -> Result<T, Refusal> {
    fields.finish(whole)
}
