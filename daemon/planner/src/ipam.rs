//! The addresses of one subnet: which are held, which rest, which is offered next.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::IpNetwork;
use postern_model::network::Subnet;
use postern_model::time::Timestamp;

use crate::interval::Intervals;
use crate::prefix::{address, bounds, number};

/// No address is left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no free address in {range}; {resting} freed ones still rest")]
pub struct Exhausted {
    /// Where one was looked for.
    pub range: IpNetwork,
    /// How many will be free again by themselves.
    pub resting: usize,
}

/// Why an address asked for cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It lies elsewhere.
    #[error("{address} is outside {subnet}")]
    Outside {
        /// The address.
        address: IpAddr,
        /// The subnet.
        subnet: IpNetwork,
    },
    /// It is the subnet's own, the gateway's or an auxiliary one.
    #[error("{address} is reserved in {subnet}")]
    Reserved {
        /// The address.
        address: IpAddr,
        /// The subnet.
        subnet: IpNetwork,
    },
    /// An endpoint has it.
    #[error("{address} is taken")]
    Taken {
        /// The address.
        address: IpAddr,
    },
    /// Another host may give it, this one not.
    #[error("{address} is in no block of this host")]
    NoBlock {
        /// The address.
        address: IpAddr,
    },
}

/// The addresses of one subnet.
///
/// The lowest free one is offered. One that is freed rests first, so that neighbours'
/// caches and flows of its old owner have ended when it is offered again; whoever asks
/// for it by name gets it at once.
#[derive(Debug, Clone)]
pub struct AddressSpace {
    subnet: IpNetwork,
    range: IpNetwork,
    reserved: Intervals,
    taken: Intervals,
    resting: VecDeque<(Timestamp, u128)>,
    /// Where addresses are given from; none means everywhere.
    blocks: Option<Vec<IpNetwork>>,
}

impl AddressSpace {
    /// The space of a subnet of which nothing is held.
    ///
    /// Network and broadcast address (RFC 919) and the IPv6 subnet-router anycast
    /// address (RFC 4291 §2.6.1) are never given away, but for point-to-point prefixes
    /// (RFC 3021, RFC 6164) and single addresses.
    pub fn new(subnet: &Subnet) -> Self {
        let (first, last) = bounds(subnet.subnet);
        let mut reserved = Intervals::default();
        if last - first > 1 {
            reserved.insert(first, first);
            if subnet.subnet.is_ipv4() {
                reserved.insert(last, last);
            }
        }
        for special in subnet.gateway.iter().chain(subnet.auxiliary.values()) {
            reserved.insert(number(*special), number(*special));
        }
        Self {
            subnet: subnet.subnet,
            range: subnet.range,
            taken: reserved.clone(),
            reserved,
            resting: VecDeque::new(),
            blocks: None,
        }
    }

    /// Has addresses be given from these blocks of the subnet alone: all others are other
    /// hosts' to give.
    pub fn restrict(&mut self, blocks: Vec<IpNetwork>) {
        self.blocks = Some(blocks);
    }

    /// How many addresses there are to offer, counted no further than `most`.
    pub fn left(&self, most: usize) -> usize {
        let mut count = 0;
        for (mut first, last) in self.places() {
            while let Some(free) = self.taken.lowest_free(first, last) {
                count += 1;
                if count >= most {
                    return count;
                }
                let Some(next) = free.checked_add(1) else { break };
                first = next;
            }
        }
        count
    }

    /// Where addresses are offered from, in order: the range, as far as blocks have it.
    fn places(&self) -> Vec<(u128, u128)> {
        let (first, last) = bounds(self.range);
        let Some(blocks) = &self.blocks else { return vec![(first, last)] };
        let within = blocks.iter().map(|block| {
            let (from, to) = bounds(*block);
            (from.max(first), to.min(last))
        });
        within.filter(|(from, to)| from <= to).collect()
    }

