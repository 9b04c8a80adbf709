//! The names and addresses of everything that is joined, by network, and what each
//! sandbox adds for itself. Pure; what a change costs depends on the change alone.

mod entry;
mod index;
mod lookup;
mod prefixes;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use hickory_proto::rr::Name;
use postern_model::cluster::Peer;
use postern_model::endpoint::{Attachment, Endpoint};
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::network::Network;
use postern_model::sandbox::Sandbox;
use postern_model::topology::Put;

pub(crate) use entry::{Member, Service};
use entry::{NetworkFacts, SandboxFacts};
use index::Index;
pub(crate) use lookup::{Found, Route, Servers};
use prefixes::Prefixes;

/// All records, as far as names depend on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    networks: HashMap<NetworkId, Room>,
    sandboxes: HashMap<SandboxId, Seat>,
    /// Joined endpoints only.
    members: HashMap<EndpointId, Member>,
    /// By name in lower case.
    network_names: Index<Box<str>, NetworkId>,
    /// By name as it is, as links mean it.
    sandbox_names: Index<Box<str>, SandboxId>,
    addresses: Index<IpAddr, EndpointId>,
    /// By the host's addresses that ports are published on.
    published: Index<IpAddr, EndpointId>,
    prefixes: Prefixes,
}

/// A network. It may have members before its own record has come, and after it has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Room {
    facts: Option<NetworkFacts>,
    members: BTreeSet<EndpointId>,
    names: Index<Box<str>, EndpointId>,
}

/// A sandbox. It may have endpoints before its own record has come, and after it has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seat {
    facts: Option<SandboxFacts>,
    endpoints: BTreeSet<EndpointId>,
    /// Those of its endpoints, each once, by name.
    networks: Vec<NetworkId>,
}

impl Directory {
    /// Takes a record over.
    pub(crate) fn put(&mut self, put: &Put) {
        match put {
            Put::Network(network) => self.put_network(network),
            Put::NetworkGone(id) => self.set_network(*id, None),
            Put::Sandbox(sandbox) => self.put_sandbox(sandbox),
            Put::SandboxGone(id) => self.set_sandbox(*id, None),
            Put::Endpoint(endpoint) => self.put_endpoint(endpoint),
            Put::EndpointGone(id) => self.remove_endpoint(*id),
            Put::Peer(remote) => self.put_peer(&remote.peer),
            Put::PeerGone(id) => self.remove_peer(*id),
            Put::Policy(_)
            | Put::Driver(_)
            | Put::DriverGone(_)
            | Put::PolicyGone(_)
            | Put::Lease(..)
            | Put::LeaseGone(..)
            | Put::EventGone(_)
            | Put::RequestGone(_) => {}
        }
    }

    fn put_network(&mut self, network: &Network) {
        self.set_network(network.id, Some(NetworkFacts::of(network)));
    }

    fn set_network(&mut self, id: NetworkId, facts: Option<NetworkFacts>) {
        let room = self.networks.entry(id).or_default();
        let renamed = room.facts.as_ref().map(|f| &f.name) != facts.as_ref().map(|f| &f.name);
        if let Some(old) = &room.facts {
            self.network_names.remove(&old.lower, &id);
            old.prefixes().for_each(|prefix| self.prefixes.remove(prefix));
        }
        if let Some(new) = &facts {
            self.network_names.insert(new.lower.clone(), id);
            new.prefixes().for_each(|prefix| self.prefixes.insert(prefix));
        }
        room.facts = facts;
        if renamed {
            self.rename(id);
        }
        if self.networks.get(&id).is_some_and(Room::is_empty) {
            self.networks.remove(&id);
        }
    }

    /// Follows a network that has come, gone or changed its name.
    fn rename(&mut self, id: NetworkId) {
        let Some(room) = self.networks.get(&id) else { return };
        let members: Vec<EndpointId> = room.members.iter().copied().collect();
        let mut sandboxes = HashSet::new();
        for member in members {
            self.announce(member);
            sandboxes.extend(self.members.get(&member).map(|member| member.sandbox));
        }
        sandboxes.into_iter().for_each(|sandbox| self.arrange(sandbox));
    }

    fn put_sandbox(&mut self, sandbox: &Sandbox) {
        self.set_sandbox(sandbox.id, Some(SandboxFacts::of(sandbox)));
    }

    /// An endpoint on another host, which comes and goes with what is known of its sandbox.
    fn put_peer(&mut self, peer: &Peer) {
        self.remove_endpoint(peer.id());
        let facts = SandboxFacts { remote: true, ..SandboxFacts::of(&peer.sandbox) };
        self.set_sandbox(peer.sandbox.id, Some(facts));
        if let Some(attachment) = &peer.endpoint.attachment {
            self.join(&peer.endpoint, attachment);
        }
    }

    fn remove_peer(&mut self, id: EndpointId) {
        let Some(sandbox) = self.members.get(&id).map(|member| member.sandbox) else { return };
        self.remove_endpoint(id);
        let left = |seat: &Seat| {
            seat.endpoints.is_empty() && seat.facts.as_ref().is_some_and(|facts| facts.remote)
        };
        if self.sandboxes.get(&sandbox).is_some_and(left) {
            self.set_sandbox(sandbox, None);
        }
    }

