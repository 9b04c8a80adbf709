//! Blocks of addresses of networks that hosts share: this host gives addresses from its own
//! without asking anybody, and takes another one before they are used up.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnetwork::IpNetwork;
use postern_kernel::Kernel;
use postern_model::endpoint::EndpointSpec;
use postern_model::event::Action;
use postern_model::id::NetworkId;
use postern_model::name::Name;
use postern_model::network::{Family, Network};
use postern_model::plan::Plan;
use postern_model::refusal::{Class, Refusal};
use postern_model::topology::Put;
use postern_plugin::LoadedDriver;
use tokio::sync::Notify;

use crate::ledger::endpoints::EndpointDraft;
use crate::ledger::locks::LockKey;
use crate::ledger::state::State;
use crate::ledger::{Core, network_forms};

/// Others may use up what was just found to be there, so often before it is believed that
/// nothing is left.
const ATTEMPTS: usize = 8;

/// Networks of which this host will soon have no address left.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Low {
    networks: Mutex<BTreeSet<(NetworkId, Family)>>,
    notify: Notify,
}

impl Low {
    fn note(&self, network: NetworkId, family: Family) {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if networks.insert((network, family)) {
            self.notify.notify_one();
        }
    }

    pub(super) async fn noticed(&self) {
        self.notify.notified().await;
    }

    fn take(&self) -> BTreeSet<(NetworkId, Family)> {
        std::mem::take(&mut *self.networks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Kernel> Core<K> {
    /// Checks a new endpoint and finds addresses for it; on a network that hosts share, after
    /// a block was taken where this host has no address left, or not the one that is wanted.
    pub(in crate::ledger) async fn draft_endpoint(
        &self,
        name: Name,
        network: &Network,
        spec: EndpointSpec,
    ) -> Result<(Arc<LoadedDriver>, EndpointDraft<'_, K>), Refusal> {
        if !network.is_shared() {
            return self.draft_endpoint_here(name, network, spec);
        }
        let mut attempts = 0;
        loop {
            for family in Family::ALL {
                let wanted = spec.wanted(family);
                let needed = |state: &State| state.lacks_block(network.id, family, wanted);
                // A block that is not needed takes no lock.
                if needed(&self.state()) {
                    self.take_block(network.id, family, wanted, needed).await?;
                }
            }
            attempts += 1;
            match self.draft_endpoint_here(name.clone(), network, spec.clone()) {
                Err(refusal) if refusal.reason == "NO_ADDRESS_FREE" && attempts < ATTEMPTS => {}
                Err(refusal) => return Err(refusal),
                Ok(drafted) => {
                    self.look_ahead(network.id);
                    return Ok(drafted);
                }
            }
        }
    }

    fn look_ahead(&self, network: NetworkId) {
        let state = self.state();
        for family in Family::ALL.into_iter().filter(|family| state.is_low(network, *family)) {
            self.low.note(network, family);
        }
    }

    /// Takes blocks where there is soon no address left.
    pub(super) async fn take_blocks_ahead(&self) {
        for (network, family) in self.low.take() {
            let _network = self.locks.read(LockKey::Network(network)).await;
            let needed = |state: &State| state.is_low(network, family);
            if let Err(refusal) = self.take_block(network, family, None, needed).await {
                tracing::debug!(%network, %refusal, "no block is taken ahead");
            }
        }
    }

    /// Takes a block, unless somebody just did so that none is needed any more. The caller keeps
    /// the network from changing.
    async fn take_block(
        &self,
        id: NetworkId,
        family: Family,
        wanted: Option<IpAddr>,
        needed: impl Fn(&State) -> bool,
    ) -> Result<(), Refusal> {
        let _blocks = self.locks.write(LockKey::Blocks(id)).await;
        let network = {
            let state = self.state();
            state.topology().network(id).filter(|_| needed(&state)).cloned()
        };
        let Some(network) = network else { return Ok(()) };
        let Some(subnet) = network.subnet(family) else { return Ok(()) };
        let Some(membership) = &self.membership else {
            let text = "the host is of no cluster any more, and has no addresses left";
            return Err(Refusal::new(Class::Unavailable, "CLUSTER_AWAY", text));
        };
        let block = membership.take_block(&network, subnet, wanted).await?;
        self.record_blocks(network, vec![block]).await
    }

    /// Puts blocks of this host on record: it gives addresses from them though etcd is away.
    pub(super) async fn record_blocks(
        &self,
        network: Network,
        blocks: Vec<IpNetwork>,
    ) -> Result<(), Refusal> {
        let new: Vec<IpNetwork> =
            blocks.into_iter().filter(|block| !network.blocks.contains(block)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut about = network_forms::draft(&network, Action::Updated, None);
        let texts: Vec<String> = new.iter().map(ToString::to_string).collect();
        about.attributes.insert("blocks".to_owned(), texts.join(","));
        // Nobody's update is stale because of it, so that the revision stays.
        let blocks = network.blocks.iter().copied().chain(new).collect();
        let puts = vec![Put::Network(Network { blocks, ..network })];
        self.carry_out(about, &Plan::default(), |_| puts, Plan::default).await.map(drop)
    }
}
