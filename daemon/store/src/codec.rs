//! Keys and values as bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use postern_model::id::NetworkId;
use postern_model::versioned::{self, Unreadable};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::ReadError;

/// The version of every record written now.
pub(crate) const RECORD_VERSION: u32 = 1;

pub(crate) const FORMAT: &[u8] = b"f";
pub(crate) const IDENTITY: &[u8] = b"i";
pub(crate) const GENERATION: &[u8] = b"g";

/// The kinds of keyed records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Network,
    Sandbox,
    Endpoint,
    Peer,
    Policy,
    Driver,
    Lease,
    Event,
    Request,
    RequestAge,
}

impl Kind {
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Network => b'n',
            Self::Sandbox => b's',
            Self::Endpoint => b'e',
            Self::Peer => b'o',
            Self::Policy => b'p',
            Self::Driver => b'd',
            Self::Lease => b'l',
            Self::Event => b'v',
            Self::Request => b'r',
            Self::RequestAge => b'q',
        }
    }

    /// The key of a record of this kind.
    pub(crate) fn key(self, rest: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(1 + rest.len());
        key.push(self.tag());
        key.extend_from_slice(rest);
        key
    }
}

pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, serde_json::Error> {
    versioned::encode(RECORD_VERSION, record)
}

pub(crate) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, ReadError> {
    versioned::decode(RECORD_VERSION, value).map_err(|error| match error {
        Unreadable::Newer { found, known } => ReadError::Version { key: hex(key), found, known },
        Unreadable::Garbage(source) => ReadError::Value { key: hex(key), source },
    })
}

pub(crate) fn lease_key(network: NetworkId, address: IpAddr) -> Vec<u8> {
    let mut rest = network.uuid().as_bytes().to_vec();
    match address {
        IpAddr::V4(v4) => rest.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => rest.extend_from_slice(&v6.octets()),
    }
    Kind::Lease.key(&rest)
}

pub(crate) fn parse_lease_key(key: &[u8]) -> Result<(NetworkId, IpAddr), ReadError> {
    let form = || ReadError::Key { key: hex(key) };
    let rest = key.get(1..).ok_or_else(form)?;
    let (network, address) = rest.split_at_checked(16).ok_or_else(form)?;
    let network = NetworkId::new(Uuid::from_slice(network).map_err(|_| form())?);
    let address = if let Ok(octets) = <[u8; 4]>::try_from(address) {
        IpAddr::V4(Ipv4Addr::from(octets))
    } else {
        let octets = <[u8; 16]>::try_from(address).map_err(|_| form())?;
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    Ok((network, address))
}

pub(crate) fn number(key: &[u8], value: &[u8]) -> Result<u64, ReadError> {
    let bytes = <[u8; 8]>::try_from(value).map_err(|_| ReadError::Key { key: hex(key) })?;
    Ok(u64::from_be_bytes(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lease_keys_round_trip(network: u128, address: IpAddr) {
            let network = NetworkId::new(Uuid::from_u128(network));
            let key = lease_key(network, address);
            prop_assert_eq!(parse_lease_key(&key).unwrap(), (network, address));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = parse_lease_key(&bytes);
            let _ = decode::<u64>(&bytes, &bytes);
            let _ = number(&bytes, &bytes);
        }
    }

    #[test]
    fn a_newer_record_is_told_apart_from_a_broken_one() {
        assert!(matches!(
            decode::<u64>(b"n", br#"{"v":2,"d":[]}"#),
            Err(ReadError::Version { .. })
        ));
        assert!(matches!(decode::<u64>(b"n", br#"{"v":1,"d":[]}"#), Err(ReadError::Value { .. })));
        assert_eq!(decode::<u64>(b"n", br#"{"v":1,"d":7,"x":0}"#).unwrap(), 7);
    }
}
