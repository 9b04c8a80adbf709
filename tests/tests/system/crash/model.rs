//! What there should be, and what may happen to it.

use std::collections::{BTreeMap, BTreeSet};

use postern_proto::v1::{
    NetworkSpec, QuarantineSandboxRequest, ReleaseSandboxRequest, UpdateNetworkRequest,
};
use postern_tests::{Api, ask};
use rand::RngExt;
use rand::rngs::StdRng;
use tonic::Status;

const NETWORKS: u8 = 3;
const SANDBOXES: u8 = 6;
const POLICIES: u8 = 3;

/// What is not part of the scene: by number, as small worlds meet more often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// Whether neighbours reach each other.
    networks: BTreeMap<u8, bool>,
    /// Whether it is in quarantine.
    sandboxes: BTreeMap<u8, bool>,
    /// By network and sandbox: whether a port is published.
    endpoints: BTreeMap<(u8, u8), bool>,
    /// Whom it selects.
    policies: BTreeMap<u8, u8>,
    /// Whose link to whom.
    links: BTreeSet<(u8, u8)>,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    CreateNetwork(u8),
    SetIcc(u8, bool),
    DeleteNetwork(u8),
    CreateSandbox(u8),
    Quarantine(u8, bool),
    DeleteSandbox(u8),
    Connect(u8, u8, bool),
    Disconnect(u8, u8),
    Apply(u8, u8),
    DeletePolicy(u8),
    AddLink(u8, u8),
    RemoveLink(u8, u8),
}
use Operation as Op;

fn net(n: u8) -> String {
    format!("n{n}")
}

fn sand(s: u8) -> String {
    format!("s{s}")
}

fn number(name: &str, prefix: char) -> Option<u8> {
    name.strip_prefix(prefix)?.parse().ok()
}

impl Model {
    /// Something that can be done.
    pub(super) fn propose(&self, rng: &mut StdRng) -> Operation {
        loop {
            let (n, s) = (rng.random_range(0..NETWORKS), rng.random_range(0..SANDBOXES));
            let (p, t) = (rng.random_range(0..POLICIES), rng.random_range(0..SANDBOXES));
            let operation = match rng.random_range(0..20) {
                0 | 1 => Op::CreateNetwork(n),
                2 => Op::SetIcc(n, !self.networks.get(&n).copied().unwrap_or(false)),
                3 => Op::DeleteNetwork(n),
                4..7 => Op::CreateSandbox(s),
                7 => Op::Quarantine(s, !self.sandboxes.get(&s).copied().unwrap_or(false)),
                8 => Op::DeleteSandbox(s),
                9..14 => Op::Connect(n, s, rng.random_bool(0.5)),
                14 | 15 => Op::Disconnect(n, s),
                16 | 17 => Op::Apply(p, s),
                18 => Op::DeletePolicy(p),
                _ if rng.random_bool(0.5) => Op::AddLink(s, t),
                _ => Op::RemoveLink(s, t),
            };
            if self.allows(&operation) {
                return operation;
            }
        }
    }

    fn allows(&self, operation: &Operation) -> bool {
        match operation {
            Op::CreateNetwork(n) => !self.networks.contains_key(n),
            Op::SetIcc(n, _) => self.networks.contains_key(n),
            Op::DeleteNetwork(n) => {
                self.networks.contains_key(n) && !self.endpoints.keys().any(|(on, _)| on == n)
            }
            Op::CreateSandbox(s) => !self.sandboxes.contains_key(s),
            Op::Quarantine(s, _) => self.sandboxes.contains_key(s),
            Op::DeleteSandbox(s) => {
                self.sandboxes.contains_key(s) && !self.links.iter().any(|(_, source)| source == s)
            }
            Op::Connect(n, s, _) => {
                self.networks.contains_key(n)
                    && self.sandboxes.contains_key(s)
                    && !self.endpoints.contains_key(&(*n, *s))
            }
            Op::Disconnect(n, s) => self.endpoints.contains_key(&(*n, *s)),
            Op::Apply(p, s) => self.policies.get(p) != Some(s),
            Op::DeletePolicy(p) => self.policies.contains_key(p),
            Op::AddLink(of, to) => {
                of != to
                    && self.sandboxes.contains_key(of)
                    && self.sandboxes.contains_key(to)
                    && !self.links.contains(&(*of, *to))
            }
            Op::RemoveLink(of, to) => self.links.contains(&(*of, *to)),
        }
    }

