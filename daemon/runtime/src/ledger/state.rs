//! The topology in memory, with what is derived from it: free addresses, MACs and
//! namespaces in use.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use postern_model::endpoint::EndpointSpec;
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::mac::MacAddr;
use postern_model::network::{Family, Network};
use postern_model::policy::Policy;
use postern_model::refusal::{Class, Refusal};
use postern_model::resource::{Element, NamedAddress};
use postern_model::sandbox::NamespaceIdentity;
use postern_model::time::Timestamp;
use postern_model::topology::{Change, Lease, Put, Topology};
use postern_planner::ipam::{AddressSpace, ClaimError};
use postern_planner::policy::{Answer, Compiler, Delta, Impact, Lint, NameLimits, impact};

/// A subnet of 16 blocks or more has many.
const MANY_BLOCKS_BITS: u32 = 4;

/// The records and their derived indexes, behind one short lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    topology: Topology,
    spaces: HashMap<(NetworkId, Family), AddressSpace>,
    macs: HashSet<(NetworkId, MacAddr)>,
    /// Addresses that have rested and are free, though the records do not say so yet.
    woken: Vec<Put>,
    policies: Compiler,
    /// Which sandbox has which namespace.
    pub(crate) namespaces: HashMap<NamespaceIdentity, SandboxId>,
}

/// What an endpoint is offered: kept for it until it is committed or given back.
#[derive(Debug)]
pub(crate) struct Offer {
    network: NetworkId,
    found: Found,
    pub(crate) mac: MacAddr,
}

/// The addresses of an offer.
#[derive(Debug, Default)]
struct Found {
    addresses: Vec<IpNetwork>,
    /// Those that were resting, and since when: given back, they rest on.
    rested: Vec<(IpAddr, Timestamp)>,
}

impl Offer {
    /// One of each family that the network has.
    pub(crate) fn addresses(&self) -> &[IpNetwork] {
        &self.found.addresses
    }
}

/// What a policy would come to.
pub(crate) struct Trial {
    pub(crate) delta: Delta,
    pub(crate) subjects: Vec<String>,
    pub(crate) lints: Vec<Lint>,
    /// Which pairs it changes.
    pub(crate) impact: Impact,
    /// Everything as it would be.
    pub(crate) after: Compiler,
}

impl Trial {
    /// What a policy would come to. All pairs are looked at: on a copy of everything, so
    /// that nobody waits.
    pub(crate) fn of(
        (topology, before): (&Topology, &Compiler),
        policy: &Policy,
        old: Option<&Policy>,
    ) -> Self {
        let mut after = before.clone();
        let delta = after.update(topology, &[Put::Policy(Box::new(policy.clone()))]);
        let forms: Vec<&Policy> = std::iter::once(policy).chain(old).collect();
        Self {
            subjects: after.subjects(policy),
            lints: after.lint(policy),
            impact: impact(topology, (before, &after), &forms),
            after,
            delta,
        }
    }
}

impl State {
    /// The state of a loaded topology.
    pub(crate) fn new(topology: Topology) -> Self {
        let mut state = Self::default();
        for network in topology.networks() {
            state.add_spaces(network);
            for (address, lease) in topology.leases(network.id) {
                state.restore(network.id, address, lease);
            }
        }
        let peers = topology.peers().iter().map(|remote| &remote.peer.endpoint);
        state.macs = topology.endpoints().chain(peers).map(|e| (e.network, e.mac)).collect();
        state.policies = Compiler::of(&topology);
        state.topology = topology;
        state
    }

    fn add_spaces(&mut self, network: &Network) {
        for subnet in &network.subnets {
            let key = (network.id, subnet.family());
            let space = self.spaces.entry(key).or_insert_with(|| AddressSpace::new(subnet));
            if network.is_shared() {
                let blocks = network.blocks.iter().copied();
                let own = blocks.filter(|block| Family::of(block.ip()) == subnet.family());
                space.restrict(own.collect());
            }
        }
    }

    fn restore(&mut self, network: NetworkId, address: IpAddr, lease: &Lease) {
        let Some(space) = self.spaces.get_mut(&(network, Family::of(address))) else { return };
        match lease {
            // A lease on disk is the truth; that the space objects can only mean that a
            // subnet of the record was changed by hand.
            Lease::Held(_) => drop(space.claim(address)),
            Lease::Resting(since) => space.rest(address, *since),
        }
    }

