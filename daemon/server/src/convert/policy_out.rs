//! Policies as the API shows them.

use postern_model::network::Family;
use postern_model::policy::{
    Action, Cidr, Direction, Entity, IcmpType, Mode, Operator, Peer, PolicyPort, PolicySpec,
    Requirement, Rule, Selector, SelectorPeer, Subject, Tier, TransportProtocol,
};
use postern_model::port::Protocol;
use postern_proto::v1;
use postern_proto::v1::policy_peer::Kind;

use super::shared::timestamp;
use crate::backend::{ImpactFacts, LintFacts, PairFacts, PolicyFacts, RuleCount};

/// A policy.
pub(crate) fn policy(facts: PolicyFacts) -> v1::Policy {
    let PolicyFacts { policy, subjects, .. } = facts;
    v1::Policy {
        uid: policy.id.to_string(),
        name: policy.name.to_string(),
        revision: policy.revision,
        create_time: Some(timestamp(policy.created)),
        spec: Some(spec(policy.spec)),
        subjects,
    }
}

/// The answer to an application.
pub(crate) fn applied(facts: PolicyFacts, plan: Option<v1::Plan>) -> v1::ApplyPolicyResponse {
    let ImpactFacts { changes, truncated, cut } = facts.impact.clone();
    v1::ApplyPolicyResponse {
        plan,
        flows_cut: u64::try_from(facts.flows_cut).unwrap_or(u64::MAX),
        lint: facts.lints.clone().into_iter().map(lint).collect(),
        changes: changes.into_iter().map(change).collect(),
        changes_truncated: truncated,
        live_flows_cut: cut,
        previous: facts.previous.clone().map(spec),
        policy: Some(policy(facts)),
    }
}

/// What one rule decided.
pub(crate) fn rule_counter(count: RuleCount) -> v1::RuleCounter {
    let RuleCount { direction: at, rule, packets } = count;
    let (rule, rule_id, action) = match rule {
        Some((index, id, of)) => (i32::try_from(index).unwrap_or(i32::MAX), id, action(of)),
        None => (-1, String::new(), v1::policy_rule::Action::Unspecified),
    };
    v1::RuleCounter {
        direction: direction(at).into(),
        rule,
        rule_id,
        action: action.into(),
        packets,
    }
}

fn lint(lint: LintFacts) -> v1::PolicyLint {
    let LintFacts { code, rule, text } = lint;
    let rule = rule.map(|(direction, index)| format!("{direction}[{index}]"));
    v1::PolicyLint { code: code.to_owned(), rule: rule.unwrap_or_default(), text }
}

fn change(pair: PairFacts) -> v1::PairChange {
    let PairFacts { from, to, family, what, allowed } = pair;
    v1::PairChange {
        from,
        to,
        ipv6: family == Family::V6,
        what: what.map_or_else(|| "other".to_owned(), |what| what.to_string()),
        allowed,
    }
}

fn spec(spec: PolicySpec) -> v1::PolicySpec {
    let PolicySpec {
        tier,
        priority,
        subject: of,
        directions,
        ingress,
        egress,
        mode,
        log,
        expires,
        labels,
    } = spec;
    let tier = match tier {
        Tier::Admin => v1::Tier::Admin,
        Tier::App => v1::Tier::App,
        Tier::Baseline => v1::Tier::Baseline,
    };
    let mode = match mode {
        Mode::Enforce => v1::PolicyMode::Enforce,
        Mode::Audit => v1::PolicyMode::Audit,
    };
    v1::PolicySpec {
        tier: tier.into(),
        priority,
        subject: Some(subject(of)),
        directions: directions.into_iter().map(|of| direction(of).into()).collect(),
        ingress: ingress.into_iter().map(rule).collect(),
        egress: egress.into_iter().map(rule).collect(),
        mode: mode.into(),
        expire_time: expires.map(timestamp),
        labels: labels.into_iter().collect(),
        log,
    }
}

fn subject(subject: Subject) -> v1::PolicySubject {
    let Subject { selected, named } = subject;
    let endpoints = selected.as_ref().map(|selected| selector(selected.endpoints.clone()));
    v1::PolicySubject {
        networks: selected.and_then(|selected| selected.networks).map(selector),
        endpoints,
        endpoint_names: named.into_iter().map(|name| name.to_string()).collect(),
    }
}

