//! Drivers that want much of something: memory, tables, stack, instances, types.

use wasmparser::{Parser, Payload};

use super::super::module::{Module, component, custom, leb128, section};
use super::{Class, Specimen, Stage};
use crate::Limit;

fn of_call(module: Module<'_>, which: Limit, says: &'static str) -> Specimen {
    Specimen::new(module.bytes(), Stage::Network, Class::Limit(which), says)
}

fn of_load(bytes: Vec<u8>, which: Limit, says: &'static str) -> Specimen {
    Specimen::new(bytes, Stage::Load, Class::Limit(which), says)
}

const GROW: &str = "(loop $again (drop (memory.grow (i32.const 255))) br $again)";

pub(super) fn memory_bomb() -> Specimen {
    let network = format!("{GROW} unreachable");
    // 2 pages, then three times 255.
    let says = "limit of memory in bytes: 50266112 exceeds 33554432";
    of_call(Module { network: &network, ..Module::default() }, Limit::MemoryBytes, says)
}

pub(super) fn memory_at_start() -> Specimen {
    let bytes = Module { pages: 513, ..Module::default() }.bytes();
    of_load(bytes, Limit::MemoryBytes, "limit of memory in bytes: 33619968 exceeds 33554432")
}

pub(super) fn memory_in_initialize() -> Specimen {
    let fields = format!(r#"(func (export "_initialize") {GROW})"#);
    let specimen = memory_bomb();
    let bytes = Module { fields: &fields, ..Module::default() }.bytes();
    Specimen { bytes, stage: Stage::Describe, ..specimen }
}

/// A good driver, as a component, with a core module more and so many instances of it.
fn with_instances(module: &str, count: usize) -> Vec<u8> {
    let mut bytes = component(&Module::default().bytes());
    let mut depth = 0;
    let mut modules = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ModuleSection { .. } if depth == 1 => modules += 1,
            _ => {}
        }
    }
    // Each: made of a module, of this index, with no arguments.
    let instance = [&[0][..], &leb128(modules), &[0]].concat();
    let instances = [leb128(count), instance.repeat(count)].concat();
    bytes.extend(section(1, &wat::parse_str(module).unwrap()));
    bytes.extend(section(2, &instances));
    bytes
}

pub(super) fn memories() -> Specimen {
    let bytes = with_instances("(module (memory 1))", 4);
    of_load(bytes, Limit::Memories, "limit of memories: 5 exceeds 4")
}

pub(super) fn table_bomb() -> Specimen {
    let fields = "(table $t 1 funcref)";
    let network = "(loop $again
        (drop (table.grow $t (ref.null func) (i32.const 10000))) br $again) unreachable";
    let says = "limit of table elements: 20001 exceeds 20000";
    of_call(Module { fields, network, ..Module::default() }, Limit::TableElements, says)
}

pub(super) fn table_at_start() -> Specimen {
    let bytes = Module { fields: "(table 1000000 funcref)", ..Module::default() }.bytes();
    of_load(bytes, Limit::TableElements, "limit of table elements: 1000000 exceeds 20000")
}

pub(super) fn tables() -> Specimen {
    // One more ties the imports of a core module.
    let tables = "(table 1 funcref)".repeat(8);
    let bytes = Module { fields: &tables, ..Module::default() }.bytes();
    of_load(bytes, Limit::Tables, "limit of tables: 9 exceeds 8")
}

pub(super) fn recursion() -> Specimen {
    let module = Module { network: "call $deep unreachable", ..Module::default() };
    of_call(module, Limit::StackBytes, "limit of stack in bytes: exceeds 262144")
}

pub(super) fn instances() -> Specimen {
    let says = "limit of instances: 33 exceeds 32";
    let class = Class::Limit(Limit::Instances);
    Specimen::new(with_instances("(module)", 500), Stage::Describe, class, says)
}

/// So many that the compiler does not take them.
pub(super) fn thousands_of_instances() -> Specimen {
    let says = "instances count exceeds limit of 1000";
    let bytes = with_instances("(module)", 5000);
    Specimen::new(bytes, Stage::Load, Class::NotCompiled, says)
}

pub(super) fn handles() -> Specimen {
    let class = Class::Limit(Limit::Handles);
    Specimen::new(many_handles(), Stage::Network, class, "limit of handles: exceeds 16")
}

/// A driver with resources of its own, which it makes without end.
pub(crate) fn many_handles() -> Vec<u8> {
    const CONTRACT: &str = include_str!("../../../../../sdk/wit/driver.wit");
    let wit = CONTRACT.replace(
        "export driver;",
        "export driver; export things: interface { resource thing { constructor(); } }",
    );
    let imports = r#"(import "[export]things" "[resource-new]thing"
        (func $new (param i32) (result i32)))"#;
    let fields = r#"(func (export "things#[constructor]thing") (result i32) unreachable)"#;
    let network = "(loop $again (drop (call $new (i32.const 0))) br $again) unreachable";
    let module = Module { imports, fields, network, ..Module::default() };
    component(&module.typed_by(&wit))
}

fn heard(bytes: Vec<u8>) -> Specimen {
    Specimen::new(bytes, Stage::End, Class::Heard, "")
}

/// Within the limit of a module it is only bytes that nobody reads.
pub(super) fn huge_custom_section() -> Specimen {
    let mut bytes = Module::default().bytes();
    bytes.extend(custom("padding", &vec![0; 7 << 20]));
    heard(bytes)
}

pub(super) fn huge_data() -> Specimen {
    let fields = format!(r#"(data (i32.const 65536) "{}")"#, "x".repeat(7 << 20));
    heard(Module { pages: 128, fields: &fields, ..Module::default() }.bytes())
}

/// A component that is a driver at first sight.
fn seeming(content: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {content} (instance $driver)
            (export "postern:driver/driver@0.1.0" (instance $driver)))"#
    );
    wat::parse_str(text).unwrap()
}

/// Many, but each is small.
pub(super) fn types() -> Specimen {
    let types = r#"(type (record (field "a" u8)))"#.repeat(50_000);
    let says = "the driver does not fit the contract";
    Specimen::new(seeming(&types), Stage::Load, Class::Link, says)
}

/// Each is twice the one before.
pub(super) fn type_bomb() -> Specimen {
    let doubled = |n: u32| format!("(type $t{} (tuple $t{n} $t{n}))", n + 1);
    let types: String = (0..64).map(doubled).collect();
    let bytes = seeming(&format!("(type $t0 (tuple u8 u8)) {types}"));
    Specimen::new(bytes, Stage::Load, Class::NotCompiled, "effective type size exceeds the limit")
}

/// A thousand components, one in the other, are little work, and no driver.
pub(super) fn nested_components() -> Specimen {
    let header = *b"\0asm\x0d\0\x01\0";
    let mut nested = header.to_vec();
    for _ in 0..1000 {
        nested = [&header[..], &section(4, &nested)].concat();
    }
    let mut bytes = seeming("");
    bytes.extend(section(4, &nested));
    Specimen::new(bytes, Stage::Load, Class::Link, "does not have export `describe`")
}
