//! The rules of table `inet postern`: published ports, source addresses, and what may be
//! forwarded.
//!
//! Only packets from or to a bridge of ours are judged; the last word on every other
//! packet stays with whoever else has rules, but for the fences.

use nftables::expr::MetaKey;
use nftables::types::{NfChainType, NfHook};
use postern_model::network::Family;
use postern_model::resource::VXLAN_PORT;

use super::chain::{Chain, Hook, Rule};
use super::expr::{
    Expr, Stmt, accept, any_of, begins, concat, ct, dnat, drop, field, for_the_host, goto, header,
    iifname, is, is_not, jump, masquerade, meta, nfproto, note, number, oifname, prefix, snat,
    text,
};
use super::raw::{TUNNEL4, TUNNEL6, UNTRACKED};
use super::rules_flows;
use super::rules_policy::POLICY;
use super::schema::Table;

const RAW: i32 = -300;
const DSTNAT: i32 = -100;
const FILTER: i32 = 0;
const SRCNAT: i32 = 100;

pub(super) fn chains() -> Vec<Chain> {
    vec![
        base("early", NfChainType::Filter, NfHook::Prerouting, RAW, early()),
        base("early-output", NfChainType::Filter, NfHook::Output, RAW, vec![untracked()]),
        base("prerouting", NfChainType::NAT, NfHook::Prerouting, DSTNAT, prerouting()),
        base("output", NfChainType::NAT, NfHook::Output, DSTNAT, output()),
        base("postrouting", NfChainType::NAT, NfHook::Postrouting, SRCNAT, postrouting()),
        plain("near", near()),
        plain("opened", opened()),
        plain("from", from()),
        plain("to", to()),
        base("forward", NfChainType::Filter, NfHook::Forward, FILTER, forward()),
    ]
}

pub(super) const fn plain(name: &'static str, rules: Vec<Rule>) -> Chain {
    Chain { table: Table::Inet, name, hook: None, rules }
}

pub(super) const fn base(
    name: &'static str,
    kind: NfChainType,
    hook: NfHook,
    priority: i32,
    rules: Vec<Rule>,
) -> Chain {
    Chain { table: Table::Inet, name, hook: Some(Hook { kind, hook, priority }), rules }
}

/// The packet comes from a bridge of ours.
pub(super) fn from_bridge() -> Stmt {
    is(concat(vec![iifname(), iifname()]), text("@bridges"))
}

pub(super) fn to_bridge() -> Stmt {
    is(concat(vec![oifname(), oifname()]), text("@bridges"))
}

fn to_no_bridge() -> Stmt {
    is_not(concat(vec![oifname(), oifname()]), text("@bridges"))
}

/// The packet leaves by the bridge it came in by, and that is in the set.
fn within(set: &'static str) -> Stmt {
    is(concat(vec![iifname(), oifname()]), text(set))
}

/// What comes from an endpoint for a loopback address is never answered: bridges have
/// `route_localnet`, without which the host itself could not reach a port published on one.
fn early() -> Vec<Rule> {
    let loopback = is(field("ip", "daddr"), prefix("127.0.0.0", 8));
    let tunnel =
        |family, chain| Rule::new("frames of other hosts", [vxlan(), nfproto(family), jump(chain)]);
    vec![
        Rule::new("loopback addresses are the host's own", [loopback, from_bridge(), drop()]),
        tunnel(Family::V4, TUNNEL4),
        tunnel(Family::V6, TUNNEL6),
        untracked(),
    ]
}

fn vxlan() -> Stmt {
    is(field("udp", "dport"), number(VXLAN_PORT.into()))
}

fn untracked() -> Rule {
    Rule::new("frames between hosts are not tracked", [vxlan(), jump(UNTRACKED)])
}

fn prerouting() -> Vec<Rule> {
    let not_loopback = is_not(field("ip", "daddr"), prefix("127.0.0.0", 8));
    published([vec![not_loopback], vec![]])
}

/// As for packets that come in, but the host reaches its published ports on 127.0.0.0/8
/// too. On ::1 it cannot: IPv6 has no `route_localnet`.
fn output() -> Vec<Rule> {
    published([vec![], vec![is_not(field("ip6", "daddr"), text("::1"))]])
}

