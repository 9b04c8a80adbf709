//! Limits by name, as they are configured.

use std::time::Duration;

use crate::limits::Limits;

/// A text that sets no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    /// Not `NAME=NUMBER`.
    #[error("`{0}` is not NAME=NUMBER")]
    Form(String),
    /// There is no such limit.
    #[error("there is no limit `{name}`; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Every name.
        known: String,
    },
    /// The number cannot be it.
    #[error("{name}: {value} is not from {least} to {most}")]
    Range {
        /// The limit.
        name: &'static str,
        /// The number.
        value: u64,
        /// The least there can be.
        least: u64,
        /// The most there can be.
        most: u64,
    },
}

/// A limit: its name with its unit, what it can be, and where it goes.
type Knob = (&'static str, u64, u64, fn(&mut Limits, u64));

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const GIB: u64 = 1 << 30;

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

const KNOBS: [Knob; 28] = [
    ("module-bytes", 1 << 10, 64 << 20, |l, v| l.module_bytes = size(v)),
    ("compile-cpu-ms", 1000, DAY_MS, |l, v| l.compile_cpu = Duration::from_millis(v)),
    ("compile-wall-ms", 100, DAY_MS, |l, v| l.compile_wall = Duration::from_millis(v)),
    ("compile-memory-bytes", 256 << 20, 64 * GIB, |l, v| l.compile_memory = v),
    ("memory-bytes", 64 << 10, 4 * GIB - (64 << 10), |l, v| l.memory_bytes = size(v)),
    ("memories", 1, 64, |l, v| l.memories = size(v)),
    ("tables", 1, 64, |l, v| l.tables = size(v)),
    ("table-elements", 1, 10_000_000, |l, v| l.table_elements = size(v)),
    ("instances", 1, 10_000, |l, v| l.instances = size(v)),
    ("stack-bytes", 32 << 10, 1 << 20, |l, v| l.stack_bytes = size(v)),
    ("fuel", 1_000, u64::MAX, |l, v| l.fuel = v),
    ("call-wall-ms", 1, DAY_MS, |l, v| l.call_wall = Duration::from_millis(v)),
    ("instantiate-wall-ms", 1, DAY_MS, |l, v| l.instantiate_wall = Duration::from_millis(v)),
    ("result-bytes", 1 << 10, GIB, |l, v| l.result_bytes = size(v)),
    ("handles", 0, 100_000, |l, v| l.handles = size(v)),
    ("resources", 1, 512, |l, v| l.resources = size(v)),
    ("string-bytes", 64, 64 << 10, |l, v| l.string_bytes = size(v)),
    ("options", 0, 1024, |l, v| l.options = size(v)),
    ("state-bytes", 0, 1 << 20, |l, v| l.state_bytes = size(v)),
    ("log-lines", 0, 100_000, |l, v| l.log_lines = size(v)),
    ("log-bytes", 16, 64 << 10, |l, v| l.log_bytes = size(v)),
    ("calls-per-driver", 1, 1024, |l, v| l.calls_per_driver = size(v)),
    ("calls", 1, 1024, |l, v| l.calls = size(v)),
    ("queued", 0, 65_536, |l, v| l.queued = size(v)),
    ("quarantine-faults", 1, 1000, |l, v| l.quarantine.faults = size(v)),
    ("quarantine-window-ms", 1, DAY_MS, |l, v| l.quarantine.window = Duration::from_millis(v)),
    ("quarantine-first-ms", 1, DAY_MS, |l, v| l.quarantine.first = Duration::from_millis(v)),
    ("quarantine-longest-ms", 1, DAY_MS, |l, v| l.quarantine.longest = Duration::from_millis(v)),
];

impl Limits {
    /// Sets the limit that a text names: `fuel=1000000`.
    ///
    /// # Errors
    /// The text has another form, names no limit, or gives it a number it cannot have.
    pub fn set(&mut self, text: &str) -> Result<(), InvalidLimit> {
        let form = || InvalidLimit::Form(text.to_owned());
        let (wanted, value) = text.split_once('=').ok_or_else(form)?;
        let value: u64 = value.parse().map_err(|_| form())?;
        let knob = KNOBS.iter().find(|(name, ..)| *name == wanted);
        let Some((name, least, most, set)) = knob else {
            let known: Vec<_> = KNOBS.iter().map(|(name, ..)| *name).collect();
            return Err(InvalidLimit::Unknown { name: wanted.to_owned(), known: known.join(", ") });
        };
        if !(*least..=*most).contains(&value) {
            return Err(InvalidLimit::Range { name, value, least: *least, most: *most });
        }
        set(self, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_and_no_two_are_one() {
        for (name, least, most, _) in KNOBS {
            let mut limits = Limits::default();
            for value in [least, most] {
                let mut other = limits.clone();
                limits.set(&format!("{name}={value}")).unwrap();
                other.set(&format!("{name}={value}")).unwrap();
                assert_eq!(limits, other, "{name}");
            }
            let changed = |to: u64| {
                let mut limits = Limits::default();
                limits.set(&format!("{name}={to}")).unwrap();
                limits
            };
            assert!(changed(least) != changed(most), "{name} changes nothing");
            assert!(least == 0 || limits.set(&format!("{name}={}", least - 1)).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |text: &str| Limits::default().set(text).unwrap_err().to_string();
        assert_eq!(said("fuel"), "`fuel` is not NAME=NUMBER");
        assert_eq!(said("fuel=lots"), "`fuel=lots` is not NAME=NUMBER");
        assert_eq!(said("fuel=1"), "fuel: 1 is not from 1000 to 18446744073709551615");
        assert!(said("speed=1").starts_with("there is no limit `speed`; there are module-bytes,"));
    }
}
