//! What a sandbox sees of the directory.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use postern_model::dns::HostAddress;
use postern_model::endpoint::Endpoint;
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::network::Family;

use super::{Directory, Member, NetworkFacts, Room, SandboxFacts, Seat};

/// What is known of a name or an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// It is this, and has these further addresses for the asker alone.
    Here(Vec<&'a Member>, Vec<IpAddr>),
    /// It is ours, and does not exist for the asker.
    Hidden,
    /// It is not ours.
    Elsewhere,
}

/// Which servers a sandbox's other questions go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    /// These.
    Listed(Vec<SocketAddr>),
    /// The host's.
    Host,
}

/// The way of a question that is not ours to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// Whom to ask.
    pub(crate) servers: Servers,
    /// Whether a server was left out because it is the asker.
    pub(crate) loops: bool,
}

impl Directory {
    /// Looks up a name, in lower case and without its last dot.
    pub(crate) fn name(&self, asker: SandboxId, name: &str) -> Found<'_> {
        let Some(seat) = self.sandboxes.get(&asker) else { return self.unseen(name) };
        if let Some(source) = seat.facts.as_ref().and_then(|facts| facts.links.get(name)) {
            let members: Vec<_> = self.linked(seat, source).collect();
            return if members.is_empty() { Found::Hidden } else { Found::Here(members, vec![]) };
        }
        let mut members: Vec<_> =
            self.rooms(seat).flat_map(|(room, _)| self.named(room, name)).collect();
        let (extra, is_host) = self.hosts(seat, name);
        if members.is_empty() && !is_host {
            let split = |(room, facts): (_, &NetworkFacts)| Some((room, head(name, &facts.lower)?));
            let heads = self.rooms(seat).filter_map(split);
            members = heads.flat_map(|(room, head)| self.named(room, head)).collect();
        }
        if members.is_empty() && !is_host {
            // A network's name is a domain of its own for those who are on it: while `db` is
            // away, `db.net` must not become whatever the world has under that name.
            let within = self.rooms(seat).any(|(_, facts)| head(name, &facts.lower).is_some());
            return if within { Found::Hidden } else { self.unseen(name) };
        }
        Found::Here(members, extra)
    }

    /// Looks up an address.
    pub(crate) fn address(&self, asker: SandboxId, address: IpAddr) -> Found<'_> {
        let networks = self.sandboxes.get(&asker).map(|seat| &*seat.networks).unwrap_or_default();
        let members = self.addresses.get(&address).filter_map(|id| self.members.get(id));
        let members: Vec<_> = members.filter(|m| networks.contains(&m.network)).collect();
        if !members.is_empty() {
            return Found::Here(members, Vec::new());
        }
        if self.prefixes.contains(address) { Found::Hidden } else { Found::Elsewhere }
    }

    /// Whether a sandbox is cut off.
    pub(crate) fn is_quarantined(&self, asker: SandboxId) -> bool {
        let facts = self.sandboxes.get(&asker).and_then(|seat| seat.facts.as_ref());
        facts.is_some_and(|facts| facts.quarantined)
    }

    /// Which servers are asked for a sandbox: its own, else its networks', else the host's.
    /// The asker itself is none: it would ask us back. Where no network leads outside, only
    /// servers on its networks are asked.
    pub(crate) fn route(&self, asker: SandboxId) -> Route {
        let inside = || Route { servers: Servers::Listed(Vec::new()), loops: false };
        let Some(seat) = self.sandboxes.get(&asker) else { return inside() };
        let open = self.is_open(seat);
        let mut loops = false;
        let mut allowed = |server: &&SocketAddr| {
            let own = self.holds(seat, **server);
            loops |= own;
            !own && (open || self.is_near(seat, server.ip()))
        };
        let own = seat.facts.iter().flat_map(|facts| &facts.servers);
        let mut servers: Vec<SocketAddr> = own.filter(&mut allowed).copied().collect();
        if servers.is_empty() {
            let theirs = self.rooms(seat).flat_map(|(_, facts)| &facts.servers);
            servers = theirs.filter(&mut allowed).copied().collect();
        }
        let mut seen = BTreeSet::new();
        servers.retain(|server| seen.insert(*server));
        if servers.is_empty() && open {
            return Route { servers: Servers::Host, loops };
        }
        Route { servers: Servers::Listed(servers), loops }
    }

    /// The sandboxes that answer at a server's address.
    pub(crate) fn holders(&self, server: SocketAddr) -> Vec<SandboxId> {
        let ip = server.ip();
        let ids = self.addresses.get(&ip).chain(self.published.get(&ip));
        let members = ids.filter_map(|id| self.members.get(id));
        members.filter(|member| member.is_reached_at(server)).map(|m| m.sandbox).collect()
    }

    fn holds(&self, seat: &Seat, server: SocketAddr) -> bool {
        let mut own = seat.endpoints.iter().filter_map(|id| self.members.get(id));
        own.any(|member| member.is_reached_at(server))
    }

    /// Whether a sandbox has a way out: an address on a network that is not internal. Of a
    /// network without addresses, as `none`, it has its loopback and nothing else.
    fn is_open(&self, seat: &Seat) -> bool {
        let members = seat.endpoints.iter().filter_map(|id| self.members.get(id));
        let rooms = members.filter(|member| !member.addresses.is_empty());
        let mut rooms = rooms.filter_map(|member| self.networks.get(&member.network));
        rooms.any(|room| room.facts.as_ref().is_some_and(|facts| !facts.internal))
    }

    /// Whether an address is on one of a sandbox's networks.
    fn is_near(&self, seat: &Seat, address: IpAddr) -> bool {
        self.rooms(seat).any(|(_, facts)| facts.prefixes().any(|prefix| prefix.contains(address)))
    }

    /// A name that the asker does not see: ours if it is `a.net` for an `a` on a network
    /// `net`, so that such a name is not told to servers.
    fn unseen(&self, name: &str) -> Found<'_> {
        let knows = |head: &str, network: &NetworkId| {
            self.networks.get(network).is_some_and(|room| room.names.contains(head))
        };
        let splits = name.match_indices('.').filter_map(|(at, _)| {
            let (head, tail) = name.split_at_checked(at)?;
            Some((head, tail.strip_prefix('.')?))
        });
        for (head, tail) in splits {
            if self.network_names.get(tail).any(|network| knows(head, network)) {
                return Found::Hidden;
            }
        }
        Found::Elsewhere
    }

    /// The networks of a sandbox, by name.
    fn rooms<'a>(&'a self, seat: &'a Seat) -> impl Iterator<Item = (&'a Room, &'a NetworkFacts)> {
        let rooms = seat.networks.iter().filter_map(|id| self.networks.get(id));
        rooms.filter_map(|room| Some((room, room.facts.as_ref()?)))
    }

    fn named<'a>(&'a self, room: &'a Room, name: &str) -> impl Iterator<Item = &'a Member> {
        room.names.get(name).filter_map(|id| self.members.get(id))
    }

    /// The endpoints of the sandbox that a link leads to, on networks of the linking one.
    fn linked<'a>(&'a self, seat: &'a Seat, source: &str) -> impl Iterator<Item = &'a Member> {
        let sources = self.sandbox_names.get(source).filter_map(|id| self.sandboxes.get(id));
        // One of this host goes before those of others, of which the oldest comes first.
        let remote = |seat: &&Seat| seat.facts.as_ref().is_some_and(|facts| facts.remote);
        let joined = sources.filter(|source| !source.endpoints.is_empty());
        let source = joined.min_by_key(remote);
        let members = source.into_iter().flat_map(|source| &source.endpoints);
        let members = members.filter_map(|id: &EndpointId| self.members.get(id));
        members.filter(|m| !m.addresses.is_empty() && seat.networks.contains(&m.network))
    }

    /// The addresses that a sandbox's own hosts have, and whether it has such a host.
    fn hosts(&self, seat: &Seat, name: &str) -> (Vec<IpAddr>, bool) {
        let of = |facts: &'_ SandboxFacts| facts.hosts.get(name).cloned();
        let Some(hosts) = seat.facts.as_ref().and_then(of) else { return (Vec::new(), false) };
        let addresses = hosts.into_iter().flat_map(|host| match host {
            HostAddress::Ip(ip) => vec![ip],
            HostAddress::HostGateway => self.gateways(seat),
        });
        (addresses.collect(), true)
    }

    /// The gateways of a sandbox's default routes, as in its hosts file.
    fn gateways(&self, seat: &Seat) -> Vec<IpAddr> {
        let ranked = |id: &EndpointId, family: Family| {
            let member = self.members.get(id)?;
            let gateway = member.gateways.iter().find(|g| Family::of(**g) == family)?;
            let name = &self.networks.get(&member.network)?.facts.as_ref()?.name;
            Some((Endpoint::gateway_rank(member.gateway_priority, name, *id), *gateway))
        };
        let best = |family| {
            let candidates = seat.endpoints.iter().filter_map(|id| ranked(id, family));
            candidates.min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, gateway)| gateway)
        };
        Family::ALL.into_iter().filter_map(best).collect()
    }
}

/// What stands before `.tail`.
fn head<'a>(name: &'a str, tail: &str) -> Option<&'a str> {
    name.strip_suffix(tail)?.strip_suffix('.').filter(|head| !head.is_empty())
}