    /// Whether an address is one of those that this host gives.
    pub fn is_ours(&self, address: IpAddr) -> bool {
        let block = |blocks: &Vec<IpNetwork>| blocks.iter().any(|block| block.contains(address));
        self.blocks.as_ref().is_none_or(block)
    }

    /// The subnet.
    pub const fn subnet(&self) -> IpNetwork {
        self.subnet
    }

    /// Takes the lowest free address of the range.
    ///
    /// # Errors
    /// All are held or rest.
    pub fn offer(&mut self) -> Result<IpAddr, Exhausted> {
        let places = self.places();
        let free = places.iter().find_map(|(first, last)| self.taken.lowest_free(*first, *last));
        let free = free.ok_or(Exhausted { range: self.range, resting: self.resting.len() })?;
        self.taken.insert(free, free);
        Ok(address(self.subnet, free))
    }

    /// Takes this address. Returns since when it has rested, if it has: whoever gives it
    /// back unused lets it rest on.
    ///
    /// # Errors
    /// It is outside the subnet, reserved, or held.
    pub fn claim(&mut self, wanted: IpAddr) -> Result<Option<Timestamp>, ClaimError> {
        let value = number(wanted);
        if !self.subnet.contains(wanted) {
            return Err(ClaimError::Outside { address: wanted, subnet: self.subnet });
        }
        if self.reserved.contains(value) {
            return Err(ClaimError::Reserved { address: wanted, subnet: self.subnet });
        }
        if let Some(index) = self.resting.iter().position(|(_, rests)| *rests == value) {
            return Ok(self.resting.remove(index).map(|(since, _)| since));
        }
        if self.taken.contains(value) {
            return Err(ClaimError::Taken { address: wanted });
        }
        if !self.is_ours(wanted) {
            return Err(ClaimError::NoBlock { address: wanted });
        }
        self.taken.insert(value, value);
        Ok(None)
    }

    /// Lets a held address rest from `now` on.
    pub fn rest(&mut self, freed: IpAddr, now: Timestamp) {
        let value = number(freed);
        if self.subnet.contains(freed) && !self.reserved.contains(value) {
            self.taken.insert(value, value);
            self.resting.push_back((now, value));
        }
    }

    /// Gives an address back at once: it was offered and never used.
    pub fn release(&mut self, unused: IpAddr) {
        let value = number(unused);
        if self.subnet.contains(unused) && !self.reserved.contains(value) {
            self.taken.remove(value);
        }
    }

