//! Policies.

use ipnetwork::IpNetwork;
use postern_model::intent::{ApplyPolicy, DeletePolicy, ListPolicies, Mutation};
use postern_model::name::{LABEL_VALUE_MAX, Name};
use postern_model::network::Family;
use postern_model::policy::{
    Action, Cidr, Direction, Entity, IcmpType, Mode, Operator, PEERS_MAX, PORTS_MAX, PRIORITY_MAX,
    Peer, PolicyPort, PolicySpec, RULES_MAX, Requirement, Rule, Selector, SelectorPeer, Subject,
    Tier, TransportProtocol,
};
use postern_model::port::{PortRange, Protocol};
use postern_model::refusal::Refusal;
use postern_proto::v1;
use postern_proto::v1::policy_peer::Kind;

use super::fields::Fields;
use super::network::prefix;
use super::shared::{filter, finish, labels, mutation, page, reference_in, timestamp_in};

/// Most conditions of one selector.
const REQUIREMENTS_MAX: usize = 32;
/// Most values of one condition, exceptions of one prefix, and named subjects.
const VALUES_MAX: usize = 256;
/// Longest name of a rule, bytes.
const RULE_ID_MAX: usize = 63;
/// Longest service name (RFC 6335 allows 15, others are used too), bytes.
const PORT_NAME_MAX: usize = 63;

