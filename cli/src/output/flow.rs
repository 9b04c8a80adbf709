//! New flows, one to a line.

use postern_proto::v1::{ExplainedEnd, Flow, FlowVerdict};

use super::plain;

/// `TIME VERDICT FROM -> TO WHAT: REASON`, and what audited policies would have said.
pub(crate) fn line(flow: &Flow) -> String {
    let time = flow.time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let published = if flow.published { " (published)" } else { "" };
    let audit = flow.audit.as_ref().map(|audit| {
        format!("; AUDIT would have {} it: {}", verdict(audit.verdict()), audit.reason)
    });
    plain(&format!(
        "{time} {:<8} {} -> {} {}{published}: {}{}",
        verdict(flow.verdict()),
        end(flow.from.as_ref()),
        end(flow.to.as_ref()),
        what(flow),
        flow.reason,
        audit.unwrap_or_default()
    ))
}

/// Says that there is a gap.
pub(crate) fn lost(count: u64) -> String {
    format!("lost: {count} flows were not told; there are more than are read")
}

fn verdict(verdict: FlowVerdict) -> &'static str {
    match verdict {
        FlowVerdict::Unspecified => "?",
        FlowVerdict::Passed => "passed",
        FlowVerdict::Dropped => "dropped",
        FlowVerdict::Rejected => "rejected",
    }
}

fn end(end: Option<&ExplainedEnd>) -> &str {
    end.map_or("?", |end| &end.name)
}

fn what(flow: &Flow) -> String {
    match (&flow.icmp, flow.protocol) {
        (Some(icmp), _) if icmp.ipv6 => format!("icmpv6/{}", icmp.r#type),
        (Some(icmp), _) => format!("icmp/{}", icmp.r#type),
        (None, 6) => format!("tcp/{}", flow.port),
        (None, 17) => format!("udp/{}", flow.port),
        (None, 132) => format!("sctp/{}", flow.port),
        (None, protocol) => format!("protocol {protocol}"),
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::{FlowAudit, IcmpType};

    use super::*;

    fn named(name: &str) -> Option<ExplainedEnd> {
        Some(ExplainedEnd { name: name.into(), ..ExplainedEnd::default() })
    }

    fn flow() -> Flow {
        Flow {
            time: Some(prost_types::Timestamp { seconds: 0, nanos: 500_000_000 }),
            from: named("web.blue"),
            to: named("db.blue"),
            protocol: 6,
            port: 5432,
            verdict: FlowVerdict::Dropped.into(),
            reason: "isolated by policy `db`: no ingress rule accepts".into(),
            ..Flow::default()
        }
    }

    #[test]
    fn one_line() {
        assert_eq!(
            line(&flow()),
            "1970-01-01T00:00:00.500Z dropped  web.blue -> db.blue tcp/5432: isolated by policy \
             `db`: no ingress rule accepts"
        );
    }

    #[test]
    fn what_is_audited_is_marked_and_what_is_published_said() {
        let audit = FlowAudit {
            verdict: FlowVerdict::Rejected.into(),
            reason: "rejected by policy `new`, ingress rule 0".into(),
            ..FlowAudit::default()
        };
        let flow = Flow {
            published: true,
            verdict: FlowVerdict::Passed.into(),
            reason: "the port is published".into(),
            audit: Some(audit),
            ..flow()
        };
        assert_eq!(
            line(&flow),
            "1970-01-01T00:00:00.500Z passed   web.blue -> db.blue tcp/5432 (published): the port \
             is published; AUDIT would have rejected it: rejected by policy `new`, ingress rule 0"
        );
    }

    #[test]
    fn what_is_used() {
        let ping = |ipv6| IcmpType { ipv6, r#type: 8, code: Some(0) };
        for (protocol, icmp, expected) in [
            (17, None, "udp/5432"),
            (132, None, "sctp/5432"),
            (1, Some(ping(false)), "icmp/8"),
            (58, Some(ping(true)), "icmpv6/8"),
            (47, None, "protocol 47"),
        ] {
            assert_eq!(what(&Flow { protocol, icmp, ..flow() }), expected);
        }
    }
}
