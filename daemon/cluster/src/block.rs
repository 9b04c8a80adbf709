//! How a subnet is cut into blocks, each of which one host gives addresses from.
//!
//! So an address needs no round trip: only a host that has used up its blocks asks for
//! another one, whole.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// A host's first block of an IPv4 /16 or wider, and of IPv6, has at most this many bits.
const BITS_MAX_4: u8 = 8;
/// See [`BITS_MAX_4`].
const BITS_MAX_6: u8 = 16;
/// A block has at least four addresses, where the subnet does.
const BITS_MIN: u8 = 2;

/// A block: a prefix whose address is its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block(IpNetwork);

impl Block {
    /// The block of a prefix; none if its address is not the first.
    pub fn of_prefix(prefix: IpNetwork) -> Option<Self> {
        (prefix.network() == prefix.ip()).then_some(Self(prefix))
    }

    /// The block of a subnet that has an address; none if the subnet has not.
    pub fn of(subnet: IpNetwork, address: IpAddr) -> Option<Self> {
        if !subnet.contains(address) {
            return None;
        }
        let prefix = IpNetwork::new(address, length(subnet)).ok()?;
        Self::of_prefix(IpNetwork::new(prefix.network(), prefix.prefix()).ok()?)
    }

    /// Its addresses.
    pub const fn prefix(&self) -> IpNetwork {
        self.0
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The length of a subnet's blocks: half of the bits that are left to it, within limits, so
/// that a small one is shared by many hosts too.
pub fn length(subnet: IpNetwork) -> u8 {
    let (bits, most) = match subnet {
        IpNetwork::V4(_) => (32, BITS_MAX_4),
        IpNetwork::V6(_) => (128, BITS_MAX_6),
    };
    let left = bits - subnet.prefix();
    bits - (left / 2).clamp(BITS_MIN.min(left), most)
}

/// A subnet's blocks that have an address of `range`, from a place in them and around: hosts
/// that begin at different ones do not ask for the same.
///
/// Of IPv6 there may be more than anybody can count; whoever takes them stops.
pub fn candidates(subnet: IpNetwork, range: IpNetwork, seed: u64) -> impl Iterator<Item = Block> {
    let step = size(subnet);
    // A range that is smaller than a block has a part of one.
    let first = number(range.network()) / step * step;
    let count = (number(range.broadcast()) - first) / step + 1;
    let start = u128::from(seed) % count;
    (start..count).chain(0..start).filter_map(move |index| {
        let address = address(subnet, first.checked_add(index.checked_mul(step)?)?);
        Block::of(subnet, address)
    })
}

fn size(subnet: IpNetwork) -> u128 {
    let bits = if subnet.is_ipv4() { 32 } else { 128 };
    1 << (bits - length(subnet))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(subnet: IpNetwork, number: u128) -> IpAddr {
    match subnet {
        // It is one of the subnet's.
        IpNetwork::V4(_) => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpNetwork::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    #[test]
    fn half_of_the_bits_are_a_blocks() {
        for (subnet, expected) in [
            ("10.0.0.0/8", 24),
            ("10.0.0.0/16", 24),
            ("10.0.0.0/20", 26),
            ("10.0.0.0/24", 28),
            ("10.0.0.0/28", 30),
            ("10.0.0.0/29", 30),
            ("10.0.0.0/31", 31),
            ("10.0.0.0/32", 32),
            ("fd00::/64", 112),
            ("fd00::/120", 124),
        ] {
            assert_eq!(length(net(subnet)), expected, "{subnet}");
        }
    }

    #[test]
    fn every_block_is_a_candidate_once_wherever_one_begins() {
        for seed in [0, 1, 7, u64::MAX] {
            let all: Vec<Block> =
                candidates(net("10.0.0.0/24"), net("10.0.0.0/24"), seed).collect();
            let distinct: BTreeSet<Block> = all.iter().copied().collect();
            assert_eq!((all.len(), distinct.len()), (16, 16));
        }
        let ranged: Vec<String> = candidates(net("10.0.0.0/24"), net("10.0.0.64/26"), 0)
            .map(|block| block.to_string())
            .collect();
        let expected = ["10.0.0.64/28", "10.0.0.80/28", "10.0.0.96/28", "10.0.0.112/28"];
        assert_eq!(ranged, expected);
        let small: Vec<Block> = candidates(net("10.0.0.0/24"), net("10.0.0.72/30"), 5).collect();
        assert_eq!(small, [Block::of_prefix(net("10.0.0.64/28")).unwrap()]);
        assert_eq!(candidates(net("fd00::/64"), net("fd00::/64"), u64::MAX).take(3).count(), 3);
        assert_eq!(candidates(net("::/0"), net("::/0"), u64::MAX).take(3).count(), 3);
    }

    proptest! {
        #[test]
        fn an_address_is_in_the_block_that_has_it(ip: Ipv4Addr, prefix in 0_u8..=32) {
            let subnet = IpNetwork::new(ip.into(), prefix).unwrap();
            let subnet = IpNetwork::new(subnet.network(), prefix).unwrap();
            let block = Block::of(subnet, ip.into()).unwrap();
            prop_assert!(block.prefix().contains(ip.into()));
            prop_assert!(subnet.contains(block.prefix().ip()));
            prop_assert!(block.prefix().prefix() >= subnet.prefix());
            let next = candidates(subnet, IpNetwork::new(ip.into(), 32).unwrap(), 3).next();
            prop_assert_eq!(next, Some(block));
        }
    }
}
