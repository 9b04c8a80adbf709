//! Drivers with a few bytes changed, added or missing.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use super::super::module::{Module, component};
use super::super::open;
use super::{Class, Specimen, class, run};
use crate::Limits;

/// One change of a file.
#[derive(Debug, Clone)]
enum Damage {
    Byte(u16, u8),
    Cut(u16),
    Doubled(u16, u8),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len().max(1);
        let at = |place: u16| usize::from(place) % length;
        match *self {
            Self::Byte(place, byte) => {
                let at = at(place);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Self::Cut(place) => bytes.truncate(at(place)),
            Self::Doubled(place, count) => {
                let begin = at(place);
                let end = bytes.len().min(begin + usize::from(count));
                let again = bytes[begin..end].to_vec();
                bytes.splice(begin..begin, again);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        8 => (any::<u16>(), any::<u8>()).prop_map(|(place, byte)| Damage::Byte(place, byte)),
        1 => any::<u16>().prop_map(Damage::Cut),
        1 => (any::<u16>(), any::<u8>()).prop_map(|(place, count)| Damage::Doubled(place, count)),
    ]
}

/// Whatever the bytes are, the driver is at fault and never the host, and nothing panics.
#[test]
fn damage_is_never_the_host_s_fault() {
    let module = Module::default().bytes();
    let whole = [component(&module), module];
    let state = TempDir::new().unwrap();
    let limits = Specimen::new(Vec::new(), class::Stage::End, Class::Heard, "").limits;
    let limits = Limits { module_bytes: 64 << 10, ..limits };
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() };
    let changes = (0..whole.len(), prop::collection::vec(damage(), 1..4));
    let answer = TestRunner::new(config).run(&changes, |(which, changes)| {
        let mut bytes = whole[which].clone();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        let (stage, class, text) = class::of(run(&open(state.path(), limits.clone()), &bytes));
        prop_assert!(class != Class::Host, "{:?}: {}", stage, text);
        Ok(())
    });
    answer.unwrap();
}
