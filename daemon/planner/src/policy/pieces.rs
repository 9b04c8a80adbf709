//! From a list of lines to the fewest entries of hash maps that say the same.
//!
//! Entries are looked up from the particular to the general: this peer and this number,
//! this peer and a range, this peer; then the same for everybody. So an entry is needed
//! only where the more general ones would say something else, or say it for another rule:
//! each entry counts its packets for the rule it stands for.

use std::collections::{BTreeMap, BTreeSet};

use postern_model::policy::{Match, Selection};

use super::class::Identity;
use super::line::{Cause, Lines, Named, Outcome};

/// One entry, for a peer or for everybody who is not named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// Whom it is for.
    pub peer: Option<Identity>,
    /// What it is for; none means everything.
    pub what: Option<Match>,
    /// What it says.
    pub outcome: Outcome,
    /// Why.
    pub cause: Option<Cause>,
}

type Verdict = (Outcome, Option<Cause>);

/// What lines say of one peer.
struct Opinion {
    /// Disjoint, in order, and covering every number that any line names.
    pieces: BTreeMap<u8, Vec<(Match, Verdict)>>,
    rest: Verdict,
}

impl Lines {
    /// The entries, those of everybody first.
    pub(super) fn entries(&self, named: &impl Named) -> Vec<Entry> {
        let general = self.opinion(None, named, &BTreeMap::new());
        let silent = match &self.isolated {
            Some(cause) => (Outcome::Isolated, Some(cause.clone())),
            None => (Outcome::Default, None),
        };
        let mut entries = Vec::new();
        let rest = &general.rest;
        if *rest != silent {
            entries.push(entry(None, None, rest));
        }
        let differing = general.each().filter(|(_, verdict)| *verdict != rest);
        entries.extend(merged(differing).iter().map(|(what, v)| entry(None, Some(*what), v)));
        for peer in self.mentioned(named) {
            self.particular(peer, named, &general, &mut entries);
        }
        entries
    }

    /// The entries of one peer, as far as it fares otherwise than everybody.
    fn particular(
        &self,
        peer: Identity,
        named: &impl Named,
        general: &Opinion,
        entries: &mut Vec<Entry>,
    ) {
        let own = self.opinion(Some(peer), named, &general.bounds());
        let all_else = own.rest != general.rest;
        if all_else {
            entries.push(entry(Some(peer), None, &own.rest));
        }
        let otherwise = |what: Match| {
            if all_else { &own.rest } else { general.of(what.protocol, what.first) }
        };
        let differing = own.each().filter(|(what, verdict)| *verdict != otherwise(*what));
        entries.extend(merged(differing).iter().map(|(what, v)| entry(Some(peer), Some(*what), v)));
    }

    /// Every peer that some line names.
    fn mentioned(&self, named: &impl Named) -> BTreeSet<Identity> {
        let peers = self.lines.iter().filter_map(|line| line.peers.as_ref());
        let mut mentioned: BTreeSet<Identity> = peers.flatten().copied().collect();
        let names = self.lines.iter().filter(|line| line.peers.is_none());
        let names = names.filter_map(|line| line.ports.as_ref()).flat_map(|ports| &ports.named);
        mentioned.extend(names.flat_map(|(protocol, name)| named.serving(*protocol, name)));
        mentioned
    }

    fn opinion(
        &self,
        peer: Option<Identity>,
        named: &impl Named,
        bounds: &BTreeMap<u8, BTreeSet<u32>>,
    ) -> Opinion {
        let mut bounds = bounds.clone();
        for one in self.of(peer).filter_map(|line| Self::matches(line, peer, named)).flatten() {
            let of = bounds.entry(one.protocol).or_default();
            of.insert(u32::from(one.first));
            of.insert(u32::from(one.last) + 1);
        }
        let pieces = bounds.into_iter().map(|(protocol, bounds)| {
            let bounds: Vec<u32> = bounds.into_iter().collect();
            let pieces = bounds.windows(2).filter_map(|pair| {
                let [first, end] = pair else { return None };
                let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(end - 1).ok()?);
                let kind = Some(Selection { protocol, number: first });
                Some((Match { protocol, first, last }, self.judge(peer, kind, named)))
            });
            (protocol, pieces.collect())
        });
        Opinion { pieces: pieces.collect(), rest: self.judge(peer, None, named) }
    }
}

/// Neighbouring pieces with one verdict are one piece.
fn merged<'a>(pieces: impl Iterator<Item = (Match, &'a Verdict)>) -> Vec<(Match, Verdict)> {
    let mut all: Vec<(Match, Verdict)> = Vec::new();
    for (piece, verdict) in pieces {
        match all.last_mut() {
            Some((last, same))
                if same == verdict
                    && last.protocol == piece.protocol
                    && last.last.checked_add(1) == Some(piece.first) =>
            {
                last.last = piece.last;
            }
            _ => all.push((piece, verdict.clone())),
        }
    }
    all
}

impl Opinion {
    fn each(&self) -> impl Iterator<Item = (Match, &Verdict)> {
        self.pieces.values().flatten().map(|(what, verdict)| (*what, verdict))
    }

    fn of(&self, protocol: u8, number: u16) -> &Verdict {
        let pieces = self.pieces.get(&protocol).map_or(&[][..], Vec::as_slice);
        let kind = Selection { protocol, number };
        let found = pieces.iter().find(|(what, _)| what.contains(kind));
        found.map_or(&self.rest, |(_, verdict)| verdict)
    }

    /// Where pieces begin and end. A particular opinion has the same bounds, so that none
    /// of its pieces lies in two of everybody's.
    fn bounds(&self) -> BTreeMap<u8, BTreeSet<u32>> {
        let bounds = |pieces: &Vec<(Match, Verdict)>| {
            let ends =
                |(what, _): &(Match, Verdict)| [u32::from(what.first), u32::from(what.last) + 1];
            pieces.iter().flat_map(ends).collect()
        };
        self.pieces.iter().map(|(protocol, pieces)| (*protocol, bounds(pieces))).collect()
    }
}

fn entry(peer: Option<Identity>, what: Option<Match>, (outcome, cause): &Verdict) -> Entry {
    Entry { peer, what, outcome: *outcome, cause: cause.clone() }
}