/// Four lookups: by address and port, then by port alone, in both families.
fn published(conditions: [Vec<Stmt>; 2]) -> Vec<Rule> {
    let maps = [["@publish4", "@publish4-any"], ["@publish6", "@publish6-any"]];
    let mut rules = Vec::new();
    for ((family, condition), [exact, any]) in Family::ALL.into_iter().zip(conditions).zip(maps) {
        let port = || [meta(MetaKey::L4proto), field("th", "dport")];
        let by_address = [vec![field(header(family), "daddr")], port().into()].concat();
        for (comment, key, map) in [
            ("published on this address", by_address, exact),
            ("published on every address", port().into(), any),
        ] {
            let mut statements = vec![nfproto(family), for_the_host()];
            statements.extend(condition.iter().cloned());
            statements.push(dnat(family, concat(key), map));
            rules.push(Rule { comment, statements });
        }
    }
    rules
}

/// Source addresses. Between bridges of ours nothing is hidden, but for flows that would
/// be answered past the host: from its loopback, from a neighbour through a published
/// port, and through one to an endpoint that its sandbox's default route does not go by.
/// (Routing by source address in the sandbox would keep the client's address, but not
/// serve UDP: a server that is bound to no address answers from the default route's.)
fn postrouting() -> Vec<Rule> {
    let loopback = is(field("ip", "saddr"), prefix("127.0.0.0", 8));
    // Only the first packet of a flow comes here, as only it was judged.
    let forget = || note(number(0));
    let mut rules = vec![
        Rule::new("forget the noted identity", [from_bridge(), forget()]),
        Rule::new("forget the noted identity", [to_bridge(), forget()]),
        Rule::new("host loopback to a published port", [loopback, to_bridge(), masquerade()]),
    ];
    for (family, endpoints, off_gateway, fixed, masqueraded) in [
        (Family::V4, "@endpoint4", "@off-gateway4", "@snat4", "@masquerade4"),
        (Family::V6, "@endpoint6", "@off-gateway6", "@snat6", "@masquerade6"),
    ] {
        // Not by `iifname`: a frame whose destination was translated while it was bridged
        // has none here.
        let neighbour =
            is(concat(vec![field(header(family), "saddr"), oifname()]), text(endpoints));
        rules.push(Rule::new(
            "neighbour through a published port",
            [ct("status", &["dnat"]), nfproto(family), neighbour, masquerade()],
        ));
        let off_gateway = is(field(header(family), "daddr"), text(off_gateway));
        rules.push(Rule::new(
            "published port off the default route",
            [ct("status", &["dnat"]), nfproto(family), off_gateway, masquerade()],
        ));
        rules.push(Rule::new(
            "to the world from a fixed address",
            [nfproto(family), to_no_bridge(), snat(family, iifname(), fixed)],
        ));
        rules.push(Rule::new(
            "to the world from the host's address",
            [nfproto(family), is(iifname(), text(masqueraded)), to_no_bridge(), masquerade()],
        ));
    }
    rules
}

fn forward() -> Vec<Rule> {
    let fence = |protocol, set| [is(field(protocol, "daddr"), text(set)), drop()];
    vec![
        Rule::new("from a bridge", [from_bridge(), goto("from")]),
        Rule::new("to a bridge", [to_bridge(), goto("to")]),
        Rule::new("forwarding is on for us alone", fence("ip", "@fence4")),
        Rule::new("forwarding is on for us alone", fence("ip6", "@fence6")),
    ]
}

fn known() -> [Rule; 2] {
    [
        Rule::new("established", [ct("state", &["established", "related"]), accept()]),
        Rule::new("invalid", [ct("state", &["invalid"]), drop()]),
    ]
}

/// A port that a link opens, whether neighbours may reach each other or not. One lookup:
/// addresses are identities, and those of a link are on one network.
pub(super) fn linked(family: Family, set: &'static str) -> Rule {
    let address = |name| field(header(family), name);
    let key =
        vec![address("saddr"), address("daddr"), meta(MetaKey::L4proto), field("th", "dport")];
    Rule::new(
        "by a link",
        [within("@bridges"), nfproto(family), is(concat(key), text(set)), accept()],
    )
}

/// What comes by a published port.
fn by_port(family: Family, with: Option<&'static str>) -> Expr {
    let address = |name| field(header(family), name);
    let mut key = vec![address("daddr"), meta(MetaKey::L4proto), field("th", "dport")];
    key.extend(with.map(address));
    concat(key)
}

