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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
    let mut changes = BTreeSet::new();
    let flows = subjects.into_iter().flat_map(|subject| flows_of(after, forms, subject));
    for (judged, (from, to, flow)) in flows.enumerate() {
        if judged == JUDGED_MAX || changes.len() == CHANGES_MAX {
            return Impact { changes: changes.into_iter().collect(), truncated: true };
        }
        let [was, is] = [before, after].map(|one| one.judge(topology, &flow).passes);
        if was != is {
            let what = (flow.what != ANYTHING_ELSE).then_some(flow.what);
            // A pair of two subjects is met from both sides.
            changes.insert(PairChange { from, to, family: flow.family, what, allowed: is });
        }
    }
    Impact { changes: changes.into_iter().collect(), truncated: false }
}

/// Every kind of flow from and to an address that the forms' rules tell apart, with the
/// names of its ends.
fn flows_of<'a>(
    compiler: &'a Compiler,
    forms: &[&Policy],
    subject: IpAddr,
) -> impl Iterator<Item = (String, String, Flow)> + use<'a> {
    let family = Family::of(subject);
    let own = (compiler.name_of(subject), Party::Address(subject));
    let kinds = kinds(compiler, forms, family);
    let ends = compiler
        .parties(family)
        .filter(move |(_, peer)| *peer != own.1)
        .flat_map(move |peer| [(own.clone(), peer.clone()), (peer, own.clone())]);
    ends.flat_map(move |((from_name, from), (to_name, to))| {
        let flow = move |what| Flow { from, to, family, what, published: false, begins: None };
        let named = move |what| (from_name.clone(), to_name.clone(), flow(what));
        kinds.clone().into_iter().map(named)
    })
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