    /// The records.
    pub(crate) const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The policies, compiled.
    pub(crate) const fn policies(&self) -> &Compiler {
        &self.policies
    }

    /// Compiles a change of policies that is not applied yet; none of one that
    /// is about something else. [`State::revert`] takes it back.
    pub(crate) fn compile(&mut self, puts: &[Put]) -> Option<Delta> {
        let of_policies =
            |put: &Put| matches!(put, Put::Policy(_) | Put::PolicyGone(_) | Put::LeaseGone(..));
        let only = puts.iter().all(of_policies);
        only.then(|| self.policies.update(&self.topology, puts))
    }

    /// Takes a change back that was compiled and not applied, with its inverse.
    pub(crate) fn revert(&mut self, undo: &[Put], delta: Delta) {
        drop(self.policies.update(&self.topology, undo));
        // What names stood for is not to be found in any record.
        let named = delta.remove.into_iter().filter_map(|element| match element {
            Element::Named(named) => Some(named),
            _ => None,
        });
        drop(self.policies.adopt(named.collect()));
    }

    /// Whether rules let a sandbox reach something by this name.
    pub(crate) fn asks_for(&self, sandbox: SandboxId, name: &str) -> bool {
        let mut joined = self.topology.endpoints_of_sandbox(sandbox);
        joined.any(|endpoint| self.policies.asks_for(endpoint.id, name))
    }

    /// Notes what a sandbox is told; returns what is to be in force first, and how many
    /// older addresses have to make room.
    pub(crate) fn resolve(
        &mut self,
        sandbox: SandboxId,
        answer: &Answer,
        (limits, now): (NameLimits, Timestamp),
    ) -> (Delta, usize) {
        let (mut delta, mut evicted) = (Delta::default(), 0);
        for endpoint in self.topology.endpoints_of_sandbox(sandbox) {
            let of = self.policies.resolve(endpoint.id, answer, (limits, now));
            delta.remove.extend(of.delta.remove);
            delta.add.extend(of.delta.add);
            evicted += of.evicted;
        }
        (delta, evicted)
    }

    /// Lets go what names stood for whose time is over.
    pub(crate) fn lapse_names(&mut self, now: Timestamp) -> Delta {
        self.policies.lapse(now)
    }

    /// Takes over what the kernel holds of an earlier life.
    pub(crate) fn adopt_names(&mut self, held: Vec<NamedAddress>) {
        drop(self.policies.adopt(held));
    }

    /// What to remove and to add, for the kernel to hold what names stand for.
    pub(crate) fn differing_names(
        &self,
        held: Vec<NamedAddress>,
        now: Timestamp,
    ) -> (Vec<Element>, Vec<Element>) {
        let at = |of: &NamedAddress| (of.subject, of.address, of.identity);
        let held: HashMap<_, _> = held.into_iter().map(|of| (at(&of), of)).collect();
        let mut wanted: HashMap<_, _> = self.policies.named(now).map(|of| (at(&of), of)).collect();
        let gone = held.iter().filter(|(at, _)| !wanted.contains_key(at));
        let remove = gone.map(|(_, of)| Element::Named(of.clone())).collect();
        wanted.retain(|at, _| !held.contains_key(at));
        (remove, wanted.into_values().map(Element::Named).collect())
    }

    /// Applies a change; returns what it does to policies, or
    /// what it was compiled to already.
    pub(crate) fn apply(&mut self, change: &Change, compiled: Option<Delta>) -> Delta {
        for put in &change.puts {
            match put {
                Put::Network(network) => self.add_spaces(network),
                Put::NetworkGone(id) => {
                    self.spaces.remove(&(*id, Family::V4));
                    self.spaces.remove(&(*id, Family::V6));
                }
                Put::SandboxGone(id) => self.namespaces.retain(|_, sandbox| sandbox != id),
                Put::Endpoint(endpoint) => {
                    self.macs.insert((endpoint.network, endpoint.mac));
                }
                Put::EndpointGone(id) => {
                    if let Some(endpoint) = self.topology.endpoint(*id) {
                        self.macs.remove(&(endpoint.network, endpoint.mac));
                    }
                }
                Put::Peer(remote) => {
                    self.macs.insert((remote.peer.network(), remote.peer.endpoint.mac));
                }
                Put::PeerGone(id) => {
                    if let Some(remote) = self.topology.peers().get(*id) {
                        self.macs.remove(&(remote.peer.network(), remote.peer.endpoint.mac));
                    }
                }
                // One that was offered is taken already.
                Put::Lease(network, address, lease) => self.restore(*network, *address, lease),
                _ => {}
            }
        }
        self.topology.apply(change);
        compiled.unwrap_or_else(|| self.policies.update(&self.topology, &change.puts))
    }

