//! A joined endpoint as policies see it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::endpoint::Endpoint;
use postern_model::id::NetworkId;
use postern_model::name::{Labels, Name};
use postern_model::policy::Subject;
use postern_model::resource::Element;
use postern_model::topology::Topology;

use super::class::{Identity, NamedPort};
use super::compiler::Place;

/// A joined endpoint.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: Name,
    pub(super) network: NetworkId,
    pub(super) labels: Labels,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ports: Vec<NamedPort>,
    /// The identity of each address.
    pub(super) identities: Vec<(IpAddr, Identity)>,
    /// The policies that select it.
    pub(super) policies: BTreeSet<Place>,
    /// What it was compiled to last.
    pub(super) elements: BTreeSet<Element>,
}

impl Member {
    pub(super) fn of(topology: &Topology, endpoint: &Endpoint) -> Self {
        let named = endpoint
            .spec
            .exposed
            .iter()
            .filter_map(|port| Some((port.protocol, port.name.clone()?, port.ports)));
        Self {
            name: endpoint.name.clone(),
            network: endpoint.network,
            labels: topology.labels_of(endpoint),
            addresses: endpoint.addresses.iter().map(IpNetwork::ip).collect(),
            ports: named.collect(),
            identities: Vec::new(),
            policies: BTreeSet::new(),
            elements: BTreeSet::new(),
        }
    }

    /// Whether a policy speaks for it.
    pub(super) fn is_selected(
        &self,
        subject: &Subject,
        networks: &BTreeMap<NetworkId, Labels>,
    ) -> bool {
        let selected = subject.selected.as_ref().is_some_and(|wanted| {
            let none = Labels::new();
            let network = networks.get(&self.network).unwrap_or(&none);
            wanted.networks.as_ref().is_none_or(|selector| selector.matches(network))
                && wanted.endpoints.matches(&self.labels)
        });
        selected || subject.named.contains(&self.name)
    }
}
