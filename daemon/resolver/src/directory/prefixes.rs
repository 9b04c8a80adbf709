//! The subnets of all networks, and whether an address lies in one of them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::network::Family;

/// Prefixes by length: an address is looked for once for each length in use, of which
/// there are few however many networks there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prefixes {
    counts: HashMap<IpNetwork, usize>,
    lengths: BTreeMap<(Family, u8), usize>,
}

impl Prefixes {
    pub(crate) fn insert(&mut self, prefix: IpNetwork) {
        let Some(whole) = cut(prefix.ip(), prefix.prefix()) else { return };
        *self.counts.entry(whole).or_default() += 1;
        *self.lengths.entry((Family::of(prefix.ip()), prefix.prefix())).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, prefix: IpNetwork) {
        let Some(whole) = cut(prefix.ip(), prefix.prefix()) else { return };
        if let Some(count) = self.counts.get_mut(&whole) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&whole);
            }
        }
        let length = (Family::of(prefix.ip()), prefix.prefix());
        if let Some(count) = self.lengths.get_mut(&length) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let family = Family::of(address);
        let lengths = self.lengths.range((family, 0)..=(family, family.bits()));
        lengths
            .filter_map(|((_, length), _)| cut(address, *length))
            .any(|prefix| self.counts.contains_key(&prefix))
    }
}

/// The prefix of this length that an address lies in.
fn cut(address: IpAddr, length: u8) -> Option<IpNetwork> {
    let prefix = IpNetwork::new(address, length).ok()?;
    IpNetwork::new(prefix.network(), length).ok()
}
