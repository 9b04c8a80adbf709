use std::time::Duration;

use postern_model::decision::NetworkDecision;

use super::guest::{ANSWER, Guest};
use super::{context, load, network};
use crate::call::{CallError, Fault};
use crate::{Limit, LimitHit, Limits, LoadError};

fn call(guest: Guest<'_>, limits: Limits) -> Result<NetworkDecision, CallError> {
    load(&guest.module(), limits).unwrap().network(&context(), &network(&[]))
}

fn body(network: &str) -> Result<NetworkDecision, CallError> {
    call(Guest { network, ..Guest::default() }, Limits::default())
}

fn hit(answer: Result<NetworkDecision, CallError>) -> LimitHit {
    match answer {
        Err(CallError::Limit(hit)) => hit,
        other => panic!("no limit: {other:?}"),
    }
}

/// A body that stores words from the answer's beginning and returns it.
fn answer(words: &[u32]) -> String {
    let store = |(index, word): (u32, &u32)| {
        format!("(i32.store (i32.const {}) (i32.const {word}))", ANSWER + 4 * index)
    };
    let stores: String = (0..).zip(words).map(store).collect();
    format!("{stores} i32.const {ANSWER}")
}

#[test]
fn a_good_guest_is_heard() {
    assert_eq!(body("i32.const 256"), Ok(NetworkDecision::default()));
    let decision = body(&answer(&[0, 0, 0, 128, 5])).unwrap();
    assert_eq!(decision.state, b"guest");
}

#[test]
fn a_loop_runs_out_of_fuel() {
    let limits = Limits { fuel: 100_000, ..Limits::default() };
    let guest = Guest { network: "call $forever unreachable", ..Guest::default() };
    let expected = LimitHit { which: Limit::Fuel, limit: 100_000, measured: Some(100_000) };
    assert_eq!(hit(call(guest, limits)), expected);
}

#[test]
fn a_loop_with_fuel_runs_out_of_time() {
    let call_wall = Duration::from_millis(30);
    let limits = Limits { fuel: u64::MAX, call_wall, ..Limits::default() };
    let guest = Guest { network: "call $forever unreachable", ..Guest::default() };
    let hit = hit(call(guest, limits));
    assert_eq!((hit.which, hit.limit), (Limit::CallWall, 30));
    assert!(hit.measured.is_some_and(|measured| measured >= 30));
}

#[test]
fn a_loop_at_the_start_runs_out_of_time() {
    let limits = Limits { fuel: u64::MAX, ..Limits::default() };
    let guest = Guest { fields: "(start $forever)", ..Guest::default() };
    let loaded = load(&guest.module(), limits);
    assert!(matches!(
        loaded,
        Err(LoadError::Describe(CallError::Limit(hit))) if hit.which == Limit::InstantiateWall
    ));
}

#[test]
fn describing_is_a_call_like_any_other() {
    let limits = Limits { fuel: 100_000, ..Limits::default() };
    let guest = Guest { describe: "call $forever unreachable", ..Guest::default() };
    assert!(matches!(
        load(&guest.module(), limits),
        Err(LoadError::Describe(CallError::Limit(hit))) if hit.which == Limit::Fuel
    ));
}

#[test]
fn memory_ends_at_its_limit() {
    let expected =
        LimitHit { which: Limit::MemoryBytes, limit: 32 << 20, measured: Some((512 + 2) << 16) };
    assert_eq!(hit(body("(drop (memory.grow (i32.const 512))) unreachable")), expected);
    assert!(body("(drop (memory.grow (i32.const 510))) i32.const 256").is_ok());
}

#[test]
fn tables_end_at_their_limit() {
    let guest = Guest {
        fields: "(table $t 1 funcref)",
        network: "(drop (table.grow $t (ref.null func) (i32.const 20000))) unreachable",
        ..Guest::default()
    };
    let hit = hit(call(guest, Limits::default()));
    assert_eq!((hit.which, hit.measured), (Limit::TableElements, Some(20_001)));
}