const fn lists(family: Family) -> [&'static str; 2] {
    match family {
        Family::V4 => ["@restricted4", "@allow-from4"],
        Family::V6 => ["@restricted6", "@allow-from6"],
    }
}

/// A port that is published to some alone is not published to others.
fn restricted(family: Family) -> Rule {
    let [restricted, allowed] = lists(family);
    Rule::new(
        "published to others",
        [
            ct("status", &["dnat"]),
            nfproto(family),
            is(by_port(family, None), text(restricted)),
            is_not(by_port(family, Some("saddr")), text(allowed)),
            drop(),
        ],
    )
}

/// Who a port is published to needs no rule of a policy.
pub(super) fn allowed(family: Family) -> Rule {
    let [_, allowed] = lists(family);
    let listed = is(by_port(family, Some("saddr")), text(allowed));
    Rule::new("published to these", [ct("status", &["dnat"]), nfproto(family), listed, accept()])
}

fn from() -> Vec<Rule> {
    let open = |name: Expr| is(name, text("@open"));
    let internal = |name: Expr| is(name, text("@internal"));
    let mut rules = known().to_vec();
    rules.push(rules_flows::forwarded());
    rules.extend([
        Rule::new("between neighbours", [within("@bridges"), goto("near")]),
        // Nothing opens an internal network, no policy either.
        Rule::new("from an internal network", [internal(iifname()), drop()]),
        Rule::new("to an internal network", [internal(oifname()), drop()]),
        Rule::new("policies", [jump(POLICY)]),
        restricted(Family::V4),
        restricted(Family::V6),
        Rule::new("published port", [ct("status", &["dnat"]), accept()]),
        Rule::new("between open networks", [open(iifname()), open(oifname()), accept()]),
        Rule::new("between networks", [to_bridge(), drop()]),
        Rule::new("to the world", [accept()]),
    ]);
    rules
}

/// To an endpoint on another host, where its own policies, links and network are asked. Here
/// only the beginner's policies had a say. Of TCP that begins in the middle it cannot be said
/// who began it: an answer of a flow that was ended would pass as a flow of its own.
fn elsewhere(family: Family, set: &'static str, what: Stmt) -> Rule {
    let there = is(concat(vec![field(header(family), "daddr"), oifname()]), text(set));
    Rule::new("decided on another host", [nfproto(family), what, there, accept()])
}

fn no_tcp() -> Stmt {
    is_not(meta(MetaKey::L4proto), text("tcp"))
}

/// From an endpoint to another one on the same bridge.
fn near() -> Vec<Rule> {
    // Without address resolution even a published port of a neighbour is out of reach.
    let discovery = any_of(&["nd-neighbor-solicit", "nd-neighbor-advert"]);
    vec![
        Rule::new("neighbour discovery", [is(field("icmpv6", "type"), discovery), accept()]),
        Rule::new("policies", [jump(POLICY)]),
        restricted(Family::V4),
        restricted(Family::V6),
        elsewhere(Family::V4, "@remote4", begins()),
        elsewhere(Family::V6, "@remote6", begins()),
        elsewhere(Family::V4, "@remote4", no_tcp()),
        elsewhere(Family::V6, "@remote6", no_tcp()),
        Rule::new("neighbours", [within("@neighbours"), accept()]),
        linked(Family::V4, "@link4"),
        linked(Family::V6, "@link6"),
        Rule::new("published port", [ct("status", &["dnat"]), accept()]),
        Rule::new("neighbours are kept apart", [drop()]),
    ]
}

fn to() -> Vec<Rule> {
    let internal = is(oifname(), text("@internal"));
    let mut rules = known().to_vec();
    rules.push(rules_flows::forwarded());
    rules.extend([
        Rule::new("world to an internal network", [internal, drop()]),
        Rule::new("world to a published port", [ct("status", &["dnat"]), goto("opened")]),
        Rule::new("world to a direct network", [is(oifname(), text("@direct")), goto("opened")]),
        // What is not published nobody opens to the world, a policy neither.
        Rule::new("world to an unpublished port", [drop()]),
    ]);
    rules
}

/// From the world to what is open to it.
fn opened() -> Vec<Rule> {
    vec![
        Rule::new("policies", [jump(POLICY)]),
        restricted(Family::V4),
        restricted(Family::V6),
        Rule::new("nobody objects", [accept()]),
    ]
}
