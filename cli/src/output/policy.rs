//! Policies.

use std::fmt::Write;

use postern_proto::v1::policy_rule::Action;
use postern_proto::v1::{
    ApplyPolicyResponse, Direction, Policy, PolicyMode, PolicySpec, RuleCounter, Tier,
};
use similar::TextDiff;

use super::{id, json, plain, table};

/// One row for each, in the order in which they come.
pub(crate) fn table(policies: &[Policy], whole: bool) -> String {
    let rows = policies.iter().map(|policy| {
        let none = PolicySpec::default();
        let spec = policy.spec.as_ref().unwrap_or(&none);
        [
            id(&policy.uid, whole),
            policy.name.clone(),
            tier(spec),
            spec.priority.to_string(),
            directions(spec),
            policy.subjects.len().to_string(),
            mode(spec),
        ]
    });
    let header = ["POLICY ID", "NAME", "TIER", "PRIORITY", "DIRECTIONS", "ENDPOINTS", "MODE"];
    table::table(header, rows.collect())
}

fn tier(spec: &PolicySpec) -> String {
    match spec.tier() {
        Tier::Admin => "admin",
        Tier::App => "app",
        Tier::Baseline => "baseline",
        Tier::Unspecified => "?",
    }
    .to_owned()
}

fn mode(spec: &PolicySpec) -> String {
    let mode = if spec.mode() == PolicyMode::Audit { "audit" } else { "enforce" };
    if spec.log { format!("{mode}, log") } else { mode.to_owned() }
}

fn directions(spec: &PolicySpec) -> String {
    spec.directions().map(direction).collect::<Vec<_>>().join(",")
}

const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
        Direction::Unspecified => "?",
    }
}

/// One row for each rule, and for what no rule decides.
pub(crate) fn counters(counters: &[RuleCounter]) -> String {
    let rows = counters.iter().map(|counter| {
        let (rule, action) = match (counter.rule, counter.action()) {
            (..0, _) => ("-".to_owned(), "none"),
            (rule, Action::Accept | Action::Unspecified) => (rule.to_string(), "accept"),
            (rule, Action::Deny) => (rule.to_string(), "deny"),
            (rule, Action::Pass) => (rule.to_string(), "pass"),
            (rule, Action::Reject) => (rule.to_string(), "reject"),
        };
        let packets = counter.packets.to_string();
        let id = counter.rule_id.clone();
        [direction(counter.direction()).to_owned(), rule, id, action.to_owned(), packets]
    });
    table::table(["DIRECTION", "RULE", "ID", "ACTION", "PACKETS"], rows.collect())
}

/// What an application came to, or would: whom it selects, what changes, what is odd.
pub(crate) fn applied(reply: &ApplyPolicyResponse, dry_run: bool) -> String {
    let Some(policy) = &reply.policy else { return String::new() };
    let endpoints = counted(policy.subjects.len(), "endpoint");
    let cut = match usize::try_from(reply.flows_cut).unwrap_or(usize::MAX) {
        0 => String::new(),
        count => {
            format!(", {} {}", if dry_run { "would cut" } else { "cut" }, counted(count, "flow"))
        }
    };
    let mut text = format!("{}: selects {endpoints}{cut}", plain(&policy.name));
    text.push_str(&difference(reply));
    for lint in &reply.lint {
        let rule = if lint.rule.is_empty() { String::new() } else { format!("{}: ", lint.rule) };
        let _ = write!(text, "\n  note: {}{}", plain(&rule), plain(&lint.text));
    }
    for change in &reply.changes {
        let word = if change.allowed { "allow" } else { "deny " };
        let family = if change.ipv6 { "ipv6" } else { "ipv4" };
        let pair = format!("{} -> {} {} {family}", change.from, change.to, change.what);
        let _ = write!(text, "\n  {word} {}", plain(&pair));
    }
    if reply.changes_truncated {
        text.push_str("\n  ... and more");
    }
    for flow in &reply.live_flows_cut {
        let _ = write!(text, "\n  would cut {}", plain(flow));
    }
    text
}

/// What a policy says otherwise than before, line by line as `policy inspect` shows it;
/// nothing of one that is new or the same.
fn difference(reply: &ApplyPolicyResponse) -> String {
    let now = reply.policy.as_ref().and_then(|policy| policy.spec.as_ref());
    let Some((before, now)) = reply.previous.as_ref().zip(now) else { return String::new() };
    let (Ok(before), Ok(now)) = (json::pretty(before), json::pretty(now)) else {
        return String::new();
    };
    let diff = TextDiff::from_lines(&before, &now);
    let groups = diff.grouped_ops(1).into_iter().flatten();
    let changes = groups.flat_map(|operation| diff.iter_changes(&operation).collect::<Vec<_>>());
    let line = |change: similar::Change<&str>| {
        format!("\n  {} {}", change.tag(), plain(change.value().trim_end()))
    };
    changes.map(line).collect()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("one {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_is_shown_line_by_line() {
        let before = PolicySpec { priority: 3, ..PolicySpec::default() };
        let mut reply = ApplyPolicyResponse {
            policy: Some(Policy {
                name: "db".into(),
                spec: Some(PolicySpec { priority: 4, ..before.clone() }),
                ..Policy::default()
            }),
            previous: Some(before),
            ..ApplyPolicyResponse::default()
        };
        let shown = applied(&reply, true);
        assert!(shown.contains("\n  -   \"priority\": 3,\n  +   \"priority\": 4,"), "{shown}");
        reply.previous = None;
        assert_eq!(applied(&reply, true), "db: selects 0 endpoints");
    }

    #[test]
    fn a_row_for_each() {
        let policy = Policy {
            uid: "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".into(),
            name: "db".into(),
            spec: Some(PolicySpec {
                tier: Tier::App.into(),
                directions: vec![Direction::Ingress.into(), Direction::Egress.into()],
                mode: PolicyMode::Audit.into(),
                log: true,
                ..PolicySpec::default()
            }),
            subjects: vec!["db.blue".into()],
            ..Policy::default()
        };
        assert_eq!(
            table(&[policy], false),
            "POLICY ID      NAME   TIER   PRIORITY   DIRECTIONS       ENDPOINTS   MODE\n\
             7c8d9e0f1a2b   db     app    0          ingress,egress   1           audit, log"
        );
    }
}
