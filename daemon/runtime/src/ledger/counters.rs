//! How many packets each rule of a policy has decided.

use std::collections::BTreeMap;

use postern_kernel::Kernel;
use postern_model::policy::{Direction, PolicySpec};
use postern_model::refusal::Refusal;
use postern_planner::policy::Counter;
use postern_server::RuleCount;

use super::{Ledger, check, outcome};

/// For so many endpoints at a time the state is held, and the kernel asked.
const AT_ONCE: usize = 64;

/// Packets by direction and rule.
type Counts = BTreeMap<(Direction, Option<usize>), u64>;

impl<K: Kernel> Ledger<K> {
    /// Counts the packets that each rule of a policy has decided.
    pub(crate) async fn policy_counters_now(
        &self,
        reference: &str,
    ) -> Result<Vec<RuleCount>, Refusal> {
        let (policy, subjects) = {
            let state = self.0.state();
            let policy = check::policy(state.topology(), reference)?.clone();
            let subjects = state.policies().selected_ids(&policy);
            (policy, subjects)
        };
        let mut counts = Counts::new();
        for some in subjects.chunks(AT_ONCE) {
            let counters: Vec<Counter> = {
                let state = self.0.state();
                let of = |id| state.policies().counters(&policy, id);
                some.iter().copied().flat_map(of).collect()
            };
            let elements = counters.iter().map(|counter| counter.element.clone()).collect();
            let packets = self.0.kernel.packets(elements).await;
            let packets = packets.map_err(|error| outcome::of_observe(&error))?;
            for (counter, packets) in counters.iter().zip(packets) {
                *counts.entry((counter.direction, counter.rule)).or_default() +=
                    packets.unwrap_or_default();
            }
        }
        Ok(by_rule(&policy.spec, &counts))
    }
}

/// One for each rule, in order, and for what no rule decides.
fn by_rule(spec: &PolicySpec, counts: &Counts) -> Vec<RuleCount> {
    let directions = Direction::ALL
        .into_iter()
        .filter_map(|direction| Some((direction, spec.rules(direction)?)));
    let mut all = Vec::new();
    for (direction, rules) in directions {
        let count = |rule| counts.get(&(direction, rule)).copied();
        all.extend(rules.iter().enumerate().map(|(index, rule)| RuleCount {
            direction,
            rule: Some((index, rule.id.clone(), rule.action)),
            packets: count(Some(index)).unwrap_or_default(),
        }));
        all.extend(count(None).map(|packets| RuleCount { direction, rule: None, packets }));
    }
    all
}