fn selector(Selector(requirements): Selector) -> v1::LabelSelector {
    let requirement = |requirement: Requirement| {
        use v1::label_requirement::Operator as Shown;
        let Requirement { key, operator, values } = requirement;
        let operator = match operator {
            Operator::In => Shown::In,
            Operator::NotIn => Shown::NotIn,
            Operator::Exists => Shown::Exists,
            Operator::DoesNotExist => Shown::DoesNotExist,
        };
        v1::LabelRequirement { key, operator: operator.into(), values }
    };
    let match_expressions = requirements.into_iter().map(requirement).collect();
    v1::LabelSelector { match_labels: Default::default(), match_expressions }
}

const fn direction(direction: Direction) -> v1::Direction {
    match direction {
        Direction::Ingress => v1::Direction::Ingress,
        Direction::Egress => v1::Direction::Egress,
    }
}

const fn action(action: Action) -> v1::policy_rule::Action {
    use v1::policy_rule::Action as Shown;
    match action {
        Action::Accept => Shown::Accept,
        Action::Deny => Shown::Deny,
        Action::Pass => Shown::Pass,
        Action::Reject => Shown::Reject,
    }
}

fn rule(rule: Rule) -> v1::PolicyRule {
    let Rule { id, action: of, peers, ports } = rule;
    let peers = peers.into_iter().map(|of| v1::PolicyPeer { kind: Some(peer(of)) });
    v1::PolicyRule {
        id,
        action: action(of).into(),
        peers: peers.collect(),
        ports: ports.into_iter().map(port).collect(),
    }
}

fn peer(peer: Peer) -> Kind {
    match peer {
        Peer::Selector(SelectorPeer { networks, endpoints }) => {
            Kind::Selector(v1::EndpointSelector {
                networks: networks.map(selector),
                endpoints: Some(selector(endpoints)),
            })
        }
        Peer::Cidr(cidr) => Kind::Cidr(block(&cidr)),
        Peer::Entity(entity) => Kind::Entity(
            match entity {
                Entity::Host => v1::Entity::Host,
                Entity::World => v1::Entity::World,
                Entity::Gateway => v1::Entity::Gateway,
                Entity::SameNetwork => v1::Entity::SameNetwork,
                Entity::AllEndpoints => v1::Entity::AllEndpoints,
            }
            .into(),
        ),
        Peer::Endpoint(name) => Kind::Endpoint(name.to_string()),
        Peer::Domain(domain) => Kind::Domain(domain.to_string()),
    }
}

fn block(cidr: &Cidr) -> v1::CidrBlock {
    v1::CidrBlock {
        cidr: cidr.prefix().to_string(),
        except: cidr.except().iter().map(ToString::to_string).collect(),
    }
}

fn port(port: PolicyPort) -> v1::PolicyPort {
    use v1::policy_port::Protocol as Shown;
    let of = |protocol| match protocol {
        Protocol::Tcp => Shown::Tcp.into(),
        Protocol::Udp => Shown::Udp.into(),
        Protocol::Sctp => Shown::Sctp.into(),
    };
    let none = v1::PolicyPort::default();
    match port {
        PolicyPort::Whole(TransportProtocol::Ports(protocol)) => {
            v1::PolicyPort { protocol: of(protocol), ..none }
        }
        PolicyPort::Whole(TransportProtocol::Icmp) => {
            v1::PolicyPort { protocol: Shown::Icmp.into(), ..none }
        }
        PolicyPort::Ports(protocol, ports) => {
            let single = ports.count() == 1;
            v1::PolicyPort {
                protocol: of(protocol),
                port: ports.first().into(),
                port_end: if single { 0 } else { ports.last().into() },
                ..none
            }
        }
        PolicyPort::Named(protocol, name) => {
            v1::PolicyPort { protocol: of(protocol), name, ..none }
        }
        PolicyPort::Icmp(IcmpType { family, kind, code }) => v1::PolicyPort {
            protocol: Shown::Icmp.into(),
            icmp: Some(v1::IcmpType {
                ipv6: family == Family::V6,
                r#type: kind.into(),
                code: code.map(u32::from),
            }),
            ..none
        },
    }
}