    fn set_sandbox(&mut self, id: SandboxId, facts: Option<SandboxFacts>) {
        let seat = self.sandboxes.entry(id).or_default();
        if let Some(old) = &seat.facts {
            self.sandbox_names.remove(&old.name, &id);
        }
        if let Some(new) = &facts {
            self.sandbox_names.insert(new.name.clone(), id);
        }
        seat.facts = facts;
        let endpoints: Vec<EndpointId> = seat.endpoints.iter().copied().collect();
        endpoints.into_iter().for_each(|endpoint| self.announce(endpoint));
        self.prune_sandbox(id);
    }

    fn put_endpoint(&mut self, endpoint: &Endpoint) {
        self.remove_endpoint(endpoint.id);
        if let Some(attachment) = &endpoint.attachment {
            self.join(endpoint, attachment);
        }
    }

    fn join(&mut self, endpoint: &Endpoint, attachment: &Attachment) {
        let member = Member::of(endpoint, attachment);
        for address in &member.addresses {
            self.addresses.insert(*address, endpoint.id);
        }
        for (address, _) in &member.published {
            self.published.insert(*address, endpoint.id);
        }
        self.networks.entry(member.network).or_default().members.insert(endpoint.id);
        self.sandboxes.entry(member.sandbox).or_default().endpoints.insert(endpoint.id);
        self.members.insert(endpoint.id, member);
        self.announce(endpoint.id);
        self.arrange(attachment.sandbox);
    }

    fn remove_endpoint(&mut self, id: EndpointId) {
        self.withdraw(id);
        let Some(member) = self.members.remove(&id) else { return };
        for address in &member.addresses {
            self.addresses.remove(address, &id);
        }
        for (address, _) in &member.published {
            self.published.remove(address, &id);
        }
        if let Some(room) = self.networks.get_mut(&member.network) {
            room.members.remove(&id);
            if room.is_empty() {
                self.networks.remove(&member.network);
            }
        }
        if let Some(seat) = self.sandboxes.get_mut(&member.sandbox) {
            seat.endpoints.remove(&id);
        }
        self.arrange(member.sandbox);
        self.prune_sandbox(member.sandbox);
    }

    fn prune_sandbox(&mut self, id: SandboxId) {
        let unused = |seat: &Seat| seat.facts.is_none() && seat.endpoints.is_empty();
        if self.sandboxes.get(&id).is_some_and(unused) {
            self.sandboxes.remove(&id);
        }
    }

    /// Gives a member the names that it has by the records as they are.
    fn announce(&mut self, id: EndpointId) {
        self.withdraw(id);
        let Some(member) = self.members.get_mut(&id) else { return };
        let Some(room) = self.networks.get_mut(&member.network) else { return };
        let facts = self.sandboxes.get(&member.sandbox).and_then(|seat| seat.facts.as_ref());
        let host = facts.map_or(&*member.name, |facts| &*facts.name);
        member.canonical = room.facts.as_ref().and_then(|network| canonical(host, &network.name));
        // Without an address there is nothing to say of a name, not even that it exists.
        if member.addresses.is_empty() {
            return;
        }
        let of_sandbox = facts.into_iter().flat_map(|facts| &facts.names);
        let names: HashSet<Box<str>> = member.names.iter().chain(of_sandbox).cloned().collect();
        for name in &names {
            room.names.insert(name.clone(), id);
        }
        member.announced = names.into_iter().collect();
        member.announced.sort_unstable();
    }

    /// Takes a member's names back.
    fn withdraw(&mut self, id: EndpointId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let names = std::mem::take(&mut member.announced);
        if let Some(room) = self.networks.get_mut(&member.network) {
            names.iter().for_each(|name| room.names.remove(name, &id));
        }
    }

    /// Puts the networks of a sandbox in order.
    fn arrange(&mut self, id: SandboxId) {
        let Some(seat) = self.sandboxes.get(&id) else { return };
        let of = |endpoint| Some(self.members.get(endpoint)?.network);
        let name = |network| Some(&*self.networks.get(&network)?.facts.as_ref()?.lower);
        let mut networks: Vec<_> = seat
            .endpoints
            .iter()
            .filter_map(of)
            .filter_map(|network| Some((name(network)?, network)))
            .collect();
        networks.sort_unstable();
        networks.dedup();
        let networks = networks.into_iter().map(|(_, network)| network).collect();
        if let Some(seat) = self.sandboxes.get_mut(&id) {
            seat.networks = networks;
        }
    }
}

impl Room {
    fn is_empty(&self) -> bool {
        self.facts.is_none() && self.members.is_empty() && self.names.is_empty()
    }
}

/// What an address is said to be called.
fn canonical(host: &str, network: &str) -> Option<Name> {
    let text = format!("{host}.{network}").to_ascii_lowercase();
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
