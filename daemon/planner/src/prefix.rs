//! Prefixes as ranges of numbers, whichever their family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use postern_model::network::Family;

/// An address as a number.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The first and last address of a prefix as numbers.
pub fn bounds(prefix: IpNetwork) -> (u128, u128) {
    let host_bits = u32::from(Family::of(prefix.ip()).bits() - prefix.prefix());
    let mask = 1u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
    let first = number(prefix.ip()) & !mask;
    (first, first | mask)
}

/// A number as an address of `like`'s family.
pub fn address(like: IpNetwork, value: u128) -> IpAddr {
    match like {
        // The numbers come from bounds() of an IPv4 prefix, so nothing is cut off.
        IpNetwork::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(value as u32)),
        IpNetwork::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(value)),
    }
}

/// The prefix of this length that begins at a number; none if the length is too long
/// for the family.
pub fn prefix_at(like: IpNetwork, value: u128, length: u8) -> Option<IpNetwork> {
    match address(like, value) {
        IpAddr::V4(v4) => Ipv4Network::new(v4, length).ok().map(IpNetwork::V4),
        IpAddr::V6(v6) => Ipv6Network::new(v6, length).ok().map(IpNetwork::V6),
    }
}

/// Whether `outer` holds all of `inner`.
pub fn contains(outer: IpNetwork, inner: IpNetwork) -> bool {
    let ((o_first, o_last), (i_first, i_last)) = (bounds(outer), bounds(inner));
    outer.is_ipv4() == inner.is_ipv4() && o_first <= i_first && i_last <= o_last
}

/// Whether bits beyond the prefix length are set, as in `10.0.0.1/24`.
pub fn has_host_bits(prefix: IpNetwork) -> bool {
    number(prefix.ip()) != bounds(prefix).0
}
