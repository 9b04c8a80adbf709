//! A whole store, read at start.

use std::path::Path;

use postern_model::topology::{Put, Topology};
use sled::Db;

use crate::codec::{FORMAT, GENERATION, IDENTITY, Kind, decode, number, parse_lease_key};
use crate::error::{OpenError, ReadError};
use crate::ledger::Loaded;

/// The newest format of the whole store.
const FORMAT_VERSION: u32 = 1;

/// Refuses a store that a newer version has written; marks one that is new.
pub(crate) fn check_format(db: &Db, path: &Path) -> Result<(), OpenError> {
    let sled_error = |source| OpenError::Sled { path: path.to_owned(), source };
    match db.get(FORMAT).map_err(sled_error)? {
        None => {
            db.insert(FORMAT, &FORMAT_VERSION.to_be_bytes()).map_err(sled_error)?;
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

/// Reads all records.
pub(crate) fn load(db: &Db, fresh_identity: u64) -> Result<Loaded, ReadError> {
    let mut topology = Topology::default();
    // Networks before endpoints only for the reader's sake; records carry no order.
    each(db, Kind::Network, |key, value| {
        topology.put(&Put::Network(decode(key, value)?));
        Ok(())
    })?;
    each(db, Kind::Sandbox, |key, value| {
        topology.put(&Put::Sandbox(decode(key, value)?));
        Ok(())
    })?;
    each(db, Kind::Endpoint, |key, value| {
        topology.put(&Put::Endpoint(Box::new(decode(key, value)?)));
        Ok(())
    })?;
    each(db, Kind::Peer, |key, value| {
        topology.put(&Put::Peer(Box::new(decode(key, value)?)));
        Ok(())
    })?;
    each(db, Kind::Policy, |key, value| {
        topology.put(&Put::Policy(Box::new(decode(key, value)?)));
        Ok(())
    })?;
    each(db, Kind::Driver, |key, value| {
        topology.put(&Put::Driver(Box::new(decode(key, value)?)));
        Ok(())
    })?;
    each(db, Kind::Lease, |key, value| {
        let (network, address) = parse_lease_key(key)?;
        topology.put(&Put::Lease(network, address, decode(key, value)?));
        Ok(())
    })?;
    topology.set_generation(read_number(db, GENERATION)?.unwrap_or(0));
    let identity = match read_number(db, IDENTITY)? {
        Some(identity) => identity,
        None => {
            let bytes = fresh_identity.to_be_bytes();
            db.insert(IDENTITY, &bytes).map_err(ReadError::Sled)?;
            fresh_identity
        }
    };
    Ok(Loaded { topology, identity })
}

fn read_number(db: &Db, key: &[u8]) -> Result<Option<u64>, ReadError> {
    let value = db.get(key).map_err(ReadError::Sled)?;
    value.map(|value| number(key, &value)).transpose()
}

fn each(
    db: &Db,
    kind: Kind,
    mut record: impl FnMut(&[u8], &[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    for entry in db.scan_prefix([kind.tag()]) {
        let (key, value) = entry.map_err(ReadError::Sled)?;
        record(&key, &value)?;
    }
    Ok(())
}
