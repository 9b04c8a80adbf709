//! What rules can tell apart: addresses that no rule distinguishes have one identity.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use postern_model::id::NetworkId;
use postern_model::name::{Labels, Name};
use postern_model::policy::{Cidr, DomainPattern, Entity, Peer};
use postern_model::port::{PortRange, Protocol};

/// A number by which the kernel knows a [`Class`].
pub type Identity = u32;

/// What is neither an endpoint nor the host, and in no prefix that a rule names.
pub const WORLD: Identity = 1;
/// The host by any address but a gateway's.
pub const HOST: Identity = 2;
/// The host by the address of a network's gateway.
pub const GATEWAY: Identity = 3;
/// Identities from here on are made of what they stand for.
const FIRST_MADE: Identity = 1 << 31;

/// What is known of an address, as far as any rule asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Neither an endpoint nor the host; the prefixes of rules that it is in.
    World(BTreeSet<Cidr>),
    /// See [`HOST`].
    Host,
    /// See [`GATEWAY`].
    Gateway,
    /// An endpoint's.
    Endpoint(EndpointClass),
    /// Of the world, and asked for by a name that some rule allows: so it is to the
    /// endpoint that asked, and to nobody else.
    Named {
        /// The names of rules that it was asked for by.
        domains: BTreeSet<DomainPattern>,
        /// The prefixes of rules that it is in.
        cidrs: BTreeSet<Cidr>,
    },
}

/// What is known of an endpoint's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointClass {
    /// Its network.
    pub network: NetworkId,
    /// Its labels, of the keys that some selector asks for.
    pub labels: Labels,
    /// Its named ports, of the names that some rule uses.
    pub ports: BTreeSet<NamedPort>,
    /// Its name, if some rule uses that.
    pub name: Option<Name>,
    /// The prefixes of rules that the address is in.
    pub cidrs: BTreeSet<Cidr>,
}

/// A port an endpoint serves under a name.
pub type NamedPort = (Protocol, String, PortRange);

impl Class {
    /// Whether a rule's peer stands for it. Of a peer that is relative to the subject's
    /// network, that network is not looked at here; see `is_relative`.
    pub fn is(&self, peer: &Peer, networks: &BTreeMap<NetworkId, Labels>) -> bool {
        match (self, peer) {
            (Self::World(cidrs) | Self::Named { cidrs, .. }, Peer::Cidr(cidr)) => {
                cidrs.contains(cidr)
            }
            (Self::Named { domains, .. }, Peer::Domain(domain)) => domains.contains(domain),
            (Self::World(_) | Self::Named { .. }, Peer::Entity(Entity::World))
            | (Self::Host | Self::Gateway, Peer::Entity(Entity::Host))
            | (Self::Gateway, Peer::Entity(Entity::Gateway))
            | (Self::Endpoint(_), Peer::Entity(Entity::SameNetwork | Entity::AllEndpoints)) => true,
            (Self::Endpoint(class), Peer::Cidr(cidr)) => class.cidrs.contains(cidr),
            (Self::Endpoint(class), Peer::Endpoint(name)) => class.name.as_ref() == Some(name),
            (Self::Endpoint(class), Peer::Selector(wanted)) => {
                let none = Labels::new();
                let network = networks.get(&class.network).unwrap_or(&none);
                wanted.networks.as_ref().is_none_or(|selector| selector.matches(network))
                    && wanted.endpoints.matches(&class.labels)
            }
            _ => false,
        }
    }

    /// The network of an endpoint.
    pub const fn network(&self) -> Option<NetworkId> {
        match self {
            Self::Endpoint(class) => Some(class.network),
            _ => None,
        }
    }

    /// Whether it is an endpoint that serves a port under a name.
    pub fn serves(&self, protocol: Protocol, name: &str) -> bool {
        !self.named(protocol, name).is_empty()
    }

    /// The ports that an endpoint serves under a name.
    pub fn named(&self, protocol: Protocol, name: &str) -> Vec<PortRange> {
        let Self::Endpoint(class) = self else { return Vec::new() };
        let wanted = |port: &&NamedPort| port.0 == protocol && port.1 == name;
        class.ports.iter().filter(wanted).map(|port| port.2).collect()
    }
}

/// Whether a peer means the subject's own network only.
pub(super) fn is_relative(peer: &Peer) -> bool {
    match peer {
        Peer::Selector(wanted) => wanted.networks.is_none(),
        Peer::Entity(Entity::SameNetwork) => true,
        _ => false,
    }
}

/// The classes there are, each with its number and how many addresses it has.
#[derive(Debug, Clone, Default)]
pub(super) struct Identities {
    numbers: BTreeMap<Class, (Identity, usize)>,
    classes: BTreeMap<Identity, Class>,
}

impl Identities {
    /// Those that are always there.
    pub(super) fn new() -> Self {
        let mut all = Self::default();
        for (number, class) in
            [(WORLD, Class::World(BTreeSet::new())), (HOST, Class::Host), (GATEWAY, Class::Gateway)]
        {
            all.numbers.insert(class.clone(), (number, 1));
            all.classes.insert(number, class);
        }
        all
    }

    /// Counts one more address of a class; the second is whether it is the first.
    pub(super) fn acquire(&mut self, class: &Class) -> (Identity, bool) {
        if let Some((number, count)) = self.numbers.get_mut(class) {
            *count += 1;
            return (*number, false);
        }
        let mut number = hash(class) | FIRST_MADE;
        // By a chance of one in 2³¹ for each pair: then the next one that is free.
        while self.classes.contains_key(&number) {
            number = number.wrapping_add(1) | FIRST_MADE;
        }
        self.numbers.insert(class.clone(), (number, 1));
        self.classes.insert(number, class.clone());
        (number, true)
    }

    /// Counts one less; whether it was the last.
    pub(super) fn release(&mut self, number: Identity) -> bool {
        let Some(class) = self.classes.get(&number) else { return false };
        let Some((_, count)) = self.numbers.get_mut(class) else { return false };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.numbers.remove(class);
        self.classes.remove(&number);
        true
    }

    pub(super) fn class(&self, number: Identity) -> Option<&Class> {
        self.classes.get(&number)
    }

    /// Those of some classes; without those by name, which are nothing to most endpoints.
    pub(super) fn of(&self, is: impl Fn(&Class) -> bool) -> impl Iterator<Item = Identity> {
        let of = move |class: &Class| !matches!(class, Class::Named { .. }) && is(class);
        self.classes.iter().filter(move |(_, class)| of(class)).map(|(number, _)| *number)
    }
}

/// FNV-1a over what a class says of itself: the same after a restart, so that what is in
/// the kernel can be taken over.
fn hash(class: &Class) -> u32 {
    let text = format!("{class:?}");
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The prefixes that hold an address.
pub(super) fn holding<'a>(
    cidrs: impl Iterator<Item = &'a Cidr>,
    address: IpAddr,
) -> BTreeSet<Cidr> {
    cidrs.filter(|cidr| cidr.contains(address)).cloned().collect()
}
