//! Drivers of another contract, or of none.

use super::super::module::{Module, custom, typed_by};
use super::{Class, Specimen, Stage};

const CONTRACT: &str = include_str!("../../../../../sdk/wit/driver.wit");

fn load(bytes: Vec<u8>, class: Class, says: &'static str) -> Specimen {
    Specimen::new(bytes, Stage::Load, class, says)
}

fn component(text: &str, class: Class, says: &'static str) -> Specimen {
    load(wat::parse_str(text).unwrap(), class, says)
}

fn imports(imports: &str, class: Class, says: &'static str) -> Specimen {
    load(Module { imports, ..Module::default() }.bytes(), class, says)
}

pub(super) fn wasi() -> Specimen {
    let import = r#"(import "wasi_snapshot_preview1" "fd_write"
        (func (param i32 i32 i32 i32) (result i32)))"#;
    imports(import, Class::UnknownImport, "imports `wasi_snapshot_preview1`")
}

pub(super) fn env() -> Specimen {
    imports(r#"(import "env" "getenv" (func))"#, Class::UnknownImport, "imports `env`")
}

pub(super) fn other_package() -> Specimen {
    let import = r#"(import "other:driver/log@0.1.0" "write" (func))"#;
    imports(import, Class::UnknownImport, "imports `other:driver/log@0.1.0`")
}

pub(super) fn other_version_of_log() -> Specimen {
    let import = r#"(import "postern:driver/log@0.2.0" "write" (func))"#;
    imports(import, Class::ContractVersion, "built for `postern:driver/log@0.2.0`")
}

pub(super) fn other_version_of_driver() -> Specimen {
    let text = r#"(component (instance $driver)
        (export "postern:driver/driver@0.2.0" (instance $driver)))"#;
    component(text, Class::ContractVersion, "built for `postern:driver/driver@0.2.0`")
}

pub(super) fn other_function_of_log() -> Specimen {
    let import = r#"(import "postern:driver/log@0.1.0" "erase" (func))"#;
    imports(import, Class::NotComponent, "erase")
}

pub(super) fn other_core_type_of_log() -> Specimen {
    let import = r#"(import "postern:driver/log@0.1.0" "write" (func $other (param i64)))"#;
    imports(import, Class::NotComponent, "write")
}

/// A driver of our contract but for one thing.
fn altered(from: &str, to: &str, says: &'static str) -> Specimen {
    assert!(CONTRACT.contains(from), "{from}");
    let wit = CONTRACT.replacen(from, to, 1);
    load(Module::default().typed_by(&wit), Class::Link, says)
}

/// The core function is the same; the level is a text's place in a list.
pub(super) fn other_type_of_log() -> Specimen {
    let from = "write: func(level: level, message: string)";
    altered(from, "write: func(level: u32, message: string)", "write")
}

pub(super) fn other_type_of_describe() -> Specimen {
    altered("addressing: bool,", "addressing: u8,", "type mismatch for field addressing")
}

pub(super) fn imports_module() -> Specimen {
    let text = r#"(component
        (import "postern:driver/log@0.1.0" (core module))
        (instance $driver)
        (export "postern:driver/driver@0.1.0" (instance $driver)))"#;
    component(text, Class::Link, "component imports core module `postern:driver/log@0.1.0`")
}

/// What the module needs cannot be told.
pub(super) fn uses_imported_module() -> Specimen {
    let text = r#"(component
        (import "postern:driver/log@0.1.0" (core module $module))
        (core instance (instantiate $module))
        (instance $driver)
        (export "postern:driver/driver@0.1.0" (instance $driver)))"#;
    component(text, Class::Unbounded, "imports modules or components")
}

/// An interface of ours that has no functions.
pub(super) fn imports_types() -> Specimen {
    let text = r#"(component
        (import "postern:driver/types@0.1.0" (instance (export "root" (func))))
        (instance $driver)
        (export "postern:driver/driver@0.1.0" (instance $driver)))"#;
    component(text, Class::Link, "types")
}

pub(super) fn without_contract() -> Specimen {
    component("(module)", Class::NoContract, "not built with the driver SDK")
}

pub(super) fn without_export() -> Specimen {
    component("(component)", Class::NoExport, "does not export")
}

pub(super) fn without_function() -> Specimen {
    load(Module::default().without_endpoint(), Class::NotComponent, "endpoint")
}

pub(super) fn export_of_nothing() -> Specimen {
    let text = r#"(component (instance $driver)
        (export "postern:driver/driver@0.1.0" (instance $driver)))"#;
    component(text, Class::Link, "describe")
}

pub(super) fn two_drivers() -> Specimen {
    let text = r#"(component (instance $driver)
        (export "postern:driver/driver@0.1.0" (instance $driver))
        (export "postern:driver/driver@0.1.1" (instance $driver)))"#;
    component(text, Class::TwoDrivers, "`postern:driver/driver@0.1.1`")
}

/// Two component types, which contradict each other.
pub(super) fn two_contracts() -> Specimen {
    let other = "package postern:driver@0.1.0;
        interface driver { describe: func() -> u32; }
        world other { export driver; }";
    let mut bytes = Module::default().bytes();
    let second = typed_by("(module)", other);
    bytes.extend(&second[8..]);
    load(bytes, Class::NotComponent, "")
}

pub(super) fn rotten_contract() -> Specimen {
    let mut bytes =
        wat::parse_str(r#"(module (func (export "postern:driver/driver@0.1.0#describe")))"#)
            .unwrap();
    bytes.extend(custom("component-type:rotten", b"\0asm\x0d\0\x01\0rotten"));
    load(bytes, Class::NotComponent, "")
}
