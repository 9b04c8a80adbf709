//! Networks on their way to being records. What they have chosen already is taken, so that
//! another one can be made while their driver is asked: one that takes its time delays its
//! own networks and nobody else's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postern_model::id::NetworkId;
use postern_model::name::{IfName, Name};
use postern_model::network::Subnet;

/// The networks that are being made.
#[derive(Debug, Default)]
pub(super) struct Drafts(Mutex<BTreeMap<NetworkId, Chosen>>);

/// What one of them has chosen.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) name: Name,
    pub(super) driver: Name,
    pub(super) subnets: Vec<Subnet>,
    bridge: Option<IfName>,
}

/// A network that is being made, until it is dropped.
#[derive(Debug)]
pub(super) struct Drafted<'a> {
    drafts: &'a Drafts,
    network: NetworkId,
}

impl Drafts {
    fn all(&self) -> MutexGuard<'_, BTreeMap<NetworkId, Chosen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes subnets; whoever chooses them does so one at a time.
    pub(super) fn begin(
        &self,
        network: NetworkId,
        (name, driver): (Name, Name),
        subnets: Vec<Subnet>,
    ) -> Drafted<'_> {
        self.all().insert(network, Chosen { name, driver, subnets, bridge: None });
        Drafted { drafts: self, network }
    }

    /// What is chosen already.
    pub(super) fn chosen(&self) -> Vec<Chosen> {
        self.all().values().cloned().collect()
    }

    /// Takes the name of a bridge for a network; not if another one that is being made has it.
    pub(super) fn claim_bridge(&self, network: NetworkId, name: &IfName) -> bool {
        let mut all = self.all();
        let mut others = all.iter().filter(|(id, _)| **id != network);
        if others.any(|(_, other)| other.bridge.as_ref() == Some(name)) {
            return false;
        }
        if let Some(own) = all.get_mut(&network) {
            own.bridge = Some(name.clone());
        }
        true
    }
}

impl Drop for Drafted<'_> {
    fn drop(&mut self) {
        self.drafts.all().remove(&self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_has_chosen_is_taken_until_it_is_done() {
        let drafts = Drafts::default();
        let id = |last: u8| format!("00000000-0000-7000-8000-0000000000{last:02}").parse().unwrap();
        let names = || ("blue".parse().unwrap(), "bridge".parse().unwrap());
        let bridge: IfName = "br-x".parse().unwrap();
        let first = drafts.begin(id(1), names(), Vec::new());
        let _second = drafts.begin(id(2), names(), Vec::new());
        assert_eq!(drafts.chosen().len(), 2);
        assert!(drafts.claim_bridge(id(1), &bridge) && drafts.claim_bridge(id(1), &bridge));
        assert!(!drafts.claim_bridge(id(2), &bridge));
        drop(first);
        assert!(drafts.claim_bridge(id(2), &bridge));
        assert!(!drafts.claim_bridge(id(3), &bridge), "one that is there is judged alike");
    }
}
