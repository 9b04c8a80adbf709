//! The ports a host gives out where none is asked for.

use std::path::Path;

use postern_model::port::PortRange;

use crate::sysctl;

const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// What the kernel has where nothing else is set.
const DEFAULT: (u32, u32) = (32768, 60999);

/// The host's ephemeral range without its reserved ports.
#[derive(Debug, Clone)]
pub(super) struct Ephemeral {
    range: PortRange,
    reserved: Vec<PortRange>,
}

impl Ephemeral {
    /// As the host has it set; if it is not to be looked at, as the kernel has it.
    pub(super) fn of_the_host(look: bool) -> Self {
        let read = |path: &str| {
            let text = look.then(|| sysctl::read(Path::new(path)).ok()).flatten();
            text.unwrap_or_default()
        };
        Self::parse(&read(RANGE), &read(RESERVED))
    }

    fn parse(range: &str, reserved: &str) -> Self {
        let words: Vec<u32> = range.split_whitespace().flat_map(str::parse).collect();
        let (first, last) = match words[..] {
            [first, last] => (first, last),
            _ => DEFAULT,
        };
        Self {
            // Any port at all, should the kernel's text ever make no sense.
            range: PortRange::new(first, last).unwrap_or_else(|_| every()),
            reserved: reserved.split(',').filter_map(reserved_range).collect(),
        }
    }

    /// The whole range.
    pub(super) const fn range(&self) -> PortRange {
        self.range
    }

    /// Every run of so many consecutive ports, from `next` on and around.
    pub(super) fn candidates(&self, next: u16, count: u32) -> impl Iterator<Item = PortRange> {
        let (first, last) = (u32::from(self.range.first()), u32::from(self.range.last()));
        let end = (last + 2).saturating_sub(count).max(first);
        let from = u32::from(next).clamp(first, end);
        let runs = (from..end).chain(first..from);
        runs.filter_map(move |start| PortRange::new(start, start + count - 1).ok())
            .filter(|run| !self.reserved.iter().any(|reserved| reserved.overlaps(*run)))
    }
}

fn reserved_range(text: &str) -> Option<PortRange> {
    let (first, last) = text.trim().split_once('-').unwrap_or((text.trim(), text.trim()));
    PortRange::new(first.parse().ok()?, last.parse().ok()?).ok()
}

#[expect(clippy::expect_used, reason = "1 to 65535 is a range")]
fn every() -> PortRange {
    PortRange::new(1, u16::MAX.into()).expect("a range")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starts(ephemeral: &Ephemeral, next: u16, count: u32) -> Vec<u16> {
        ephemeral.candidates(next, count).map(PortRange::first).collect()
    }

    #[test]
    fn candidates_go_around_and_skip_reserved_ports() {
        let ephemeral = Ephemeral::parse("100\t109\n", "103,106-107\n");
        assert_eq!(starts(&ephemeral, 105, 1), [105, 108, 109, 100, 101, 102, 104]);
        assert_eq!(starts(&ephemeral, 0, 2), [100, 101, 104, 108]);
        assert_eq!(starts(&ephemeral, 200, 1).first(), Some(&100));
        assert!(starts(&ephemeral, 0, 11).is_empty());
    }

    #[test]
    fn text_that_makes_no_sense_is_the_kernels_default() {
        assert_eq!(Ephemeral::parse("", "").range().to_string(), "32768-60999");
        assert_eq!(Ephemeral::parse("9 x", ",-,7-").range().to_string(), "32768-60999");
    }

    proptest! {
        #[test]
        fn every_candidate_is_within(
            a in 1u32..=65535, b in 1u32..=65535, next: u16, count in 1u32..=70000,
        ) {
            let (first, last) = (a.min(b), a.max(b));
            let ephemeral = Ephemeral::parse(&format!("{first} {last}"), "");
            let found: Vec<_> = ephemeral.candidates(next, count).collect();
            let expected = (last - first + 2).saturating_sub(count) as usize;
            prop_assert_eq!(found.len(), expected);
            for run in found {
                prop_assert!(u32::from(run.first()) >= first && u32::from(run.last()) <= last);
                prop_assert_eq!(run.count(), count);
            }
        }
    }
}
