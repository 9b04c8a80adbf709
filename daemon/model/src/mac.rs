//! Ethernet addresses.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A unicast Ethernet address (IEEE 802).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr([u8; 6]);

/// Why a text or six bytes are not a MAC address an interface can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMac {
    /// Not six hexadecimal bytes with colons.
    #[error("`{0}` is not a MAC address of the form 02:00:5e:00:53:01")]
    Form(String),
    /// The group bit is set, or all bytes are zero.
    #[error("{0} is not a unicast address")]
    NotUnicast(String),
}

impl MacAddr {
    /// Takes six bytes as an address.
    ///
    /// # Errors
    /// The address is a group address or zero: an interface cannot have it.
    pub fn new(bytes: [u8; 6]) -> Result<Self, InvalidMac> {
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(InvalidMac::NotUnicast(Self(bytes).to_string()));
        }
        Ok(Self(bytes))
    }

    /// A locally administered unicast address made of 46 of the seed's bits.
    pub const fn from_seed(seed: u64) -> Self {
        let b = seed.to_be_bytes();
        Self([(b[2] & 0b1111_1100) | 0b10, b[3], b[4], b[5], b[6], b[7]])
    }

    /// The six bytes.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }

    /// The link-local address an interface with this MAC makes by itself (RFC 4291, appendix A).
    pub const fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from_bits(u128::from_be_bytes([
            0xfe,
            0x80,
            0,
            0,
            0,
            0,
            0,
            0,
            a ^ 2,
            b,
            c,
            0xff,
            0xfe,
            d,
            e,
            f,
        ]))
    }
}

impl FromStr for MacAddr {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || InvalidMac::Form(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(form)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(form());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| form())?;
        }
        if parts.next().is_some() {
            return Err(form());
        }
        Self::new(bytes)
    }
}

impl TryFrom<String> for MacAddr {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms() {
        assert_eq!(
            "02:00:5E:00:53:01".parse::<MacAddr>().unwrap().to_string(),
            "02:00:5e:00:53:01"
        );
        for bad in
            ["", "02:00:5e:00:53", "02:00:5e:00:53:01:02", "2:0:5e:0:53:1", "zz:00:5e:00:53:01"]
        {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
        for bad in ["01:00:5e:00:53:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
            assert!(matches!(bad.parse::<MacAddr>(), Err(InvalidMac::NotUnicast(_))), "{bad}");
        }
    }

    #[test]
    fn link_local_is_modified_eui_64() {
        let mac: MacAddr = "02:00:5e:00:53:01".parse().unwrap();
        assert_eq!(mac.link_local(), "fe80::5eff:fe00:5301".parse::<Ipv6Addr>().unwrap());
    }

    proptest! {
        #[test]
        fn seeded_addresses_are_local_and_unicast(seed: u64) {
            let mac = MacAddr::from_seed(seed);
            prop_assert_eq!(mac.bytes()[0] & 0b11, 0b10);
            prop_assert_eq!(mac.to_string().parse::<MacAddr>().unwrap(), mac);
        }
    }
}
