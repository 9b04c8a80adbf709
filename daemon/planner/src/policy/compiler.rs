//! Every policy of a topology as elements of the kernel's maps, kept up to date change by
//! change: what a change costs depends on whom it concerns, not on how much there is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use postern_model::id::{EndpointId, NetworkId, PolicyId};
use postern_model::name::Labels;
use postern_model::policy::{Match, Peer, Policy};
use postern_model::port::{PortRange, Protocol};
use postern_model::resource::Element;
use postern_model::topology::{Put, Topology};

use super::class::{Class, GATEWAY, Identities, Identity};
use super::elements;
use super::line::Named;
use super::member::Member;
use super::relevance::Relevance;
use crate::names::bridge_of;

/// Where a policy stands in the order.
pub(super) type Place = (postern_model::policy::Tier, u32, String);

/// What a change comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Elements to remove.
    pub remove: Vec<Element>,
    /// Elements to add; one with another value than before is in both.
    pub add: Vec<Element>,
    /// Addresses of endpoints of which something may be forbidden now that was not before.
    pub narrowed: BTreeSet<IpAddr>,
    /// Networks on which frames between neighbours must be judged from now on, or need not
    /// be any more.
    pub judged: BTreeSet<NetworkId>,
}

impl Delta {
    /// Whether nothing changes.
    pub const fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }
}

/// The policies of a topology, compiled.
#[derive(Debug, Clone)]
pub struct Compiler {
    pub(super) policies: BTreeMap<Place, Selecting>,
    pub(super) networks: BTreeMap<NetworkId, Labels>,
    pub(super) members: BTreeMap<EndpointId, Member>,
    /// Joined endpoints whose flows pass none of the host's rules: to policies they are
    /// part of the world.
    pub(super) beyond: BTreeMap<EndpointId, Member>,
    pub(super) by_address: BTreeMap<IpAddr, EndpointId>,
    pub(super) identities: Identities,
    /// Whom each peer of a rule stands for.
    pub(super) peers: BTreeMap<Peer, Standing>,
    /// Who serves each port that an egress rule names.
    servers: BTreeMap<(Protocol, String), Standing>,
    pub(super) places: BTreeMap<PolicyId, Place>,
    pub(super) relevance: Relevance,
    /// Elements of no endpoint: those of prefixes and of gateways.
    pub(super) common: BTreeSet<Element>,
    /// How many endpoints of a network some policy speaks of, if only to audit.
    policed: BTreeMap<NetworkId, usize>,
}

/// A policy and whom it selects.
#[derive(Debug, Clone)]
pub(super) struct Selecting {
    pub(super) policy: Policy,
    pub(super) subjects: BTreeSet<EndpointId>,
}

/// Whom something that a rule asks for stands for, and which policies ask.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub(super) identities: BTreeSet<Identity>,
    policies: BTreeSet<Place>,
}

impl Standing {
    fn of(identities: impl Iterator<Item = Identity>) -> Self {
        Self { identities: identities.collect(), policies: BTreeSet::new() }
    }
}

/// Takes a policy from those that ask for something; what nobody asks for goes.
fn withdraw<K: Ord>(standings: &mut BTreeMap<K, Standing>, asked: &K, place: &Place) {
    if let Some(standing) = standings.get_mut(asked) {
        standing.policies.remove(place);
        if standing.policies.is_empty() {
            standings.remove(asked);
        }
    }
}

/// What has to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub(super) endpoints: BTreeSet<EndpointId>,
    pub(super) subjects: BTreeSet<EndpointId>,
}

impl Default for Compiler {
    fn default() -> Self {
        Self {
            policies: BTreeMap::new(),
            networks: BTreeMap::new(),
            members: BTreeMap::new(),
            beyond: BTreeMap::new(),
            by_address: BTreeMap::new(),
            identities: Identities::new(),
            peers: BTreeMap::new(),
            servers: BTreeMap::new(),
            places: BTreeMap::new(),
            relevance: Relevance::default(),
            common: BTreeSet::new(),
            policed: BTreeMap::new(),
        }
    }
}

