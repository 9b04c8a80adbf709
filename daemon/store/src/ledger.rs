//! The store itself.

use std::path::Path;
use std::sync::Arc;

use postern_model::event::Event;
use postern_model::topology::{Change, RequestRecord, Topology};
use sled::Db;

use crate::codec::{Kind, decode};
use crate::error::{CommitError, OpenError, ReadError};
use crate::load;
use crate::writer::{Writer, Written};

/// So many events, and outcomes of requests, are kept.
pub const EVENTS_KEPT: u64 = 4096;
/// sled's page cache. Everything is read once, at start; the default of 1 GiB would only
/// let the daemon grow.
const CACHE_BYTES: u64 = 4 << 20;

/// The open store. One process at a time: sled locks its folder. When the last clone goes,
/// what was handed over is on disk.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    writer: Arc<Writer>,
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
            // The writer does, and answers.
            .flush_every_ms(None)
            .open()
            .map_err(sled_error)?;
        load::check_format(&db, path)?;
        let loaded = load::load(&db, fresh_identity)
            .map_err(|source| OpenError::Read { path: path.to_owned(), source })?;
        let writer = Writer::start(db.clone())
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok((Self { db, writer: Arc::new(writer) }, loaded))
    }

    /// Whether changes can be written. After the first error of the disk none can, and
    /// nothing can be read: what it refused would be told as if it were there. The records
    /// in memory are not concerned.
    ///
    /// # Errors
    /// That error, until the store is opened anew.
    pub fn check(&self) -> Result<(), CommitError> {
        self.writer.failure().map_or(Ok(()), |error| Err(CommitError::Sled(error)))
    }

    /// Has a change written, all of it or nothing, after every one that was handed over
    /// before. Returns at once.
    pub fn commit(&self, change: Arc<Change>) -> Written {
        self.writer.ask(Some(change))
    }

    /// Returns when everything handed over so far is on disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub async fn durable(&self) -> Result<(), CommitError> {
        self.writer.ask(None).done().await
    }

    /// At most `limit` events after a generation, in order.
    ///
    /// # Errors
    /// The disk refuses, or a record cannot be read.
    pub fn events_after(&self, generation: u64, limit: usize) -> Result<Vec<Event>, ReadError> {
        self.readable()?;
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
        self.readable()?;
        let key = Kind::Request.key(id.as_bytes());
        let value = self.db.get(&key).map_err(ReadError::Sled)?;
        value.map(|value| decode(&key, &value)).transpose()
    }

    fn readable(&self) -> Result<(), ReadError> {
        self.writer.failure().map_or(Ok(()), |error| Err(ReadError::Sled(error)))
    }
}
