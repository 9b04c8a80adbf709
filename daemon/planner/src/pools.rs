//! Choice of a subnet from the default pools.

use ipnetwork::IpNetwork;

use crate::interval::Intervals;
use crate::prefix::{bounds, prefix_at};

/// Address space for networks that name no subnet: `base` cut into prefixes of `size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    base: IpNetwork,
    size: u8,
}

/// Why a pool is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPool {
    /// Host bits are set in the base.
    #[error("base {0} has host bits set")]
    HostBits(IpNetwork),
    /// The pieces would be larger than the base, or longer than an address.
    #[error("size {size} is not between the base's /{base} and /{max}")]
    Size {
        /// Length of the pieces.
        size: u8,
        /// Length of the base.
        base: u8,
        /// The longest that leaves room for a gateway and an endpoint.
        max: u8,
    },
}

impl Pool {
    /// A pool.
    ///
    /// # Errors
    /// `base` has host bits set, or `size` lies outside it.
    pub fn new(base: IpNetwork, size: u8) -> Result<Self, InvalidPool> {
        if crate::prefix::has_host_bits(base) {
            return Err(InvalidPool::HostBits(base));
        }
        let max = if base.is_ipv4() { 31 } else { 127 };
        if size < base.prefix() || size > max {
            return Err(InvalidPool::Size { size, base: base.prefix(), max });
        }
        Ok(Self { base, size })
    }

    /// The address space that is cut.
    pub const fn base(&self) -> IpNetwork {
        self.base
    }

    /// Length of the pieces.
    pub const fn size(&self) -> u8 {
        self.size
    }
}

/// Takes the first free prefix of the pools. `length` overrides the pools' own sizes
/// where it fits; `ipv4` says of which family; `used` are prefixes of other networks
/// and of the host.
pub fn choose(
    pools: &[Pool],
    ipv4: bool,
    length: Option<u8>,
    used: impl IntoIterator<Item = IpNetwork>,
) -> Option<IpNetwork> {
    let mut taken = Intervals::default();
    for prefix in used {
        // A default route covers everything and says nothing about who uses it.
        if prefix.is_ipv4() == ipv4 && prefix.prefix() > 0 {
            let (first, last) = bounds(prefix);
            taken.insert(first, last);
        }
    }
    pools
        .iter()
        .filter(|pool| pool.base.is_ipv4() == ipv4)
        .find_map(|pool| first_free(pool, length.unwrap_or(pool.size), &taken))
}

fn first_free(pool: &Pool, length: u8, taken: &Intervals) -> Option<IpNetwork> {
    if length < pool.base.prefix() {
        return None;
    }
    let (mut start, end) = bounds(pool.base);
    loop {
        let candidate = prefix_at(pool.base, start, length)?;
        let (first, last) = bounds(candidate);
        let Some(busy_until) = taken.overlap(first, last) else { return Some(candidate) };
        // Continue at the first piece that begins after what is in the way.
        let size = last - first;
        start = busy_until.max(last).checked_add(1)?;
        start = start.checked_add(size)? & !size;
        if start > end || start + size > end {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    fn pools() -> Vec<Pool> {
        vec![
            Pool::new(net("172.18.0.0/15"), 16).unwrap(),
            Pool::new(net("192.168.0.0/16"), 20).unwrap(),
            Pool::new(net("fd00:1::/48"), 64).unwrap(),
        ]
    }

    #[test]
    fn first_free_piece_then_the_next_pool() {
        let choose4 = |used: &[&str]| choose(&pools(), true, None, used.iter().map(|n| net(n)));
        assert_eq!(choose4(&[]), Some(net("172.18.0.0/16")));
        assert_eq!(choose4(&["172.18.3.0/24"]), Some(net("172.19.0.0/16")));
        assert_eq!(choose4(&["172.16.0.0/12"]), Some(net("192.168.0.0/20")));
        assert_eq!(choose4(&["172.16.0.0/12", "192.168.15.1/32"]), Some(net("192.168.16.0/20")));
        assert_eq!(choose4(&["172.16.0.0/12", "192.168.0.0/16"]), None);
        assert_eq!(
            choose4(&["0.0.0.0/0"]),
            Some(net("172.18.0.0/16")),
            "a default route is no use"
        );
    }

    #[test]
    fn families_and_lengths() {
        assert_eq!(choose(&pools(), false, None, []), Some(net("fd00:1::/64")));
        let used = [net("fd00:1::/64")];
        assert_eq!(choose(&pools(), false, None, used), Some(net("fd00:1:0:1::/64")));
        assert_eq!(choose(&pools(), true, Some(24), []), Some(net("172.18.0.0/24")));
        assert_eq!(choose(&pools(), true, Some(15), []), Some(net("172.18.0.0/15")));
        assert_eq!(choose(&pools(), true, Some(8), []), None);
    }

    #[test]
    fn pools_are_checked() {
        assert!(matches!(Pool::new(net("10.0.0.1/8"), 24), Err(InvalidPool::HostBits(_))));
        assert!(matches!(Pool::new(net("10.0.0.0/8"), 4), Err(InvalidPool::Size { .. })));
        assert!(matches!(Pool::new(net("10.0.0.0/8"), 32), Err(InvalidPool::Size { .. })));
    }
}