    /// What there is once it is done.
    pub(super) fn after(&self, operation: &Operation) -> Self {
        let mut next = self.clone();
        match *operation {
            Op::CreateNetwork(n) => drop(next.networks.insert(n, true)),
            Op::SetIcc(n, icc) => drop(next.networks.insert(n, icc)),
            Op::DeleteNetwork(n) => drop(next.networks.remove(&n)),
            Op::CreateSandbox(s) => drop(next.sandboxes.insert(s, false)),
            Op::Quarantine(s, on) => drop(next.sandboxes.insert(s, on)),
            Op::DeleteSandbox(s) => {
                next.sandboxes.remove(&s);
                next.endpoints.retain(|(_, sandbox), _| *sandbox != s);
                next.links.retain(|(of, _)| *of != s);
            }
            Op::Connect(n, s, port) => drop(next.endpoints.insert((n, s), port)),
            Op::Disconnect(n, s) => drop(next.endpoints.remove(&(n, s))),
            Op::Apply(p, s) => drop(next.policies.insert(p, s)),
            Op::DeletePolicy(p) => drop(next.policies.remove(&p)),
            Op::AddLink(of, to) => drop(next.links.insert((of, to))),
            Op::RemoveLink(of, to) => drop(next.links.remove(&(of, to))),
        }
        next
    }

    /// What there is where an operation was broken off that is several changes: only the
    /// deletion of a sandbox with its endpoints is, and some of them may be left.
    pub(super) fn partly_after(&self, operation: &Operation, found: &Self) -> Self {
        let mut partly = self.clone();
        if let Op::DeleteSandbox(s) = operation {
            partly.endpoints.retain(|key, _| key.1 != *s || found.endpoints.contains_key(key));
        }
        partly
    }

    /// One of its sandboxes.
    pub(super) fn some_sandbox(&self, rng: &mut StdRng) -> Option<String> {
        let all: Vec<u8> = self.sandboxes.keys().copied().collect();
        (!all.is_empty()).then(|| sand(all[rng.random_range(0..all.len())]))
    }

    /// What the API says there is.
    pub(super) async fn read(api: &Api) -> Self {
        let lists = async || -> Result<_, Status> {
            let networks = api.list_networks("").await?;
            let (sandboxes, endpoints) = (api.list_sandboxes().await?, api.list_endpoints().await?);
            Ok((networks, sandboxes, endpoints, api.list_policies().await?))
        };
        let (networks, sandboxes, endpoints, policies) =
            lists().await.unwrap_or_else(|status| panic!("list: {status}"));
        let mut model = Self::default();
        for network in &networks {
            if let Some(n) = number(&network.name, 'n') {
                let icc = network.spec.as_ref().is_none_or(|spec| spec.icc != Some(false));
                model.networks.insert(n, icc);
            }
        }
        for sandbox in &sandboxes {
            let Some(s) = number(&sandbox.name, 's') else { continue };
            model.sandboxes.insert(s, sandbox.quarantined);
            let links = sandbox.spec.iter().flat_map(|spec| &spec.links);
            let links = links.filter_map(|link| number(&link.source, 's'));
            model.links.extend(links.map(|source| (s, source)));
        }
        for endpoint in &endpoints {
            let (network, sandbox) = (&endpoint.network, &endpoint.sandbox);
            if let (Some(n), Some(s)) = (number(network, 'n'), number(sandbox, 's')) {
                model.endpoints.insert((n, s), !endpoint.bindings.is_empty());
            }
        }
        for policy in &policies {
            let Some(p) = number(&policy.name, 'p') else { continue };
            let subject =
                policy.spec.as_ref().and_then(|spec| spec.subject.as_ref()?.endpoints.as_ref());
            // What was given as labels comes back as requirements.
            let mut values =
                subject.into_iter().flat_map(|s| &s.match_expressions).flat_map(|e| &e.values);
            let of = values.find_map(|value| number(value, 's'));
            model.policies.extend(of.map(|s| (p, s)));
        }
        model
    }

