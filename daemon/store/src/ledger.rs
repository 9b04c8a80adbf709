//! The store itself.

use std::io;
use std::path::Path;

use postern_failpoint::{passage, point};
use postern_model::event::Event;
use postern_model::topology::{Change, Put, RequestRecord, Topology};
use sled::{Batch, Db};

use crate::codec::{
    FORMAT, GENERATION, IDENTITY, Kind, decode, encode, lease_key, number, parse_lease_key,
};
use crate::error::{CommitError, OpenError, ReadError};

/// The newest format of the whole store.
const FORMAT_VERSION: u32 = 1;
/// So many events, and outcomes of requests, are kept.
pub const EVENTS_KEPT: u64 = 4096;
/// sled's page cache. Everything is read once, at start; the default of 1 GiB would only
/// let the daemon grow.
const CACHE_BYTES: u64 = 4 << 20;

/// The open store. One process at a time: sled locks its folder.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
}

/// What a store holds when it is opened.
#[derive(Debug)]
pub struct Loaded {
    /// All records.
    pub topology: Topology,
    /// A seed made at random when the store was made, for what must differ between hosts.
    pub identity: u64,
}

impl Store {
    /// Opens the store in a folder, or makes it, and reads all records.
    /// `fresh_identity` becomes the identity of a store that is made.
    ///
    /// # Errors
    /// The folder cannot be used, is in use, or holds what this version cannot read.
    pub fn open(path: &Path, fresh_identity: u64) -> Result<(Self, Loaded), OpenError> {
        let sled_error = |source| OpenError::Sled { path: path.to_owned(), source };
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            // Flushed by `durable`, which answers; the timer is only a backstop.
            .flush_every_ms(Some(1000))
            .open()
            .map_err(sled_error)?;
        let store = Self { db };
        store.check_format(path)?;
        let loaded = store
            .load(fresh_identity)
            .map_err(|source| OpenError::Read { path: path.to_owned(), source })?;
        Ok((store, loaded))
    }

    fn check_format(&self, path: &Path) -> Result<(), OpenError> {
        let sled_error = |source| OpenError::Sled { path: path.to_owned(), source };
        match self.db.get(FORMAT).map_err(sled_error)? {
            None => {
                self.db.insert(FORMAT, &FORMAT_VERSION.to_be_bytes()).map_err(sled_error)?;
                Ok(())
            }
            Some(value) => {
                let bytes = <[u8; 4]>::try_from(&*value).unwrap_or([u8::MAX; 4]);
                let found = u32::from_be_bytes(bytes);
                if found > FORMAT_VERSION {
                    return Err(OpenError::Newer {
                        path: path.to_owned(),
                        found,
                        known: FORMAT_VERSION,
                    });
                }
                Ok(())
            }
        }
    }

