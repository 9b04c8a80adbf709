//! Records as they are kept: JSON, `{"v": 1, "d": …}`.
//!
//! `v` is the version that wrote it, and `r`, where it is there, the oldest that can read
//! it: so a version can be gone back from, where the one before can do with what it wrote.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A newer version has written it, and does not say that this one can read it.
    #[error("has version {found}; this version reads up to {known}")]
    Newer {
        /// The version found.
        found: u32,
        /// The newest one known.
        known: u32,
    },
    /// It is not JSON, or not of the kind that was asked for.
    #[error("cannot be decoded")]
    Garbage(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct EnvelopeOut<'a, T> {
    v: u32,
    d: &'a T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
    #[serde(default)]
    r: Option<u32>,
}

#[derive(Deserialize)]
struct EnvelopeIn<T> {
    d: T,
}

/// A record of this version, as bytes.
///
/// # Errors
/// A map in it has keys that JSON cannot have.
pub fn encode<T: Serialize>(version: u32, record: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&EnvelopeOut { v: version, d: record })
}

/// Reads a record, where `known` is the newest version that can be read.
///
/// # Errors
/// See [`Unreadable`].
pub fn decode<T: DeserializeOwned>(known: u32, bytes: &[u8]) -> Result<T, Unreadable> {
    let Version { v, r } = serde_json::from_slice(bytes)?;
    if r.unwrap_or(v) > known {
        return Err(Unreadable::Newer { found: v, known });
    }
    let EnvelopeIn { d } = serde_json::from_slice(bytes)?;
    Ok(d)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_newer_record_is_told_apart_from_garbage() {
        assert_eq!(decode::<u64>(1, &encode(1, &7_u64).unwrap()).unwrap(), 7);
        assert_eq!(decode::<u64>(1, br#"{"v":1,"d":7,"x":0}"#).unwrap(), 7);
        assert_eq!(decode::<u64>(1, br#"{"v":2,"r":1,"d":7,"x":[]}"#).unwrap(), 7);
        for newer in [&br#"{"v":2,"d":[]}"#[..], br#"{"v":3,"r":2,"d":7}"#] {
            assert!(matches!(decode::<u64>(1, newer), Err(Unreadable::Newer { known: 1, .. })));
        }
        for garbage in ["", "7", "{}", r#"{"v":1}"#, r#"{"v":1,"d":[]}"#, r#"{"v":-1,"d":7}"#] {
            let read = decode::<u64>(1, garbage.as_bytes());
            assert!(matches!(read, Err(Unreadable::Garbage(_))), "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_there_is_read(bytes: Vec<u8>) {
            let _ = decode::<u64>(1, &bytes);
        }
    }
}
