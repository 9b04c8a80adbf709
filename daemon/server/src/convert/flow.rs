//! New flows.

use postern_model::intent::{FlowsOf, WatchFlows};
use postern_model::network::Family;
use postern_model::policy::{Direction, FlowVerdict, Selection};
use postern_model::port::Protocol;
use postern_model::refusal::Refusal;
use postern_proto::v1;
use postern_proto::v1::watch_flows_request::Of;
use postern_proto::v1::watch_flows_response::Item;

use super::explain::{end_out, index};
use super::fields::Fields;
use super::shared::{finish, reference_in, timestamp};
use crate::backend::SideFacts;
use crate::flow::{AuditFacts, FlowFacts, FlowItem};

pub(crate) fn watch_flows(request: v1::WatchFlowsRequest) -> Result<WatchFlows, Refusal> {
    let mut fields = Fields::default();
    let v1::WatchFlowsRequest { of, dropped_only, audit_only } = request;
    let of = match of {
        None => Some(None),
        Some(Of::Sandbox(name)) => {
            reference_in(&mut fields, "sandbox", &name).map(FlowsOf::Sandbox).map(Some)
        }
        Some(Of::Endpoint(name)) => {
            reference_in(&mut fields, "endpoint", &name).map(FlowsOf::Endpoint).map(Some)
        }
        Some(Of::Network(name)) => {
            reference_in(&mut fields, "network", &name).map(FlowsOf::Network).map(Some)
        }
    };
    finish(fields, of.map(|of| WatchFlows { of, dropped_only, audit_only }))
}

/// An item of the stream as the API shows it.
pub(crate) fn flow_item(item: FlowItem) -> v1::WatchFlowsResponse {
    let item = match item {
        FlowItem::Flow(facts) => Item::Flow(flow(*facts)),
        FlowItem::Lost(count) => Item::Lost(count),
    };
    v1::WatchFlowsResponse { item: Some(item) }
}

fn flow(facts: FlowFacts) -> v1::Flow {
    let FlowFacts {
        time,
        from,
        to,
        family,
        source_port,
        what,
        published,
        verdict: became,
        reason,
        egress,
        ingress,
        audit: would,
    } = facts;
    let has_ports = Protocol::from_number(what.protocol).is_some();
    v1::Flow {
        time: Some(timestamp(time)),
        from: Some(end_out(from)),
        to: Some(end_out(to)),
        ipv6: family == Family::V6,
        protocol: what.protocol.into(),
        source_port: source_port.unwrap_or_default().into(),
        port: if has_ports { what.number.into() } else { 0 },
        icmp: icmp(what),
        published,
        verdict: verdict(became).into(),
        reason,
        egress: Some(side(egress)),
        ingress: Some(side(ingress)),
        audit: would.map(audit),
    }
}

fn icmp(what: Selection) -> Option<v1::IcmpType> {
    let [kind, code] = what.number.to_be_bytes();
    let ipv6 = match what.protocol {
        1 => false,
        58 => true,
        _ => return None,
    };
    Some(v1::IcmpType { ipv6, r#type: kind.into(), code: Some(code.into()) })
}

const fn verdict(verdict: FlowVerdict) -> v1::FlowVerdict {
    match verdict {
        FlowVerdict::Passed => v1::FlowVerdict::Passed,
        FlowVerdict::Dropped => v1::FlowVerdict::Dropped,
        FlowVerdict::Rejected => v1::FlowVerdict::Rejected,
    }
}

fn side(side: SideFacts) -> v1::FlowSide {
    let SideFacts { outcome, cause, trail: _ } = side;
    let (policy, rule) = cause.unwrap_or_default();
    v1::FlowSide { outcome: outcome.to_owned(), policy, rule: index(rule) }
}

fn audit(audit: AuditFacts) -> v1::FlowAudit {
    let AuditFacts { verdict: would, reason, cause } = audit;
    let direction = match cause.as_ref().map(|(direction, ..)| direction) {
        None => v1::Direction::Unspecified,
        Some(Direction::Ingress) => v1::Direction::Ingress,
        Some(Direction::Egress) => v1::Direction::Egress,
    };
    let (policy, rule) = cause.map(|(_, policy, rule)| (policy, rule)).unwrap_or_default();
    v1::FlowAudit {
        verdict: verdict(would).into(),
        reason,
        policy,
        direction: direction.into(),
        rule: index(rule),
    }
}

#[cfg(test)]
mod tests {
    use postern_model::time::Timestamp;

    use super::*;
    use crate::backend::EndFacts;

    fn facts(protocol: u8, number: u16) -> FlowFacts {
        let end = |name: &str| EndFacts {
            name: name.to_owned(),
            address: None,
            network: String::new(),
            sandbox: String::new(),
            labels: Default::default(),
            identity: 0,
            names: Vec::new(),
        };
        FlowFacts {
            time: Timestamp(1500),
            from: end("web.blue"),
            to: end("db.blue"),
            family: Family::V4,
            source_port: Some(40_000),
            what: Selection { protocol, number },
            published: false,
            verdict: FlowVerdict::Rejected,
            reason: "rejected".into(),
            egress: SideFacts::default(),
            ingress: SideFacts {
                outcome: "reject",
                cause: Some(("db".into(), Some(2))),
                trail: Vec::new(),
            },
            audit: Some(AuditFacts {
                verdict: FlowVerdict::Passed,
                reason: "accepted".into(),
                cause: Some((Direction::Ingress, "new".into(), None)),
            }),
        }
    }

    #[test]
    fn a_flow_as_it_is_shown() {
        let shown = flow(facts(6, 5432));
        assert_eq!((shown.protocol, shown.port, shown.source_port), (6, 5432, 40_000));
        assert_eq!((shown.verdict(), shown.icmp), (v1::FlowVerdict::Rejected, None));
        let side = shown.ingress.unwrap();
        assert_eq!((side.outcome.as_str(), side.policy.as_str(), side.rule), ("reject", "db", 2));
        assert_eq!(shown.egress.unwrap().rule, -1);
        let audit = shown.audit.unwrap();
        assert_eq!(audit.verdict(), v1::FlowVerdict::Passed);
        assert_eq!((audit.policy.as_str(), audit.rule), ("new", -1));
        assert_eq!(audit.direction(), v1::Direction::Ingress);
    }

    #[test]
    fn icmp_has_a_type_and_others_have_neither() {
        for (protocol, ipv6) in [(1, false), (58, true)] {
            let shown = flow(facts(protocol, 0x0803));
            let icmp = v1::IcmpType { ipv6, r#type: 8, code: Some(3) };
            assert_eq!((shown.port, shown.icmp), (0, Some(icmp)));
        }
        let shown = flow(facts(47, 0));
        assert_eq!((shown.protocol, shown.port, shown.icmp), (47, 0, None));
    }

    #[test]
    fn whose_flows_is_checked() {
        let of = |of| watch_flows(v1::WatchFlowsRequest { of, ..Default::default() });
        assert_eq!(of(None).unwrap(), WatchFlows::default());
        let sandbox = of(Some(Of::Sandbox("web".into()))).unwrap();
        assert_eq!(sandbox.of, Some(FlowsOf::Sandbox("web".into())));
        for (empty, field) in [
            (Of::Sandbox(String::new()), "sandbox"),
            (Of::Endpoint(String::new()), "endpoint"),
            (Of::Network(String::new()), "network"),
        ] {
            assert_eq!(of(Some(empty)).unwrap_err().violations[0].field, field);
        }
    }
}
