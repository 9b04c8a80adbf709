//! What endpoints asked for by name.
//!
//! An address that a name resolved to is, to the endpoint that asked and while the answer
//! holds, one of the rules that have the name; to everybody else it is what it was. A
//! record outlives its answer: flows that began in time may go on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use postern_model::id::EndpointId;
use postern_model::network::Family;
use postern_model::policy::{Direction, DomainPattern, Peer};
use postern_model::resource::{Element, NamedAddress};
use postern_model::time::Timestamp;

use super::class::{Class, GATEWAY, Identity, holding};
use super::compiler::{Compiler, Delta, replace};
use super::elements;
use super::judge::{Flow, Party};
use super::member::Member;

/// Most addresses of all names that are kept for one address of an endpoint.
const ADDRESSES_MAX: usize = 4_096;
/// Most names of one address that are kept for one endpoint: whatever a zone answers, what
/// is kept of it stays small.
const NAMES_MAX: usize = 16;
/// The longest that an answer is believed, as the resolver keeps it (RFC 8767 §4).
const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How much longer than promised an address holds: so an answer that is given again and
/// again is written anew every now and then only.
const SLACK: Duration = Duration::from_secs(5);

/// How names are dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameLimits {
    /// The shortest time that an address holds, whatever its TTL.
    pub floor: Duration,
    /// Most addresses of one name for one endpoint.
    pub addresses: usize,
}

/// What a name resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name that was asked for, in lower case and without a dot at its end.
    pub name: String,
    /// Its addresses, each with its TTL.
    pub addresses: Vec<(IpAddr, Duration)>,
}

/// What an answer comes to.
#[derive(Debug, Default)]
pub struct Resolution {
    /// What is to be in force before the answer is given.
    pub delta: Delta,
    /// How many addresses had to make room.
    pub evicted: usize,
}

/// An address that was asked for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// By which names, and until when each holds.
    pub(super) names: BTreeMap<String, Timestamp>,
    /// What the address is to the endpoint.
    pub(super) identity: Identity,
}

impl Resolved {
    fn until(&self) -> Timestamp {
        self.names.values().copied().max().unwrap_or(Timestamp(0))
    }

    fn element(&self, (subject, address): (IpAddr, IpAddr)) -> Element {
        let names = self.names.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        let (identity, until) = (self.identity, self.until());
        Element::Named(NamedAddress { subject, address, identity, until, names })
    }
}

impl Member {
    /// What addresses are to it that it asked for by name.
    pub(super) fn own_identities(&self, address: IpAddr) -> BTreeSet<Identity> {
        let own = self.named.range((address, Family::of(address).unspecified())..);
        let own = own.take_while(|((from, _), _)| *from == address);
        own.map(|(_, resolved)| resolved.identity).collect()
    }
}

impl Compiler {
    /// Whether some rule lets an endpoint reach something by this name.
    pub fn asks_for(&self, endpoint: EndpointId, name: &str) -> bool {
        let member = self.members.get(&endpoint);
        member.is_some_and(|member| self.domains(member).any(|domain| domain.matches(name)))
    }

    /// Notes what an endpoint was told. Addresses of endpoints and gateways stay what they
    /// are.
    pub fn resolve(
        &mut self,
        id: EndpointId,
        answer: &Answer,
        (limits, now): (NameLimits, Timestamp),
    ) -> Resolution {
        let mut resolution = Resolution::default();
        if !self.asks_for(id, &answer.name) {
            return resolution;
        }
        let Some(own) = self.members.get(&id).map(|member| member.addresses.clone()) else {
            return resolution;
        };
        for (address, ttl) in &answer.addresses {
            if self.is_known(*address) {
                continue;
            }
            let until = now.after((*ttl).min(TTL_MAX).max(limits.floor));
            for own in own.iter().filter(|own| own.is_ipv4() == address.is_ipv4()) {
                self.note(id, (*own, *address), &answer.name, (until, now), &mut resolution.delta);
            }
        }
        for own in own {
            resolution.evicted += self.make_room(id, own, (answer, limits), &mut resolution.delta);
        }
        self.recompile(id, &mut resolution.delta);
        resolution
    }

    /// Takes over what the kernel still holds of an earlier life. What is not right any
    /// more is in the delta.
    pub fn adopt(&mut self, held: Vec<NamedAddress>) -> Delta {
        let mut delta = Delta::default();
        let mut touched = BTreeSet::new();
        for NamedAddress { subject, address, until, names, .. } in held {
            let Some(id) = self.by_address.get(&subject).copied() else { continue };
            if self.is_known(address) {
                continue;
            }
            touched.insert(id);
            // As it was noted, with the slack in it.
            let until = Timestamp(until.0.saturating_sub(Timestamp(0).after(SLACK).0));
            for name in names.split(' ').filter(|name| !name.is_empty()) {
                self.note(id, (subject, address), name, (until, Timestamp(0)), &mut delta);
            }
        }
        touched.into_iter().for_each(|id| self.recompile(id, &mut delta));
        delta
    }

