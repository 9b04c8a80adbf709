//! The rules of policies: constant ones over maps of decisions.
//!
//! A new flow is judged at its beginner's side and then at its other end's. At each side
//! the identity of the peer is noted with the packet, and the decision looked up from the
//! particular to the general. `return` means that a side has no objection; what is left at
//! the end is the networks' affair.

use nftables::expr::MetaKey;
use nftables::types::{NfChainType, NfHook};
use postern_model::network::Family;

use super::chain::{Chain, Rule};
use super::expr::{
    Expr, Stmt, accept, any_of, concat, ct, ct_field, drop, field, goto, header, is, jump,
    looked_up, meta, mid_stream, nfproto, note, noted, number, reject, reset, text, verdict,
};
use super::rules_flows;
use super::rules_inet::{allowed, base, linked, plain};

/// `postern_planner::policy::WORLD`.
const WORLD: u32 = 1;
/// `postern_planner::policy::HOST`.
const HOST: u32 = 2;

/// The names of one side's chains and sets in a family.
struct Side {
    family: Family,
    /// The fields of the subject's address and of the peer's.
    subject: &'static str,
    peer: &'static str,
    policed: &'static str,
    isolated: &'static str,
    identity: &'static str,
    prefix: &'static str,
    /// What a subject asked for by name; only of its own flows.
    named: Option<&'static str>,
    /// Chains: of forwarded packets, of the host's own, the decisions, those of ICMP, and
    /// what an isolated subject still accepts.
    forward: &'static str,
    host: &'static str,
    decide: &'static str,
    icmp: &'static str,
    last: &'static str,
    /// Maps of decisions, from the particular to the general.
    of_peer: [&'static str; 3],
    of_all: [&'static str; 3],
}

const IN4: Side = Side {
    family: Family::V4,
    subject: "daddr",
    peer: "saddr",
    policed: "@policed-in4",
    isolated: "@isolated-in4",
    identity: "@identity4",
    prefix: "@prefix4",
    named: None,
    forward: "in4-forward",
    host: "in4-host",
    decide: "in4-decide",
    icmp: "in4-icmp",
    last: ISOLATED_IN,
    of_peer: ["@in4-peer-one", "@in4-peer-range", "@in4-peer"],
    of_all: ["@in4-one", "@in4-range", "@in4"],
};

const IN6: Side = Side {
    family: Family::V6,
    policed: "@policed-in6",
    isolated: "@isolated-in6",
    identity: "@identity6",
    prefix: "@prefix6",
    forward: "in6-forward",
    host: "in6-host",
    decide: "in6-decide",
    icmp: "in6-icmp",
    of_peer: ["@in6-peer-one", "@in6-peer-range", "@in6-peer"],
    of_all: ["@in6-one", "@in6-range", "@in6"],
    ..IN4
};

const OUT4: Side = Side {
    subject: "saddr",
    peer: "daddr",
    named: Some("@named4"),
    policed: "@policed-out4",
    isolated: "@isolated-out4",
    forward: "out4-forward",
    host: "out4-host",
    decide: "out4-decide",
    icmp: "out4-icmp",
    last: ISOLATED_OUT,
    of_peer: ["@out4-peer-one", "@out4-peer-range", "@out4-peer"],
    of_all: ["@out4-one", "@out4-range", "@out4"],
    ..IN4
};

const OUT6: Side = Side {
    family: Family::V6,
    policed: "@policed-out6",
    isolated: "@isolated-out6",
    identity: "@identity6",
    prefix: "@prefix6",
    named: Some("@named6"),
    forward: "out6-forward",
    host: "out6-host",
    decide: "out6-decide",
    icmp: "out6-icmp",
    of_peer: ["@out6-peer-one", "@out6-peer-range", "@out6-peer"],
    of_all: ["@out6-one", "@out6-range", "@out6"],
    ..OUT4
};

/// Judges what is forwarded.
pub(super) const POLICY: &str = "policy";
/// Refuses, and says so.
pub(super) const REJECT: &str = "reject-it";
/// What an isolated endpoint accepts without a rule.
pub(super) const ISOLATED_IN: &str = "isolated-in";
/// What an isolated endpoint may begin without a rule.
pub(super) const ISOLATED_OUT: &str = "isolated-out";

const FILTER: i32 = 0;

pub(super) fn chains() -> Vec<Chain> {
    let mut chains = vec![
        plain(REJECT, refuse()),
        plain(
            ISOLATED_IN,
            vec![
                linked(Family::V4, "@link4"),
                linked(Family::V6, "@link6"),
                allowed(Family::V4),
                allowed(Family::V6),
                Rule::new("isolated, and no rule accepts", [drop()]),
            ],
        ),
        plain(ISOLATED_OUT, vec![Rule::new("isolated, and no rule lets it begin", [drop()])]),
    ];
    for side in [&IN4, &IN6, &OUT4, &OUT6] {
        chains.extend(of_side(side));
    }
    let entries = |entry: fn(&Side) -> &'static str, sides: [&Side; 2]| {
        sides.map(|side| {
            Rule::new(
                "policies",
                [policed(side)[0].clone(), policed(side)[1].clone(), jump(entry(side))],
            )
        })
    };
    let both =
        [entries(|side| side.forward, [&OUT4, &OUT6]), entries(|side| side.forward, [&IN4, &IN6])];
    chains.push(plain(POLICY, both.into_iter().flatten().collect()));
    let guarded = |told: Vec<Rule>, rules: [Rule; 2]| {
        let known = is(ct_field("state"), any_of(&["established", "related"]));
        let discovery = any_of(&["nd-neighbor-solicit", "nd-neighbor-advert", "nd-router-solicit"]);
        let mut all = vec![
            Rule::new("established", [known, accept()]),
            Rule::new("neighbour discovery", [is(field("icmpv6", "type"), discovery), accept()]),
        ];
        all.extend(told);
        all.extend(rules);
        all
    };
    // By address alone: what the host sends to a published port of its own leaves, as this
    // hook sees it, by the loopback.
    let to_host = guarded(vec![rules_flows::to_host()], entries(|side| side.host, [&OUT4, &OUT6]));
    let from_host =
        guarded(rules_flows::from_host().into(), entries(|side| side.host, [&IN4, &IN6]));
    chains.push(base("to-host", NfChainType::Filter, NfHook::Input, FILTER, to_host));
    chains.push(base("from-host", NfChainType::Filter, NfHook::Output, FILTER, from_host));
    chains
}

fn refuse() -> Vec<Rule> {
    let tcp = is(meta(MetaKey::L4proto), text("tcp"));
    vec![Rule::new("reset", [tcp, reset()]), Rule::new("unreachable", [reject()])]
}

/// The subject is one that some policy speaks of.
fn policed(side: &Side) -> [Stmt; 2] {
    let subject = field(header(side.family), side.subject);
    [nfproto(side.family), is(subject, text(side.policed))]
}

fn of_side(side: &Side) -> [Chain; 4] {
    let peer = || field(header(side.family), side.peer);
    // Whose flows are judged by who began them must see them begin: one of whose entry in
    // connection tracking is gone could be taken up again by its other end.
    let begun = || {
        let new = ct("state", &["new"]);
        Rule::new("TCP begins with SYN", [new, mid_stream(), goto(REJECT)])
    };
    let known = || Rule::new("an endpoint or a gateway", [note(looked_up(peer(), side.identity))]);
    let decide = || Rule::new("decide", [goto(side.decide)]);
    let named = side.named.map(|map| {
        let both = concat(vec![field(header(side.family), side.subject), peer()]);
        Rule::new("asked for by name", [note(looked_up(both, map))])
    });
    let mut forward = vec![
        begun(),
        Rule::new("the world", [note(number(WORLD))]),
        Rule::new("a prefix", [note(looked_up(peer(), side.prefix))]),
    ];
    // Before what is known: no name makes an endpoint or a gateway something else.
    forward.extend(named);
    forward.extend([known(), decide()]);
    let host = vec![begun(), Rule::new("the host", [note(number(HOST))]), known(), decide()];
    let icmp = match side.family {
        Family::V4 => "icmp",
        Family::V6 => "ipv6-icmp",
    };
    let is_icmp = is(meta(MetaKey::L4proto), text(icmp));
    let mut decide = vec![Rule::new("types in the place of ports", [is_icmp, goto(side.icmp)])];
    decide.extend(decisions(side, "dport"));
    [
        plain(side.icmp, decisions(side, "sport")),
        plain(side.decide, decide),
        plain(side.forward, forward),
        plain(side.host, host),
    ]
}

/// The lookups. An ICMP header begins with type and code, where others have their source
/// port: `number` is `sport` for it.
fn decisions(side: &Side, port: &'static str) -> Vec<Rule> {
    let subject = || field(header(side.family), side.subject);
    let used = || [meta(MetaKey::L4proto), field("th", port)];
    let peer_and = |rest: Vec<Expr>| concat([vec![subject(), noted()], rest].concat());
    let [peer_one, peer_range, peer] = side.of_peer;
    let [one, range, all] = side.of_all;
    let look = |comment, key, map| Rule::new(comment, [nfproto(side.family), verdict(key, map)]);
    let everybody = || concat([vec![subject()], used().into()].concat());
    vec![
        look("this peer, this port", peer_and(used().into()), peer_one),
        look("this peer, these ports", peer_and(used().into()), peer_range),
        look("this peer", peer_and(vec![]), peer),
        look("this port", everybody(), one),
        look("these ports", everybody(), range),
        look("everything", subject(), all),
        Rule::new(
            "isolated",
            [nfproto(side.family), is(subject(), text(side.isolated)), goto(side.last)],
        ),
    ]
}
