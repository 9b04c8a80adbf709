//! Which of the kernel's counters belong to which rule.

use postern_model::id::EndpointId;
use postern_model::policy::{Direction, Policy};
use postern_model::resource::Element;

use super::compiler::Compiler;
use super::elements::{self, CarriedOut};
use super::line::Cause;

/// An element that counts the packets that a policy decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The element.
    pub element: Element,
    /// At which end.
    pub direction: Direction,
    /// By which rule; none where the policy decides by isolating, or by closing resolvers.
    pub rule: Option<usize>,
}

impl Compiler {
    /// The joined endpoints that a policy selects now.
    pub fn selected_ids(&self, policy: &Policy) -> Vec<EndpointId> {
        let place = self.places.get(&policy.id);
        let selecting = place.and_then(|place| self.policies.get(place));
        selecting.into_iter().flat_map(|selecting| &selecting.subjects).copied().collect()
    }

    /// The elements of one endpoint that stand for a policy; none if the policy is not
    /// carried out for it.
    pub fn counters(&self, policy: &Policy, endpoint: EndpointId) -> Vec<Counter> {
        let mut counters = Vec::new();
        let Some(member) = self.members.get(&endpoint) else { return counters };
        let own = |cause: &Option<Cause>| {
            let own = cause.as_ref().filter(|cause| cause.policy == policy.name.as_str());
            own.map(|cause| cause.rule)
        };
        let places = member.addresses.iter().flat_map(|address| {
            Direction::ALL.into_iter().map(move |direction| (*address, direction))
        });
        for (address, direction) in places {
            let lines = elements::lines(self, member, (address, direction), CarriedOut::Enforced);
            if let Some(rule) = own(&lines.isolated) {
                let element = Element::Isolated(direction, address);
                counters.push(Counter { element, direction, rule });
            }
            counters.extend(lines.entries(self).iter().filter_map(|entry| {
                let rule = own(&entry.cause)?;
                let element = elements::decision(address, direction, entry);
                Some(Counter { element, direction, rule })
            }));
        }
        counters
    }
}
