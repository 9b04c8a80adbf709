//! Reading the topology.

use std::path::{Path, PathBuf};

use postern_kernel::Kernel;
use postern_model::cluster::Peer;
use postern_model::endpoint::Endpoint;
use postern_model::intent::{ListEndpoints, ListNetworks, ListPeers, ListSandboxes, Page};
use postern_model::network::Network;
use postern_model::refusal::Refusal;
use postern_model::sandbox::Sandbox;
use postern_model::topology::Topology;
use postern_planner::view::View;
use postern_planner::{links, names};
use postern_server::{EndpointFacts, LinkFacts, NetworkFacts, PageOf, SandboxFacts, SystemFacts};

use crate::cluster::Membership;

use super::{Ledger, check};

pub(super) fn network_facts(topology: &Topology, network: &Network) -> NetworkFacts {
    let bridge = names::bridge_of(network.id, &network.decision);
    NetworkFacts {
        bridge: bridge.map(|(_, name)| name.to_string()),
        endpoints: topology.endpoint_count(network.id),
        peers: topology.peers().count(network.id),
        network: network.clone(),
    }
}

pub(super) fn sandbox_facts(
    topology: &Topology,
    sandbox: &Sandbox,
    run_dir: &Path,
) -> SandboxFacts {
    let mut endpoints: Vec<_> = topology.endpoints_of_sandbox(sandbox.id).collect();
    endpoints.sort_by_key(|e| e.attachment.as_ref().and_then(|a| a.interface.clone()));
    let endpoints = endpoints.into_iter().map(|e| e.id.to_string()).collect();
    let mut sandbox = sandbox.clone();
    if sandbox.is_host() {
        // The record's own path is only true inside the daemon.
        sandbox.path = PathBuf::from(format!("/proc/{}/ns/net", std::process::id()));
    }
    let files = (!sandbox.is_host()).then(|| postern_kernel::files_path(run_dir, sandbox.id));
    let resolved = links::resolve(&View::of(topology), &sandbox);
    let links = resolved.iter().map(|resolved| LinkFacts {
        link: resolved.link.clone(),
        state: resolved.state,
        addresses: resolved.addresses(),
    });
    SandboxFacts { links: links.collect(), endpoints, files, sandbox: sandbox.clone() }
}

pub(super) fn endpoint_facts(topology: &Topology, endpoint: &Endpoint) -> EndpointFacts {
    let network = topology.network(endpoint.network).map(|n| n.name.to_string());
    let sandbox = endpoint.sandbox().and_then(|id| topology.sandbox(id));
    EndpointFacts {
        network: network.unwrap_or_default(),
        sandbox: sandbox.map(|s| s.name.to_string()),
        endpoint: endpoint.clone(),
    }
}

/// One page of what matches, in the order of names.
pub(super) fn page<'a, T: 'a, F>(
    matching: impl Iterator<Item = &'a T>,
    name: impl Fn(&T) -> &str,
    page: &Page,
    facts: impl Fn(&T) -> F,
) -> PageOf<F> {
    let after = |item: &&'a T| page.after.as_deref().is_none_or(|after| name(item) > after);
    let mut items: Vec<&T> = matching.filter(after).collect();
    items.sort_by(|a, b| name(a).cmp(name(b)));
    let more = items.len() > page.size;
    items.truncate(page.size);
    let next = items.last().filter(|_| more).map(|item| name(item).to_owned());
    (items.into_iter().map(facts).collect(), next)
}

impl<K: Kernel> Ledger<K> {
    pub(crate) fn network(&self, reference: &str) -> Result<NetworkFacts, Refusal> {
        let state = self.0.state();
        let network = check::network(state.topology(), reference)?;
        Ok(network_facts(state.topology(), network))
    }

    pub(crate) fn sandbox(&self, reference: &str) -> Result<SandboxFacts, Refusal> {
        let state = self.0.state();
        let sandbox = check::sandbox(state.topology(), reference)?;
        Ok(sandbox_facts(state.topology(), sandbox, &self.0.options.run_dir))
    }

    pub(crate) fn endpoint(&self, reference: &str) -> Result<EndpointFacts, Refusal> {
        let state = self.0.state();
        let endpoint = check::endpoint(state.topology(), reference)?;
        Ok(endpoint_facts(state.topology(), endpoint))
    }

