//! Endpoints on other hosts: what this host does to reach them, and to know them.

use std::collections::{BTreeMap, BTreeSet};

use postern_kernel::Kernel;
use postern_model::cluster::{Peer, Remote};
use postern_model::event::{Action, ObjectKind};
use postern_model::id::{EndpointId, NetworkId};
use postern_model::name::Labels;
use postern_model::network::Network;
use postern_model::plan::Plan;
use postern_model::refusal::{Class, Refusal};
use postern_model::resource::{Resource, ResourceSet};
use postern_model::sandbox::Sandbox;
use postern_model::topology::{Put, Topology};
use postern_planner::view::View;
use postern_planner::{desired, diff};
use tokio::sync::OwnedRwLockWriteGuard;

use crate::cluster::Membership;
use crate::ledger::locks::LockKey;
use crate::ledger::{Core, Draft, namespace_ref};

/// What watchers are told of an endpoint on another host.
fn draft<'a>(peer: &Peer, network: &Network, action: Action) -> Draft<'a> {
    let mut attributes = Labels::from([
        ("network".to_owned(), network.name.to_string()),
        ("sandbox".to_owned(), peer.sandbox.name.to_string()),
        ("host".to_owned(), peer.host.to_string()),
        ("underlay".to_owned(), peer.underlay.to_string()),
    ]);
    for address in &peer.endpoint.addresses {
        let key = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        attributes.insert(key.to_owned(), address.ip().to_string());
    }
    Draft {
        kind: ObjectKind::Peer,
        action,
        uid: peer.id().to_string(),
        name: peer.endpoint.name.to_string(),
        attributes,
        request: None,
    }
}

/// The plan from one form of an endpoint on another host to another one. It is felt by what
/// is on its network here, and by sandboxes on both ends of links.
fn plan_between(
    topology: &Topology,
    network: &Network,
    (old, new): (Option<&Remote>, Option<&Remote>),
) -> Plan {
    let Some(id) = old.or(new).map(|remote| remote.peer.id()) else { return Plan::default() };
    let names: BTreeSet<&str> =
        [old, new].into_iter().flatten().map(|of| of.peer.sandbox.name.as_str()).collect();
    let linkers: BTreeMap<_, &Sandbox> = names
        .iter()
        .flat_map(|name| topology.linkers(name))
        .map(|sandbox| (sandbox.id, sandbox))
        .collect();
    let set = |form: Option<&Remote>| {
        let view = View::of(topology).with_peer(id, form);
        let mut set: ResourceSet =
            linkers.values().flat_map(|one| desired::sandbox(&view, one)).collect();
        if let Some(remote) = form {
            set.extend(desired::peer(remote, network));
        }
        // One of the host's endpoints is enough, whichever.
        let hosts = [old, new].into_iter().flatten().map(|of| of.peer.underlay);
        set.extend(hosts.filter_map(|host| desired::sender(&view, network, host)));
        // Each of the sandbox's endpoints has a part in what its links come to.
        for sandbox in [old, new].into_iter().flatten().map(|of| of.peer.sandbox.id) {
            if let Some(sandbox) = view.remote_sandbox(sandbox) {
                set.extend(desired::remote_links(&view, sandbox));
            }
        }
        set
    };
    let namespaces = linkers.values().map(|sandbox| namespace_ref(sandbox)).collect();
    diff::plan(&set(new), &set(old), namespaces)
}

/// What goes with a network of endpoints on other hosts: from the kernel, and from the records.
pub(in crate::ledger) fn gone_with(
    topology: &Topology,
    network: &Network,
) -> (ResourceSet, Vec<Put>) {
    let peers = || topology.peers().of_network(network.id);
    let mut set: ResourceSet = peers().flat_map(|remote| desired::peer(remote, network)).collect();
    set.extend(senders(topology, network));
    (set, peers().map(|remote| Put::PeerGone(remote.peer.id())).collect())
}

/// Who in the underlay may send frames of a network.
pub(in crate::ledger) fn senders(
    topology: &Topology,
    network: &Network,
) -> impl Iterator<Item = Resource> {
    let view = View::of(topology);
    let hosts = topology.peers().of_network(network.id).map(|remote| remote.peer.underlay);
    let hosts: BTreeSet<std::net::IpAddr> = hosts.collect();
    hosts.into_iter().filter_map(move |host| desired::sender(&view, network, host))
}

