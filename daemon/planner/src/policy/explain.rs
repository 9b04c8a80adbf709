//! Why a flow may begin, or not: every rule that was looked at, and what of the kernel's
//! maps decides it there.

use std::net::IpAddr;

use postern_model::policy::{Action, Direction, Mode, Policy, Selection, Tier};
use postern_model::resource::{Decision, Element};
use postern_model::topology::Topology;

use super::class::Identity;
use super::compiler::Compiler;
use super::elements::{self, CarriedOut};
use super::judge::{Flow, Judgement};
use super::line::Line;
use super::member::Member;

/// A whole explanation.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What is decided.
    pub judgement: Judgement,
    /// What would be, if policies that are only audited were carried out.
    pub audited: Judgement,
    /// What was looked at for its beginner, in order.
    pub egress: Vec<Looked>,
    /// What was looked at for its other end, in order.
    pub ingress: Vec<Looked>,
    /// The elements that decide it in the kernel.
    pub elements: Vec<Element>,
}

/// One rule that was looked at, or a policy that isolates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The policy's name.
    pub policy: String,
    /// When it is judged.
    pub tier: Tier,
    /// Whether it is only audited.
    pub audit: bool,
    /// The rule's index and name; none of a policy that has no rules in this direction.
    pub rule: Option<(usize, String)>,
    /// What it came to.
    pub came: Came,
}

/// What a rule came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It decides, or hands on.
    Matches(Action),
    /// It would match, but something before it has decided.
    Late(Action),
    /// It means other peers.
    OtherPeer,
    /// It means this peer, but other ports.
    OtherPort,
    /// It has no rules: it isolates and accepts nothing.
    Nothing,
}

impl Compiler {
    /// Explains a flow.
    pub fn explain(&self, topology: &Topology, flow: &Flow) -> Explanation {
        Explanation {
            judgement: self.judge(topology, flow),
            audited: self.judge_by(topology, flow, CarriedOut::All),
            egress: self.looked(flow, Direction::Egress),
            ingress: self.looked(flow, Direction::Ingress),
            elements: self.deciding(flow),
        }
    }

    fn looked(&self, flow: &Flow, direction: Direction) -> Vec<Looked> {
        let Some((member, address, peer)) = self.subject(flow, direction) else {
            return Vec::new();
        };
        let mut looked = Vec::new();
        let mut decided: Option<Tier> = None;
        let lines = elements::lines(self, member, (address, direction), CarriedOut::Enforced);
        let isolated = lines.isolated.is_some();
        if lines.closes(flow.what) {
            decided = Some(Tier::Baseline);
        }
        let policies = member.policies.iter().filter_map(|place| self.policies.get(place));
        for policy in policies.map(|selecting| &selecting.policy) {
            let audit = policy.spec.mode == Mode::Audit;
            let Some(rules) = policy.spec.rules(direction) else { continue };
            let tier = policy.spec.tier;
            if tier == Tier::Baseline && isolated {
                // Who is isolated is judged to the end before it.
                decided = decided.max(Some(Tier::Baseline));
            }
            let entry =
                |rule, came| Looked { policy: policy.name.to_string(), tier, audit, rule, came };
            if rules.is_empty() {
                looked.push(entry(None, Came::Nothing));
            }
            for (index, rule) in rules.iter().enumerate() {
                let at = ((address, direction), (policy, rule, index));
                let came = self.came(member, at, (peer, flow.what), decided);
                if let Came::Matches(action) = came
                    && !audit
                {
                    decided = Some(match action {
                        // What is passed on skips the rest of its own tier alone.
                        Action::Pass => tier,
                        _ => Tier::Baseline,
                    });
                }
                looked.push(entry(Some((index, rule.id.clone())), came));
            }
        }
        looked
    }

    fn came(
        &self,
        member: &Member,
        ((address, direction), (policy, rule, index)): (
            (IpAddr, Direction),
            (&Policy, &postern_model::policy::Rule, usize),
        ),
        (peer, what): (Identity, Selection),
        decided: Option<Tier>,
    ) -> Came {
        let line: Option<Line> =
            elements::line_of(self, member, (address, direction), (policy, rule, index));
        let Some(line) = line.filter(|line| line.is_for(Some(peer))) else {
            return Came::OtherPeer;
        };
        let matches = super::line::Lines::matches(&line, Some(peer), self);
        if !matches.is_none_or(|matches| matches.iter().any(|one| one.contains(what))) {
            return Came::OtherPort;
        }
        match decided {
            Some(tier) if line.tier <= tier => Came::Late(line.action),
            _ => Came::Matches(line.action),
        }
    }

    /// The elements that the kernel's lookups for the flow come upon.
    fn deciding(&self, flow: &Flow) -> Vec<Element> {
        let mut elements = Vec::new();
        for direction in [Direction::Egress, Direction::Ingress] {
            let Some((member, address, peer)) = self.subject(flow, direction) else { continue };
            let fits = |of: &Decision| {
                of.direction == direction
                    && of.subject == address
                    && of.peer.is_none_or(|of| of == peer)
                    && of.what.is_none_or(|of| of.contains(flow.what))
            };
            let used = |element: &&Element| match element {
                Element::Identity(ip, _) => *ip == address,
                Element::Policed(of, ip) | Element::Isolated(of, ip) => {
                    *of == direction && *ip == address
                }
                Element::Decision(of) => fits(of),
                _ => false,
            };
            elements.extend(member.elements.iter().filter(used).cloned());
        }
        elements.extend(self.named_element(flow));
        elements.sort();
        elements.dedup();
        elements
    }
}
