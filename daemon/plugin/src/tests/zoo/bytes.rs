//! Bytes that are no driver at all.

use super::super::module::Module;
use super::{Class, Specimen, Stage};
use crate::{Limit, Limits, built_in};

fn malformed(bytes: &[u8]) -> Specimen {
    let says = "not a WebAssembly binary: ";
    Specimen::new(bytes.to_vec(), Stage::Load, Class::Malformed, says)
}

/// What the cache keeps: it would run as the daemon.
pub(super) fn machine_code() -> Specimen {
    let engine = crate::engine::engine(&Limits::default()).unwrap();
    let component = super::super::module::component(built_in::MODULES[2]);
    let code = engine.precompile_component(&component).unwrap();
    Specimen::new(code, Stage::Load, Class::Precompiled, "machine code")
}

pub(super) fn text() -> Specimen {
    malformed(b"(component (export \"postern:driver/driver@0.1.0\"))")
}

pub(super) fn nothing() -> Specimen {
    malformed(b"")
}

pub(super) fn noise() -> Specimen {
    let mut word = 0x9e37_79b9_u32;
    let noise = std::iter::repeat_with(|| {
        // xorshift32
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        word.to_le_bytes()[3]
    });
    let magic = *b"\0asm\x01\0\0\0";
    malformed(&magic.into_iter().chain(noise.take(4096)).collect::<Vec<u8>>())
}

pub(super) fn too_large() -> Specimen {
    let says = "limit of module in bytes: 8388609 exceeds 8388608";
    let class = Class::Limit(Limit::ModuleBytes);
    Specimen::new(vec![0; (8 << 20) + 1], Stage::Load, class, says)
}

/// What the engine has switched off is no WebAssembly to it.
fn switched_off(fields: &str, says: &'static str) -> Specimen {
    let module = Module { fields, ..Module::default() };
    Specimen::new(module.bytes(), Stage::Load, Class::NotCompiled, says)
}

pub(super) fn memory64() -> Specimen {
    switched_off("(memory $wide i64 1)", "memor")
}

pub(super) fn threads() -> Specimen {
    switched_off("(func (drop (i32.atomic.load (i32.const 0))))", "thread")
}
