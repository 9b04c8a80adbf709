//! Values, in the envelope that all records have.

use postern_model::versioned::{self, Unreadable};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of every value written now.
pub const VERSION: u32 = 1;

/// A value as etcd has it.
///
/// # Errors
/// A map in it has keys that JSON cannot have.
pub fn encode<T: Serialize>(data: &T) -> Result<Vec<u8>, serde_json::Error> {
    versioned::encode(VERSION, data)
}

/// Reads a value. One that cannot be read is somebody else's affair, and left alone.
///
/// # Errors
/// See [`Unreadable`].
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Unreadable> {
    versioned::decode(VERSION, value)
}
