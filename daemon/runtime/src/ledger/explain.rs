//! Why a flow may begin, or not.

use std::net::IpAddr;

use postern_kernel::Kernel;
use postern_model::endpoint::Endpoint;
use postern_model::intent::{ExplainFlow, FlowEnd};
use postern_model::network::Family;
use postern_model::policy::{Action, Direction, PolicyPort, Selection};
use postern_model::refusal::Refusal;
use postern_model::resource::Element;
use postern_model::topology::Topology;
use postern_planner::policy::{
    Came, Cause, Compiler, Default, Explanation, Flow, INTERNAL, Judgement, Looked, Outcome, Party,
    Said, UNPUBLISHED,
};
use postern_planner::view::View;
use postern_server::{EndFacts, ExplanationFacts, LookedFacts, SideFacts};

use super::state::State;
use super::{Ledger, check, now, outcome};

impl<K: Kernel> Ledger<K> {
    /// Explains a flow, and looks at what the kernel has of it.
    pub(crate) async fn explain_now(
        &self,
        intent: ExplainFlow,
    ) -> Result<ExplanationFacts, Refusal> {
        let (mut facts, elements) = {
            let state = self.0.state();
            explain(&state, &intent)?
        };
        let held = self.0.kernel.holds(elements.clone()).await;
        let held = held.map_err(|error| outcome::of_observe(&error))?;
        let named = elements.iter().map(ToString::to_string);
        facts.kernel = named.zip(held).collect();
        Ok(facts)
    }
}

/// An end with what is known of it.
pub(super) struct End<'a> {
    pub(super) party: Party,
    pub(super) endpoint: Option<&'a Endpoint>,
}

/// An explanation, and the elements that decide it in the kernel.
fn explain(
    state: &State,
    intent: &ExplainFlow,
) -> Result<(ExplanationFacts, Vec<Element>), Refusal> {
    let (topology, compiler) = (state.topology(), state.policies());
    let ends = [("from", &intent.from, &intent.to), ("to", &intent.to, &intent.from)];
    let mut found = Vec::new();
    for (field, end, other) in ends {
        let endpoint = endpoint_of((topology, compiler), field, end, other)?;
        check_ruled(field, endpoint)?;
        found.push(endpoint);
    }
    let family = family(intent, &found)?;
    let end = |index: usize, end: &FlowEnd| -> End<'_> {
        let endpoint: Option<&Endpoint> = found.get(index).copied().flatten();
        let address = endpoint.and_then(|endpoint| endpoint.address(family));
        let party = match (address, end) {
            (Some(address), _) => Party::Address(address),
            (None, FlowEnd::Address(address)) => Party::Address(*address),
            (None, FlowEnd::World) => Party::Address(family.unspecified()),
            (None, _) => Party::Host,
        };
        End { party, endpoint }
    };
    let (from, to) = (end(0, &intent.from), end(1, &intent.to));
    let what = selection(&intent.what, family, to.endpoint)?;
    let flow = Flow {
        from: from.party,
        to: to.party,
        family,
        what,
        published: intent.published,
        begins: Some(now()),
    };
    let Explanation { judgement, audited, egress, ingress, elements } =
        compiler.explain(topology, &flow);
    let facts = ExplanationFacts {
        allowed: judgement.passes,
        reason: reason(&judgement),
        would_allow: remedies(&judgement, &intent.what, (&from, &to)),
        published_at: published_at(to.endpoint, what),
        from: facts(topology, compiler, &from),
        to: EndFacts { names: compiler.names_of(&flow), ..facts(topology, compiler, &to) },
        default: match judgement.default {
            Default::Passes(why) => (true, why),
            Default::Drops(why) => (false, why),
        },
        egress: side(judgement.egress, egress),
        ingress: side(judgement.ingress, ingress),
        linked: judgement.linked,
        allowed_if_audited: audited.passes,
        kernel: Vec::new(),
    };
    Ok((facts, elements))
}

pub(super) fn side(said: Option<Said>, looked: Vec<Looked>) -> SideFacts {
    let Some(said) = said else { return SideFacts::default() };
    let outcome = match said.outcome {
        Outcome::Accept => "accept",
        Outcome::Deny => "deny",
        Outcome::Reject => "reject",
        Outcome::Isolated => "isolated",
        Outcome::Default => "default",
    };
    let cause = said.cause.map(|cause| (cause.policy, cause.rule));
    SideFacts { outcome, cause, trail: looked.into_iter().map(entry).collect() }
}

