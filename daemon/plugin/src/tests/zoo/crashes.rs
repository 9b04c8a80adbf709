//! Drivers that crash.

use super::super::module::Module;
use super::{Class, Specimen, Stage};

fn crash(module: Module<'_>, stage: Stage, says: &'static str) -> Specimen {
    Specimen::new(module.bytes(), stage, Class::Trap, says)
}

fn body(network: &str, says: &'static str) -> Specimen {
    crash(Module { network, ..Module::default() }, Stage::Network, says)
}

pub(super) fn unreachable() -> Specimen {
    body("unreachable", "wasm `unreachable` instruction executed")
}

pub(super) fn out_of_bounds() -> Specimen {
    body("(i32.load (i32.const 0x7fff0000))", "out of bounds memory access")
}

pub(super) fn data_out_of_bounds() -> Specimen {
    let fields = r#"(data (i32.const 0x7fff0000) "x")"#;
    crash(Module { fields, ..Module::default() }, Stage::Describe, "out of bounds memory access")
}

pub(super) fn null_call() -> Specimen {
    let fields = "(table $t 1 funcref)";
    let network = "(call_indirect $t (i32.const 0)) i32.const 256";
    crash(Module { fields, network, ..Module::default() }, Stage::Network, "uninitialized element")
}

pub(super) fn division_by_zero() -> Specimen {
    body("(i32.div_u (i32.const 1) (i32.const 0))", "integer divide by zero")
}

/// As the SDK's panic hook does it: the message goes to the log, then the trap.
pub(super) fn panic() -> Specimen {
    body(
        "(call $log (i32.const 3) (i32.const 128) (i32.const 5)) unreachable",
        "wasm `unreachable` instruction executed: guest",
    )
}

pub(super) fn allocator_out_of_bounds() -> Specimen {
    let realloc = "(return (i32.const 0x7fff0000))";
    crash(Module { realloc, ..Module::default() }, Stage::Network, "realloc return: beyond end")
}

pub(super) fn allocator_unaligned() -> Specimen {
    let realloc = "(return (i32.const 8193))";
    crash(Module { realloc, ..Module::default() }, Stage::Network, "not aligned")
}

pub(super) fn crash_after_return() -> Specimen {
    let fields = r#"(func (export "cabi_post_postern:driver/driver@0.1.0#network") (param i32)
        unreachable)"#;
    crash(Module { fields, ..Module::default() }, Stage::Network, "unreachable")
}