impl Compiler {
    /// A whole topology, compiled.
    pub fn of(topology: &Topology) -> Self {
        let mut compiler = Self::default();
        compiler.update(topology, &topology.puts());
        compiler
    }

    /// Whether some policy speaks of an endpoint of a network: then frames between its
    /// neighbours must be judged. One that is only audited has them judged too, or its flows
    /// would not be seen.
    pub fn is_policed(&self, network: NetworkId) -> bool {
        self.policed.contains_key(&network)
    }

    /// Whether some policy reaches something by name.
    pub fn has_names(&self) -> bool {
        !self.relevance.domains.is_empty()
    }

    /// The joined endpoint that has an address.
    pub fn endpoint_at(&self, address: IpAddr) -> Option<EndpointId> {
        self.by_address.get(&address).copied()
    }

    /// The names of the endpoints that a policy selects now, in order.
    pub fn subjects(&self, policy: &Policy) -> Vec<String> {
        let mut names: Vec<String> =
            self.selected(policy).map(|member| member.name.to_string()).collect();
        names.sort();
        names
    }

    pub(super) fn selected(&self, policy: &Policy) -> impl Iterator<Item = &Member> {
        let selecting = self.places.get(&policy.id).and_then(|place| self.policies.get(place));
        let subjects = selecting.into_iter().flat_map(|selecting| &selecting.subjects);
        subjects.filter_map(|id| self.members.get(id))
    }

    /// The networks of the endpoints that a policy selects.
    pub(super) fn networks_of(&self, policy: &Policy) -> BTreeSet<NetworkId> {
        self.selected(policy).map(|member| member.network).collect()
    }

    /// Every range of ports that some endpoint serves under a name.
    pub(super) fn ports_named(&self, protocol: Protocol, name: &str) -> Vec<PortRange> {
        let ports = self.members.values().flat_map(|member| &member.ports);
        let named = ports.filter(|port| port.0 == protocol && port.1 == name);
        named.map(|port| port.2).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Every element there should be.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.common.iter().chain(self.members.values().flat_map(|member| &member.elements))
    }

    /// Follows a change; `topology` is the one after it.
    pub fn update(&mut self, topology: &Topology, puts: &[Put]) -> Delta {
        let mut dirty = Dirty::default();
        let mut gone = BTreeSet::new();
        for put in puts {
            match put {
                Put::Network(network) => self.relabel(topology, network.id, &mut dirty),
                Put::NetworkGone(id) => drop(self.networks.remove(id)),
                Put::Sandbox(sandbox) => {
                    let joined = topology.endpoints_of_sandbox(sandbox.id);
                    dirty.endpoints.extend(joined.map(|endpoint| endpoint.id));
                }
                Put::Endpoint(endpoint) => {
                    dirty.endpoints.insert(endpoint.id);
                }
                Put::Peer(remote) => {
                    // What else its host tells of its sandbox holds for its other endpoints.
                    let of_sandbox = topology.peers().of_sandbox(remote.peer.sandbox.id);
                    dirty.endpoints.extend(of_sandbox.map(|remote| remote.peer.id()));
                }
                Put::EndpointGone(id) | Put::PeerGone(id) => {
                    gone.insert(*id);
                }
                Put::Policy(policy) => self.put_policy(policy, &mut dirty),
                Put::PolicyGone(id) => self.remove_policy(*id, &mut dirty),
                _ => {}
            }
        }
        dirty.endpoints.extend(gone);
        let mut delta = Delta::default();
        if puts.iter().any(is_common) {
            // Of a network without a bridge, as one of macvlan links, the gateway is not
            // the host but a router somewhere.
            let bridged = topology
                .networks()
                .filter(|network| bridge_of(network.id, &network.decision).is_some());
            let subnets = bridged.flat_map(|network| &network.subnets);
            let gateways = subnets.filter_map(|subnet| subnet.gateway);
            let common = self.common_elements(gateways, &mut dirty);
            replace(&mut self.common, common, &mut delta);
        }
        for id in std::mem::take(&mut dirty.endpoints) {
            self.put_member(topology, id, &mut dirty, &mut delta);
        }
        for id in dirty.subjects {
            self.compile(id, &mut delta);
        }
        delta
    }

