//! A set of integers kept as disjoint intervals: what is taken of an address space,
//! whatever its size, costs as much as there are gaps in it.

use std::collections::BTreeMap;

/// Disjoint, not adjacent, closed intervals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Intervals(BTreeMap<u128, u128>);

impl Intervals {
    /// The interval that holds `value`.
    fn around(&self, value: u128) -> Option<(u128, u128)> {
        let (&first, &last) = self.0.range(..=value).next_back()?;
        (last >= value).then_some((first, last))
    }

    /// Whether `value` is in the set.
    pub(crate) fn contains(&self, value: u128) -> bool {
        self.around(value).is_some()
    }

    /// Adds every value from `first` to `last`.
    pub(crate) fn insert(&mut self, first: u128, last: u128) {
        let (mut first, mut last) = (first, last);
        let below = first.saturating_sub(1);
        if let Some((start, end)) = self.around(below) {
            first = first.min(start);
            last = last.max(end);
        }
        let reach = last.saturating_add(1);
        let joined: Vec<_> = self.0.range(first..=reach).map(|(&s, &e)| (s, e)).collect();
        for (start, end) in joined {
            self.0.remove(&start);
            last = last.max(end);
        }
        self.0.insert(first, last);
    }

    /// Removes one value; returns whether it was there.
    pub(crate) fn remove(&mut self, value: u128) -> bool {
        let Some((first, last)) = self.around(value) else { return false };
        self.0.remove(&first);
        if first < value {
            self.0.insert(first, value - 1);
        }
        if value < last {
            self.0.insert(value + 1, last);
        }
        true
    }

    /// The lowest value from `first` to `last` that is not in the set.
    pub(crate) fn lowest_free(&self, first: u128, last: u128) -> Option<u128> {
        let candidate = match self.around(first) {
            None => first,
            Some((_, u128::MAX)) => return None,
            Some((_, end)) => end + 1,
        };
        (candidate <= last).then_some(candidate)
    }

    /// The end of an interval that shares a value with `first` to `last`.
    pub(crate) fn overlap(&self, first: u128, last: u128) -> Option<u128> {
        let (_, &end) = self.0.range(..=last).next_back()?;
        (end >= first).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in prop::collection::vec((any::<bool>(), 0u128..40, 0u128..6), 0..60)) {
            let (mut intervals, mut oracle) = (Intervals::default(), BTreeSet::new());
            for (insert, value, width) in steps {
                if insert {
                    intervals.insert(value, value + width);
                    oracle.extend(value..=value + width);
                } else {
                    prop_assert_eq!(intervals.remove(value), oracle.remove(&value));
                }
                for probe in 0..50 {
                    prop_assert_eq!(intervals.contains(probe), oracle.contains(&probe));
                    let free = (probe..=45).find(|v| !oracle.contains(v));
                    prop_assert_eq!(intervals.lowest_free(probe, 45), free);
                    let hit = (probe..=probe + 3).any(|v| oracle.contains(&v));
                    prop_assert_eq!(intervals.overlap(probe, probe + 3).is_some(), hit);
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_number_line() {
        let mut intervals = Intervals::default();
        intervals.insert(u128::MAX, u128::MAX);
        intervals.insert(0, 0);
        assert_eq!(intervals.lowest_free(u128::MAX, u128::MAX), None);
        assert_eq!(intervals.lowest_free(0, 5), Some(1));
        assert!(intervals.remove(u128::MAX));
        assert_eq!(intervals.lowest_free(u128::MAX, u128::MAX), Some(u128::MAX));
    }
}