    pub(crate) fn networks(&self, query: &ListNetworks) -> PageOf<NetworkFacts> {
        let state = self.0.state();
        let topology = state.topology();
        let matching = topology.networks().filter(|network| {
            let driver = query.driver.as_deref();
            driver.is_none_or(|driver| network.spec.driver.as_str() == driver)
                && query.filter.matches(
                    network.name.as_str(),
                    &network.id.to_string(),
                    &network.spec.labels,
                )
        });
        page(matching, |n| n.name.as_str(), &query.page, |n| network_facts(topology, n))
    }

    pub(crate) fn peers(&self, query: &ListPeers) -> Result<PageOf<Peer>, Refusal> {
        let state = self.0.state();
        let topology = state.topology();
        let network = check::network(topology, &query.network)?.id;
        let peers = topology.peers().of_network(network).map(|remote| &remote.peer);
        // Names are given once on each host.
        let key = |peer: &Peer| format!("{}/{}", peer.endpoint.name, peer.id());
        let mut keyed: Vec<(String, &Peer)> = peers.map(|peer| (key(peer), peer)).collect();
        keyed.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (found, next) =
            page(keyed.iter(), |(key, _)| key.as_str(), &query.page, |(_, peer)| Peer::clone(peer));
        Ok((found, next))
    }

    pub(crate) fn sandboxes(&self, query: &ListSandboxes) -> PageOf<SandboxFacts> {
        let state = self.0.state();
        let topology = state.topology();
        let matching = topology.sandboxes().filter(|sandbox| {
            let (name, uid) = (sandbox.name.as_str(), sandbox.id.to_string());
            query.filter.matches(name, &uid, &sandbox.spec.labels)
        });
        page(
            matching,
            |s| s.name.as_str(),
            &query.page,
            |s| sandbox_facts(topology, s, &self.0.options.run_dir),
        )
    }

    pub(crate) fn endpoints(
        &self,
        query: &ListEndpoints,
    ) -> Result<PageOf<EndpointFacts>, Refusal> {
        let state = self.0.state();
        let topology = state.topology();
        let network = query.network.as_deref().map(|r| check::network(topology, r)).transpose()?;
        let sandbox = query.sandbox.as_deref().map(|r| check::sandbox(topology, r)).transpose()?;
        let matching = topology.endpoints().filter(|endpoint| {
            let (name, uid) = (endpoint.name.as_str(), endpoint.id.to_string());
            network.is_none_or(|network| endpoint.network == network.id)
                && sandbox.is_none_or(|sandbox| endpoint.sandbox() == Some(sandbox.id))
                && query.filter.matches(name, &uid, &endpoint.spec.labels)
        });
        Ok(page(matching, |e| e.name.as_str(), &query.page, |e| endpoint_facts(topology, e)))
    }

    pub(crate) fn system_facts(&self) -> SystemFacts {
        let core = &*self.0;
        let state = core.state();
        let topology = state.topology();
        let features = core.kernel.features();
        SystemFacts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: core.started,
            kernel: features.release.clone(),
            state_dir: core.options.state_dir.clone(),
            run_dir: core.options.run_dir.clone(),
            generation: topology.generation(),
            networks: topology.networks().len(),
            sandboxes: topology.sandboxes().len(),
            endpoints: topology.endpoints().len(),
            drivers: core.drivers.list(),
            features: [
                ("bridge-netfilter", features.bridge_netfilter),
                ("ipv6", features.ipv6),
                ("owned-tables", features.owned_tables),
                ("sctp", features.sctp),
            ]
            .into_iter()
            .map(|(name, has)| (name.to_owned(), has))
            .collect(),
            resolver: core
                .resolver
                .counters()
                .iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
            cluster: core.membership.as_ref().map(Membership::facts),
        }
    }
}

impl<K: Kernel> Ledger<K> {
    pub(crate) fn facts_of_network(&self, network: &Network) -> NetworkFacts {
        network_facts(self.0.state().topology(), network)
    }

    pub(crate) fn facts_of_sandbox(&self, sandbox: &Sandbox) -> SandboxFacts {
        sandbox_facts(self.0.state().topology(), sandbox, &self.0.options.run_dir)
    }

    pub(crate) fn facts_of_endpoint(&self, endpoint: &Endpoint) -> EndpointFacts {
        endpoint_facts(self.0.state().topology(), endpoint)
    }
}
