//! The rules that tell of new flows: before anything decides about them, so that those which
//! are dropped are told too.
//!
//! Only packets that are not of a known flow come here. Without a listener the kernel stops
//! at looking for one; with one, no more is told than the limits let through, and nothing
//! waits for whoever listens.

use super::chain::{Chain, Rule};
use super::expr::{Stmt, ct, goto, is, jump, leave, limit, log, oifname, text};
use super::rules_inet::{from_bridge, plain, to_bridge};
use crate::flow_log::{BURST, NEW, PUBLISHED, RATE};

/// Tells of a new flow.
const TELL: &str = "tell";
const TELL_PUBLISHED: &str = "tell-published";

pub(super) fn chains() -> Vec<Chain> {
    let told = |prefix| [limit(RATE, BURST), log(prefix)];
    vec![
        plain(TELL_PUBLISHED, vec![Rule::new("flow by a published port", told(PUBLISHED))]),
        plain(
            TELL,
            vec![
                // One that goes one way stays new: only its first packet is told.
                Rule::new("told already", [ct("status", &["confirmed"]), leave()]),
                Rule::new("by a published port", [ct("status", &["dnat"]), goto(TELL_PUBLISHED)]),
                Rule::new("flow", told(NEW)),
            ],
        ),
    ]
}

fn new() -> Stmt {
    ct("state", &["new"])
}

/// Of what is forwarded from or to a bridge.
pub(super) fn forwarded() -> Rule {
    Rule::new("new flows are told", [new(), jump(TELL)])
}

/// Of what an endpoint begins with the host.
pub(super) fn to_host() -> Rule {
    Rule::new("new flows are told", [new(), from_bridge(), jump(TELL)])
}

/// Of what the host begins with an endpoint. What it sends to a published port of its own
/// leaves, as this hook sees it, by the loopback.
pub(super) fn from_host() -> [Rule; 2] {
    let own = [new(), is(oifname(), text("lo")), ct("status", &["dnat"]), jump(TELL)];
    [
        Rule::new("new flows are told", [new(), to_bridge(), jump(TELL)]),
        Rule::new("new flows are told, to its own published ports", own),
    ]
}