    /// Deletes all of it.
    pub(super) async fn clear(&self, api: &Api) {
        let mut left = self.clone();
        let links = self.links.iter().map(|&(of, to)| Op::RemoveLink(of, to));
        let sandboxes = self.sandboxes.keys().map(|&s| Op::DeleteSandbox(s));
        let networks = self.networks.keys().map(|&n| Op::DeleteNetwork(n));
        let policies = self.policies.keys().map(|&p| Op::DeletePolicy(p));
        for operation in links.chain(sandboxes).chain(networks).chain(policies) {
            let done = operation.perform(api).await;
            done.unwrap_or_else(|status| panic!("{operation:?}: {status}"));
            left = left.after(&operation);
        }
        assert_eq!(left, Self::default());
    }
}

impl Operation {
    /// Asks the daemon for it.
    pub(super) async fn perform(self, api: &Api) -> Result<(), Status> {
        match self {
            Self::CreateNetwork(n) => {
                let subnets = [format!("10.{}.0.0/24", 60 + n), format!("fd00:{}::/64", 60 + n)];
                let spec = ask::network(&[&subnets[0], &subnets[1]]);
                api.create_network(&net(n), spec).await.map(drop)
            }
            Self::SetIcc(n, icc) => set_icc(api, &net(n), icc).await,
            Self::DeleteNetwork(n) => api.delete_network(&net(n)).await,
            Self::CreateSandbox(s) => api.create_sandbox(&sand(s)).await.map(drop),
            Self::Quarantine(s, true) => {
                let request = QuarantineSandboxRequest { sandbox: sand(s), ..Default::default() };
                api.sandboxes.clone().quarantine(request).await.map(drop)
            }
            Self::Quarantine(s, false) => {
                let request = ReleaseSandboxRequest { sandbox: sand(s), ..Default::default() };
                api.sandboxes.clone().release(request).await.map(drop)
            }
            Self::DeleteSandbox(s) => api.delete_sandbox(&sand(s), true).await,
            Self::Connect(n, s, port) => {
                let mut spec = ask::labelled(&[("is", &sand(s))]);
                if port {
                    let host = 20_000 + u32::from(n) * 100 + u32::from(s);
                    spec.published_ports = vec![ask::tcp(host, 80), ask::udp(host, 53)];
                }
                api.connect(&net(n), &sand(s), spec).await.map(drop)
            }
            Self::Disconnect(n, s) => api.disconnect(&net(n), &sand(s)).await,
            Self::Apply(p, s) => {
                let of = sand(s);
                let from = ask::peer(&[("is", &sand((s + 1) % SANDBOXES))]);
                let rules = vec![ask::accept(vec![from, ask::cidr("192.0.2.0/24", &[])], 80)];
                api.apply_policy(&format!("p{p}"), ask::app(&[("is", &of)], rules)).await.map(drop)
            }
            Self::DeletePolicy(p) => api.delete_policy(&format!("p{p}")).await.map(drop),
            Self::AddLink(of, to) => api.add_link(&sand(of), &sand(to), &sand(to)).await.map(drop),
            Self::RemoveLink(of, to) => api.remove_link(&sand(of), &sand(to)).await.map(drop),
        }
    }
}

async fn set_icc(api: &Api, network: &str, icc: bool) -> Result<(), Status> {
    let found = api.network(network).await?;
    let spec = found.spec.map(|spec| NetworkSpec { icc: Some(icc), ..spec });
    let request = UpdateNetworkRequest {
        network: network.to_owned(),
        spec,
        revision: found.revision,
        ..Default::default()
    };
    api.networks.clone().update(request).await.map(drop)
}
