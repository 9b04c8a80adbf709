//! What policies and networks say of one flow: as the kernel decides it, and why.

use std::net::IpAddr;

use postern_model::decision::Desired;
use postern_model::endpoint::Endpoint;
use postern_model::network::{Family, Network};
use postern_model::policy::{Direction, Selection};
use postern_model::port::Protocol;
use postern_model::resource::Element;
use postern_model::time::Timestamp;
use postern_model::topology::Topology;

use super::class::{HOST, Identity, WORLD};
use super::compiler::Compiler;
use super::elements::{self, CarriedOut};
use super::line::{Cause, Outcome};
use super::member::Member;
use crate::links;
use crate::view::View;

/// A flow as its first packet shows it where packets are judged: its destination is
/// translated already, its source is not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Who begins it.
    pub from: Party,
    /// Who is to answer.
    pub to: Party,
    /// Of which family.
    pub family: Family,
    /// What is used.
    pub what: Selection,
    /// Whether it came by a published port.
    pub published: bool,
    /// When it begins; none of one that has begun: what names stood for then it may go on
    /// with, though they are forgotten now.
    pub begins: Option<Timestamp>,
}

/// One end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// An endpoint, a gateway or the world, by address.
    Address(IpAddr),
    /// The host, by an address that may be a gateway's.
    HostAt(IpAddr),
    /// The host, by an address that is no gateway's.
    Host,
}

impl Party {
    pub(super) const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(ip) | Self::HostAt(ip) => Some(ip),
            Self::Host => None,
        }
    }
}

/// What one end's policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What they say.
    pub outcome: Outcome,
    /// Which of them; none if none has an opinion.
    pub cause: Option<Cause>,
}

/// What the networks say where no policy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It passes, for this reason.
    Passes(&'static str),
    /// It is dropped, for this reason.
    Drops(&'static str),
}

/// The whole judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the flow may begin.
    pub passes: bool,
    /// What the policies of its beginner say; none where that is no endpoint.
    pub egress: Option<Said>,
    /// What the policies of the other end say; none where that is no endpoint.
    pub ingress: Option<Said>,
    /// What the networks say.
    pub default: Default,
    /// Whether a link lets it through, though its target is isolated or neighbours are kept
    /// apart.
    pub linked: bool,
}

impl Compiler {
    /// Judges a flow.
    pub fn judge(&self, topology: &Topology, flow: &Flow) -> Judgement {
        self.judge_by(topology, flow, CarriedOut::Enforced)
    }

    pub(super) fn judge_by(
        &self,
        topology: &Topology,
        flow: &Flow,
        which: CarriedOut,
    ) -> Judgement {
        let egress = self.said(flow, Direction::Egress, which);
        let ingress = self.said(flow, Direction::Ingress, which);
        let linked =
            is_linked(topology, self, flow) || self.is_listed(topology, flow) == Some(true);
        let default = self.default(topology, flow, linked);
        let objects = |said: &Option<Said>, but: bool| {
            said.as_ref().is_some_and(|said| match said.outcome {
                Outcome::Deny | Outcome::Reject => true,
                Outcome::Isolated => !but,
                Outcome::Accept | Outcome::Default => false,
            })
        };
        let accepted = ingress
            .as_ref()
            .is_some_and(|said| matches!(said.outcome, Outcome::Accept | Outcome::Isolated));
        let denied = objects(&egress, false) || objects(&ingress, linked);
        let absolute = matches!(default, Default::Drops(INTERNAL | UNPUBLISHED));
        let passes = !denied && !absolute && (accepted || matches!(default, Default::Passes(_)));
        Judgement { passes, egress, ingress, default, linked }
    }

    fn said(&self, flow: &Flow, direction: Direction, which: CarriedOut) -> Option<Said> {
        let (member, address, peer) = self.subject(flow, direction)?;
        let lines = elements::lines(self, member, (address, direction), which);
        let (outcome, cause) = lines.judge(Some(peer), Some(flow.what), self);
        Some(Said { outcome, cause })
    }

    /// Whose policies are asked in a direction, and what the other end is to it.
    pub(super) fn subject(
        &self,
        flow: &Flow,
        direction: Direction,
    ) -> Option<(&Member, IpAddr, Identity)> {
        let (subject, peer) = match direction {
            Direction::Egress => (flow.from, flow.to),
            Direction::Ingress => (flow.to, flow.from),
        };
        let address = subject.address()?;
        let member = self.members.get(self.by_address.get(&address)?)?;
        let named = match direction {
            Direction::Egress => self.by_name(flow).map(|resolved| resolved.identity),
            Direction::Ingress => None,
        };
        Some((member, address, named.unwrap_or_else(|| self.identity(peer))))
    }

    /// The identity of one end.
    pub fn identity(&self, party: Party) -> Identity {
        let unknown = if matches!(party, Party::Address(_)) { WORLD } else { HOST };
        let Some(address) = party.address() else { return unknown };
        if let Some(member) = self.by_address.get(&address).and_then(|id| self.members.get(id)) {
            let own = member.identities.iter().find(|(ip, _)| *ip == address);
            return own.map_or(WORLD, |(_, identity)| *identity);
        }
        let of = |element: &Element| match element {
            Element::Identity(ip, identity) if *ip == address => Some(*identity),
            Element::PrefixIdentity { first, last, identity }
                if unknown == WORLD && *first <= address && address <= *last =>
            {
                Some(*identity)
            }
            _ => None,
        };
        self.common.iter().find_map(of).unwrap_or(unknown)
    }

