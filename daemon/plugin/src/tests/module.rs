//! Drivers written by hand, each with one bad habit.

use wasmparser::{Parser, Payload};

use crate::built_in;

/// Where a guest's `network` may leave its answer; zeroes, so an empty decision.
pub(crate) const ANSWER: u32 = 256;

/// The parts of a driver that a test changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest<'a> {
    /// Pages of memory at the start.
    pub(crate) pages: u32,
    /// Fields of the module.
    pub(crate) fields: &'a str,
    /// The body of `describe`.
    pub(crate) describe: &'a str,
    /// The body of `network`: takes and gives a pointer.
    pub(crate) network: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self { pages: 2, fields: "", describe: "i32.const 16", network: "i32.const 256" }
    }
}

impl Guest<'_> {
    /// The module, with the component type that the SDK gives a driver.
    pub(crate) fn module(self) -> Vec<u8> {
        typed(&self.text())
    }

    /// The same without the function `endpoint`.
    pub(crate) fn without_endpoint(self) -> Vec<u8> {
        typed(&self.text().replace(r#"(export "postern:driver/driver@0.1.0#endpoint")"#, ""))
    }

    fn text(self) -> String {
        let Self { pages, fields, describe, network } = self;
        format!(
            r#"(module
                (import "postern:driver/log@0.1.0" "write" (func $log (param i32 i32 i32)))
                (memory (export "memory") {pages})
                (global $next (mut i32) (i32.const 8192))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (global.get $next)
                    (global.set $next (i32.and
                        (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7))
                        (i32.const -8))))
                (func (export "postern:driver/driver@0.1.0#describe") (result i32) {describe})
                (func (export "postern:driver/driver@0.1.0#network") (param i32) (result i32)
                    {network})
                (func (export "postern:driver/driver@0.1.0#endpoint") (param i32) (result i32)
                    unreachable)
                (func $forever (loop $again br $again))
                (func $deep (call $deep) (drop (i32.const 0)))
                ;; The manifest: name, version and summary; no capability, no option; without
                ;; addressing, in sandboxes of their own, any number of networks.
                (data (i32.const 16) "\80\00\00\00\05\00\00\00\80\00\00\00\05\00\00\00\80\00\00\00\05\00\00\00")
                (data (i32.const 128) "guest")
                {fields})"#
        )
    }
}

/// A module with the component type that the SDK gives a driver.
fn typed(text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let (name, data) = component_type();
    let mut section = leb128(name.len());
    section.extend(name.as_bytes());
    section.extend(data);
    module.push(0);
    module.extend(leb128(section.len()));
    module.extend(section);
    module
}

/// The section in which the SDK puts the contract.
fn component_type() -> (String, Vec<u8>) {
    Parser::new(0)
        .parse_all(built_in::MODULES[2])
        .find_map(|payload| match payload.unwrap() {
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                Some((section.name().to_owned(), section.data().to_vec()))
            }
            _ => None,
        })
        .unwrap()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
