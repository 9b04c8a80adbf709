//! What can go wrong, by operation.

use std::path::PathBuf;

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// sled refuses: the folder cannot be made or read, is locked by another process,
    /// or is damaged.
    #[error("cannot open the store in {path}")]
    Sled {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: sled::Error,
    },
    /// A newer version has written it.
    #[error("the store in {path} has format {found}; this version reads up to {known}")]
    Newer {
        /// Where it is.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest one known.
        known: u32,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start a thread for the store in {path}")]
    Thread {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A record cannot be read.
    #[error("the store in {path} is damaged")]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Which record and why.
        source: ReadError,
    },
}

/// A record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// sled cannot read.
    #[error("cannot read from disk")]
    Sled(#[source] sled::Error),
    /// The key has not the form of its kind.
    #[error("key {key} is not of the form of its kind")]
    Key {
        /// The key in hexadecimal digits.
        key: String,
    },
    /// The value is not a record of its kind.
    #[error("record {key} cannot be decoded")]
    Value {
        /// The key in hexadecimal digits.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The record was written by a newer version.
    #[error("record {key} has version {found}; this version reads up to {known}")]
    Version {
        /// The key in hexadecimal digits.
        key: String,
        /// The version found.
        found: u32,
        /// The newest one known.
        known: u32,
    },
}

/// A change cannot be written; nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A record cannot be encoded.
    #[error("a record cannot be encoded")]
    Encode(#[source] serde_json::Error),
    /// sled cannot write.
    #[error("cannot write to disk")]
    Sled(#[source] sled::Error),
    /// The thread that writes is gone.
    #[error("the store has stopped")]
    Stopped,
}
