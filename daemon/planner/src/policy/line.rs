//! The policies of one endpoint and direction as one list of lines, and what the list says
//! of a flow.

use std::collections::BTreeSet;

use postern_model::policy::{Action, Direction, Match, Policy, Selection, Tier};
use postern_model::port::Protocol;

use super::class::Identity;

/// What a policy's side says of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A rule lets it through.
    Accept,
    /// A rule drops it.
    Deny,
    /// A rule refuses it.
    Reject,
    /// The endpoint is isolated, and no rule lets it through: only a link, a name or a
    /// port's own list may.
    Isolated,
    /// No policy has an opinion: the networks decide.
    Default,
}

/// Which rule decided, or which policy by isolating.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// The policy's name.
    pub policy: String,
    /// Its rule's index in the direction; none where it isolates.
    pub rule: Option<usize>,
}

/// One rule for one endpoint: whom it means is resolved.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) tier: Tier,
    pub(super) action: Action,
    /// None: everybody.
    pub(super) peers: Option<BTreeSet<Identity>>,
    /// None: everything.
    pub(super) ports: Option<Ports>,
    pub(super) cause: Cause,
}

/// What a line lets be used.
#[derive(Debug, Clone, Default)]
pub(super) struct Ports {
    pub(super) fixed: Vec<Match>,
    /// Ports of the peer, where that is who serves.
    pub(super) named: Vec<(Protocol, String)>,
}

/// Every line of an endpoint's direction, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    /// The first policy that isolates, if one does.
    pub(super) isolated: Option<Cause>,
    /// Whether any policy speaks for it at all.
    pub(super) policed: bool,
}

/// What is judged: a flow of one kind, or every kind that no line names.
pub(super) type Kind = Option<Selection>;

impl Line {
    pub(super) fn is_for(&self, peer: Option<Identity>) -> bool {
        match (&self.peers, peer) {
            (None, _) => true,
            (Some(peers), Some(peer)) => peers.contains(&peer),
            (Some(_), None) => false,
        }
    }
}

/// Who serves under a name, by identity.
pub(super) trait Named {
    /// The ports of a peer.
    fn named(&self, peer: Identity, protocol: Protocol, name: &str) -> Vec<Match>;
    /// Whoever has such a port.
    fn serving(&self, protocol: Protocol, name: &str) -> Vec<Identity>;
}

impl Lines {
    /// Whether what comes before every rule decides: a line of no rule.
    pub(super) fn closes(&self, what: Selection) -> bool {
        let first = self.lines.first().filter(|line| line.cause.rule.is_none());
        let ports = first.and_then(|line| line.ports.as_ref());
        ports.is_some_and(|ports| ports.fixed.iter().any(|one| one.contains(what)))
    }

    /// What a line matches of a peer; none if it matches everything.
    pub(super) fn matches(
        line: &Line,
        peer: Option<Identity>,
        named: &impl Named,
    ) -> Option<Vec<Match>> {
        let ports = line.ports.as_ref()?;
        let mut matches = ports.fixed.clone();
        if let Some(peer) = peer {
            let of = |(protocol, name): &(Protocol, String)| named.named(peer, *protocol, name);
            matches.extend(ports.named.iter().flat_map(of));
        }
        Some(matches)
    }

    /// The lines that can speak of a peer, or of everybody who is not named.
    pub(super) fn of(&self, peer: Option<Identity>) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.is_for(peer))
    }

    /// The first decision, tier by tier.
    pub(super) fn judge(
        &self,
        peer: Option<Identity>,
        kind: Kind,
        named: &impl Named,
    ) -> (Outcome, Option<Cause>) {
        let fits = |line: &&Line| match (Self::matches(line, peer, named), kind) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(matches), Some(kind)) => matches.iter().any(|one| one.contains(kind)),
        };
        let first = |tier| self.of(peer).filter(|line| line.tier == tier).find(fits);
        if let Some(line) = first(Tier::Admin)
            && let Some(outcome) = decided(line.action)
        {
            return (outcome, Some(line.cause.clone()));
        }
        if let Some(isolated) = &self.isolated {
            return match first(Tier::App) {
                Some(line) => (Outcome::Accept, Some(line.cause.clone())),
                None => (Outcome::Isolated, Some(isolated.clone())),
            };
        }
        match first(Tier::Baseline).and_then(|line| Some((decided(line.action)?, line))) {
            Some((outcome, line)) => (outcome, Some(line.cause.clone())),
            None => (Outcome::Default, None),
        }
    }
}

const fn decided(action: Action) -> Option<Outcome> {
    match action {
        Action::Accept => Some(Outcome::Accept),
        Action::Deny => Some(Outcome::Deny),
        Action::Reject => Some(Outcome::Reject),
        Action::Pass => None,
    }
}

/// The policies that are carried out and speak of a direction.
pub(super) fn isolating<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    direction: Direction,
) -> Option<Cause> {
    let mut app = policies.filter(|policy| {
        policy.spec.tier == Tier::App && policy.spec.directions.contains(&direction)
    });
    app.next().map(|policy| Cause { policy: policy.name.to_string(), rule: None })
}
