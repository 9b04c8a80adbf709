//! What policies mean, written down as plainly as possible and as slowly as need be.

use postern_model::endpoint::Endpoint;
use postern_model::network::{Family, Network};
use postern_model::policy::{
    Action, Direction, Entity, Mode, Peer, Policy, PolicyPort, Rule, Selection, Tier,
};
use postern_model::topology::Topology;

/// One end of a flow.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'a> {
    Endpoint(&'a Endpoint),
    World(std::net::IpAddr),
    Host,
}

/// What one end's policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    Yes,
    No,
    Nothing,
}

pub(super) struct Flow<'a> {
    pub(super) from: End<'a>,
    pub(super) to: End<'a>,
    pub(super) family: Family,
    pub(super) what: Selection,
    /// By which names its beginner asked for its other end.
    pub(super) names: &'a [String],
}

/// Whether a flow may begin; `default` is what the networks say where no policy does.
pub(super) fn allowed(topology: &Topology, flow: &Flow<'_>, default: bool) -> bool {
    let egress = say(topology, flow, Direction::Egress);
    let ingress = say(topology, flow, Direction::Ingress);
    match (egress, ingress) {
        (Say::No, _) | (_, Say::No) => false,
        (_, Say::Yes) => true,
        (_, Say::Nothing) => default,
    }
}

fn say(topology: &Topology, flow: &Flow<'_>, direction: Direction) -> Say {
    let (subject, other) = match direction {
        Direction::Egress => (flow.from, flow.to),
        Direction::Ingress => (flow.to, flow.from),
    };
    let End::Endpoint(subject) = subject else { return Say::Nothing };
    let mut policies: Vec<&Policy> = topology
        .policies()
        .filter(|policy| policy.spec.mode == Mode::Enforce)
        .filter(|policy| policy.spec.directions.contains(&direction))
        .filter(|policy| selects(topology, policy, subject))
        .collect();
    policies.sort_by_key(|policy| (policy.spec.priority, policy.name.to_string()));
    let by_name = policies.iter().flat_map(|policy| &policy.spec.egress);
    let mut by_name = by_name.flat_map(|rule| &rule.peers);
    if direction == Direction::Egress
        && by_name.any(|peer| matches!(peer, Peer::Domain(_)))
        && [6, 17].contains(&flow.what.protocol)
        && [53, 853].contains(&flow.what.number)
    {
        return Say::No;
    }
    let first = |tier: Tier| {
        for policy in policies.iter().filter(|policy| policy.spec.tier == tier) {
            let rules = match direction {
                Direction::Egress => &policy.spec.egress,
                Direction::Ingress => &policy.spec.ingress,
            };
            for rule in rules {
                if fits(topology, rule, subject, other, flow, direction) {
                    return Some(rule.action);
                }
            }
        }
        None
    };
    match first(Tier::Admin) {
        Some(Action::Accept) => return Say::Yes,
        Some(Action::Deny | Action::Reject) => return Say::No,
        Some(Action::Pass) | None => {}
    }
    if policies.iter().any(|policy| policy.spec.tier == Tier::App) {
        return if first(Tier::App).is_some() { Say::Yes } else { Say::No };
    }
    match first(Tier::Baseline) {
        Some(Action::Accept) => Say::Yes,
        Some(Action::Deny | Action::Reject) => Say::No,
        Some(Action::Pass) | None => Say::Nothing,
    }
}

fn selects(topology: &Topology, policy: &Policy, endpoint: &Endpoint) -> bool {
    let network = topology.network(endpoint.network).unwrap();
    let by_label = policy.spec.subject.selected.as_ref().is_some_and(|wanted| {
        wanted.networks.as_ref().is_none_or(|of| of.matches(&labels(network)))
            && wanted.endpoints.matches(&topology.labels_of(endpoint))
    });
    by_label || policy.spec.subject.named.contains(&endpoint.name)
}

fn labels(network: &Network) -> postern_model::name::Labels {
    Topology::labels_of_network(network)
}

fn fits(
    topology: &Topology,
    rule: &Rule,
    subject: &Endpoint,
    other: End<'_>,
    flow: &Flow<'_>,
    direction: Direction,
) -> bool {
    let server = if direction == Direction::Ingress { End::Endpoint(subject) } else { other };
    let peer = rule.peers.is_empty()
        || rule.peers.iter().any(|peer| is(topology, peer, subject, other, (flow, direction)));
    let port = rule.ports.is_empty() || rule.ports.iter().any(|port| uses(port, server, flow));
    peer && port
}

fn is(
    topology: &Topology,
    peer: &Peer,
    subject: &Endpoint,
    other: End<'_>,
    (flow, direction): (&Flow<'_>, Direction),
) -> bool {
    let family = flow.family;
    match (peer, other) {
        (Peer::Domain(domain), End::World(_)) => {
            direction == Direction::Egress && flow.names.iter().any(|name| domain.matches(name))
        }
        (Peer::Selector(wanted), End::Endpoint(other)) => {
            let near = other.network == subject.network;
            let network = topology.network(other.network).unwrap();
            wanted.networks.as_ref().map_or(near, |of| of.matches(&labels(network)))
                && wanted.endpoints.matches(&topology.labels_of(other))
        }
        (Peer::Cidr(cidr), End::Endpoint(other)) => cidr.contains(other.address(family).unwrap()),
        (Peer::Cidr(cidr), End::World(address)) => cidr.contains(address),
        (Peer::Endpoint(name), End::Endpoint(other)) => other.name == *name,
        (Peer::Entity(Entity::SameNetwork), End::Endpoint(other)) => {
            other.network == subject.network
        }
        (Peer::Entity(Entity::AllEndpoints), End::Endpoint(_))
        | (Peer::Entity(Entity::World), End::World(_))
        | (Peer::Entity(Entity::Host), End::Host) => true,
        _ => false,
    }
}

fn uses(port: &PolicyPort, server: End<'_>, flow: &Flow<'_>) -> bool {
    let Selection { protocol, number } = flow.what;
    let icmp = if flow.family == Family::V4 { 1 } else { 58 };
    match port {
        PolicyPort::Whole(whole) => whole.number(flow.family) == protocol,
        PolicyPort::Ports(of, ports) => {
            of.number() == protocol && (ports.first()..=ports.last()).contains(&number)
        }
        PolicyPort::Named(of, name) => {
            let End::Endpoint(server) = server else { return false };
            of.number() == protocol
                && server.spec.exposed.iter().any(|port| {
                    port.protocol == *of
                        && port.name.as_ref() == Some(name)
                        && (port.ports.first()..=port.ports.last()).contains(&number)
                })
        }
        PolicyPort::Icmp(kind) => {
            kind.family == flow.family
                && protocol == icmp
                && number >> 8 == u16::from(kind.kind)
                && kind.code.is_none_or(|code| number & 0xff == u16::from(code))
        }
    }
}