    /// What has the records say which addresses have rested. It belongs to the next change,
    /// whoever makes it: in a later one it would undo what somebody has made of them since.
    pub(crate) fn rested(&mut self) -> Vec<Put> {
        std::mem::take(&mut self.woken)
    }

    /// Whether this host has to take a block of a network before it can give an address, or
    /// the one that is wanted.
    pub(crate) fn lacks_block(
        &self,
        network: NetworkId,
        family: Family,
        wanted: Option<IpAddr>,
    ) -> bool {
        let Some(space) = self.spaces.get(&(network, family)) else { return false };
        match wanted {
            Some(wanted) => space.subnet().contains(wanted) && !space.is_ours(wanted),
            None => space.left(1) == 0,
        }
    }

    /// Whether the addresses that this host gives on a network are soon used up, and there are
    /// enough blocks that to take one ahead leaves others theirs.
    pub(crate) fn is_low(&self, network: NetworkId, family: Family) -> bool {
        let Some(space) = self.spaces.get(&(network, family)) else { return false };
        let blocks = self.topology.network(network).map(|of| of.blocks.as_slice());
        let mut own = blocks.unwrap_or_default().iter();
        let Some(block) = own.find(|block| Family::of(block.ip()) == family) else { return false };
        let bits = |prefix: u8| u32::from(family.bits() - prefix);
        let many = bits(space.subnet().prefix()) >= bits(block.prefix()) + MANY_BLOCKS_BITS;
        let quarter = 1_usize << bits(block.prefix()).saturating_sub(2).min(8);
        many && space.left(quarter) < quarter
    }

    /// Finds addresses and a MAC for a new endpoint and keeps them for it.
    pub(crate) fn offer(
        &mut self,
        network: &Network,
        spec: &EndpointSpec,
        seed: u64,
        (now, rest): (Timestamp, Duration),
    ) -> Result<Offer, Refusal> {
        let mut found = Found::default();
        let outcome = self.offer_addresses(network, spec, (now, rest), &mut found).and_then(|()| {
            self.offer_mac(network.id, spec.mac, mac_seed(network.id, &found, seed))
        });
        match outcome {
            Ok(mac) => {
                self.macs.insert((network.id, mac));
                Ok(Offer { network: network.id, found, mac })
            }
            Err(refusal) => {
                self.give_back_addresses(network.id, &found);
                Err(refusal)
            }
        }
    }

    /// Adds to `found` what is found, also where not all is.
    fn offer_addresses(
        &mut self,
        network: &Network,
        spec: &EndpointSpec,
        clock: (Timestamp, Duration),
        found: &mut Found,
    ) -> Result<(), Refusal> {
        for family in Family::ALL {
            let wanted = spec.wanted(family);
            let (address, since) = self.offer_address(network, family, wanted, clock)?;
            found.rested.extend(address.map(|a| a.ip()).zip(since));
            found.addresses.extend(address);
        }
        Ok(())
    }

    fn offer_mac(
        &self,
        network: NetworkId,
        wanted: Option<MacAddr>,
        seed: u64,
    ) -> Result<MacAddr, Refusal> {
        if let Some(mac) = wanted {
            if self.macs.contains(&(network, mac)) || mac == super::ask::bridge_mac(network) {
                let description = format!("{mac} is taken on this network");
                let refusal = Refusal::new(Class::Exists, "MAC_TAKEN", description);
                return Err(refusal.at("spec.mac_address"));
            }
            return Ok(mac);
        }
        // Steps through the seed's neighbours; of 2^46 addresses a few are taken.
        let candidates = (0..=u64::MAX).map(|step| MacAddr::from_seed(seed.wrapping_add(step)));
        let free = candidates.take(1 << 16).find(|mac| !self.macs.contains(&(network, *mac)));
        free.ok_or_else(|| Refusal::new(Class::Exhausted, "NO_MAC_FREE", "no MAC address is free"))
    }