    fn load(&self, fresh_identity: u64) -> Result<Loaded, ReadError> {
        let mut topology = Topology::default();
        // Networks before endpoints only for the reader's sake; records carry no order.
        self.each(Kind::Network, |key, value| {
            topology.put(&Put::Network(decode(key, value)?));
            Ok(())
        })?;
        self.each(Kind::Sandbox, |key, value| {
            topology.put(&Put::Sandbox(decode(key, value)?));
            Ok(())
        })?;
        self.each(Kind::Endpoint, |key, value| {
            topology.put(&Put::Endpoint(Box::new(decode(key, value)?)));
            Ok(())
        })?;
        self.each(Kind::Policy, |key, value| {
            topology.put(&Put::Policy(Box::new(decode(key, value)?)));
            Ok(())
        })?;
        self.each(Kind::Driver, |key, value| {
            topology.put(&Put::Driver(Box::new(decode(key, value)?)));
            Ok(())
        })?;
        self.each(Kind::Lease, |key, value| {
            let (network, address) = parse_lease_key(key)?;
            topology.put(&Put::Lease(network, address, decode(key, value)?));
            Ok(())
        })?;
        topology.set_generation(self.number(GENERATION)?.unwrap_or(0));
        let identity = match self.number(IDENTITY)? {
            Some(identity) => identity,
            None => {
                let bytes = fresh_identity.to_be_bytes();
                self.db.insert(IDENTITY, &bytes).map_err(ReadError::Sled)?;
                fresh_identity
            }
        };
        Ok(Loaded { topology, identity })
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, ReadError> {
        let value = self.db.get(key).map_err(ReadError::Sled)?;
        value.map(|value| number(key, &value)).transpose()
    }

    fn each(
        &self,
        kind: Kind,
        mut record: impl FnMut(&[u8], &[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        for entry in self.db.scan_prefix([kind.tag()]) {
            let (key, value) = entry.map_err(ReadError::Sled)?;
            record(&key, &value)?;
        }
        Ok(())
    }

    /// Writes a change: all of it or nothing. It is durable after [`Store::durable`].
    ///
    /// # Errors
    /// A record cannot be encoded, or the disk refuses.
    pub fn commit(&self, change: &Change) -> Result<(), CommitError> {
        let batch = self.batch(change)?;
        failed_io(point("store.commit"))?;
        self.db.apply_batch(batch).map_err(CommitError::Sled)?;
        passage("store.committed");
        Ok(())
    }

    fn batch(&self, change: &Change) -> Result<Batch, CommitError> {
        let mut batch = Batch::default();
        let generation = change.generation.to_be_bytes();
        batch.insert(GENERATION, &generation);
        for put in &change.puts {
            self.put(&mut batch, put)?;
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
            self.forget(&mut batch, generation)?;
        }
        if change.events.is_empty() {
            self.forget(&mut batch, change.generation)?;
        }
        Ok(batch)
    }

    fn put(&self, batch: &mut Batch, put: &Put) -> Result<(), CommitError> {
        let encoded =
            |record: Result<Vec<u8>, serde_json::Error>| record.map_err(CommitError::Encode);
        match put {
            Put::Network(network) => {
                let key = Kind::Network.key(network.id.uuid().as_bytes());
                batch.insert(key, encoded(encode(network))?);
            }
            Put::NetworkGone(id) => {
                batch.remove(Kind::Network.key(id.uuid().as_bytes()));
                let leases = Kind::Lease.key(id.uuid().as_bytes());
                for key in self.db.scan_prefix(leases).keys() {
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
    fn forget(&self, batch: &mut Batch, generation: u64) -> Result<(), CommitError> {
        let Some(old) = generation.checked_sub(EVENTS_KEPT) else { return Ok(()) };
        batch.remove(Kind::Event.key(&old.to_be_bytes()));
        let age = Kind::RequestAge.key(&old.to_be_bytes());
        if let Some(id) = self.db.get(&age).map_err(CommitError::Sled)? {
            batch.remove(Kind::Request.key(&id));
            batch.remove(age);
        }
        Ok(())
    }

    /// Returns when everything committed so far is on disk. Calls that wait together
    /// share one write.
    ///
    /// # Errors
    /// The disk refuses.
    pub async fn durable(&self) -> Result<(), CommitError> {
        failed_io(point("store.flush"))?;
        self.db.flush_async().await.map_err(CommitError::Sled)?;
        passage("store.flushed");
        Ok(())
    }

    /// At most `limit` events after a generation, in order.
    ///
    /// # Errors
    /// The disk refuses, or a record cannot be read.
    pub fn events_after(&self, generation: u64, limit: usize) -> Result<Vec<Event>, ReadError> {
        let first = Kind::Event.key(&generation.saturating_add(1).to_be_bytes());
        let last = Kind::Event.key(&u64::MAX.to_be_bytes());
        let mut events = Vec::new();
        for entry in self.db.range(first..=last).take(limit) {
            let (key, value) = entry.map_err(ReadError::Sled)?;
            events.push(decode(&key, &value)?);
        }
        Ok(events)
    }

    /// The outcome of an earlier request with this id.
    ///
    /// # Errors
    /// The disk refuses, or the record cannot be read.
    pub fn request(&self, id: &str) -> Result<Option<RequestRecord>, ReadError> {
        let key = Kind::Request.key(id.as_bytes());
        let value = self.db.get(&key).map_err(ReadError::Sled)?;
        value.map(|value| decode(&key, &value)).transpose()
    }
}

fn failed_io(done: io::Result<()>) -> Result<(), CommitError> {
    done.map_err(|error| CommitError::Sled(error.into()))
}