#[test]
fn the_stack_ends_at_its_limit() {
    assert_eq!(hit(body("call $deep unreachable")).which, Limit::StackBytes);
}

#[test]
fn a_huge_answer_is_not_copied() {
    let network = answer(&[0, 0, 0, 0, 3 << 20]);
    let guest = Guest { pages: 64, network: &network, ..Guest::default() };
    let expected = LimitHit { which: Limit::ResultBytes, limit: 2 << 20, measured: None };
    assert_eq!(hit(call(guest, Limits::default())), expected);
}

#[test]
fn a_crash_tells_its_last_words() {
    let crash = body("(call $log (i32.const 3) (i32.const 128) (i32.const 5)) unreachable");
    match crash {
        Err(CallError::Trap { message }) => {
            assert!(message.contains("unreachable"), "{message}");
            assert!(message.ends_with(": guest"), "{message}");
        }
        other => panic!("no trap: {other:?}"),
    }
}

#[test]
fn pointers_out_of_the_memory_are_a_crash() {
    for words in [[0, 0, 0, 0xffff_0000, 16], [0, 0xffff_0000, 16, 0, 0], [7, 0, 0, 0, 0]] {
        let answer = body(&answer(&words));
        assert!(matches!(answer, Err(CallError::Trap { .. })), "{words:?}: {answer:?}");
    }
}

#[test]
fn a_decision_is_bounded_and_well_formed() {
    for (words, expected) in [
        ([0, 0, 0, 0, 65_537], "state"),
        ([0, 65_536, 513, 0, 0], "resources"),
        ([0, 65_536, 1, 0, 0], "resources[0].link.handle"),
    ] {
        let answer = answer(&words);
        let guest = Guest { pages: 8, network: &answer, ..Guest::default() };
        match call(guest, Limits::default()) {
            Err(CallError::BadDecision { path, .. }) => assert_eq!(path, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn a_fault_is_passed_on() {
    // The second word is the case: `invalid`, and its field and description follow.
    let fault = body(&answer(&[1, 0, 128, 5, 129, 4]));
    let expected = Fault::Invalid { field: "guest".into(), description: "uest".into() };
    assert_eq!(fault, Err(CallError::Fault(expected)));
    let fault = body(&answer(&[1, 2, 128, 5]));
    assert_eq!(fault, Err(CallError::Fault(Fault::Conflict("guest".into()))));
}

#[test]
fn nothing_survives_a_call() {
    // Counts its calls in a global and in memory, and answers with the sum as the length of
    // its state.
    let network = "
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
        (i32.store (i32.const 272)
            (i32.add (global.get $calls) (i32.load (i32.const 512))))
        i32.const 256";
    let guest =
        Guest { fields: "(global $calls (mut i32) (i32.const 0))", network, ..Guest::default() };
    let driver = load(&guest.module(), Limits::default()).unwrap();
    let view = super::network(&[]);
    for _ in 0..3 {
        let decision = driver.network(&context(), &view).unwrap();
        assert_eq!(decision.state.len(), 2);
    }
}

#[test]
fn a_flood_of_lines_is_dropped_and_the_call_goes_on() {
    let network = "
        (local $i i32)
        (loop $again
            (call $log (i32.const 0) (i32.const 128) (i32.const 5))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 1000))))
        i32.const 256";
    assert_eq!(body(network), Ok(NetworkDecision::default()));
}

#[test]
fn a_driver_that_crashed_can_be_called_again() {
    // Crashes for an MTU of 1500, which is 28 bytes into the network; the context before
    // it has 24.
    let network = "(if (i32.eq (i32.load offset=52 (local.get 0)) (i32.const 1500))
        (then unreachable)) i32.const 256";
    let guest = Guest { network, ..Guest::default() };
    let driver = load(&guest.module(), Limits::default()).unwrap();
    let mut view = super::network(&[]);
    assert!(matches!(driver.network(&context(), &view), Err(CallError::Trap { .. })));
    view.mtu = 1400;
    assert!(driver.network(&context(), &view).is_ok());
}