fn entry(looked: Looked) -> LookedFacts {
    let Looked { policy, tier, audit, rule, came } = looked;
    let word = |action| match action {
        Action::Accept => "accept",
        Action::Deny => "deny",
        Action::Pass => "pass",
        Action::Reject => "reject",
    };
    let (came, late) = match came {
        Came::Matches(action) => (word(action), false),
        Came::Late(action) => (word(action), true),
        Came::OtherPeer => ("other peer", false),
        Came::OtherPort => ("other port", false),
        Came::Nothing => ("no rules", false),
    };
    LookedFacts { tier, policy, rule, came, late, audit }
}

/// Of flows that pass no rule of the host's there is nothing to explain.
fn check_ruled(field: &str, endpoint: Option<&Endpoint>) -> Result<(), Refusal> {
    match endpoint.filter(|endpoint| endpoint.is_macvlan()) {
        None => Ok(()),
        Some(endpoint) => {
            let text =
                format!("flows of endpoint `{}` pass none of the host's rules", endpoint.name);
            Err(Refusal::field(field, text))
        }
    }
}

/// The endpoint that an end is, if it is one.
fn endpoint_of<'a>(
    (topology, compiler): (&'a Topology, &Compiler),
    field: &str,
    end: &FlowEnd,
    other: &FlowEnd,
) -> Result<Option<&'a Endpoint>, Refusal> {
    match end {
        FlowEnd::Endpoint(reference) => {
            let endpoint = match check::endpoint(topology, reference) {
                Ok(endpoint) => endpoint,
                Err(refusal) => elsewhere(topology, reference).ok_or(refusal)?,
            };
            if endpoint.attachment.is_none() {
                let text = format!("endpoint `{}` is not joined", endpoint.name);
                return Err(Refusal::field(format!("{field}.endpoint"), text));
            }
            Ok(Some(endpoint))
        }
        FlowEnd::Sandbox(reference) => {
            let sandbox = match check::sandbox(topology, reference) {
                Ok(sandbox) => sandbox,
                Err(refusal) => View::of(topology).sandbox_named(reference).ok_or(refusal)?,
            };
            let peers = || topology.peers().of_sandbox(sandbox.id);
            let peers = || peers().map(|remote| &remote.peer.endpoint);
            let joined = || topology.endpoints_of_sandbox(sandbox.id).chain(peers());
            let theirs: Vec<_> = networks_of(topology, other);
            let near = joined().find(|endpoint| theirs.contains(&endpoint.network));
            near.or_else(|| joined().next()).map(Some).ok_or_else(|| {
                let text = format!("sandbox `{}` is on no network", sandbox.name);
                Refusal::field(format!("{field}.sandbox"), text)
            })
        }
        FlowEnd::Address(address) => {
            Ok(compiler.endpoint_at(*address).and_then(|id| topology.any_endpoint(id)))
        }
        FlowEnd::Host | FlowEnd::World => Ok(None),
    }
}

/// An endpoint of another host, by name or uid; the oldest of those that have the name.
fn elsewhere<'a>(topology: &'a Topology, reference: &str) -> Option<&'a Endpoint> {
    let mut peers = topology.peers().iter().map(|remote| &remote.peer.endpoint);
    peers.find(|peer| peer.name.as_str() == reference || peer.id.to_string() == reference)
}

fn networks_of(topology: &Topology, end: &FlowEnd) -> Vec<postern_model::id::NetworkId> {
    match end {
        FlowEnd::Endpoint(reference) => {
            topology.find_endpoint(reference).map(|endpoint| endpoint.network).into_iter().collect()
        }
        FlowEnd::Sandbox(reference) => {
            let sandbox = topology.find_sandbox(reference);
            let joined = sandbox.into_iter().flat_map(|s| topology.endpoints_of_sandbox(s.id));
            joined.map(|endpoint| endpoint.network).collect()
        }
        _ => Vec::new(),
    }
}