impl<K: Kernel> Core<K> {
    /// Has an endpoint on another host be here as the cluster says.
    pub(super) async fn see_peer(
        &self,
        membership: &Membership,
        network: NetworkId,
        id: EndpointId,
    ) -> Result<(), Refusal> {
        let _moving = self.standstill.read().await;
        // Nobody else changes what is known of it, so that it stays as it is read here.
        let wanted = membership.peer(network, id);
        let old = self.state().topology().peers().get(id).cloned();
        if wanted.as_ref() == old.as_ref().map(|remote| &remote.peer) {
            return Ok(());
        }
        let ends = old.iter().map(|remote| &remote.peer).chain(&wanted);
        let _sources = self.lock_names_of(ends).await;
        let _network = self.locks.read(LockKey::Network(network)).await;
        let network = self.state().topology().network(network).cloned();
        let Some(network) = network.filter(Network::is_shared) else {
            // Whoever takes it over, or lets it go, sees to all that are on it.
            return Ok(());
        };
        let new = match wanted {
            Some(peer) => {
                self.check_addresses(&peer)?;
                let decision = self.ask_peer(membership, &network, &peer).await?;
                Some(Remote { peer, decision })
            }
            None => None,
        };
        self.change_peer(&network, (old, new)).await
    }

    async fn change_peer(
        &self,
        network: &Network,
        (old, new): (Option<Remote>, Option<Remote>),
    ) -> Result<(), Refusal> {
        let (about, put) = match (&old, &new) {
            (Some(old), None) => {
                (draft(&old.peer, network, Action::Left), Put::PeerGone(old.peer.id()))
            }
            (old, Some(new)) => {
                let action = if old.is_some() { Action::Updated } else { Action::Joined };
                (draft(&new.peer, network, action), Put::Peer(Box::new(new.clone())))
            }
            (None, None) => return Ok(()),
        };
        let plan = |ends| plan_between(self.state().topology(), network, ends);
        let there = plan((old.as_ref(), new.as_ref()));
        let back = || plan((new.as_ref(), old.as_ref()));
        self.carry_out(about, &there, |_| vec![put], back).await.map(drop)
    }

    /// What is done for an address must not be undone when whoever had it before goes.
    fn check_addresses(&self, peer: &Peer) -> Result<(), Refusal> {
        let state = self.state();
        for address in &peer.endpoint.addresses {
            let holder = state.topology().peers().at(peer.network(), address.ip());
            if let Some(holder) = holder.filter(|holder| holder.peer.id() != peer.id()) {
                let text =
                    format!("{} is still that of `{}`", address.ip(), holder.peer.endpoint.name);
                return Err(Refusal::new(Class::Aborted, "ADDRESS_TAKEN", text));
            }
        }
        Ok(())
    }

    /// Whoever changes links to these sandboxes, or endpoints that their links lead to, waits.
    async fn lock_names_of(
        &self,
        peers: impl Iterator<Item = &Peer>,
    ) -> Vec<OwnedRwLockWriteGuard<()>> {
        let mut names = BTreeSet::new();
        for peer in peers {
            names.insert(peer.sandbox.name.to_string());
            names.extend(peer.sandbox.spec.links.iter().map(|link| link.source.to_string()));
        }
        let mut guards = Vec::with_capacity(names.len());
        for name in names {
            guards.push(self.locks.write(LockKey::LinkSource(name)).await);
        }
        guards
    }

    async fn ask_peer(
        &self,
        membership: &Membership,
        network: &Network,
        peer: &Peer,
    ) -> Result<postern_model::decision::PeerDecision, Refusal> {
        let own = membership.about().underlay;
        if own.is_ipv4() != peer.underlay.is_ipv4() {
            let text = format!(
                "host `{}` is at {}, and this one at {own}: of two families",
                peer.host, peer.underlay
            );
            return Err(Refusal::new(Class::Precondition, "UNDERLAY_FAMILY", text));
        }
        let driver = self.driver(network.spec.driver.as_str())?;
        self.ask_for_peer(&driver, network, peer)
    }
}
