//! What a committed change still has to do in the kernel.
//!
//! Elements go first and in the order of commits: they are submitted under the lock that
//! orders these. So two calls that concern one element cannot overtake each other, and an
//! endpoint that goes is out of service before its policies are gone. Steps are ordered by
//! the locks of the objects that they are about. Only whether a bridge has the frames
//! between its neighbours judged depends on what no call has a lock of, the policies and
//! every endpoint: that is set to what holds by then, not to what held at the commit.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_kernel::conntrack::Tracked;
use postern_kernel::nft::Submitted;
use postern_kernel::{ApplyError, Kernel, LiveFlows};
use postern_model::id::NetworkId;
use postern_model::name::IfName;
use postern_model::network::{Family, Network};
use postern_model::plan::{Plan, Step};
use postern_model::policy::Selection;
use postern_model::refusal::Refusal;
use postern_model::resource::{Bridge, Element, Owner, Resource};
use postern_model::topology::Put;
use postern_planner::desired;
use postern_planner::names::bridge_of;
use postern_planner::policy::{Delta, Flow, Party};

use super::locks::LockKey;
use super::state::State;
use super::{Core, outcome};

/// Elements on their way, and what comes after them.
pub(super) struct Pending {
    submitted: Submitted,
    /// Without its elements.
    plan: Plan,
    /// Addresses whose flows may be forbidden now.
    narrowed: BTreeSet<IpAddr>,
    /// Networks on which frames between neighbours are judged from now on, or need not be.
    judged: BTreeSet<NetworkId>,
    /// Networks of which it may be otherwise than the plan has it.
    changed: BTreeSet<NetworkId>,
}

impl Pending {
    /// Submits the elements of a plan and of a change of policies as one transaction; `puts`
    /// are the records of the change.
    pub(super) fn begin<K: Kernel>(
        kernel: &K,
        state: &State,
        puts: &[Put],
        mut plan: Plan,
        delta: Delta,
    ) -> Self {
        let Delta { remove, add, mut narrowed, judged } = delta;
        let elements = || plan.remove.iter().chain(&plan.add);
        narrowed.extend(elements().filter_map(listed));
        narrowed.extend(elements().filter_map(opened).flat_map(|bridge| on(state, bridge)));
        plan.remove.extend(remove);
        plan.add.extend(add);
        let changed = changed(puts, &plan);
        let submitted = kernel.submit(&plan.remove, &plan.add);
        plan.remove.clear();
        plan.add.clear();
        Self { submitted, plan, narrowed, judged, changed }
    }
}

/// Whose published port is for others than before.
const fn listed(element: &Element) -> Option<IpAddr> {
    match element {
        Element::Restricted(ip, ..) | Element::AllowFrom(ip, ..) => Some(*ip),
        _ => None,
    }
}

/// The bridge of a network that lets through more or less than before, where no policy has
/// an opinion.
const fn opened(element: &Element) -> Option<&IfName> {
    match element {
        Element::Neighbours(bridge) | Element::Open(bridge) | Element::Direct(bridge) => {
            Some(bridge)
        }
        _ => None,
    }
}

/// The addresses of the endpoints on a bridge.
fn on<'a>(state: &'a State, bridge: &IfName) -> impl Iterator<Item = IpAddr> + use<'a> {
    let topology = state.topology();
    let network = topology.networks().find(|network| {
        bridge_of(network.id, &network.decision).is_some_and(|(_, name)| name == *bridge)
    });
    let joined = network.into_iter().flat_map(|network| topology.endpoints_of_network(network.id));
    joined.flat_map(|endpoint| &endpoint.addresses).map(IpNetwork::ip)
}

/// The bridge of a network as it should be.
fn bridge(network: &Network, policed: bool) -> Option<Bridge> {
    let set = desired::network(network, policed, None);
    set.iter().find_map(|(_, resource)| match resource {
        Resource::Bridge(bridge) => Some(bridge.clone()),
        _ => None,
    })
}

