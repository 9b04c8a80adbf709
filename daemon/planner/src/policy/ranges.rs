//! Prefixes that overlap as ranges that do not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::network::Family;
use postern_model::policy::Cidr;

use crate::prefix;

/// A range of addresses, both ends included, and all that it is in.
pub(super) type Range = (IpAddr, IpAddr, BTreeSet<Cidr>);

/// The ranges of every address that is in at least one of the prefixes.
pub(super) fn disjoint<'a>(cidrs: impl Iterator<Item = &'a Cidr>) -> Vec<Range> {
    let cidrs: Vec<&Cidr> = cidrs.collect();
    Family::ALL.into_iter().flat_map(|family| of_family(&cidrs, family)).collect()
}

fn of_family(cidrs: &[&Cidr], family: Family) -> Vec<Range> {
    let cidrs: Vec<&&Cidr> =
        cidrs.iter().filter(|cidr| Family::of(cidr.prefix().ip()) == family).collect();
    // Where ranges begin; an end is where the next one begins. Past the last address
    // nothing does.
    let mut starts: BTreeMap<u128, IpNetwork> = BTreeMap::new();
    for one in cidrs
        .iter()
        .flat_map(|cidr| std::iter::once(cidr.prefix()).chain(cidr.except().iter().copied()))
    {
        let (first, last) = prefix::bounds(one);
        starts.insert(first, one);
        if let Some(next) = last.checked_add(1).filter(|next| *next <= greatest(family)) {
            starts.insert(next, one);
        }
    }
    let starts: Vec<(u128, IpNetwork)> = starts.into_iter().collect();
    let mut ranges: Vec<Range> = Vec::new();
    for (index, (start, like)) in starts.iter().enumerate() {
        let last = starts.get(index + 1).map_or(greatest(family), |(next, _)| next - 1);
        let (first, last) = (prefix::address(*like, *start), prefix::address(*like, last));
        let within: BTreeSet<Cidr> =
            cidrs.iter().filter(|cidr| cidr.contains(first)).map(|cidr| (**cidr).clone()).collect();
        match ranges.last_mut() {
            _ if within.is_empty() => {}
            Some((_, end, same)) if *same == within && prefix::number(*end) + 1 == *start => {
                *end = last;
            }
            _ => ranges.push((first, last, within)),
        }
    }
    ranges
}

const fn greatest(family: Family) -> u128 {
    match family {
        Family::V4 => u32::MAX as u128,
        Family::V6 => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr() -> impl Strategy<Value = Cidr> {
        // A small world, so that prefixes meet.
        (0u8..4, 24u8..=32, prop::collection::vec((any::<u8>(), 26u8..=32), 0..3)).prop_filter_map(
            "exceptions are inside",
            |(third, length, except)| {
                let net = |last: u8, length: u8| {
                    let ip = IpAddr::from([10, 0, third, last]);
                    let net = IpNetwork::new(ip, length).ok()?;
                    IpNetwork::new(net.network(), length).ok()
                };
                let except = except.into_iter().filter_map(|(last, length)| net(last, length));
                let prefix = net(0, length)?;
                let inside = |one: &IpNetwork| prefix.contains(one.ip()) && one.prefix() > length;
                Cidr::new(prefix, except.filter(inside).collect()).ok()
            },
        )
    }

    proptest! {
        #[test]
        fn every_address_is_in_the_range_of_its_prefixes(
            cidrs in prop::collection::btree_set(cidr(), 0..6),
            third in 0u8..5,
            last: u8,
        ) {
            let address = IpAddr::from([10, 0, third, last]);
            let ranges = disjoint(cidrs.iter());
            let found: Vec<_> = ranges
                .iter()
                .filter(|(first, last, _)| *first <= address && address <= *last)
                .collect();
            let within: BTreeSet<Cidr> =
                cidrs.iter().filter(|cidr| cidr.contains(address)).cloned().collect();
            match found[..] {
                [] => prop_assert!(within.is_empty()),
                [(_, _, said)] => prop_assert_eq!(said, &within),
                _ => prop_assert!(false, "ranges overlap"),
            }
        }
    }

    #[test]
    fn everything_is_one_range() {
        let all = Cidr::new("0.0.0.0/0".parse().unwrap(), Vec::new()).unwrap();
        let ranges = disjoint([&all].into_iter());
        assert_eq!(ranges.len(), 1);
        assert_eq!(ranges[0].1, IpAddr::from([255; 4]));
        let all = Cidr::new("::/0".parse().unwrap(), Vec::new()).unwrap();
        assert_eq!(disjoint([&all].into_iter())[0].1, IpAddr::from([255; 16]));
    }
}