    fn relabel(&mut self, topology: &Topology, id: NetworkId, dirty: &mut Dirty) {
        let Some(network) = topology.network(id) else { return };
        let labels = Topology::labels_of_network(network);
        if self.networks.get(&id) == Some(&labels) {
            return;
        }
        self.networks.insert(id, labels);
        dirty.endpoints.extend(topology.endpoints_of_network(id).map(|endpoint| endpoint.id));
        dirty.endpoints.extend(topology.peers().of_network(id).map(|remote| remote.peer.id()));
        // Identities keep their numbers, but other peers stand for them now.
        let own: Vec<Identity> = self.identities.of(|class| class.network() == Some(id)).collect();
        for identity in own {
            self.restand(identity, dirty);
        }
    }

    /// Finds anew which peers stand for an identity that came, went or changed, and which
    /// named ports it serves.
    pub(super) fn restand(&mut self, identity: Identity, dirty: &mut Dirty) {
        let class = self.identities.class(identity);
        let peers = self.peers.iter_mut().map(|(peer, standing)| {
            (class.is_some_and(|class| class.is(peer, &self.networks)), standing)
        });
        let servers = self.servers.iter_mut().map(|((protocol, name), standing)| {
            (class.is_some_and(|class| class.serves(*protocol, name)), standing)
        });
        for (stands, standing) in peers.chain(servers) {
            let changed = if stands {
                standing.identities.insert(identity)
            } else {
                standing.identities.remove(&identity)
            };
            if changed {
                for place in &standing.policies {
                    let subjects = self.policies.get(place).map(|policy| &policy.subjects);
                    dirty.subjects.extend(subjects.into_iter().flatten());
                }
            }
        }
    }

    fn put_policy(&mut self, policy: &Policy, dirty: &mut Dirty) {
        self.remove_policy(policy.id, dirty);
        let place: Place = (policy.spec.tier, policy.spec.priority, policy.name.to_string());
        self.places.insert(policy.id, place.clone());
        let news = self.relevance.add(policy);
        self.reconsider(&news, dirty);
        for peer in elements::peers(policy) {
            let standing = self.peers.entry(peer.clone()).or_insert_with(|| {
                Standing::of(self.identities.of(|class| class.is(peer, &self.networks)))
            });
            standing.policies.insert(place.clone());
        }
        for (protocol, name) in elements::servers(policy) {
            let standing = self.servers.entry((protocol, name.clone())).or_insert_with(|| {
                Standing::of(self.identities.of(|class| class.serves(protocol, name)))
            });
            standing.policies.insert(place.clone());
        }
        let selected = self
            .members
            .iter()
            .filter(|(_, member)| member.is_selected(&policy.spec.subject, &self.networks));
        let subjects: BTreeSet<EndpointId> = selected.map(|(id, _)| *id).collect();
        for id in &subjects {
            if let Some(member) = self.members.get_mut(id) {
                member.policies.insert(place.clone());
            }
        }
        dirty.subjects.extend(&subjects);
        self.policies.insert(place, Selecting { policy: policy.clone(), subjects });
    }

    fn remove_policy(&mut self, id: PolicyId, dirty: &mut Dirty) {
        let Some(place) = self.places.remove(&id) else { return };
        let Some(Selecting { policy, subjects }) = self.policies.remove(&place) else { return };
        for id in &subjects {
            if let Some(member) = self.members.get_mut(id) {
                member.policies.remove(&place);
            }
        }
        dirty.subjects.extend(subjects);
        for peer in elements::peers(&policy) {
            withdraw(&mut self.peers, peer, &place);
        }
        for (protocol, name) in elements::servers(&policy) {
            withdraw(&mut self.servers, &(protocol, name.clone()), &place);
        }
        let dropped = self.relevance.remove(&policy);
        self.reconsider(&dropped, dirty);
    }

