use postern_model::decision::NetworkDecision;

use super::module::{Module, answer};
use super::{context, load};
use crate::Limits;
use crate::call::{CallError, Fault};

fn body(network: &str) -> Result<NetworkDecision, CallError> {
    let module = Module { network, ..Module::default() };
    load(&module.bytes(), Limits::default()).unwrap().network(&context(), &super::network(&[]))
}

#[test]
fn a_good_guest_is_heard() {
    assert_eq!(body("i32.const 256"), Ok(NetworkDecision::default()));
    let decision = body(&answer(&[0, 0, 0, 128, 5])).unwrap();
    assert_eq!(decision.state, b"guest");
}

#[test]
fn memory_may_grow_up_to_its_limit() {
    assert!(body("(drop (memory.grow (i32.const 510))) i32.const 256").is_ok());
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
        Module { fields: "(global $calls (mut i32) (i32.const 0))", network, ..Module::default() };
    let driver = load(&guest.bytes(), Limits::default()).unwrap();
    let view = super::network(&[]);
    for _ in 0..3 {
        let decision = driver.network(&context(), &view).unwrap();
        assert_eq!(decision.state.len(), 2);
    }
}

#[test]
fn a_driver_that_crashed_can_be_called_again() {
    // Crashes for an MTU of 1500, which is 28 bytes into the network; the context before
    // it has 24.
    let network = "(if (i32.eq (i32.load offset=52 (local.get 0)) (i32.const 1500))
        (then unreachable)) i32.const 256";
    let guest = Module { network, ..Module::default() };
    let driver = load(&guest.bytes(), Limits::default()).unwrap();
    let mut view = super::network(&[]);
    assert!(matches!(driver.network(&context(), &view), Err(CallError::Trap { .. })));
    view.mtu = 1400;
    assert!(driver.network(&context(), &view).is_ok());
}
