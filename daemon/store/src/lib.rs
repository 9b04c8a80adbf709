//! The ledger on disk: one sled tree, one atomic batch for each mutation.
//!
//! # Keys
//! | key | value |
//! |---|---|
//! | `f` | the format of the whole store, an integer |
//! | `i` | the identity of this store, a seed made once |
//! | `g` | the generation of the last change |
//! | `n` uid | a network |
//! | `s` uid | a sandbox |
//! | `e` uid | an endpoint |
//! | `l` uid-of-network address | a lease |
//! | `v` generation | an event |
//! | `r` request id | the outcome of a request |
//! | `q` generation | the request id of that generation, to forget it in time |
//!
//! Uids and addresses are their bytes, generations big-endian, so that keys of one kind
//! are in order. One thread writes, and has the disk take what comes together at once.
//! Addresses and endpoints are written in the same batch and can never disagree.
//!
//! Values are JSON in an envelope `{"v":1,"d":…}`: it tells its version, and a field that a
//! newer version adds does not stop an older one. A record of a newer version that an older
//! one can do with says so (`"r"`: the oldest that can read it), so that a downgrade over
//! one version finds what it needs; fields it does not know are lost when it writes the
//! record.

mod batch;
mod codec;
mod error;
mod ledger;
mod load;
mod writer;

pub use error::{CommitError, OpenError, ReadError};
pub use ledger::{EVENTS_KEPT, Loaded, Store};
pub use writer::Written;