    /// Lets go what names stood for whose time is over, where the address still holds by
    /// another name. Where it does not, the kernel forgets it by itself.
    pub fn lapse(&mut self, now: Timestamp) -> Delta {
        let mut delta = Delta::default();
        let partly = |resolved: &Resolved| {
            let over = |until: &Timestamp| *until <= now;
            resolved.names.values().any(over) && !resolved.names.values().all(over)
        };
        let lapsed = |member: &Member| member.named.values().any(partly);
        let members = self.members.iter().filter(|(_, member)| lapsed(member));
        let ids: Vec<EndpointId> = members.map(|(id, _)| *id).collect();
        for id in ids {
            let named = self.members.get_mut(&id).map(|member| &mut member.named);
            for resolved in named.into_iter().flat_map(BTreeMap::values_mut) {
                if partly(resolved) {
                    resolved.names.retain(|_, until| *until > now);
                }
            }
            self.reclass(id, &mut delta);
            self.recompile(id, &mut delta);
        }
        delta
    }

    /// The elements of all addresses that still hold.
    pub fn named(&self, now: Timestamp) -> impl Iterator<Item = NamedAddress> {
        let all = self.members.values().flat_map(|member| &member.named);
        all.filter(move |(_, resolved)| resolved.until() > now).filter_map(|(at, resolved)| {
            match resolved.element(*at) {
                Element::Named(named) => Some(named),
                _ => None,
            }
        })
    }

    /// The names by which the beginner of a flow asked for its other end.
    pub fn names_of(&self, flow: &Flow) -> Vec<String> {
        let names = self.by_name(flow).map(|resolved| resolved.names.keys().cloned());
        names.into_iter().flatten().collect()
    }

    /// What a flow's beginner asked for by name, if its other end is that.
    pub(super) fn by_name(&self, flow: &Flow) -> Option<&Resolved> {
        let (Some(from), Party::Address(to)) = (flow.from.address(), flow.to) else { return None };
        if self.is_known(to) {
            return None;
        }
        let member = self.members.get(self.by_address.get(&from)?)?;
        let resolved = member.named.get(&(from, to))?;
        flow.begins.is_none_or(|begins| resolved.until() > begins).then_some(resolved)
    }

    /// The element that says so in the kernel.
    pub(super) fn named_element(&self, flow: &Flow) -> Option<Element> {
        let at = flow.from.address().zip(flow.to.address())?;
        Some(self.by_name(flow)?.element(at))
    }

    /// An endpoint's or a gateway's address.
    fn is_known(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
            || self.common.contains(&Element::Identity(address, GATEWAY))
    }

    fn domains<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a DomainPattern> {
        let policies = member.policies.iter().filter_map(|place| self.policies.get(place));
        let rules = policies.flat_map(|selecting| {
            selecting.policy.spec.rules(Direction::Egress).unwrap_or_default()
        });
        rules.flat_map(|rule| &rule.peers).filter_map(|peer| match peer {
            Peer::Domain(domain) => Some(domain),
            _ => None,
        })
    }

    /// What an address is that was asked for by names; none if no rule has them.
    fn class_of_names(
        &self,
        member: &Member,
        address: IpAddr,
        names: &BTreeMap<String, Timestamp>,
    ) -> Option<Class> {
        let matches = |domain: &&DomainPattern| names.keys().any(|name| domain.matches(name));
        let domains: BTreeSet<_> = self.domains(member).filter(matches).cloned().collect();
        let cidrs = holding(self.relevance.cidrs.keys(), address);
        (!domains.is_empty()).then_some(Class::Named { domains, cidrs })
    }

