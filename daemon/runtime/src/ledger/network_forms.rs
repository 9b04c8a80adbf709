//! A network that is made, changed or removed on this host, whoever asked for it: a client, or
//! another host of the cluster.

use std::collections::BTreeMap;

use postern_kernel::Kernel;
use postern_model::event::{Action, ObjectKind};
use postern_model::name::Labels;
use postern_model::network::Network;
use postern_model::plan::Plan;
use postern_model::refusal::Refusal;
use postern_model::resource::ResourceSet;
use postern_model::topology::Put;
use postern_planner::{desired, diff};

use super::{Core, Draft, Retry, shared};

pub(super) fn draft<'a>(
    network: &Network,
    action: Action,
    request: Option<&'a Retry>,
) -> Draft<'a> {
    let attributes = Labels::from([("driver".to_owned(), network.spec.driver.to_string())]);
    Draft {
        kind: ObjectKind::Network,
        action,
        uid: network.id.to_string(),
        name: network.name.to_string(),
        attributes,
        request,
    }
}

impl<K: Kernel> Core<K> {
    /// The plan from one form of a network to another one.
    pub(super) fn network_plan(&self, (old, new): (Option<&Network>, Option<&Network>)) -> Plan {
        let state = self.state();
        let set = |network: Option<&Network>| {
            let policed = |network: &Network| state.policies().is_policed(network.id);
            let all = |of: &Network| desired::network(of, policed(of), self.underlay());
            network.map(all).unwrap_or_default()
        };
        diff::plan(&set(new), &set(old), BTreeMap::new())
    }

    /// Makes a drafted network.
    pub(super) async fn make(
        &self,
        network: &mut Network,
        retry: Option<&Retry>,
    ) -> Result<(), Refusal> {
        self.put_network((None, network), Action::Created, retry).await
    }

    /// Has a network be in another form.
    pub(super) async fn alter(
        &self,
        old: &Network,
        new: &mut Network,
        retry: Option<&Retry>,
    ) -> Result<(), Refusal> {
        self.put_network((Some(old), new), Action::Updated, retry).await
    }

    async fn put_network(
        &self,
        (old, new): (Option<&Network>, &mut Network),
        action: Action,
        retry: Option<&Retry>,
    ) -> Result<(), Refusal> {
        let plan = self.network_plan((old, Some(new)));
        let back = self.network_plan((Some(new), old));
        let about = draft(new, action, retry);
        let put = |generation| {
            new.revision = generation;
            vec![Put::Network(new.clone())]
        };
        self.carry_out(about, &plan, put, || back).await.map(drop)
    }

    /// Removes a network that nothing uses.
    pub(super) async fn remove(
        &self,
        network: &Network,
        retry: Option<&Retry>,
    ) -> Result<(), Refusal> {
        let (plan, puts) = self.removal(network);
        let about = vec![draft(network, Action::Deleted, retry)];
        let mut committed = self.commit(about, &plan, |_| puts)?;
        let realized = self.realize(&mut committed).await;
        // Not withdrawn: what is left in the kernel belongs to nobody now, and the next
        // reconciliation removes it.
        self.settle(committed);
        realized.map(drop)
    }

    /// What goes with a network, from the kernel and from the records.
    pub(super) fn removal(&self, network: &Network) -> (Plan, Vec<Put>) {
        let mut set = desired::network(network, false, self.underlay());
        let (peers, mut puts) = shared::gone_with(self.state().topology(), network);
        set.extend(peers);
        puts.push(Put::NetworkGone(network.id));
        (diff::plan(&ResourceSet::default(), &set, BTreeMap::new()), puts)
    }
}
