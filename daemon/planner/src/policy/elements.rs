//! One endpoint's policies as elements.

use std::collections::BTreeSet;
use std::net::IpAddr;

use postern_model::network::Family;
use postern_model::policy::{Action, Direction, Match, Mode, Peer, Policy, PolicyPort, Rule, Tier};
use postern_model::port::Protocol;
use postern_model::resource::{Decision, Element, Verdict};

use super::class::{Identity, is_relative};
use super::compiler::Compiler;
use super::line::{Cause, Line, Lines, Outcome, Ports, isolating};
use super::member::Member;
use super::pieces::Entry;

/// Where name servers are asked: by DNS, and by DNS over TLS or QUIC (RFC 7858, RFC 9250).
pub(super) const RESOLVER_PORTS: [u16; 2] = [53, 853];

/// Every peer that a policy's rules name.
pub(super) fn peers(policy: &Policy) -> impl Iterator<Item = &Peer> {
    let rules = Direction::ALL.into_iter().filter_map(|direction| policy.spec.rules(direction));
    rules.flatten().flat_map(|rule| &rule.peers)
}

/// Every port of its peers that a policy's rules name.
pub(super) fn servers(policy: &Policy) -> impl Iterator<Item = (Protocol, &String)> {
    let rules = policy.spec.rules(Direction::Egress).unwrap_or_default();
    rules.iter().flat_map(|rule| &rule.ports).filter_map(|port| match port {
        PolicyPort::Named(protocol, name) => Some((*protocol, name)),
        _ => None,
    })
}

/// The elements of an endpoint.
pub(super) fn of(compiler: &Compiler, member: &Member) -> BTreeSet<Element> {
    let mut elements = BTreeSet::new();
    for (address, identity) in &member.identities {
        elements.insert(Element::Identity(*address, *identity));
        if member.remote {
            continue;
        }
        for direction in Direction::ALL {
            let lines = lines(compiler, member, (*address, direction), CarriedOut::Enforced);
            if !lines.policed {
                continue;
            }
            elements.insert(Element::Policed(direction, *address));
            if lines.isolated.is_some() {
                elements.insert(Element::Isolated(direction, *address));
            }
            let entries = lines.entries(compiler);
            elements.extend(entries.iter().map(|entry| decision(*address, direction, entry)));
        }
    }
    elements
}

/// An entry as the element that says it.
pub(super) fn decision(subject: IpAddr, direction: Direction, entry: &Entry) -> Element {
    let verdict = match (entry.outcome, direction) {
        (Outcome::Deny, _) => Verdict::Drop,
        (Outcome::Reject, _) => Verdict::Reject,
        (Outcome::Isolated, _) => Verdict::Isolated,
        (Outcome::Accept, Direction::Ingress) => Verdict::Accept,
        // That its beginner may have it says nothing for its other end.
        (Outcome::Accept, Direction::Egress) | (Outcome::Default, _) => Verdict::Return,
    };
    Element::Decision(Decision { direction, subject, peer: entry.peer, what: entry.what, verdict })
}

/// Which policies count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CarriedOut {
    /// Those that are enforced.
    Enforced,
    /// Those that are audited alone too, as if they were enforced.
    All,
}

/// The policies of an endpoint's address and direction that are carried out.
pub(super) fn lines(
    compiler: &Compiler,
    member: &Member,
    place: (IpAddr, Direction),
    which: CarriedOut,
) -> Lines {
    let direction = place.1;
    let counts = |policy: &&Policy| which == CarriedOut::All || policy.spec.mode == Mode::Enforce;
    let selecting = || {
        let places = member.policies.iter();
        places.filter_map(|place| Some(&compiler.policies.get(place)?.policy)).filter(counts)
    };
    let mut lines = Lines {
        lines: Vec::new(),
        isolated: isolating(selecting(), direction),
        policed: selecting().any(|policy| policy.spec.directions.contains(&direction)),
    };
    if direction == Direction::Egress {
        lines.lines.extend(selecting().find(|policy| by_name(policy)).map(one_resolver));
    }
    let own = own_identities(member, place);
    for policy in selecting() {
        for (index, rule) in policy.spec.rules(direction).unwrap_or_default().iter().enumerate() {
            let cause = Cause { policy: policy.name.to_string(), rule: Some(index) };
            lines.lines.extend(line(compiler, (member, &own), place, (policy, rule, cause)));
        }
    }
    lines
}

