//! Objects kept from changing for as long as a call needs them, in the order of
//! [`LockKey`].

use std::collections::BTreeSet;

use postern_kernel::Kernel;
use postern_model::dns::Link;
use postern_model::endpoint::Endpoint;
use postern_model::event::ObjectKind;
use postern_model::id::{EndpointId, SandboxId};
use postern_model::network::Network;
use postern_model::refusal::{Class, Refusal};
use postern_model::sandbox::Sandbox;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use super::locks::LockKey;
use super::{Core, check};

/// The locks of a call about an endpoint.
pub(super) struct EndpointLocks {
    _sandbox: Option<SandboxLocks>,
    _network: OwnedRwLockReadGuard<()>,
    _endpoint: OwnedRwLockWriteGuard<()>,
}

/// The locks of a call about a sandbox's endpoints: its name as a source, it, and those
/// that have a link to it.
pub(super) struct SandboxLocks {
    _source: OwnedRwLockWriteGuard<()>,
    _sandboxes: Vec<OwnedRwLockWriteGuard<()>>,
}

impl<K: Kernel> Core<K> {
    /// A network, kept from changing while it is used.
    pub(super) async fn using_network(
        &self,
        reference: &str,
    ) -> Result<(OwnedRwLockReadGuard<()>, Network), Refusal> {
        let id = check::network(self.state().topology(), reference)?.id;
        let guard = self.locks.read(LockKey::Network(id)).await;
        let network = self.state().topology().network(id).cloned();
        let network = network.ok_or_else(|| Refusal::not_found(ObjectKind::Network, reference))?;
        Ok((guard, network))
    }

    pub(super) fn endpoint_and_network(
        &self,
        id: EndpointId,
        reference: &str,
    ) -> Result<(Endpoint, Network), Refusal> {
        let state = self.state();
        let found = state.topology().endpoint(id).and_then(|endpoint| {
            let network = state.topology().network(endpoint.network)?;
            Some((endpoint.clone(), network.clone()))
        });
        found.ok_or_else(|| Refusal::not_found(ObjectKind::Endpoint, reference))
    }

    /// Keeps the endpoints of these links' sources from changing.
    pub(super) async fn lock_sources(&self, links: &[Link]) -> Vec<OwnedRwLockWriteGuard<()>> {
        let names: BTreeSet<String> = links.iter().map(|link| link.source.to_string()).collect();
        let mut guards = Vec::with_capacity(names.len());
        for name in names {
            guards.push(self.locks.write(LockKey::LinkSource(name)).await);
        }
        guards
    }

    /// A sandbox, kept from changing while an endpoint joins it.
    pub(super) async fn using_sandbox(
        &self,
        reference: &str,
    ) -> Result<(SandboxLocks, Sandbox), Refusal> {
        let (id, name) = {
            let state = self.state();
            let found = check::sandbox(state.topology(), reference)?;
            (found.id, found.name.to_string())
        };
        let locks = self.lock_sandbox(id, &name).await;
        let sandbox = self.state().topology().sandbox(id).cloned();
        let sandbox = sandbox.ok_or_else(|| Refusal::not_found(ObjectKind::Sandbox, reference))?;
        Ok((locks, sandbox))
    }

    async fn lock_sandbox(&self, id: SandboxId, name: &str) -> SandboxLocks {
        let source = self.locks.write(LockKey::LinkSource(name.to_owned())).await;
        let mut ids: BTreeSet<SandboxId> =
            self.state().topology().linkers(name).map(|linker| linker.id).collect();
        ids.insert(id);
        let mut sandboxes = Vec::with_capacity(ids.len());
        for id in ids {
            sandboxes.push(self.locks.write(LockKey::Sandbox(id)).await);
        }
        SandboxLocks { _source: source, _sandboxes: sandboxes }
    }

    pub(super) async fn lock_for_join(
        &self,
        endpoint: &str,
        sandbox: &str,
    ) -> Result<(EndpointLocks, Endpoint, Network, Sandbox), Refusal> {
        let (id, network) = {
            let state = self.state();
            let found = check::endpoint(state.topology(), endpoint)?;
            (found.id, found.network)
        };
        let (sandbox_locks, sandbox) = self.using_sandbox(sandbox).await?;
        let (network_lock, _) = self.using_network(&network.to_string()).await?;
        let endpoint_lock = self.locks.write(LockKey::Endpoint(id)).await;
        let (found, network) = self.endpoint_and_network(id, endpoint)?;
        let locks = EndpointLocks {
            _sandbox: Some(sandbox_locks),
            _network: network_lock,
            _endpoint: endpoint_lock,
        };
        Ok((locks, found, network, sandbox))
    }

    /// An endpoint with its network and, if it is joined, its sandbox kept from changing.
    pub(super) async fn lock_endpoint(
        &self,
        reference: &str,
    ) -> Result<(EndpointLocks, Endpoint, Network), Refusal> {
        let (id, network, sandbox) = {
            let state = self.state();
            let found = check::endpoint(state.topology(), reference)?;
            let sandbox = found.sandbox().and_then(|id| state.topology().sandbox(id));
            let sandbox = sandbox.map(|sandbox| (sandbox.id, sandbox.name.to_string()));
            (found.id, found.network, sandbox)
        };
        let sandbox_locks = match &sandbox {
            Some((id, name)) => Some(self.lock_sandbox(*id, name).await),
            None => None,
        };
        let network_lock = self.locks.read(LockKey::Network(network)).await;
        let endpoint_lock = self.locks.write(LockKey::Endpoint(id)).await;
        let (found, network) = self.endpoint_and_network(id, reference)?;
        if found.sandbox() != sandbox.map(|(id, _)| id) {
            let text = format!("endpoint `{}` was joined or left meanwhile", found.name);
            let refusal = Refusal::new(Class::Aborted, "CONCURRENT_CHANGE", text);
            return Err(refusal.about(ObjectKind::Endpoint, found.name.to_string()));
        }
        let locks = EndpointLocks {
            _sandbox: sandbox_locks,
            _network: network_lock,
            _endpoint: endpoint_lock,
        };
        Ok((locks, found, network))
    }
}