    fn default(&self, topology: &Topology, flow: &Flow, linked: bool) -> Default {
        let end = |party: Party| {
            let address = party.address()?;
            let endpoint = topology.any_endpoint(*self.by_address.get(&address)?)?;
            Some((endpoint, topology.network(endpoint.network)?))
        };
        if self.is_listed(topology, flow) == Some(false) && !self.is_host(flow.from) {
            return Default::Drops("the port is published to others");
        }
        match (end(flow.from), end(flow.to)) {
            (Some((_, a)), Some((_, b))) if a.id == b.id => near(a, flow, linked),
            (Some((_, a)), Some((_, b))) => between(a, b, flow),
            (Some((_, from)), None) => outward(self, from, flow),
            (None, Some((_, to))) => inward(self, to, flow),
            (None, None) => Default::Passes("neither end is an endpoint"),
        }
    }
}

/// A default that no policy overrules.
pub const INTERNAL: &str = "the network is internal";
/// A default that no policy overrules.
pub const UNPUBLISHED: &str = "the port is not published";

/// What a driver decided of a network: neighbours, networks, world, direct.
fn filter(network: &Network) -> [bool; 4] {
    let decided = network.decision.resources.iter().find_map(|resource| match resource {
        Desired::Filter { neighbours, networks, world, direct, .. } => {
            Some([*neighbours, *networks, *world && !network.spec.internal, *direct])
        }
        _ => None,
    });
    decided.unwrap_or([false, false, !network.spec.internal, false])
}

fn near(network: &Network, flow: &Flow, linked: bool) -> Default {
    let [neighbours, ..] = filter(network);
    match (neighbours, linked, flow.published) {
        (true, ..) => Default::Passes("neighbours may talk on this network"),
        (_, true, _) => Default::Passes("a link opens the port"),
        (_, _, true) => Default::Passes("the port is published"),
        _ => Default::Drops("neighbours are kept apart on this network"),
    }
}

fn between(a: &Network, b: &Network, flow: &Flow) -> Default {
    let ([_, a_open, a_world, _], [_, b_open, b_world, _]) = (filter(a), filter(b));
    match (a_world && b_world, flow.published, a_open && b_open) {
        (false, ..) => Default::Drops(INTERNAL),
        (_, true, _) => Default::Passes("the port is published"),
        (_, _, true) => Default::Passes("both networks are open to others"),
        _ => Default::Drops("networks are closed to each other"),
    }
}

fn outward(compiler: &Compiler, from: &Network, flow: &Flow) -> Default {
    let [_, _, world, _] = filter(from);
    match (compiler.is_host(flow.to), world) {
        (true, _) => Default::Passes("the host may be reached"),
        (_, true) => Default::Passes("the world may be reached"),
        (_, false) => Default::Drops(INTERNAL),
    }
}

fn inward(compiler: &Compiler, to: &Network, flow: &Flow) -> Default {
    let [_, _, world, direct] = filter(to);
    match (compiler.is_host(flow.from), world, flow.published, direct) {
        (true, ..) => Default::Passes("the host may reach its endpoints"),
        (_, false, ..) => Default::Drops(INTERNAL),
        (_, _, true, _) => Default::Passes("the port is published"),
        (_, _, _, true) => Default::Passes("the network may be reached directly"),
        _ => Default::Drops(UNPUBLISHED),
    }
}

impl Compiler {
    /// Whether the list of a published port has its caller; none if it has no list.
    fn is_listed(&self, topology: &Topology, flow: &Flow) -> Option<bool> {
        if !flow.published {
            return None;
        }
        let (from, to) = flow.from.address().zip(flow.to.address())?;
        let endpoint = topology.any_endpoint(*self.by_address.get(&to)?)?;
        let protocol = Protocol::from_number(flow.what.protocol)?;
        let of_port = || {
            endpoint.spec.published.iter().filter(|entry| {
                entry.protocol == protocol
                    && entry.container.iter().any(|port| port == flow.what.number)
            })
        };
        if of_port().count() == 0 || of_port().any(|entry| entry.allow_from.is_empty()) {
            return None;
        }
        Some(of_port().flat_map(|entry| &entry.allow_from).any(|of| of.contains(from)))
    }

    fn is_host(&self, party: Party) -> bool {
        matches!(self.identity(party), HOST | super::class::GATEWAY)
    }
}

/// Whether a link of the beginner's sandbox opens the port.
fn is_linked(topology: &Topology, compiler: &Compiler, flow: &Flow) -> bool {
    let Some((from, to)) = flow.from.address().zip(flow.to.address()) else { return false };
    let endpoint = |ip: &IpAddr| topology.any_endpoint(*compiler.by_address.get(ip)?);
    let sandbox = |e: &Endpoint| topology.any_sandbox(e.sandbox()?);
    let Some(sandbox) = endpoint(&from).and_then(sandbox) else { return false };
    if sandbox.spec.links.is_empty() {
        return false;
    }
    let Some(protocol) = Protocol::from_number(flow.what.protocol) else { return false };
    let opened = Element::Link { from, to, protocol, port: flow.what.number };
    let links = links::resolve(&View::of(topology), sandbox);
    links.iter().any(|link| link.elements().contains(&opened))
}