/// The family to judge: the one that both ends have, IPv4 first unless IPv6 is asked for.
fn family(intent: &ExplainFlow, found: &[Option<&Endpoint>]) -> Result<Family, Refusal> {
    let ends = [&intent.from, &intent.to];
    let has = |family: Family| {
        found.iter().zip(ends).all(|(endpoint, end)| match (endpoint, end) {
            (Some(endpoint), _) => endpoint.address(family).is_some(),
            (None, FlowEnd::Address(address)) => Family::of(*address) == family,
            (None, _) => true,
        })
    };
    let order = if intent.ipv6 { &[Family::V6][..] } else { &Family::ALL[..] };
    order.iter().copied().find(|family| has(*family)).ok_or_else(|| {
        let wanted = if intent.ipv6 { "IPv6 address" } else { "family of addresses" };
        Refusal::field("to", format!("the two ends have no {wanted} in common"))
    })
}

/// The one kind of packet that is meant.
fn selection(
    what: &PolicyPort,
    family: Family,
    to: Option<&Endpoint>,
) -> Result<Selection, Refusal> {
    let matches = what.matches(family, |protocol, name| {
        let exposed = to.into_iter().flat_map(|endpoint| &endpoint.spec.exposed);
        let named =
            exposed.filter(|port| port.protocol == protocol && port.name.as_deref() == Some(name));
        named.map(|port| port.ports).collect()
    });
    match matches.first() {
        Some(one) => Ok(Selection { protocol: one.protocol, number: one.first }),
        None => Err(Refusal::field("what", "the target has no such port, or not in this family")),
    }
}

fn published_at(to: Option<&Endpoint>, what: Selection) -> Vec<String> {
    let bindings = to.and_then(|endpoint| endpoint.attachment.as_ref());
    let bindings = bindings.map(|attachment| attachment.bindings.as_slice()).unwrap_or_default();
    let of = bindings.iter().flat_map(|binding| {
        binding.pairs().filter_map(move |(host, target)| {
            let same = binding.protocol.number() == what.protocol && target == what.number;
            same.then(|| std::net::SocketAddr::new(binding.host_ip, host).to_string())
        })
    });
    of.collect()
}

pub(super) fn facts(topology: &Topology, compiler: &Compiler, end: &End<'_>) -> EndFacts {
    let address = match end.party {
        Party::Address(ip) | Party::HostAt(ip) if !ip.is_unspecified() => Some(ip),
        _ => None,
    };
    let identity = compiler.identity(end.party);
    let named = end.endpoint.map(|endpoint| {
        let network = topology.network(endpoint.network).map(|network| network.name.to_string());
        let sandbox = endpoint.sandbox().and_then(|id| topology.any_sandbox(id));
        (network, sandbox.map(|sandbox| sandbox.name.to_string()), topology.labels_of(endpoint))
    });
    let (network, sandbox, labels) = named.unwrap_or_default();
    EndFacts {
        name: end_name(end, identity),
        address,
        network: network.unwrap_or_default(),
        sandbox: sandbox.unwrap_or_default(),
        labels,
        identity,
        names: Vec::new(),
    }
}

fn end_name(end: &End<'_>, identity: u32) -> String {
    match (end.endpoint, end.party) {
        (Some(endpoint), _) => endpoint.name.to_string(),
        (None, Party::Host | Party::HostAt(_)) => "host".to_owned(),
        (None, Party::Address(_)) if identity == postern_planner::policy::GATEWAY => {
            "gateway".to_owned()
        }
        (None, Party::Address(ip)) if ip.is_unspecified() => "world".to_owned(),
        (None, Party::Address(ip)) => ip.to_string(),
    }
}

