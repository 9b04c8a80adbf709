//! Networks that hosts share: claimed, taken over from others, changed and let go.

use postern_kernel::Kernel;
use postern_model::cluster::{SharedNetwork, Vni};
use postern_model::event::ObjectKind;
use postern_model::id::NetworkId;
use postern_model::network::{Network, NetworkSpec, overlaps};
use postern_model::refusal::{Class, Refusal};
use postern_planner::subnets::Occupied;
use postern_plugin::LoadedDriver;

use crate::cluster::Membership;
use crate::ledger::ask::NetworkDraft;
use crate::ledger::locks::LockKey;
use crate::ledger::{Core, Retry, now, outcome};

/// The least that a network of either family can live on (RFC 8200 §5).
const MTU_MIN: u32 = 1280;

/// What is offered where a VNI is to be seen and none is claimed yet.
pub(in crate::ledger) const NO_VNI_YET: Vni = Vni::MIN;

impl<K: Kernel> Core<K> {
    /// The cluster, for a network of a driver whose networks are its; none of another driver.
    pub(in crate::ledger) fn cluster_for(
        &self,
        driver: &LoadedDriver,
    ) -> Result<Option<&Membership>, Refusal> {
        if !driver.info().multi_host {
            return Ok(None);
        }
        let membership = self.membership.as_ref().ok_or_else(|| {
            let name = &driver.info().manifest.name;
            let text = format!(
                "networks of driver `{name}` are shared by the hosts of a cluster, and this host \
                 is of none: set cluster.endpoints"
            );
            outcome::precondition("NO_CLUSTER", text).at("spec.driver")
        })?;
        membership.check_reached()?;
        Ok(Some(membership))
    }

    /// Gives the spec of a network that hosts share what follows from the way between them.
    pub(in crate::ledger) fn fit_to_underlay(
        &self,
        membership: &Membership,
        spec: &mut NetworkSpec,
    ) -> Result<(), Refusal> {
        let most = membership.mtu();
        if most < MTU_MIN {
            let text = format!(
                "a frame between hosts has room for {most} bytes, which is less than {MTU_MIN}"
            );
            return Err(outcome::precondition("UNDERLAY_MTU", text).at("spec.driver"));
        }
        match spec.mtu {
            Some(mtu) if mtu > most => {
                let text = format!("{mtu} is over {most}, what a frame between hosts has room for");
                Err(Refusal::field("spec.mtu", text))
            }
            asked => {
                spec.mtu = Some(asked.unwrap_or(most));
                Ok(())
            }
        }
    }

    /// Where a network that hosts share cannot be: other networks of the cluster, and hosts.
    pub(in crate::ledger) fn occupied_elsewhere(&self, membership: &Membership) -> Vec<Occupied> {
        let networks = membership.networks().into_iter().flat_map(|shared| {
            let name = shared.network.name;
            shared
                .network
                .subnets
                .into_iter()
                .map(move |subnet| Occupied { prefix: subnet.subnet, network: Some(name.clone()) })
        });
        let hosts = membership.underlays().into_iter().map(ipnetwork::IpNetwork::from);
        networks.chain(hosts.map(|prefix| Occupied { prefix, network: None })).collect()
    }

    /// Has a drafted network be the cluster's, and decided with the VNI that it has then.
    pub(in crate::ledger) async fn claim(
        &self,
        driver: &LoadedDriver,
        network: &mut Network,
        retry: Option<&Retry>,
    ) -> Result<(), Refusal> {
        let Some(membership) = self.membership.as_ref().filter(|_| network.is_shared()) else {
            return Ok(());
        };
        network.vni = Some(membership.claim_network(network).await?.vni);
        let request = retry.map(|retry| retry.id.as_str());
        match self.ask_network(driver, &NetworkDraft::of(network), request).await {
            Ok((decision, _)) => {
                network.decision = decision;
                Ok(())
            }
            Err(refusal) => {
                self.disclaim(network).await;
                Err(refusal)
            }
        }
    }

    /// Has all hosts change a network, if it is theirs.
    pub(in crate::ledger) async fn agree_on(&self, network: &Network) -> Result<(), Refusal> {
        match self.membership.as_ref().filter(|_| network.is_shared()) {
            Some(membership) => membership.change_network(network).await,
            None => Ok(()),
        }
    }

    /// Has all hosts let go of a network, if it is theirs and none uses it.
    pub(in crate::ledger) async fn release(&self, network: &Network) -> Result<(), Refusal> {
        match self.membership.as_ref().filter(|_| network.is_shared()) {
            Some(membership) => membership.release_network(network).await,
            None => Ok(()),
        }
    }

    /// Lets go of a network that came to nothing. Where etcd is lost meanwhile, it is let go
    /// when it is there again.
    pub(in crate::ledger) async fn disclaim(&self, network: &Network) {
        let Some(membership) = self.membership.as_ref().filter(|_| network.is_shared()) else {
            return;
        };
        if let Err(refusal) = membership.release_network(network).await {
            tracing::warn!(network = %network.name, %refusal, "a claimed network is not let go yet");
        }
    }

