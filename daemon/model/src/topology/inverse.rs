//! What takes a change back.

use std::net::IpAddr;

use super::{Lease, Put, Topology};
use crate::id::{EndpointId, NetworkId, PolicyId, SandboxId};
use crate::name::Name;
use crate::time::Timestamp;

impl Topology {
    /// What takes these records back to how they are now, after they were put.
    ///
    /// An address that was nobody's rests then: somebody may have been told of it. One that
    /// had rested stays forgotten: it may be somebody else's by the time it is taken back.
    pub fn inverse(&self, puts: &[Put], now: Timestamp) -> Vec<Put> {
        puts.iter().flat_map(|put| self.before(put, now)).collect()
    }

    fn before(&self, put: &Put, now: Timestamp) -> Vec<Put> {
        match put {
            Put::Network(new) => vec![self.network_before(new.id)],
            Put::NetworkGone(id) => {
                let leases = self.leases(*id);
                let leases = leases.map(|(ip, lease)| Put::Lease(*id, ip, lease.clone()));
                std::iter::once(self.network_before(*id)).chain(leases).collect()
            }
            Put::Sandbox(new) => vec![self.sandbox_before(new.id)],
            Put::SandboxGone(id) => vec![self.sandbox_before(*id)],
            Put::Endpoint(new) => vec![self.endpoint_before(new.id)],
            Put::EndpointGone(id) => vec![self.endpoint_before(*id)],
            Put::Peer(new) => vec![self.peer_before(new.peer.id())],
            Put::PeerGone(id) => vec![self.peer_before(*id)],
            Put::Policy(new) => vec![self.policy_before(new.id)],
            Put::PolicyGone(id) => vec![self.policy_before(*id)],
            Put::Driver(new) => vec![self.driver_before(&new.name)],
            Put::DriverGone(name) => vec![self.driver_before(name)],
            Put::Lease(id, address, _) => vec![self.lease_before(*id, *address, now)],
            Put::LeaseGone(..) | Put::EventGone(_) | Put::RequestGone(_) => Vec::new(),
        }
    }

    fn network_before(&self, id: NetworkId) -> Put {
        self.network(id).cloned().map_or(Put::NetworkGone(id), Put::Network)
    }

    fn sandbox_before(&self, id: SandboxId) -> Put {
        self.sandbox(id).cloned().map_or(Put::SandboxGone(id), Put::Sandbox)
    }

    fn endpoint_before(&self, id: EndpointId) -> Put {
        let old = self.endpoint(id).cloned().map(Box::new);
        old.map_or(Put::EndpointGone(id), Put::Endpoint)
    }

    fn peer_before(&self, id: EndpointId) -> Put {
        let old = self.peers.get(id).cloned().map(Box::new);
        old.map_or(Put::PeerGone(id), Put::Peer)
    }

    fn policy_before(&self, id: PolicyId) -> Put {
        self.policy(id).cloned().map(Box::new).map_or(Put::PolicyGone(id), Put::Policy)
    }

    fn driver_before(&self, name: &Name) -> Put {
        let old = self.driver(name.as_str()).cloned().map(Box::new);
        old.map_or_else(|| Put::DriverGone(name.clone()), Put::Driver)
    }

    fn lease_before(&self, network: NetworkId, address: IpAddr, now: Timestamp) -> Put {
        let held = self.lease(network, address).filter(|lease| matches!(lease, Lease::Held(_)));
        Put::Lease(network, address, held.cloned().unwrap_or(Lease::Resting(now)))
    }
}