pub(super) fn reason(judgement: &Judgement) -> String {
    let Judgement { passes, egress, ingress, default, linked } = judgement;
    let cause = |said: &Said, direction: Direction| match &said.cause {
        Some(cause) => match cause.rule {
            Some(rule) => format!("by policy `{}`, {direction} rule {rule}", cause.policy),
            None => format!("by policy `{}`: no {direction} rule accepts", cause.policy),
        },
        None => "by no policy".to_owned(),
    };
    let sides = [(egress, Direction::Egress), (ingress, Direction::Ingress)];
    if !passes {
        for (said, direction) in sides {
            let Some(said) = said else { continue };
            if let Some(policy) = closes(said) {
                return format!(
                    "rejected by policy `{policy}`: it has names, and those are asked of the daemon's resolver alone"
                );
            }
            let word = match said.outcome {
                Outcome::Deny => "denied",
                Outcome::Reject => "rejected",
                Outcome::Isolated => "isolated",
                Outcome::Accept | Outcome::Default => continue,
            };
            return format!("{word} {}", cause(said, direction));
        }
    }
    match (ingress, default) {
        (Some(said), _) if *passes && said.outcome == Outcome::Accept => {
            format!("accepted {}", cause(said, Direction::Ingress))
        }
        (Some(said), _) if *passes && said.outcome == Outcome::Isolated && *linked => {
            "a link opens the port".to_owned()
        }
        (_, Default::Passes(why) | Default::Drops(why)) => (*why).to_owned(),
    }
}

/// The policy because of which other resolvers are closed, whatever rules say.
fn closes(said: &Said) -> Option<&str> {
    match (said.outcome, &said.cause) {
        (Outcome::Reject, Some(Cause { policy, rule: None })) => Some(policy),
        _ => None,
    }
}

/// Rules that would allow the flow, each for the side that objects.
fn remedies(
    judgement: &Judgement,
    what: &PolicyPort,
    (from, to): (&End<'_>, &End<'_>),
) -> Vec<String> {
    let absolute = matches!(judgement.default, Default::Drops(INTERNAL | UNPUBLISHED));
    let closed = judgement.egress.as_ref().and_then(closes).is_some();
    if judgement.passes || absolute || closed {
        return Vec::new();
    }
    let objects = |said: &Option<Said>| {
        said.as_ref().is_some_and(|said| {
            matches!(said.outcome, Outcome::Deny | Outcome::Reject | Outcome::Isolated)
        })
    };
    let hard = |said: &Option<Said>| {
        said.as_ref().is_some_and(|said| matches!(said.outcome, Outcome::Deny | Outcome::Reject))
    };
    let remedy = |said: &Option<Said>, direction: Direction, subject: &End<'_>, peer: &End<'_>| {
        let endpoint = subject.endpoint?;
        let tier = if hard(said) { "TIER_ADMIN" } else { "TIER_APP" };
        Some(format!(
            "{{tier: {tier}, subject: {{endpointNames: [{}]}}, directions: [DIRECTION_{}], \
             {direction}: [{{peers: [{}], ports: [{}]}}]}}",
            endpoint.name,
            direction.to_string().to_uppercase(),
            peer_of(peer),
            port_of(what),
        ))
    };
    let mut remedies = Vec::new();
    if objects(&judgement.egress) {
        remedies.extend(remedy(&judgement.egress, Direction::Egress, from, to));
    }
    let ingress_decides = objects(&judgement.ingress)
        || matches!(judgement.default, Default::Drops(_)) && !objects(&judgement.egress);
    if ingress_decides {
        remedies.extend(remedy(&judgement.ingress, Direction::Ingress, to, from));
    }
    remedies
}

fn peer_of(end: &End<'_>) -> String {
    match (end.endpoint, end.party) {
        (Some(endpoint), _) => format!("{{endpoint: {}}}", endpoint.name),
        (None, Party::Host | Party::HostAt(_)) => "{entity: ENTITY_HOST}".to_owned(),
        (None, Party::Address(ip)) if ip.is_unspecified() => "{entity: ENTITY_WORLD}".to_owned(),
        (None, Party::Address(ip)) => format!("{{cidr: {{cidr: {ip}/{}}}}}", bits(ip)),
    }
}

const fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn port_of(what: &PolicyPort) -> String {
    let protocol = |text: String| format!("protocol: PROTOCOL_{}", text.to_uppercase());
    match what {
        PolicyPort::Whole(whole) => format!("{{{}}}", protocol(whole.to_string())),
        PolicyPort::Ports(of, ports) => {
            format!("{{{}, port: {}}}", protocol(of.to_string()), ports.first())
        }
        PolicyPort::Named(of, name) => format!("{{{}, name: {name}}}", protocol(of.to_string())),
        PolicyPort::Icmp(icmp) => {
            let ipv6 = icmp.family == Family::V6;
            format!("{{protocol: PROTOCOL_ICMP, icmp: {{ipv6: {ipv6}, type: {}}}}}", icmp.kind)
        }
    }
}
