//! What the hosts of a cluster share: networks, the endpoints on them, and policies.
//!
//! Whoever changes something agrees on it in the cluster first, then does it here. What others
//! changed is followed by one task. It compares what the cluster says now with what the
//! records say, of whatever there is news of, so that it matters neither how often something
//! is told nor what was missed; and what it cannot do now it does later.

mod announce;
mod blocks;
mod networks;
mod peers;
mod policies;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use postern_kernel::Kernel;
use postern_model::id::{EndpointId, NetworkId};

use super::{Core, Ledger};
use crate::cluster::{Membership, News};

pub(super) use blocks::Low;
pub(super) use networks::NO_VNI_YET;
pub(super) use peers::{gone_with, senders};

/// After so long, what could not be followed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// So many endpoints of other hosts are seen to side by side: their elements go to the kernel
/// together.
const AT_ONCE: usize = 64;

impl News {
    fn is_empty(&self) -> bool {
        let Self { networks, endpoints, policies, all } = self;
        networks.is_empty() && endpoints.is_empty() && policies.is_empty() && !all
    }

    fn absorb(&mut self, other: Self) {
        self.networks.extend(other.networks);
        self.endpoints.extend(other.endpoints);
        self.policies.extend(other.policies);
        self.all |= other.all;
    }
}

/// What could not be followed, and why.
#[derive(Default)]
struct Left {
    again: News,
    why: Vec<String>,
}

impl<K: Kernel> Ledger<K> {
    /// Follows the cluster, if the host is of one. Ends only with the task it runs in.
    pub(crate) async fn follow_cluster(self) {
        let core = &*self.0;
        let Some(membership) = &core.membership else { return };
        let mut left = Left::default();
        loop {
            let news = tokio::select! {
                news = membership.next() => news,
                () = core.low.noticed() => {
                    core.take_blocks_ahead().await;
                    continue;
                }
                () = tokio::time::sleep(AGAIN), if !left.again.is_empty() => News::default(),
            };
            let mut work = std::mem::take(&mut left.again);
            work.absorb(news);
            let before = std::mem::take(&mut left.why);
            left = core.follow(membership, work).await;
            for why in left.why.iter().filter(|why| !before.contains(why)) {
                tracing::warn!(why, "the cluster is not followed in this");
            }
            membership.note_unfollowed(left.why.clone());
        }
    }
}

impl<K: Kernel> Core<K> {
    /// Sees to all that there is news of, networks before what is on them.
    async fn follow(&self, membership: &Membership, mut news: News) -> Left {
        let mut left = Left::default();
        if news.all {
            news.networks.extend(membership.networks().iter().map(|shared| shared.network.id));
            news.networks.extend(self.shared_networks());
            news.policies.extend(membership.policy_names());
            let state = self.state();
            news.policies.extend(state.topology().policies().map(|policy| policy.name.clone()));
        }
        for network in news.networks {
            match self.see_network(membership, network).await {
                // Whoever is on it is new to this host, or may be gone with it.
                Ok(true) => news.endpoints.extend(self.everybody(membership, network)),
                Ok(false) => {}
                Err(refusal) => {
                    left.why.push(format!("{}: {refusal}", self.name_of(membership, network)));
                    left.again.networks.insert(network);
                }
            }
        }
        if news.all {
            for network in self.shared_networks() {
                news.endpoints.extend(self.everybody(membership, network));
            }
        }
        // Who goes first: somebody else may have the address by now.
        let is_gone =
            |(network, id): &(NetworkId, EndpointId)| membership.peer(*network, *id).is_none();
        let (gone, there): (Vec<_>, Vec<_>) = news.endpoints.into_iter().partition(is_gone);
        self.see_peers(membership, gone, &mut left).await;
        self.see_peers(membership, there, &mut left).await;
        for name in news.policies {
            if let Err(refusal) = self.see_policy(membership, &name).await {
                left.why.push(format!("policy `{name}`: {refusal}"));
                left.again.policies.insert(name);
            }
        }
        left
    }

    /// Sees to endpoints of other hosts, many at a time.
    async fn see_peers(
        &self,
        membership: &Membership,
        peers: Vec<(NetworkId, EndpointId)>,
        left: &mut Left,
    ) {
        let work = peers.into_iter().map(|(network, id)| async move {
            (network, id, self.see_peer(membership, network, id).await)
        });
        let mut seen = stream::iter(work).buffer_unordered(AT_ONCE);
        while let Some((network, id, outcome)) = seen.next().await {
            if let Err(refusal) = outcome {
                left.why.push(format!("endpoint {id} of another host: {refusal}"));
                left.again.endpoints.insert((network, id));
            }
        }
    }

    fn shared_networks(&self) -> BTreeSet<NetworkId> {
        let state = self.state();
        let shared = state.topology().networks().filter(|network| network.is_shared());
        shared.map(|network| network.id).collect()
    }

    /// Every endpoint of other hosts on a network, by the cluster's word or by the records.
    fn everybody(
        &self,
        membership: &Membership,
        network: NetworkId,
    ) -> BTreeSet<(NetworkId, EndpointId)> {
        let told = membership.peers_of(network);
        let state = self.state();
        let known = state.topology().peers().of_network(network).map(|remote| remote.peer.id());
        told.into_iter().chain(known).map(|id| (network, id)).collect()
    }

    fn name_of(&self, membership: &Membership, id: NetworkId) -> String {
        let told = membership.network(id).map(|shared| shared.network.name);
        let known = || self.state().topology().network(id).map(|network| network.name.clone());
        match told.or_else(known) {
            Some(name) => format!("network `{name}`"),
            None => format!("network {id}"),
        }
    }
}
