//! Why a flow may begin, or not.

use std::fmt::Write;

use postern_proto::v1::{ExplainResponse, ExplainedEnd, ExplainedSide, LookedAt, Tier};

use super::{plain, table};

/// The verdict in one line, then both ends, both sides' rules, the networks and the kernel.
pub(crate) fn text(reply: &ExplainResponse) -> String {
    let mut text = String::new();
    let verdict = if reply.allowed { "ALLOWED" } else { "DENIED" };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{verdict}: {}", plain(&reply.reason));
    for (name, end) in [("from", &reply.from), ("to", &reply.to)] {
        let none = ExplainedEnd::default();
        let _ = writeln!(text, "  {name:<8} {}", end_line(end.as_ref().unwrap_or(&none)));
    }
    for (name, side) in [("egress", &reply.egress), ("ingress", &reply.ingress)] {
        let none = ExplainedSide::default();
        side_lines(&mut text, name, side.as_ref().unwrap_or(&none));
    }
    let default = if reply.default_allowed { "allow" } else { "drop" };
    let _ = writeln!(text, "  networks {default}: {}", plain(&reply.default_reason));
    if reply.linked {
        let _ = writeln!(text, "  link     opens the port");
    }
    if reply.allowed_if_audited != reply.allowed {
        let would = if reply.allowed_if_audited { "be allowed" } else { "be denied" };
        let _ = writeln!(text, "  audit    would {would} if policies in audit mode were enforced");
    }
    if !reply.published_at.is_empty() {
        let _ = writeln!(text, "  host     {}", plain(&reply.published_at.join(", ")));
    }
    kernel_lines(&mut text, reply);
    for rule in &reply.would_allow {
        let _ = writeln!(text, "  would allow: {}", plain(rule));
    }
    text.trim_end().to_owned()
}

fn end_line(end: &ExplainedEnd) -> String {
    let labels: Vec<String> =
        end.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let names = end.names.join(", ");
    let parts = [end.name.as_str(), end.address.as_str(), &names, &labels.join(",")];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).map(plain).collect();
    parts.join("  ")
}

fn side_lines(text: &mut String, name: &str, side: &ExplainedSide) {
    if side.outcome.is_empty() {
        return;
    }
    let by = if side.policy.is_empty() { String::new() } else { format!(" ({})", side.policy) };
    let _ = writeln!(text, "  {name:<8} {}{}", plain(&side.outcome), plain(&by));
    if side.trail.is_empty() {
        return;
    }
    let rows = side.trail.iter().map(|looked| {
        [
            "   ".to_owned(),
            tier(looked).to_owned(),
            looked.policy.clone(),
            rule(looked),
            came(looked),
        ]
    });
    let _ = writeln!(text, "{}", table::rows(rows.collect()));
}

fn tier(looked: &LookedAt) -> &'static str {
    match looked.tier() {
        Tier::Admin => "admin",
        Tier::App => "app",
        Tier::Baseline => "baseline",
        Tier::Unspecified => "?",
    }
}

fn rule(looked: &LookedAt) -> String {
    match (looked.rule, looked.rule_id.as_str()) {
        (..0, _) => "-".to_owned(),
        (rule, "") => format!("rule {rule}"),
        (rule, id) => format!("rule {rule} {id}"),
    }
}

fn came(looked: &LookedAt) -> String {
    let late = if looked.late { " (something before it decided)" } else { "" };
    let audit = if looked.audit { " (audit)" } else { "" };
    format!("{}{late}{audit}", looked.came)
}

fn kernel_lines(text: &mut String, reply: &ExplainResponse) {
    if reply.kernel.is_empty() {
        return;
    }
    let agrees = if reply.kernel_agrees { "agrees" } else { "DIFFERS; see `postern drift`" };
    let _ = writeln!(text, "  kernel   {agrees}");
    for element in &reply.kernel {
        let absent = if element.present { "" } else { "  ABSENT" };
        let _ = writeln!(text, "      {}{absent}", plain(&element.element));
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::KernelElement;

    use super::*;

    #[test]
    fn the_verdict_comes_first_and_what_is_absent_is_said() {
        let reply = ExplainResponse {
            reason: "isolated by policy `db`: no ingress rule accepts".into(),
            from: Some(ExplainedEnd { name: "host".into(), ..Default::default() }),
            to: Some(ExplainedEnd { name: "db.blue".into(), ..Default::default() }),
            ingress: Some(ExplainedSide {
                outcome: "isolated".into(),
                policy: "db".into(),
                rule: -1,
                trail: vec![LookedAt {
                    tier: 2,
                    policy: "db".into(),
                    came: "other port".into(),
                    ..Default::default()
                }],
            }),
            default_allowed: true,
            default_reason: "the host may reach its endpoints".into(),
            kernel: vec![KernelElement { element: "policed-in4: 10.0.0.2".into(), present: false }],
            ..Default::default()
        };
        assert_eq!(
            text(&reply),
            "DENIED: isolated by policy `db`: no ingress rule accepts\n  \
             from     host\n  \
             to       db.blue\n  \
             ingress  isolated (db)\n      \
                app   db   rule 0   other port\n  \
             networks allow: the host may reach its endpoints\n  \
             kernel   DIFFERS; see `postern drift`\n      \
                policed-in4: 10.0.0.2  ABSENT"
        );
    }
}
