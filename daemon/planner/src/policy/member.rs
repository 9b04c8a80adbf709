//! A joined endpoint as policies see it, and how it comes, changes and goes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::endpoint::Endpoint;
use postern_model::id::{EndpointId, NetworkId};
use postern_model::name::{Labels, Name};
use postern_model::policy::Subject;
use postern_model::resource::Element;
use postern_model::topology::Topology;

use super::class::{Class, EndpointClass, Identity, NamedPort, holding};
use super::compiler::{Compiler, Delta, Dirty, Place};
use super::named::Resolved;
use super::relevance::Relevance;

/// A joined endpoint.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: Name,
    pub(super) network: NetworkId,
    /// Its own policies are carried out on another host.
    pub(super) remote: bool,
    pub(super) labels: Labels,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ports: Vec<NamedPort>,
    /// The identity of each address.
    pub(super) identities: Vec<(IpAddr, Identity)>,
    /// What it asked for by name: from which of its addresses, to which one.
    pub(super) named: BTreeMap<(IpAddr, IpAddr), Resolved>,
    /// The policies that select it.
    pub(super) policies: BTreeSet<Place>,
    /// What it was compiled to last.
    pub(super) elements: BTreeSet<Element>,
    /// Whether frames from and to its neighbours must be judged, as it was compiled last.
    pub(super) judged: bool,
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
            remote: topology.endpoint(endpoint.id).is_none(),
            labels: topology.labels_of(endpoint),
            addresses: endpoint.addresses.iter().map(IpNetwork::ip).collect(),
            ports: named.collect(),
            identities: Vec::new(),
            named: BTreeMap::new(),
            policies: BTreeSet::new(),
            elements: BTreeSet::new(),
            judged: false,
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

/// What changes with an endpoint.
impl Compiler {
    /// Takes an endpoint as it is now: whether it is joined, its labels, its identities,
    /// and which policies select it.
    pub(super) fn put_member(
        &mut self,
        topology: &Topology,
        id: EndpointId,
        dirty: &mut Dirty,
        delta: &mut Delta,
    ) {
        let old = self.members.remove(&id);
        self.beyond.remove(&id);
        let joined = topology.any_endpoint(id).filter(|endpoint| endpoint.attachment.is_some());
        if let Some(endpoint) = joined.filter(|endpoint| endpoint.is_macvlan()) {
            self.beyond.insert(id, Member::of(topology, endpoint));
        }
        let endpoint = joined.filter(|endpoint| !endpoint.is_macvlan());
        let Some(endpoint) = endpoint else {
            if let Some(old) = old {
                self.forget_member(id, old, dirty, delta);
            }
            return;
        };
        let mut member = Member::of(topology, endpoint);
        for address in member.addresses.clone() {
            let class = self.class_of(&member, address);
            let (identity, first) = self.identities.acquire(&class);
            if first {
                self.restand(identity, dirty);
            }
            member.identities.push((address, identity));
            self.by_address.insert(address, id);
        }
        for (place, selecting) in &mut self.policies {
            if member.is_selected(&selecting.policy.spec.subject, &self.networks) {
                selecting.subjects.insert(id);
                member.policies.insert(place.clone());
            } else {
                selecting.subjects.remove(&id);
            }
        }
        if let Some(mut old) = old {
            member.elements = old.elements;
            member.judged = old.judged;
            // Who comes after it at an address inherits nothing.
            let gone = |at: &(IpAddr, IpAddr)| !member.addresses.contains(&at.0);
            let stays = old.named.extract_if(.., |at, _| !gone(at)).collect();
            member.named = stays;
            self.forget_names(old.named, delta);
            for (address, identity) in old.identities {
                if !member.addresses.contains(&address) {
                    self.by_address.remove(&address);
                }
                if self.identities.release(identity) {
                    self.restand(identity, dirty);
                }
            }
        }
        self.members.insert(id, member);
        dirty.subjects.insert(id);
    }

    fn forget_member(
        &mut self,
        id: EndpointId,
        member: Member,
        dirty: &mut Dirty,
        delta: &mut Delta,
    ) {
        for place in &member.policies {
            if let Some(selecting) = self.policies.get_mut(place) {
                selecting.subjects.remove(&id);
            }
        }
        for (address, identity) in &member.identities {
            self.by_address.remove(address);
            if self.identities.release(*identity) {
                self.restand(*identity, dirty);
            }
        }
        dirty.subjects.remove(&id);
        self.forget_names(member.named, delta);
        if member.judged {
            self.unpolice(member.network, delta);
        }
        delta.remove.extend(member.elements);
    }

    fn class_of(&self, member: &Member, address: IpAddr) -> Class {
        let Relevance { keys, names, ports, cidrs, domains: _ } = &self.relevance;
        let asked = |(key, _): &(&String, &String)| keys.contains_key(*key);
        let labels = member.labels.iter().filter(asked);
        Class::Endpoint(EndpointClass {
            network: member.network,
            labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
            ports: member
                .ports
                .iter()
                .filter(|(protocol, name, _)| ports.contains_key(&(*protocol, name.clone())))
                .cloned()
                .collect(),
            name: names.contains_key(&member.name).then(|| member.name.clone()),
            cidrs: holding(cidrs.keys(), address),
        })
    }
}