    /// Endpoints that are told apart by what is, or is no longer, asked for get their
    /// identities anew: they depend on what there is and not on how it came to be.
    fn reconsider(&self, changed: &Relevance, dirty: &mut Dirty) {
        if changed.is_empty() {
            return;
        }
        let told = self.members.iter().filter(|(_, member)| changed.tells(member));
        dirty.endpoints.extend(told.map(|(id, _)| *id));
    }

    /// The elements of prefixes and gateways, and the identities of what is in prefixes.
    fn common_elements(
        &mut self,
        gateways: impl Iterator<Item = IpAddr>,
        dirty: &mut Dirty,
    ) -> BTreeSet<Element> {
        let ranges = super::ranges::disjoint(self.relevance.cidrs.keys());
        let mut common: BTreeSet<Element> =
            gateways.map(|ip| Element::Identity(ip, GATEWAY)).collect();
        for (first, last, cidrs) in ranges {
            let (identity, new) = self.identities.acquire(&Class::World(cidrs));
            if new {
                self.restand(identity, dirty);
            }
            common.insert(Element::PrefixIdentity { first, last, identity });
        }
        let before: Vec<Identity> = self
            .common
            .iter()
            .filter_map(|element| match element {
                Element::PrefixIdentity { identity, .. } => Some(*identity),
                _ => None,
            })
            .collect();
        for identity in before {
            if self.identities.release(identity) {
                self.restand(identity, dirty);
            }
        }
        common
    }

    pub(super) fn unpolice(&mut self, network: NetworkId, delta: &mut Delta) {
        if let Some(count) = self.policed.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.policed.remove(&network);
                delta.judged.insert(network);
            }
        }
    }

    /// Compiles one endpoint anew.
    fn compile(&mut self, id: EndpointId, delta: &mut Delta) {
        self.reclass(id, delta);
        let Some(member) = self.members.get(&id) else { return };
        let elements = elements::of(self, member);
        let audited = !member.remote && self.audits(member);
        let Some(member) = self.members.get_mut(&id) else { return };
        // One that is new has no flows yet.
        let known = !member.elements.is_empty();
        let policed = |elements: &BTreeSet<Element>| {
            elements.iter().any(|element| matches!(element, Element::Policed(..)))
        };
        let (was, is) = (policed(&member.elements), policed(&elements));
        let network = member.network;
        let judged = is || audited;
        let before = std::mem::replace(&mut member.judged, judged);
        let changed = replace(&mut member.elements, elements, delta);
        // Without policies nothing but identities changes, which then mean nothing.
        if known && changed && (was || is || !self.policies.is_empty()) {
            delta.narrowed.extend(&member.addresses);
        }
        match (before, judged) {
            (false, true) => {
                let count = self.policed.entry(network).or_default();
                *count += 1;
                if *count == 1 {
                    delta.judged.insert(network);
                }
            }
            (true, false) => self.unpolice(network, delta),
            _ => {}
        }
    }
}

/// Whether a change may be about prefixes or gateways.
const fn is_common(put: &Put) -> bool {
    matches!(put, Put::Network(_) | Put::NetworkGone(_) | Put::Policy(_) | Put::PolicyGone(_))
}

/// Puts elements in the place of others; whether any changed.
pub(super) fn replace(
    old: &mut BTreeSet<Element>,
    new: BTreeSet<Element>,
    delta: &mut Delta,
) -> bool {
    let before = delta.remove.len() + delta.add.len();
    delta.remove.extend(old.difference(&new).cloned());
    delta.add.extend(new.difference(old).cloned());
    *old = new;
    delta.remove.len() + delta.add.len() > before
}

impl Named for Compiler {
    fn named(&self, peer: Identity, protocol: Protocol, name: &str) -> Vec<Match> {
        let ports = self.identities.class(peer).map(|class| class.named(protocol, name));
        let ports = ports.unwrap_or_default().into_iter();
        ports.map(|ports: PortRange| Match::ports(protocol, ports)).collect()
    }

    fn serving(&self, protocol: Protocol, name: &str) -> Vec<Identity> {
        let standing = self.servers.get(&(protocol, name.to_owned()));
        standing.into_iter().flat_map(|standing| &standing.identities).copied().collect()
    }
}