    fn offer_address(
        &mut self,
        network: &Network,
        family: Family,
        wanted: Option<IpAddr>,
        (now, rest): (Timestamp, Duration),
    ) -> Result<(Option<IpNetwork>, Option<Timestamp>), Refusal> {
        let field = match family {
            Family::V4 => "spec.ipv4_address",
            Family::V6 => "spec.ipv6_address",
        };
        let Some(space) = self.spaces.get_mut(&(network.id, family)) else {
            return match wanted {
                None => Ok((None, None)),
                Some(_) => Err(Refusal::field(field, "is of a family the network does not have")),
            };
        };
        let woken = space.wake(now, rest).into_iter();
        self.woken.extend(woken.map(|address| Put::LeaseGone(network.id, address)));
        let (address, since) = match wanted {
            Some(wanted) => {
                let since = space.claim(wanted).map_err(|error| claim(field, &error))?;
                (wanted, since)
            }
            None => {
                let offered = space.offer().map_err(|error| {
                    Refusal::new(Class::Exhausted, "NO_ADDRESS_FREE", error.to_string())
                })?;
                (offered, None)
            }
        };
        let length = space.subnet().prefix();
        let with_length = IpNetwork::new(address, length)
            .map_err(|error| Refusal::new(Class::Internal, "PREFIX_LENGTH", error.to_string()))?;
        Ok((Some(with_length), since))
    }

    /// Takes an offer back that was never committed.
    pub(crate) fn give_back(&mut self, offer: &Offer) {
        self.macs.remove(&(offer.network, offer.mac));
        self.give_back_addresses(offer.network, &offer.found);
    }

    fn give_back_addresses(&mut self, network: NetworkId, found: &Found) {
        for address in &found.addresses {
            let key = (network, Family::of(address.ip()));
            if let Some(space) = self.spaces.get_mut(&key) {
                space.release(address.ip());
                let since = found.rested.iter().find(|(rested, _)| *rested == address.ip());
                if let Some((_, since)) = since {
                    space.rest(address.ip(), *since);
                }
            }
        }
    }
}

/// An address that is given again is given with the MAC it had. Neighbours go on sending to the
/// MAC that they know, for up to a minute, and where the bridge answers their questions they
/// do not hear from whoever comes. Where there are no addresses, it is the seed.
fn mac_seed(network: NetworkId, found: &Found, seed: u64) -> u64 {
    let Some(address) = found.addresses.first() else { return seed };
    let mut hasher = DefaultHasher::new();
    (network.uuid().as_u128(), address.ip()).hash(&mut hasher);
    hasher.finish()
}

fn claim(field: &str, error: &ClaimError) -> Refusal {
    match error {
        ClaimError::Taken { .. } => {
            Refusal::new(Class::Exists, "ADDRESS_TAKEN", error.to_string()).at(field)
        }
        ClaimError::NoBlock { .. } => {
            Refusal::new(Class::Aborted, "ADDRESS_TAKEN", error.to_string()).at(field)
        }
        ClaimError::Outside { .. } | ClaimError::Reserved { .. } => Refusal::field(field, error),
    }
}

/// The records that hold an endpoint's addresses for it.
pub(crate) fn held(network: NetworkId, endpoint: EndpointId, addresses: &[IpNetwork]) -> Vec<Put> {
    let lease = |a: &IpNetwork| Put::Lease(network, a.ip(), Lease::Held(endpoint));
    addresses.iter().map(lease).collect()
}

/// The records that let an endpoint's addresses rest.
pub(crate) fn resting(network: NetworkId, addresses: &[IpNetwork], now: Timestamp) -> Vec<Put> {
    let lease = |a: &IpNetwork| Put::Lease(network, a.ip(), Lease::Resting(now));
    addresses.iter().map(lease).collect()
}
