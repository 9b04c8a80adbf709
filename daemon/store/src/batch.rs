//! A change of the topology as one atomic batch of sled's.

use postern_model::topology::{Change, Put};
use sled::{Batch, Db};

use crate::codec::{GENERATION, Kind, encode, lease_key};
use crate::error::CommitError;
use crate::ledger::EVENTS_KEPT;

/// A change as one batch.
///
/// # Errors
/// A record cannot be encoded, or the disk cannot be read.
pub(crate) fn batch(db: &Db, change: &Change) -> Result<Batch, CommitError> {
    let mut batch = Batch::default();
    let generation = change.generation.to_be_bytes();
    batch.insert(GENERATION, &generation);
    for put in &change.puts {
        put_one(db, &mut batch, put)?;
    }
    for event in &change.events {
        let value = encode(event).map_err(CommitError::Encode)?;
        batch.insert(Kind::Event.key(&event.generation.to_be_bytes()), value);
    }
    if let Some(request) = &change.request {
        let value = encode(request).map_err(CommitError::Encode)?;
        batch.insert(Kind::Request.key(request.id.as_bytes()), value);
        batch.insert(Kind::RequestAge.key(&generation), request.id.as_bytes());
    }
    for generation in change.events.iter().map(|event| event.generation) {
        forget(db, &mut batch, generation)?;
    }
    if change.events.is_empty() {
        forget(db, &mut batch, change.generation)?;
    }
    Ok(batch)
}

fn put_one(db: &Db, batch: &mut Batch, put: &Put) -> Result<(), CommitError> {
    let encoded = |record: Result<Vec<u8>, serde_json::Error>| record.map_err(CommitError::Encode);
    match put {
        Put::Network(network) => {
            let key = Kind::Network.key(network.id.uuid().as_bytes());
            batch.insert(key, encoded(encode(network))?);
        }
        Put::NetworkGone(id) => {
            batch.remove(Kind::Network.key(id.uuid().as_bytes()));
            let leases = Kind::Lease.key(id.uuid().as_bytes());
            for key in db.scan_prefix(leases).keys() {
                batch.remove(key.map_err(CommitError::Sled)?);
            }
        }
        Put::Sandbox(sandbox) => {
            let key = Kind::Sandbox.key(sandbox.id.uuid().as_bytes());
            batch.insert(key, encoded(encode(sandbox))?);
        }
        Put::SandboxGone(id) => batch.remove(Kind::Sandbox.key(id.uuid().as_bytes())),
        Put::Endpoint(endpoint) => {
            let key = Kind::Endpoint.key(endpoint.id.uuid().as_bytes());
            batch.insert(key, encoded(encode(endpoint))?);
        }
        Put::EndpointGone(id) => batch.remove(Kind::Endpoint.key(id.uuid().as_bytes())),
        Put::Peer(remote) => {
            let key = Kind::Peer.key(remote.peer.id().uuid().as_bytes());
            batch.insert(key, encoded(encode(remote))?);
        }
        Put::PeerGone(id) => batch.remove(Kind::Peer.key(id.uuid().as_bytes())),
        Put::Policy(policy) => {
            let key = Kind::Policy.key(policy.id.uuid().as_bytes());
            batch.insert(key, encoded(encode(policy))?);
        }
        Put::PolicyGone(id) => batch.remove(Kind::Policy.key(id.uuid().as_bytes())),
        Put::Driver(driver) => {
            let key = Kind::Driver.key(driver.name.as_str().as_bytes());
            batch.insert(key, encoded(encode(driver))?);
        }
        Put::DriverGone(name) => batch.remove(Kind::Driver.key(name.as_str().as_bytes())),
        Put::Lease(network, address, lease) => {
            batch.insert(lease_key(*network, *address), encoded(encode(lease))?);
        }
        Put::LeaseGone(network, address) => batch.remove(lease_key(*network, *address)),
        Put::EventGone(generation) => {
            batch.remove(Kind::Event.key(&generation.to_be_bytes()));
        }
        Put::RequestGone(id) => batch.remove(Kind::Request.key(id.as_bytes())),
    }
    Ok(())
}

/// Drops the event and the request that have become too old. Generations go up by
/// one, so each change drops at most what one change added.
fn forget(db: &Db, batch: &mut Batch, generation: u64) -> Result<(), CommitError> {
    let Some(old) = generation.checked_sub(EVENTS_KEPT) else { return Ok(()) };
    batch.remove(Kind::Event.key(&old.to_be_bytes()));
    let age = Kind::RequestAge.key(&old.to_be_bytes());
    if let Some(id) = db.get(&age).map_err(CommitError::Sled)? {
        batch.remove(Kind::Request.key(&id));
        batch.remove(age);
    }
    Ok(())
}