    /// Has a network be here as the cluster says; whether it is new, or gone.
    pub(super) async fn see_network(
        &self,
        membership: &Membership,
        id: NetworkId,
    ) -> Result<bool, Refusal> {
        let _moving = self.standstill.read().await;
        let name = membership.network(id).map(|shared| shared.network.name);
        let _name = match &name {
            Some(name) => Some(self.locks.write(LockKey::NetworkName(name.to_string())).await),
            None => None,
        };
        if membership.network(id).is_none() {
            self.evict(id).await?;
        }
        let _network = self.locks.write(LockKey::Network(id)).await;
        // As it is now: whoever had the lock may have changed it.
        let wanted = membership.network(id);
        let here = self.state().topology().network(id).cloned();
        match (wanted, here.filter(Network::is_shared)) {
            (None, None) => Ok(false),
            (Some(shared), None) if shared.origin == membership.node() => {
                self.forget_claim(membership, shared).await
            }
            (Some(shared), None) => self.adopt_network(shared).await.map(|()| true),
            (Some(shared), Some(here)) => {
                let here = self.follow_spec(&shared, here).await?;
                self.record_blocks(here, membership.own_blocks(id)).await?;
                Ok(false)
            }
            (None, Some(here)) => self.let_go(&here).await.map(|()| true),
        }
    }

    /// A network that this host has claimed and has no record of came to nothing here. Others
    /// may have begun to use it, though.
    async fn forget_claim(
        &self,
        membership: &Membership,
        shared: SharedNetwork,
    ) -> Result<bool, Refusal> {
        let network = Network { vni: Some(shared.vni), ..shared.network.clone() };
        match membership.release_network(&network).await {
            Ok(()) => Ok(false),
            Err(refusal) if refusal.class == Class::Precondition => {
                self.adopt_network(shared).await.map(|()| true)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Makes a network here that another host has made.
    async fn adopt_network(&self, shared: SharedNetwork) -> Result<(), Refusal> {
        let SharedNetwork { network, vni, .. } = shared;
        let driver = self.driver(network.spec.driver.as_str())?;
        if !driver.info().multi_host {
            let text = format!("driver `{}` of this host is for single hosts", network.spec.driver);
            return Err(outcome::precondition("DRIVER_UNSUPPORTED", text));
        }
        if self.state().topology().find_network(network.name.as_str()).is_some() {
            return Err(Refusal::name_taken(ObjectKind::Network, network.name.to_string()));
        }
        let one_at_a_time = self.choosing_subnets.lock().await;
        let host = self.kernel.host_prefixes().await.map_err(|e| outcome::of_observe(&e))?;
        self.check_room(&network, &host)?;
        let names = (network.name.clone(), network.spec.driver.clone());
        let _drafted = self.drafts.begin(network.id, names, network.subnets.clone());
        drop(one_at_a_time);
        let mut network = Network { vni: Some(vni), created: now(), ..network };
        let (decision, _) = self.ask_network(&driver, &NetworkDraft::of(&network), None).await?;
        network.decision = decision;
        network.driver_digest.clone_from(&driver.info().digest);
        self.make(&mut network, None).await
    }

    /// The subnets must be free on this host too.
    fn check_room(&self, network: &Network, host: &[ipnetwork::IpNetwork]) -> Result<(), Refusal> {
        let occupied = self.occupied_here(host);
        for subnet in &network.subnets {
            let overlap = occupied.iter().find(|of| overlaps(of.prefix, subnet.subnet));
            let Some(found) = overlap else { continue };
            let whose = match &found.network {
                Some(name) => format!("network `{name}` of this host"),
                None => "a network that this host is on".to_owned(),
            };
            let text = format!("{} overlaps {}, {whose}", subnet.subnet, found.prefix);
            return Err(outcome::precondition("SUBNET_OVERLAPS", text));
        }
        Ok(())
    }

    /// Changes what another host has changed.
    async fn follow_spec(&self, shared: &SharedNetwork, old: Network) -> Result<Network, Refusal> {
        if shared.network.spec == old.spec {
            return Ok(old);
        }
        let driver = self.driver(old.spec.driver.as_str())?;
        let mut new = Network { spec: shared.network.spec.clone(), ..old.clone() };
        let (decision, _) = self.ask_network(&driver, &NetworkDraft::of(&new), None).await?;
        new.decision = decision;
        new.driver_digest.clone_from(&driver.info().digest);
        self.alter(&old, &mut new, None).await?;
        Ok(new)
    }

    /// Disconnects what is left of this host on a network that others have deleted. That can
    /// be only where this host was away and was given up, since nobody deletes a network that
    /// is in use: its VNI may be another network's by now.
    async fn evict(&self, id: NetworkId) -> Result<(), Refusal> {
        let left: Vec<_> = {
            let state = self.state();
            let Some(network) = state.topology().network(id).filter(|of| of.is_shared()) else {
                return Ok(());
            };
            let left = state.topology().endpoints_of_network(network.id);
            left.map(|endpoint| endpoint.id).collect()
        };
        for endpoint in left {
            tracing::warn!(%endpoint, network = %id, "disconnected: the cluster has no such network any more");
            self.disconnect_for_deletion(endpoint).await?;
        }
        Ok(())
    }

    /// Removes a network that the cluster does not have any more.
    async fn let_go(&self, network: &Network) -> Result<(), Refusal> {
        if self.state().topology().endpoint_count(network.id) > 0 {
            let text = "an endpoint was made on it meanwhile";
            return Err(Refusal::new(Class::Aborted, "NETWORK_IN_USE", text));
        }
        self.remove(network, None).await
    }
}
