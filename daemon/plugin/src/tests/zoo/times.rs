//! Drivers that do not come to an end.

use std::time::Duration;

use super::super::module::Module;
use super::{Class, Specimen, Stage};
use crate::{Limit, Limits};

const FOREVER: &str = "call $forever unreachable";
const OUT: &str = "limit of fuel: 1000000 exceeds 1000000";

fn out_of_fuel(module: Module<'_>, stage: Stage) -> Specimen {
    Specimen::new(module.bytes(), stage, Class::Limit(Limit::Fuel), OUT)
}

pub(super) fn loop_in_describe() -> Specimen {
    out_of_fuel(Module { describe: FOREVER, ..Module::default() }, Stage::Describe)
}

pub(super) fn loop_in_network() -> Specimen {
    out_of_fuel(Module { network: FOREVER, ..Module::default() }, Stage::Network)
}

pub(super) fn loop_in_endpoint() -> Specimen {
    out_of_fuel(Module { endpoint: FOREVER, ..Module::default() }, Stage::Endpoint)
}

pub(super) fn loop_in_start() -> Specimen {
    out_of_fuel(Module { fields: "(start $forever)", ..Module::default() }, Stage::Describe)
}

pub(super) fn loop_in_initialize() -> Specimen {
    let fields = r#"(func (export "_initialize") call $forever)"#;
    out_of_fuel(Module { fields, ..Module::default() }, Stage::Describe)
}

/// The allocator is called for arguments, before the function itself.
pub(super) fn loop_in_allocator() -> Specimen {
    out_of_fuel(Module { realloc: "call $forever", ..Module::default() }, Stage::Network)
}

/// The function that frees an answer once the host has it.
pub(super) fn loop_after_return() -> Specimen {
    let fields = r#"(func (export "cabi_post_postern:driver/driver@0.1.0#network") (param i32)
        call $forever)"#;
    out_of_fuel(Module { fields, ..Module::default() }, Stage::Network)
}

pub(super) fn loop_with_fuel() -> Specimen {
    let bytes = Module { network: FOREVER, ..Module::default() }.bytes();
    let says = "limit of call time in ms: ";
    let specimen = Specimen::new(bytes, Stage::Network, Class::Limit(Limit::CallWall), says);
    let call_wall = Duration::from_millis(50);
    Specimen { limits: Limits { fuel: u64::MAX, call_wall, ..specimen.limits }, ..specimen }
}

pub(super) fn start_with_fuel() -> Specimen {
    let bytes = Module { fields: "(start $forever)", ..Module::default() }.bytes();
    let says = "limit of instantiation time in ms: ";
    let class = Class::Limit(Limit::InstantiateWall);
    let specimen = Specimen::new(bytes, Stage::Describe, class, says);
    let instantiate_wall = Duration::from_millis(50);
    Specimen { limits: Limits { fuel: u64::MAX, instantiate_wall, ..specimen.limits }, ..specimen }
}

/// One instruction that does much pays for what it does.
pub(super) fn bulk_loop() -> Specimen {
    let network = "(loop $again
        (memory.fill (i32.const 65536) (i32.const 1) (i32.const 1048576)) br $again) unreachable";
    out_of_fuel(Module { pages: 32, network, ..Module::default() }, Stage::Network)
}

/// Has the host copy a megabyte a line, which costs no fuel.
pub(super) fn long_lines() -> Specimen {
    let network = "(loop $again
        (call $log (i32.const 0) (i32.const 65536) (i32.const 1048576)) br $again) unreachable";
    let bytes = Module { pages: 32, network, ..Module::default() }.bytes();
    let says = "limit of call time in ms: ";
    let specimen = Specimen::new(bytes, Stage::Network, Class::Limit(Limit::CallWall), says);
    let call_wall = Duration::from_millis(50);
    Specimen { limits: Limits { fuel: u64::MAX, call_wall, ..specimen.limits }, ..specimen }
}
