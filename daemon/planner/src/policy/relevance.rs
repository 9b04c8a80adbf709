//! What any rule asks for: only that tells identities apart.

use std::collections::BTreeMap;

use postern_model::name::Name;
use postern_model::policy::{Cidr, Direction, DomainPattern, Peer, Policy, PolicyPort, Selector};
use postern_model::port::Protocol;

use super::member::Member;

/// Label keys, names, named ports and prefixes, with how many policies ask for each.
#[derive(Debug, Clone, Default)]
pub(super) struct Relevance {
    pub(super) keys: BTreeMap<String, usize>,
    pub(super) names: BTreeMap<Name, usize>,
    pub(super) ports: BTreeMap<(Protocol, String), usize>,
    pub(super) cidrs: BTreeMap<Cidr, usize>,
    /// Names of the world: they tell no endpoint from another.
    pub(super) domains: BTreeMap<DomainPattern, usize>,
}

impl Relevance {
    /// Counts what a policy asks for; returns what nobody asked for before.
    pub(super) fn add(&mut self, policy: &Policy) -> Self {
        let asked = Self::of(policy);
        Self {
            keys: add(&mut self.keys, asked.keys),
            names: add(&mut self.names, asked.names),
            ports: add(&mut self.ports, asked.ports),
            cidrs: add(&mut self.cidrs, asked.cidrs),
            domains: add(&mut self.domains, asked.domains),
        }
    }

    /// Takes back what a policy asked for; returns what nobody asks for any more.
    pub(super) fn remove(&mut self, policy: &Policy) -> Self {
        let asked = Self::of(policy);
        Self {
            keys: remove(&mut self.keys, asked.keys),
            names: remove(&mut self.names, asked.names),
            ports: remove(&mut self.ports, asked.ports),
            cidrs: remove(&mut self.cidrs, asked.cidrs),
            domains: remove(&mut self.domains, asked.domains),
        }
    }

    /// Whether nothing in it can tell endpoints apart.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.names.is_empty()
            && self.ports.is_empty()
            && self.cidrs.is_empty()
    }

    /// Whether it tells an endpoint from others.
    pub(super) fn tells(&self, member: &Member) -> bool {
        self.keys.keys().any(|key| member.labels.contains_key(key))
            || self.names.contains_key(&member.name)
            || member
                .ports
                .iter()
                .any(|(protocol, name, _)| self.ports.contains_key(&(*protocol, name.clone())))
            || self.cidrs.keys().any(|cidr| {
                let named = member.named.keys().map(|(_, address)| address);
                member.addresses.iter().chain(named).any(|ip| cidr.contains(*ip))
            })
    }

    fn of(policy: &Policy) -> Self {
        let mut asked = Self::default();
        for direction in Direction::ALL {
            for rule in policy.spec.rules(direction).unwrap_or_default() {
                rule.peers.iter().for_each(|peer| asked.ask(peer));
                for port in &rule.ports {
                    if let PolicyPort::Named(protocol, name) = port {
                        asked.ports.insert((*protocol, name.clone()), 1);
                    }
                }
            }
        }
        asked
    }

    fn ask(&mut self, peer: &Peer) {
        match peer {
            Peer::Selector(wanted) => self.ask_keys(&wanted.endpoints),
            Peer::Cidr(cidr) => drop(self.cidrs.insert(cidr.clone(), 1)),
            Peer::Endpoint(name) => drop(self.names.insert(name.clone(), 1)),
            Peer::Domain(domain) => drop(self.domains.insert(domain.clone(), 1)),
            Peer::Entity(_) => {}
        }
    }

    fn ask_keys(&mut self, selector: &Selector) {
        self.keys.extend(selector.0.iter().map(|requirement| (requirement.key.clone(), 1)));
    }
}

fn add<K: Ord + Clone>(
    all: &mut BTreeMap<K, usize>,
    asked: BTreeMap<K, usize>,
) -> BTreeMap<K, usize> {
    let mut new = BTreeMap::new();
    for key in asked.into_keys() {
        let count = all.entry(key.clone()).or_default();
        *count += 1;
        if *count == 1 {
            new.insert(key, 1);
        }
    }
    new
}

fn remove<K: Ord>(all: &mut BTreeMap<K, usize>, asked: BTreeMap<K, usize>) -> BTreeMap<K, usize> {
    let mut gone = BTreeMap::new();
    for key in asked.into_keys() {
        let Some(count) = all.get_mut(&key) else { continue };
        *count -= 1;
        if *count == 0 {
            all.remove(&key);
            gone.insert(key, 1);
        }
    }
    gone
}