    /// Frees every address that has rested for as long as `rest`, and names them.
    pub fn wake(&mut self, now: Timestamp, rest: Duration) -> Vec<IpAddr> {
        let mut woken = Vec::new();
        while let Some(&(since, value)) = self.resting.front() {
            if now.since(since) < rest {
                break;
            }
            self.resting.pop_front();
            self.taken.remove(value);
            woken.push(address(self.subnet, value));
        }
        woken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const REST: Duration = Duration::from_secs(10);

    fn space(subnet: &str, range: &str, gateway: Option<&str>) -> AddressSpace {
        AddressSpace::new(&Subnet {
            subnet: subnet.parse().unwrap(),
            range: range.parse().unwrap(),
            gateway: gateway.map(|g| g.parse().unwrap()),
            auxiliary: BTreeMap::new(),
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn lowest_first_and_never_the_reserved() {
        let mut space = space("10.0.0.0/29", "10.0.0.0/29", Some("10.0.0.1"));
        let offered: Vec<_> = (0..5).map(|_| space.offer().unwrap()).collect();
        assert_eq!(offered, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"].map(ip));
        assert_eq!(space.offer().unwrap_err().resting, 0);
    }

    #[test]
    fn point_to_point_prefixes_are_usable_whole() {
        let mut v4 = space("10.0.0.0/31", "10.0.0.0/31", Some("10.0.0.0"));
        assert_eq!(v4.offer().unwrap(), ip("10.0.0.1"));
        assert!(v4.offer().is_err());
        let mut v6 = space("fd00::/127", "fd00::/127", Some("fd00::"));
        assert_eq!(v6.offer().unwrap(), ip("fd00::1"));
        assert!(v6.offer().is_err());
    }

    #[test]
    fn huge_prefixes_cost_nothing() {
        let mut space = space("fd00::/8", "fd00:1::/32", Some("fd00::1"));
        assert_eq!(space.offer().unwrap(), ip("fd00:1::"));
        assert_eq!(space.offer().unwrap(), ip("fd00:1::1"));
    }

    #[test]
    fn a_freed_address_rests_but_can_be_claimed() {
        let mut space = space("10.0.0.0/29", "10.0.0.0/29", Some("10.0.0.1"));
        let first = space.offer().unwrap();
        space.rest(first, Timestamp(0));
        assert_eq!(space.offer().unwrap(), ip("10.0.0.3"));
        assert!(space.wake(Timestamp(9_999), REST).is_empty());
        assert_eq!(space.wake(Timestamp(10_000), REST), [first]);
        assert_eq!(space.offer().unwrap(), first);
        space.rest(first, Timestamp(20_000));
        space.claim(first).unwrap();
        assert!(space.wake(Timestamp(99_000), REST).is_empty());
        assert_eq!(space.claim(first), Err(ClaimError::Taken { address: first }));
    }

    #[test]
    fn claims() {
        let mut space = space("10.0.0.0/24", "10.0.0.128/25", Some("10.0.0.1"));
        assert!(matches!(space.claim(ip("10.0.1.1")), Err(ClaimError::Outside { .. })));
        assert!(matches!(space.claim(ip("fd00::1")), Err(ClaimError::Outside { .. })));
        for reserved in ["10.0.0.0", "10.0.0.1", "10.0.0.255"] {
            assert!(matches!(space.claim(ip(reserved)), Err(ClaimError::Reserved { .. })));
        }
        space.claim(ip("10.0.0.2")).unwrap();
        assert_eq!(space.offer().unwrap(), ip("10.0.0.128"));
    }

    #[test]
    fn from_blocks_alone_where_there_are_some() {
        let mut space = space("10.0.0.0/24", "10.0.0.0/25", Some("10.0.0.1"));
        space.restrict(Vec::new());
        assert_eq!((space.left(9), space.offer().is_err()), (0, true));
        let blocks = ["10.0.0.64/28", "10.0.0.0/28", "10.0.0.160/28"];
        space.restrict(blocks.iter().map(|block| block.parse().unwrap()).collect());
        assert_eq!((space.left(usize::MAX), space.left(5)), (16 + 14, 5));
        assert_eq!(space.offer().unwrap(), ip("10.0.0.64"), "in the order they were taken");
        assert_eq!(
            space.claim(ip("10.0.0.33")),
            Err(ClaimError::NoBlock { address: ip("10.0.0.33") })
        );
        // Outside of the range, and in a block: whoever asks for it gets it.
        assert_eq!(space.claim(ip("10.0.0.161")), Ok(None));
        assert!(matches!(space.claim(ip("10.0.0.1")), Err(ClaimError::Reserved { .. })));
    }

    proptest! {
        /// Nothing is offered twice while it is held or rests.
        #[test]
        fn no_address_is_given_twice(steps in prop::collection::vec(0u8..4, 1..200)) {
            let mut space = space("10.0.0.0/28", "10.0.0.0/28", Some("10.0.0.1"));
            let (mut held, mut resting, mut now) = (Vec::new(), Vec::new(), 0);
            for step in steps {
                now += 1_000;
                match step {
                    0 | 1 => if let Ok(got) = space.offer() {
                        prop_assert!(!held.contains(&got) && !resting.contains(&got));
                        held.push(got);
                    },
                    2 => if let Some(freed) = held.pop() {
                        space.rest(freed, Timestamp(now));
                        resting.push(freed);
                    },
                    _ => for woken in space.wake(Timestamp(now), REST) {
                        resting.retain(|r| *r != woken);
                    },
                }
            }
        }
    }
}