/// The networks of records that are changed, not made: whoever planned that knew only who was
/// policed by then.
fn changed(puts: &[Put], plan: &Plan) -> BTreeSet<NetworkId> {
    let made = plan.steps.iter().filter_map(|step| match step {
        Step::Create(Resource::Bridge(bridge)) => Some(bridge.owner),
        _ => None,
    });
    let made: BTreeSet<Owner> = made.collect();
    let networks = puts.iter().filter_map(|put| match put {
        Put::Network(network) => Some(network.id),
        _ => None,
    });
    networks.filter(|id| !made.contains(&Owner::Network(*id))).collect()
}

impl<K: Kernel> Core<K> {
    /// Waits for the elements, cuts what they forbid, and does the rest.
    pub(super) async fn apply(&self, pending: Pending) -> Result<usize, Refusal> {
        let Pending { submitted, plan, narrowed, judged, changed } = pending;
        let refused = |error: &ApplyError| outcome::of_apply(error);
        submitted.done().await.map_err(|source| refused(&ApplyError::Nft { source }))?;
        for network in judged {
            // Before an endpoint is there whose frames would pass.
            self.see_to_judging(network).await?;
        }
        self.kernel.apply(&plan).await.map_err(|error| refused(&error))?;
        for network in changed {
            self.see_to_judging(network).await?;
        }
        if narrowed.is_empty() {
            return Ok(0);
        }
        let live = self.kernel.flows(narrowed).await.map_err(|e| outcome::of_observe(&e))?;
        let forbidden = self.forbidden_of(live);
        let count = forbidden.len();
        self.kernel.end(forbidden).await.map_err(|error| refused(&error))?;
        Ok(count)
    }

    /// Has the frames between the neighbours of a network judged, or not. Of calls that come
    /// here at the same time the last one finds what all of them have committed.
    async fn see_to_judging(&self, network: NetworkId) -> Result<(), Refusal> {
        let _judging = self.locks.write(LockKey::Judging(network)).await;
        let Some(bridge) = self.bridge_now(network) else { return Ok(()) };
        let other = Bridge { filtered: !bridge.filtered, ..bridge.clone() };
        let step = Step::Update { from: Resource::Bridge(other), to: Resource::Bridge(bridge) };
        let plan = Plan { steps: vec![step], ..Plan::default() };
        match self.kernel.apply(&plan).await {
            Err(error) if self.bridge_now(network).is_some() => Err(outcome::of_apply(&error)),
            // The network may have been deleted meanwhile.
            _ => Ok(()),
        }
    }

    /// A network's bridge as it should be; none if it has none, or is gone.
    fn bridge_now(&self, network: NetworkId) -> Option<Bridge> {
        let state = self.state();
        bridge(state.topology().network(network)?, state.policies().is_policed(network))
    }

    /// Those of some flows that may not begin any more.
    pub(super) fn forbidden_of(&self, live: LiveFlows) -> Vec<Tracked> {
        let LiveFlows { flows, host } = live;
        let state = self.state();
        let forbidden = |tracked: &Tracked| {
            let flow = flow(tracked, &host);
            !state.policies().judge(state.topology(), &flow).passes
        };
        flows.into_iter().filter(forbidden).collect()
    }
}

/// A tracked flow as rules see it.
pub(super) fn flow(tracked: &Tracked, host: &BTreeSet<IpAddr>) -> Flow {
    let party = |ip: IpAddr| match host.contains(&ip) || ip.is_loopback() {
        // A gateway's address is both; rules know it by address.
        true => Party::HostAt(ip),
        false => Party::Address(ip),
    };
    let what: Selection = tracked.what();
    Flow {
        from: party(tracked.client()),
        to: party(tracked.server()),
        family: Family::of(tracked.server()),
        what,
        published: tracked.is_translated(),
        begins: None,
    }
}
