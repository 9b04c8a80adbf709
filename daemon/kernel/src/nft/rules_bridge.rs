//! The rules of table `bridge postern`: an endpoint sends from its own addresses only.
//!
//! They come before any other hook of the bridge, so that an address in every later rule
//! is an identity.

use nftables::types::{NfChainType, NfHook};

use super::chain::{Chain, Hook, Rule};
use super::expr::{
    Expr, Stmt, accept, any_of, concat, drop, field, iifname, is, is_not, jump, oifname, text,
};
use super::raw::ADVERT;
use super::schema::Table;

/// Before destination address translation of bridged packets.
const PRIORITY: i32 = -310;

pub(super) fn chains() -> Vec<Chain> {
    let hook = Hook { kind: NfChainType::Filter, hook: NfHook::Prerouting, priority: PRIORITY };
    let cut = |hook| Some(Hook { kind: NfChainType::Filter, hook, priority: PRIORITY });
    let chain = |name, hook, rules| Chain { table: Table::Bridge, name, hook, rules };
    vec![
        chain("guard", Some(hook), guard()),
        chain("cut-forward", cut(NfHook::Forward), vec![quarantined(oifname())]),
        chain("cut-output", cut(NfHook::Output), vec![quarantined(oifname())]),
    ]
}

/// Nothing passes a port whose sandbox is cut off, in either direction.
fn quarantined(port: Expr) -> Rule {
    Rule::new("quarantined", [is(port, text("@quarantine")), drop()])
}

/// The frame's own ethertype: a VLAN tag is one too, and so none that is let through.
fn ethertype(name: &'static str) -> Stmt {
    is(field("ether", "type"), text(name))
}

/// The port, the address in the Ethernet header or one like it, and perhaps a third part.
fn bound(mac: Expr, address: Option<Expr>, set: &'static str) -> Stmt {
    let mut parts = vec![iifname(), mac];
    parts.extend(address);
    is(concat(parts), text(set))
}

fn ether() -> Expr {
    field("ether", "saddr")
}

fn icmpv6(types: &[&'static str]) -> Stmt {
    is(field("icmpv6", "type"), any_of(types))
}

fn guard() -> Vec<Rule> {
    let mut rules = vec![
        Rule::new("no endpoint's", [is_not(iifname(), text("@port")), accept()]),
        quarantined(iifname()),
    ];
    rules.extend(arp());
    rules.push(Rule::new(
        "own IPv4 address",
        [ethertype("ip"), bound(ether(), Some(field("ip", "saddr")), "@guard4"), accept()],
    ));
    rules.extend(ipv6());
    rules.push(Rule::new("nothing else", [drop()]));
    rules
}

/// Both hardware addresses are looked up, since a rule cannot compare them: a port has one.
fn arp() -> [Rule; 2] {
    let sender = || field("arp", "saddr ether");
    let address = || Some(field("arp", "saddr ip"));
    [
        Rule::new(
            "own ARP",
            [
                ethertype("arp"),
                bound(ether(), address(), "@guard4"),
                bound(sender(), address(), "@guard4"),
                accept(),
            ],
        ),
        Rule::new(
            "ARP probe",
            [
                ethertype("arp"),
                is(field("arp", "saddr ip"), text("0.0.0.0")),
                bound(ether(), None, "@port-mac"),
                bound(sender(), None, "@port-mac"),
                accept(),
            ],
        ),
    ]
}

fn ipv6() -> [Rule; 4] {
    let source = || field("ip6", "saddr");
    // Of the unspecified address: duplicate address detection and group membership.
    let nameless = ["nd-neighbor-solicit", "mld-listener-report", "mld2-listener-report"];
    [
        Rule::new(
            "no router",
            [ethertype("ip6"), icmpv6(&["nd-router-advert", "nd-redirect"]), drop()],
        ),
        Rule::new(
            "advertised address",
            [ethertype("ip6"), icmpv6(&["nd-neighbor-advert"]), jump(ADVERT)],
        ),
        Rule::new(
            "own IPv6 address",
            [ethertype("ip6"), bound(ether(), Some(source()), "@guard6"), accept()],
        ),
        Rule::new(
            "before it has an IPv6 address",
            [
                ethertype("ip6"),
                is(source(), text("::")),
                icmpv6(&nameless),
                bound(ether(), None, "@port-mac"),
                accept(),
            ],
        ),
    ]
}
