//! What becomes of a flow that was seen, by whom, and what would if audited policies were
//! enforced.

use postern_model::policy::{Direction, FlowVerdict, Mode};
use postern_model::resource::Element;
use postern_model::topology::Topology;

use super::compiler::Compiler;
use super::elements::CarriedOut;
use super::judge::{Default, Flow, INTERNAL, Judgement, Said, UNPUBLISHED};
use super::line::{Cause, Outcome};
use super::member::Member;

impl Judgement {
    /// What becomes of the flow.
    pub fn verdict(&self) -> FlowVerdict {
        // What no policy overrules is dropped before policies are asked.
        let absolute = matches!(self.default, Default::Drops(INTERNAL | UNPUBLISHED));
        let rejected = || self.objector().is_some_and(|(_, said)| said.outcome == Outcome::Reject);
        match self.passes {
            true => FlowVerdict::Passed,
            false if !absolute && rejected() => FlowVerdict::Rejected,
            false => FlowVerdict::Dropped,
        }
    }

    /// The policies that decide: of a flow that passes, those that accept it; of another, the
    /// first that objects. None if it is the networks who decide.
    pub fn deciders(&self) -> Vec<(Direction, &Cause)> {
        let sides = || self.sides().filter(|(_, said)| said.outcome == Outcome::Accept);
        let deciding: Vec<_> =
            if self.passes { sides().collect() } else { self.objector().into_iter().collect() };
        let causes = deciding.into_iter().map(|(direction, said)| (direction, said.cause.as_ref()));
        causes.filter_map(|(direction, cause)| Some((direction, cause?))).collect()
    }

    /// The side that objects; where both do, the one that is asked first.
    fn objector(&self) -> Option<(Direction, &Said)> {
        self.sides().find(|(_, said)| match said.outcome {
            Outcome::Deny | Outcome::Reject => true,
            Outcome::Isolated => !self.passes,
            Outcome::Accept | Outcome::Default => false,
        })
    }

    fn sides(&self) -> impl Iterator<Item = (Direction, &Said)> {
        let egress = self.egress.as_ref().map(|said| (Direction::Egress, said));
        let ingress = self.ingress.as_ref().map(|said| (Direction::Ingress, said));
        egress.into_iter().chain(ingress)
    }
}

impl Compiler {
    /// Judges a flow as if policies that are only audited were enforced; none if no such
    /// policy speaks of its ends.
    pub fn judge_audited(&self, topology: &Topology, flow: &Flow) -> Option<Judgement> {
        let ends = [flow.from, flow.to];
        let mut members = ends.iter().filter_map(|end| self.member_at(end.address()?));
        let audited = members.any(|member| self.audits(member));
        audited.then(|| self.judge_by(topology, flow, CarriedOut::All))
    }

    /// Whether an enforced policy speaks of the flow: then TCP must be seen to begin, and is
    /// reset otherwise.
    pub fn is_policed_flow(&self, flow: &Flow) -> bool {
        let ends = [(Direction::Egress, flow.from), (Direction::Ingress, flow.to)];
        ends.into_iter().any(|(direction, end)| {
            let policed = end.address().map(|ip| (ip, Element::Policed(direction, ip)));
            policed.is_some_and(|(ip, policed)| {
                self.member_at(ip).is_some_and(|member| member.elements.contains(&policed))
            })
        })
    }

    fn member_at(&self, address: std::net::IpAddr) -> Option<&Member> {
        self.members.get(self.by_address.get(&address)?)
    }

    /// Whether a policy that is only audited speaks of an endpoint.
    pub(super) fn audits(&self, member: &Member) -> bool {
        let mut policies = member.policies.iter().filter_map(|place| self.policies.get(place));
        policies.any(|selecting| selecting.policy.spec.mode == Mode::Audit)
    }
}
