//! The rules of the kernel over a compiler's elements, looked up as the kernel does.

use std::collections::BTreeSet;
use std::net::IpAddr;

use postern_model::policy::{Direction, Selection};
use postern_model::resource::{Decision, Element, Verdict};

use crate::policy::{HOST, WORLD};

/// One end of a flow as the kernel sees it.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Address(IpAddr),
    /// By an address that is no gateway's.
    Host,
}

/// Whether the rules let a flow begin; `default` is what they say after the policies.
pub(super) fn passes(
    elements: &BTreeSet<Element>,
    (from, to): (End, End),
    what: Selection,
    default: bool,
) -> bool {
    for (direction, subject, peer) in
        [(Direction::Egress, from, to), (Direction::Ingress, to, from)]
    {
        let End::Address(subject) = subject else { continue };
        if !elements.contains(&Element::Policed(direction, subject)) {
            continue;
        }
        let isolated = elements.contains(&Element::Isolated(direction, subject));
        let peer = match (direction, peer) {
            (Direction::Egress, End::Address(address)) => {
                let known = identity(elements, peer);
                // No name makes an endpoint something else: its address has an identity.
                let fixed = elements.contains(&Element::Identity(address, known));
                named(elements, subject, address).filter(|_| !fixed).unwrap_or(known)
            }
            _ => identity(elements, peer),
        };
        match look_up(elements, direction, subject, peer, what) {
            Some(Verdict::Accept) => return true,
            Some(Verdict::Return) => {}
            Some(Verdict::Drop | Verdict::Reject | Verdict::Isolated) => return false,
            None if isolated => return false,
            None => {}
        }
    }
    default
}

fn named(elements: &BTreeSet<Element>, subject: IpAddr, address: IpAddr) -> Option<u32> {
    elements.iter().find_map(|element| match element {
        Element::Named(of) if of.subject == subject && of.address == address => Some(of.identity),
        _ => None,
    })
}

fn identity(elements: &BTreeSet<Element>, end: End) -> u32 {
    let End::Address(address) = end else { return HOST };
    let own = elements.iter().find_map(|element| match element {
        Element::Identity(ip, identity) if *ip == address => Some(*identity),
        _ => None,
    });
    let range = || {
        elements.iter().find_map(|element| match element {
            Element::PrefixIdentity { first, last, identity }
                if *first <= address && address <= *last =>
            {
                Some(*identity)
            }
            _ => None,
        })
    };
    own.or_else(range).unwrap_or(WORLD)
}

fn look_up(
    elements: &BTreeSet<Element>,
    direction: Direction,
    subject: IpAddr,
    peer: u32,
    what: Selection,
) -> Option<Verdict> {
    let decisions = || {
        elements.iter().filter_map(|element| match element {
            Element::Decision(of) if of.direction == direction && of.subject == subject => Some(of),
            _ => None,
        })
    };
    for peer in [Some(peer), None] {
        let one =
            |of: &&Decision| of.what.is_some_and(|of| of.first == of.last && of.contains(what));
        let range =
            |of: &&Decision| of.what.is_some_and(|of| of.first != of.last && of.contains(what));
        let all = |of: &&Decision| of.what.is_none();
        let of_peer = || decisions().filter(|of| of.peer == peer);
        // No two of a map fit: hash and interval maps have one value for a packet.
        assert!(of_peer().filter(one).count() <= 1 && of_peer().filter(range).count() <= 1);
        let found =
            of_peer().find(one).or_else(|| of_peer().find(range)).or_else(|| of_peer().find(all));
        if let Some(found) = found {
            return Some(found.verdict);
        }
    }
    None
}
