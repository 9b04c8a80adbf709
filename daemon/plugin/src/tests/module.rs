//! Drivers written by hand, each with one bad habit.

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

use crate::built_in;

/// Where a driver's `network` may leave its answer; zeroes, so an empty decision.
pub(crate) const ANSWER: u32 = 256;
/// Where the manifest is.
pub(crate) const MANIFEST: u32 = 16;
/// The address of the text `guest`, 5 bytes.
pub(crate) const TEXT: u32 = 128;
/// Free memory of a driver.
pub(crate) const FREE: u32 = 1024;

/// The parts of a driver that a test changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Module<'a> {
    /// Pages of memory at the start.
    pub(crate) pages: u32,
    /// Imports beside the log.
    pub(crate) imports: &'a str,
    /// Fields of the module.
    pub(crate) fields: &'a str,
    /// The body of `describe`.
    pub(crate) describe: &'a str,
    /// The body of `network`: takes and gives a pointer.
    pub(crate) network: &'a str,
    /// The body of `endpoint`, likewise.
    pub(crate) endpoint: &'a str,
    /// What `cabi_realloc` does first.
    pub(crate) realloc: &'a str,
}

impl Default for Module<'_> {
    fn default() -> Self {
        Self {
            pages: 2,
            imports: "",
            fields: "",
            describe: "i32.const 16",
            network: "i32.const 256",
            endpoint: "i32.const 256",
            realloc: "",
        }
    }
}

impl Module<'_> {
    /// The module, with the component type that the SDK gives a driver.
    pub(crate) fn bytes(self) -> Vec<u8> {
        typed(&self.text())
    }

    /// The same without the function `endpoint`.
    pub(crate) fn without_endpoint(self) -> Vec<u8> {
        typed(&self.text().replace(r#"(export "postern:driver/driver@0.1.0#endpoint")"#, ""))
    }

    /// The module, with the component type of the first package of a WIT text.
    pub(crate) fn typed_by(self, wit: &str) -> Vec<u8> {
        typed_by(&self.text(), wit)
    }

    fn text(self) -> String {
        let Self { pages, imports, fields, describe, network, endpoint, realloc } = self;
        format!(
            r#"(module
                (import "postern:driver/log@0.1.0" "write" (func $log (param i32 i32 i32)))
                {imports}
                (memory (export "memory") {pages})
                (global $next (mut i32) (i32.const 8192))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    {realloc}
                    (global.get $next)
                    (global.set $next (i32.and
                        (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 7))
                        (i32.const -8))))
                (func (export "postern:driver/driver@0.1.0#describe") (result i32) {describe})
                (func (export "postern:driver/driver@0.1.0#network") (param i32) (result i32)
                    {network})
                (func (export "postern:driver/driver@0.1.0#endpoint") (param i32) (result i32)
                    {endpoint})
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

/// Code that stores words one after the other.
pub(crate) fn store(at: u32, words: &[u32]) -> String {
    let store = |(index, word): (u32, &u32)| {
        format!("(i32.store (i32.const {}) (i32.const {word}))", at + 4 * index)
    };
    (0..).zip(words).map(store).collect()
}

/// A body that stores words from the answer's beginning and returns it.
pub(crate) fn answer(words: &[u32]) -> String {
    format!("{} i32.const {ANSWER}", store(ANSWER, words))
}

/// A component around a core module, as the host makes it.
pub(crate) fn component(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default().module(module).unwrap().encode().unwrap()
}

/// A component with something more in it: sections, and what they do to indices, are for the
/// caller to get right.
pub(crate) fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut section = vec![id];
    section.extend(leb128(content.len()));
    section.extend(content);
    section
}

/// A custom section.
pub(crate) fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    let mut content = leb128(name.len());
    content.extend(name.as_bytes());
    content.extend(data);
    section(0, &content)
}

/// A module with the component type that the SDK gives a driver.
fn typed(text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let (name, data) = component_type();
    module.extend(custom(&name, &data));
    module
}

/// A module with the component type of the first package of a WIT text.
pub(crate) fn typed_by(text: &str, wit: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_source("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], only_or_usual(&resolve, package)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// Of a contract with several worlds the one that most drivers are of.
fn only_or_usual(resolve: &Resolve, package: PackageId) -> Option<&'static str> {
    let worlds = &resolve.packages[package].worlds;
    (worlds.len() > 1).then_some("network-driver")
}

/// The section in which the SDK puts the contract.
pub(crate) fn component_type() -> (String, Vec<u8>) {
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

pub(crate) fn leb128(mut number: usize) -> Vec<u8> {
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