pub(crate) fn apply_policy(
    request: v1::ApplyPolicyRequest,
) -> Result<Mutation<ApplyPolicy>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::ApplyPolicyRequest { name, spec, revision, request_id, validate_only } = request;
    let name = fields.take("name", Name::short(&name));
    let spec = policy_spec(&mut fields, spec.unwrap_or_default());
    let intent = name.zip(spec).map(|(name, spec)| ApplyPolicy { name, spec, revision });
    let mutation =
        mutation(&mut fields, ("apply_policy", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn delete_policy(
    request: v1::DeletePolicyRequest,
) -> Result<Mutation<DeletePolicy>, Refusal> {
    let mut fields = Fields::default();
    let whole = request.clone();
    let v1::DeletePolicyRequest { policy, request_id, validate_only } = request;
    let intent = reference_in(&mut fields, "policy", &policy).map(|policy| DeletePolicy { policy });
    let mutation =
        mutation(&mut fields, ("delete_policy", &whole), &request_id, validate_only, intent);
    finish(fields, mutation)
}

pub(crate) fn list_policies(request: v1::ListPoliciesRequest) -> Result<ListPolicies, Refusal> {
    let mut fields = Fields::default();
    let v1::ListPoliciesRequest { page: wanted, filter: matching } = request;
    let page = page(&mut fields, wanted);
    let filter = filter(&mut fields, matching);
    finish(fields, page.zip(filter).map(|(page, filter)| ListPolicies { page, filter }))
}

fn policy_spec(fields: &mut Fields, spec: v1::PolicySpec) -> Option<PolicySpec> {
    let v1::PolicySpec {
        tier,
        priority,
        subject: of,
        directions,
        ingress,
        egress,
        mode,
        expire_time,
        labels: given,
        log,
    } = spec;
    let tier = tier_in(fields, tier);
    if priority > PRIORITY_MAX {
        fields.wrong("spec.priority", format!("{priority} is over {PRIORITY_MAX}"));
    } else if priority > 0 && tier == Some(Tier::App) {
        fields.wrong("spec.priority", "tier APP has no order");
    }
    let subject = subject(fields, of);
    let directions = directions_in(fields, directions, (!ingress.is_empty(), !egress.is_empty()));
    let ingress = rules(fields, "spec.ingress", ingress, (tier, Direction::Ingress));
    let egress = rules(fields, "spec.egress", egress, (tier, Direction::Egress));
    let mode = match v1::PolicyMode::try_from(mode) {
        Ok(v1::PolicyMode::Unspecified | v1::PolicyMode::Enforce) => Some(Mode::Enforce),
        Ok(v1::PolicyMode::Audit) => Some(Mode::Audit),
        Err(_) => {
            fields.wrong("spec.mode", format!("{mode} is not a mode"));
            None
        }
    };
    let expires = expire_time.and_then(|time| timestamp_in(fields, "spec.expire_time", &time));
    let labels = labels(fields, "spec.labels", given);
    Some(PolicySpec {
        tier: tier?,
        priority,
        subject: subject?,
        directions: directions?,
        ingress: ingress?,
        egress: egress?,
        mode: mode?,
        log,
        expires,
        labels: labels?,
    })
}

fn tier_in(fields: &mut Fields, tier: i32) -> Option<Tier> {
    match v1::Tier::try_from(tier) {
        Ok(v1::Tier::Unspecified | v1::Tier::App) => Some(Tier::App),
        Ok(v1::Tier::Admin) => Some(Tier::Admin),
        Ok(v1::Tier::Baseline) => Some(Tier::Baseline),
        Err(_) => {
            fields.wrong("spec.tier", format!("{tier} is not a tier"));
            None
        }
    }
}

fn directions_in(
    fields: &mut Fields,
    given: Vec<i32>,
    (ingress, egress): (bool, bool),
) -> Option<Vec<Direction>> {
    if given.is_empty() {
        let both = [(ingress || !egress, Direction::Ingress), (egress, Direction::Egress)];
        return Some(both.into_iter().filter(|(is, _)| *is).map(|(_, of)| of).collect());
    }
    let mut directions = fields.all(("spec.directions", 2), given, |fields, path, number| {
        match v1::Direction::try_from(number) {
            Ok(v1::Direction::Ingress) => Some(Direction::Ingress),
            Ok(v1::Direction::Egress) => Some(Direction::Egress),
            Ok(v1::Direction::Unspecified) | Err(_) => {
                fields.wrong(path, format!("{number} is not a direction"));
                None
            }
        }
    })?;
    directions.sort();
    directions.dedup();
    for (has, direction, field) in
        [(ingress, Direction::Ingress, "spec.ingress"), (egress, Direction::Egress, "spec.egress")]
    {
        if has && !directions.contains(&direction) {
            fields.wrong(field, "has rules, but spec.directions leaves it out");
        }
    }
    Some(directions)
}

fn subject(fields: &mut Fields, given: Option<v1::PolicySubject>) -> Option<Subject> {
    let v1::PolicySubject { networks, endpoints, endpoint_names } = given.unwrap_or_default();
    if networks.is_none() && endpoints.is_none() && endpoint_names.is_empty() {
        let rule = "must select networks, endpoints or both, or name endpoints; an empty selector selects all";
        fields.wrong("spec.subject", rule);
        return None;
    }
    let by_label = networks.is_some() || endpoints.is_some();
    let networks = optional_selector(fields, "spec.subject.networks", networks);
    let endpoints = optional_selector(fields, "spec.subject.endpoints", endpoints);
    let named = fields.all(
        ("spec.subject.endpoint_names", VALUES_MAX),
        endpoint_names,
        |fields, path, name| fields.required::<Name>(path, &name),
    );
    let selected = SelectorPeer { networks: networks?, endpoints: endpoints?.unwrap_or_default() };
    Some(Subject { selected: by_label.then_some(selected), named: named? })
}

/// The outer option is whether it is right, the inner one whether it is there.
fn optional_selector(
    fields: &mut Fields,
    path: &str,
    given: Option<v1::LabelSelector>,
) -> Option<Option<Selector>> {
    match given {
        None => Some(None),
        Some(given) => selector(fields, path, given).map(Some),
    }
}

fn selector(fields: &mut Fields, path: &str, given: v1::LabelSelector) -> Option<Selector> {
    let v1::LabelSelector { match_labels, match_expressions } = given;
    let exact = labels(fields, &format!("{path}.match_labels"), match_labels);
    let path = format!("{path}.match_expressions");
    let more = fields.all((&path, REQUIREMENTS_MAX), match_expressions, |fields, path, given| {
        requirement(fields, &path, given)
    });
    let exact = exact?.into_iter().map(|(key, value)| Requirement {
        key,
        operator: Operator::In,
        values: vec![value],
    });
    Some(Selector(exact.chain(more?).collect()))
}

fn requirement(
    fields: &mut Fields,
    path: &str,
    given: v1::LabelRequirement,
) -> Option<Requirement> {
    use v1::label_requirement::Operator as Given;
    let v1::LabelRequirement { key, operator, mut values } = given;
    let as_label = [(key.clone(), String::new())].into();
    labels(fields, &format!("{path}.key"), as_label)?;
    let operator = match Given::try_from(operator) {
        Ok(Given::In) => Operator::In,
        Ok(Given::NotIn) => Operator::NotIn,
        Ok(Given::Exists) => Operator::Exists,
        Ok(Given::DoesNotExist) => Operator::DoesNotExist,
        Ok(Given::Unspecified) | Err(_) => {
            fields.wrong(format!("{path}.operator"), format!("{operator} is not an operator"));
            return None;
        }
    };
    let compares = matches!(operator, Operator::In | Operator::NotIn);
    let path = format!("{path}.values");
    if compares == values.is_empty() {
        let rule = if compares { "needs at least one value" } else { "takes no values" };
        fields.wrong(path, format!("the operator {rule}"));
        return None;
    }
    let long = |value: &String| value.len() > LABEL_VALUE_MAX;
    if values.len() > VALUES_MAX || values.iter().any(long) {
        fields.wrong(path, format!("at most {VALUES_MAX} values of {LABEL_VALUE_MAX} bytes"));
        return None;
    }
    values.sort();
    values.dedup();
    Some(Requirement { key, operator, values })
}

fn rules(
    fields: &mut Fields,
    path: &str,
    given: Vec<v1::PolicyRule>,
    of: (Option<Tier>, Direction),
) -> Option<Vec<Rule>> {
    fields.all((path, RULES_MAX), given, |fields, path, rule| one_rule(fields, &path, rule, of))
}

fn one_rule(
    fields: &mut Fields,
    path: &str,
    given: v1::PolicyRule,
    (tier, direction): (Option<Tier>, Direction),
) -> Option<Rule> {
    use v1::policy_rule::Action as Given;
    let v1::PolicyRule { id, action, peers, ports } = given;
    if id.len() > RULE_ID_MAX || id.chars().any(char::is_control) {
        let rule = format!("must be at most {RULE_ID_MAX} bytes without control characters");
        fields.wrong(format!("{path}.id"), rule);
    }
    let action = match Given::try_from(action) {
        Ok(Given::Unspecified | Given::Accept) => Some(Action::Accept),
        Ok(_) if tier == Some(Tier::App) => {
            fields.wrong(format!("{path}.action"), "rules of tier APP only accept");
            None
        }
        Ok(Given::Deny) => Some(Action::Deny),
        Ok(Given::Pass) => Some(Action::Pass),
        Ok(Given::Reject) => Some(Action::Reject),
        Err(_) => {
            fields.wrong(format!("{path}.action"), format!("{action} is not an action"));
            None
        }
    };
    let peers = fields.all((&format!("{path}.peers"), PEERS_MAX), peers, peer);
    let ports = fields.all((&format!("{path}.ports"), PORTS_MAX), ports, |fields, path, given| {
        port(fields, &path, given)
    });
    let rule = Rule { id, action: action?, peers: peers?, ports: ports? };
    names_are_right(fields, path, &rule, direction).then_some(rule)
}

/// Whether names of the world stand only where they can mean something.
fn names_are_right(fields: &mut Fields, path: &str, rule: &Rule, direction: Direction) -> bool {
    let is_name = |peer: &Peer| matches!(peer, Peer::Domain(_));
    let Some(index) = rule.peers.iter().position(is_name) else { return true };
    let path = format!("{path}.peers[{index}].domain");
    let reason = match (direction, rule.action) {
        (Direction::Ingress, _) => "nobody is known by name who begins a flow: only in egress",
        (Direction::Egress, Action::Accept) => return true,
        // What is not asked for by its name would not be denied.
        (Direction::Egress, _) => "only a rule that accepts can have a name",
    };
    fields.wrong(path, reason);
    false
}

fn peer(fields: &mut Fields, path: String, given: v1::PolicyPeer) -> Option<Peer> {
    match given.kind {
        None => {
            fields.wrong(path, "must be a selector, a cidr, a domain, an entity or an endpoint");
            None
        }
        Some(Kind::Selector(v1::EndpointSelector { networks, endpoints })) => {
            let networks =
                optional_selector(fields, &format!("{path}.selector.networks"), networks);
            let endpoints =
                optional_selector(fields, &format!("{path}.selector.endpoints"), endpoints);
            Some(Peer::Selector(SelectorPeer {
                networks: networks?,
                endpoints: endpoints?.unwrap_or_default(),
            }))
        }
        Some(Kind::Cidr(given)) => cidr(fields, &format!("{path}.cidr"), given).map(Peer::Cidr),
        Some(Kind::Entity(number)) => {
            let entity = match v1::Entity::try_from(number) {
                Ok(v1::Entity::Host) => Entity::Host,
                Ok(v1::Entity::World) => Entity::World,
                Ok(v1::Entity::Gateway) => Entity::Gateway,
                Ok(v1::Entity::SameNetwork) => Entity::SameNetwork,
                Ok(v1::Entity::AllEndpoints) => Entity::AllEndpoints,
                Ok(v1::Entity::Unspecified) | Err(_) => {
                    fields.wrong(format!("{path}.entity"), format!("{number} is not an entity"));
                    return None;
                }
            };
            Some(Peer::Entity(entity))
        }
        Some(Kind::Domain(name)) => {
            let domain = name.to_ascii_lowercase().parse();
            fields.take(format!("{path}.domain"), domain).map(Peer::Domain)
        }
        Some(Kind::Endpoint(name)) => {
            fields.required(format!("{path}.endpoint"), &name).map(Peer::Endpoint)
        }
    }
}

fn cidr(fields: &mut Fields, path: &str, given: v1::CidrBlock) -> Option<Cidr> {
    let v1::CidrBlock { cidr, except } = given;
    let whole = fields.take(format!("{path}.cidr"), prefix(&cidr));
    let except = fields.all(
        (&format!("{path}.except"), VALUES_MAX),
        except,
        |fields, path, text| -> Option<IpNetwork> { fields.take(path, prefix(&text)) },
    );
    fields.take(format!("{path}.except"), Cidr::new(whole?, except?))
}

pub(super) fn port(fields: &mut Fields, path: &str, given: v1::PolicyPort) -> Option<PolicyPort> {
    use v1::policy_port::Protocol as Given;
    let v1::PolicyPort { protocol, port, port_end, name, icmp } = given;
    let transport = match Given::try_from(protocol) {
        Ok(Given::Unspecified | Given::Tcp) => TransportProtocol::Ports(Protocol::Tcp),
        Ok(Given::Udp) => TransportProtocol::Ports(Protocol::Udp),
        Ok(Given::Sctp) => TransportProtocol::Ports(Protocol::Sctp),
        Ok(Given::Icmp) => TransportProtocol::Icmp,
        Err(_) => {
            fields.wrong(format!("{path}.protocol"), format!("{protocol} is not a protocol"));
            return None;
        }
    };
    let numbered = port != 0 || port_end != 0;
    match (transport, icmp) {
        (TransportProtocol::Icmp, icmp) if !numbered && name.is_empty() => match icmp {
            None => Some(PolicyPort::Whole(transport)),
            Some(icmp) => icmp_type(fields, &format!("{path}.icmp"), icmp).map(PolicyPort::Icmp),
        },
        (TransportProtocol::Icmp, _) => {
            fields.wrong(format!("{path}.protocol"), "ICMP has types and no ports");
            None
        }
        (_, Some(_)) => {
            fields.wrong(format!("{path}.icmp"), "needs protocol ICMP");
            None
        }
        (TransportProtocol::Ports(protocol), None) => match (numbered, name.is_empty()) {
            (true, false) => {
                fields.wrong(format!("{path}.name"), "cannot be given beside a number");
                None
            }
            (false, false) if name.len() > PORT_NAME_MAX => {
                fields.wrong(format!("{path}.name"), format!("has over {PORT_NAME_MAX} bytes"));
                None
            }
            (false, false) => Some(PolicyPort::Named(protocol, name)),
            (false, true) => Some(PolicyPort::Whole(transport)),
            (true, true) => {
                let last = if port_end == 0 { port } else { port_end };
                let range = fields.take(format!("{path}.port"), PortRange::new(port, last));
                range.map(|range| PolicyPort::Ports(protocol, range))
            }
        },
    }
}

fn icmp_type(fields: &mut Fields, path: &str, given: v1::IcmpType) -> Option<IcmpType> {
    let v1::IcmpType { ipv6, r#type, code } = given;
    let mut byte = |field: &str, number: u32| {
        let rule = || format!("{number} is not from 0 to 255");
        fields.take(format!("{path}.{field}"), u8::try_from(number).map_err(|_| rule()))
    };
    let kind = byte("type", r#type);
    let code = match code {
        None => Some(None),
        Some(code) => byte("code", code).map(Some),
    };
    let family = if ipv6 { Family::V6 } else { Family::V4 };
    Some(IcmpType { family, kind: kind?, code: code? })
}
