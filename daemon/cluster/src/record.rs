//! Values.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of every value written now.
pub const VERSION: u32 = 1;

/// Why a value cannot be read. It is somebody else's affair then, and left alone.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// A newer version has written it, and does not say that this one can read it.
    #[error("has version {found}; this version reads up to {VERSION}")]
    Newer {
        /// The version found.
        found: u32,
    },
    /// It is not JSON, or not of the kind that its key says.
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
    r: Option<u32>,
}

#[derive(Deserialize)]
struct EnvelopeIn<T> {
    d: T,
}

/// A value as etcd has it.
///
/// # Errors
/// A map in it has keys that JSON cannot have.
pub fn encode<T: Serialize>(data: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&EnvelopeOut { v: VERSION, d: data })
}

/// Reads a value.
///
/// # Errors
/// See [`ValueError`].
pub fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, ValueError> {
    let Version { v, r } = serde_json::from_slice(value)?;
    if r.unwrap_or(v) > VERSION {
        return Err(ValueError::Newer { found: v });
    }
    let EnvelopeIn { d } = serde_json::from_slice(value)?;
    Ok(d)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_newer_value_is_told_apart_from_garbage() {
        assert_eq!(decode::<u64>(&encode(&7_u64).unwrap()).unwrap(), 7);
        assert_eq!(decode::<u64>(br#"{"v":2,"r":1,"d":7,"x":[]}"#).unwrap(), 7);
        let newer = decode::<u64>(br#"{"v":2,"d":[]}"#);
        assert!(matches!(newer, Err(ValueError::Newer { found: 2 })));
        for garbage in ["", "7", "{}", r#"{"v":1}"#, r#"{"v":1,"d":[]}"#, r#"{"v":-1,"d":7}"#] {
            let read = decode::<u64>(garbage.as_bytes());
            assert!(matches!(read, Err(ValueError::Garbage(_))), "{garbage}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_there_is_read(bytes: Vec<u8>) {
            let _ = decode::<u64>(&bytes);
        }
    }
}
