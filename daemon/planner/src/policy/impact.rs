//! Which pairs a change of a policy allows or denies.

use std::collections::BTreeSet;
use std::net::IpAddr;

use postern_model::network::Family;
use postern_model::policy::{Direction, Policy, PolicyPort, Selection};
use postern_model::topology::Topology;

use super::compiler::Compiler;
use super::judge::{Flow, Party};

/// Most pairs that are judged; beyond, the answer is cut off and says so.
const JUDGED_MAX: usize = 50_000;
/// Most changes that are told.
const CHANGES_MAX: usize = 1_000;
/// A protocol that no rule can name (IANA: reserved): it stands for all that none does.
const ANYTHING_ELSE: Selection = Selection { protocol: 255, number: 0 };

/// One kind of flow that is decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairChange {
    /// Who begins it.
    pub from: String,
    /// Who is to answer.
    pub to: String,
    /// Of which family.
    pub family: Family,
    /// What is used; none for all that no rule of the policy names.
    pub what: Option<Selection>,
    /// Whether it may begin after the change.
    pub allowed: bool,
}

/// What a change comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impact {
    /// Every kind of flow that is decided otherwise.
    pub changes: Vec<PairChange>,
    /// There are more.
    pub truncated: bool,
}

/// Compares two compilers, of which the second has the new form of a policy, or does not
/// have it any more.
pub fn impact(
    topology: &Topology,
    (before, after): (&Compiler, &Compiler),
    forms: &[&Policy],
) -> Impact {
    let subjects: BTreeSet<IpAddr> = forms
        .iter()
        .flat_map(|policy| [before, after].map(|one| one.addresses_of(policy)))
        .flatten()
        .collect();
    let mut impact = Impact::default();
    let mut judged = 0;
    for subject in subjects {
        let family = Family::of(subject);
        let kinds = kinds(after, forms, family);
        for (name, peer) in
            after.parties(family).filter(|(_, peer)| *peer != Party::Address(subject))
        {
            for direction in Direction::ALL {
                for what in &kinds {
                    judged += 1;
                    if judged > JUDGED_MAX || impact.changes.len() >= CHANGES_MAX {
                        impact.truncated = true;
                        return impact;
                    }
                    let own = Party::Address(subject);
                    let (from, to) = match direction {
                        Direction::Egress => (own, peer),
                        Direction::Ingress => (peer, own),
                    };
                    let flow = Flow { from, to, family, what: *what, published: false };
                    let [was, is] = [before, after].map(|one| one.judge(topology, &flow).passes);
                    if was != is {
                        let own = after.name_of(subject);
                        let (from, to) = match direction {
                            Direction::Egress => (own, name.clone()),
                            Direction::Ingress => (name.clone(), own),
                        };
                        let what = (*what != ANYTHING_ELSE).then_some(*what);
                        let change = PairChange { from, to, family, what, allowed: is };
                        // A pair of two subjects is met from both sides.
                        if !impact.changes.contains(&change) {
                            impact.changes.push(change);
                        }
                    }
                }
            }
        }
    }
    impact
}

/// One of each kind that the forms' rules tell apart.
fn kinds(compiler: &Compiler, forms: &[&Policy], family: Family) -> BTreeSet<Selection> {
    let rules = forms.iter().flat_map(|policy| {
        Direction::ALL.into_iter().filter_map(|direction| policy.spec.rules(direction)).flatten()
    });
    let ports: Vec<&PolicyPort> = rules.flat_map(|rule| &rule.ports).collect();
    let named = |protocol, name: &str| compiler.ports_named(protocol, name);
    let matches = ports.into_iter().flat_map(|port| port.matches(family, named));
    let kinds = matches.map(|one| Selection { protocol: one.protocol, number: one.first });
    kinds.chain(std::iter::once(ANYTHING_ELSE)).collect()
}

impl Compiler {
    fn addresses_of(&self, policy: &Policy) -> Vec<IpAddr> {
        self.selected(policy).flat_map(|member| member.addresses.clone()).collect()
    }

    /// Every other end there can be, with its name.
    fn parties(&self, family: Family) -> impl Iterator<Item = (String, Party)> {
        let endpoints = self.by_address.keys().filter(move |ip| Family::of(**ip) == family);
        let endpoints = endpoints.map(|ip| (self.name_of(*ip), Party::Address(*ip)));
        let world = ("world".to_owned(), Party::Address(family.unspecified()));
        endpoints.chain([("host".to_owned(), Party::Host), world])
    }

    fn name_of(&self, address: IpAddr) -> String {
        let member = self.by_address.get(&address).and_then(|id| self.members.get(id));
        member.map_or_else(|| address.to_string(), |member| member.name.to_string())
    }
}