    fn note(
        &mut self,
        id: EndpointId,
        at: (IpAddr, IpAddr),
        name: &str,
        (until, now): (Timestamp, Timestamp),
        delta: &mut Delta,
    ) {
        let Some(member) = self.members.get(&id) else { return };
        let old = member.named.get(&at);
        let mut names = old.map(|old| old.names.clone()).unwrap_or_default();
        // One that holds much longer was noted by a clock that has been set back since.
        let holds = |known: &Timestamp| (until..=until.after(SLACK)).contains(known);
        if let Some(old) = old.filter(|old| old.names.get(name).is_some_and(holds)) {
            // Again all the same: whoever is told it now waits for what was begun before.
            delta.add.push(old.element(at));
            return;
        }
        // What another name stood for is over with it.
        names.retain(|_, until| *until > now);
        while names.len() >= NAMES_MAX {
            let first = names.iter().min_by_key(|(_, until)| **until);
            let Some(first) = first.map(|(name, _)| name.clone()) else { break };
            names.remove(&first);
        }
        names.insert(name.to_owned(), until.after(SLACK));
        let Some(class) = self.class_of_names(member, at.1, &names) else { return };
        let before = old.map(|old| (old.identity, old.element(at)));
        let (identity, _) = self.identities.acquire(&class);
        let resolved = Resolved { names, identity };
        delta.add.push(resolved.element(at));
        if let Some(member) = self.members.get_mut(&id) {
            member.named.insert(at, resolved);
        }
        if let Some((identity, element)) = before {
            self.identities.release(identity);
            delta.remove.push(element);
        }
    }

    /// Lets those go that hold the shortest, where there are too many, but for what is to be
    /// told now. Returns how many.
    fn make_room(
        &mut self,
        id: EndpointId,
        own: IpAddr,
        (answer, limits): (&Answer, NameLimits),
        delta: &mut Delta,
    ) -> usize {
        let Some(member) = self.members.get(&id) else { return 0 };
        let of = member.named.iter().filter(|((from, _), _)| *from == own);
        let told: BTreeSet<IpAddr> = answer.addresses.iter().map(|(told, _)| *told).collect();
        let rank = |(at, resolved): (&(IpAddr, IpAddr), &Resolved)| {
            (told.contains(&at.1), resolved.until(), *at)
        };
        let mut all: Vec<_> = of.map(rank).collect();
        let named = |(_, _, at): &&(bool, Timestamp, (IpAddr, IpAddr))| {
            member.named.get(at).is_some_and(|resolved| resolved.names.contains_key(&answer.name))
        };
        let mut same: Vec<_> = all.iter().filter(named).copied().collect();
        let mut gone = BTreeSet::new();
        for (list, max) in [(&mut same, limits.addresses), (&mut all, ADDRESSES_MAX)] {
            list.sort_unstable();
            let over = list.len().saturating_sub(max);
            gone.extend(list.iter().take(over).map(|(_, _, at)| *at));
        }
        let Some(member) = self.members.get_mut(&id) else { return 0 };
        let evicted: BTreeMap<_, _> =
            member.named.extract_if(.., |at, _| gone.contains(at)).collect();
        let count = evicted.len();
        self.forget_names(evicted, delta);
        count
    }

    /// Finds anew what rules make of the addresses that an endpoint asked for.
    pub(super) fn reclass(&mut self, id: EndpointId, delta: &mut Delta) {
        let Some(member) = self.members.get(&id).filter(|member| !member.named.is_empty()) else {
            return;
        };
        let found: Vec<_> = member
            .named
            .iter()
            .map(|(at, resolved)| (*at, self.class_of_names(member, at.1, &resolved.names)))
            .collect();
        let mut gone = BTreeMap::new();
        for (at, class) in found {
            let identity = class.map(|class| self.identities.acquire(&class).0);
            let Some(member) = self.members.get_mut(&id) else { return };
            let Some(identity) = identity else {
                gone.extend(member.named.remove_entry(&at));
                continue;
            };
            let Some(resolved) = member.named.get_mut(&at) else { continue };
            let before = (resolved.identity, resolved.element(at));
            resolved.identity = identity;
            if before.0 != identity {
                delta.remove.push(before.1);
                delta.add.push(resolved.element(at));
            }
            self.identities.release(before.0);
        }
        self.forget_names(gone, delta);
    }

    pub(super) fn forget_names(
        &mut self,
        named: BTreeMap<(IpAddr, IpAddr), Resolved>,
        delta: &mut Delta,
    ) {
        if named.is_empty() {
            return;
        }
        // Not to be added again by the same change.
        delta.add.retain(|element| match element {
            Element::Named(new) => !named.contains_key(&(new.subject, new.address)),
            _ => true,
        });
        for (at, resolved) in named {
            self.identities.release(resolved.identity);
            delta.remove.push(resolved.element(at));
        }
    }

    /// As when a policy changes, but what has begun is not forbidden by it.
    fn recompile(&mut self, id: EndpointId, delta: &mut Delta) {
        let Some(member) = self.members.get(&id) else { return };
        let elements = elements::of(self, member);
        if let Some(member) = self.members.get_mut(&id) {
            replace(&mut member.elements, elements, delta);
        }
    }
}