/// Whether a policy lets its subjects reach something by name.
pub(super) fn by_name(policy: &Policy) -> bool {
    let rules = policy.spec.rules(Direction::Egress).unwrap_or_default();
    rules.iter().flat_map(|rule| &rule.peers).any(|peer| matches!(peer, Peer::Domain(_)))
}

/// Who reaches something by name asks the daemon's resolver, which alone is believed, and
/// no other one.
fn one_resolver(policy: &Policy) -> Line {
    let ports = [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(|protocol| {
        RESOLVER_PORTS.map(|port| Match { protocol: protocol.number(), first: port, last: port })
    });
    Line {
        tier: Tier::Admin,
        action: Action::Reject,
        peers: None,
        ports: Some(Ports { fixed: ports.collect(), named: Vec::new() }),
        cause: Cause { policy: policy.name.to_string(), rule: None },
    }
}

/// One rule as a line; none if it means nobody.
pub(super) fn line_of(
    compiler: &Compiler,
    member: &Member,
    place: (IpAddr, Direction),
    (policy, rule, index): (&Policy, &Rule, usize),
) -> Option<Line> {
    let cause = Cause { policy: policy.name.to_string(), rule: Some(index) };
    let own = own_identities(member, place);
    line(compiler, (member, &own), place, (policy, rule, cause))
}

/// What the subject asked for by name: nobody is known by name who begins a flow.
fn own_identities(
    member: &Member,
    (address, direction): (IpAddr, Direction),
) -> BTreeSet<Identity> {
    match direction {
        Direction::Egress => member.own_identities(address),
        Direction::Ingress => BTreeSet::new(),
    }
}

/// A rule as a line; none if it means nobody.
fn line(
    compiler: &Compiler,
    (member, own): (&Member, &BTreeSet<Identity>),
    (address, direction): (IpAddr, Direction),
    (policy, rule, cause): (&Policy, &Rule, Cause),
) -> Option<Line> {
    let action = if policy.spec.tier == Tier::App { Action::Accept } else { rule.action };
    let peers = (!rule.peers.is_empty()).then(|| {
        let stands = rule.peers.iter().flat_map(|peer| standing(compiler, member, peer));
        let is = |identity: &Identity| {
            let class = compiler.identities.class(*identity);
            class.is_some_and(|class| {
                rule.peers.iter().any(|peer| class.is(peer, &compiler.networks))
            })
        };
        stands.chain(own.iter().copied().filter(is)).collect::<BTreeSet<_>>()
    });
    let ports = (!rule.ports.is_empty()).then(|| ports(member, address, direction, &rule.ports));
    let nobody = peers.as_ref().is_some_and(BTreeSet::is_empty);
    (!nobody).then_some(Line { tier: policy.spec.tier, action, peers, ports, cause })
}

fn standing<'a>(
    compiler: &'a Compiler,
    member: &'a Member,
    peer: &'a Peer,
) -> impl Iterator<Item = Identity> + 'a {
    let near = is_relative(peer);
    let identities = compiler.peers.get(peer).map(|standing| &standing.identities);
    identities.into_iter().flatten().copied().filter(move |identity| {
        let network = || compiler.identities.class(*identity)?.network();
        !near || network() == Some(member.network)
    })
}

fn ports(member: &Member, address: IpAddr, direction: Direction, given: &[PolicyPort]) -> Ports {
    let family = Family::of(address);
    let mut ports = Ports::default();
    for port in given {
        match (port, direction) {
            (PolicyPort::Named(protocol, name), Direction::Egress) => {
                ports.named.push((*protocol, name.clone()));
            }
            // It is the subject who serves.
            (PolicyPort::Named(protocol, name), Direction::Ingress) => {
                let own = member.ports.iter().filter(|port| port.0 == *protocol && port.1 == *name);
                ports.fixed.extend(own.map(|port| Match::ports(*protocol, port.2)));
            }
            (port, _) => ports.fixed.extend(port.matches(family, |_, _| Vec::new())),
        }
    }
    ports
}
