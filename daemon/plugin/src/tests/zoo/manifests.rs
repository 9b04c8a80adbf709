//! Drivers that lie about themselves, or say too much.

use super::super::module::{FREE, MANIFEST, Module, TEXT, store};
use super::{Class, Specimen, Stage};
use crate::Limit;

/// A driver that changes its manifest by `code` before it tells it.
fn manifest(code: &str, stage: Stage, class: Class, says: &'static str) -> Specimen {
    let describe = format!("{code} i32.const {MANIFEST}");
    let module = Module { pages: 64, describe: &describe, ..Module::default() };
    Specimen::new(module.bytes(), stage, class, says)
}

fn bad(code: &str, says: &'static str) -> Specimen {
    manifest(code, Stage::Load, Class::BadManifest, says)
}

/// `null`, which is another's.
pub(super) fn name_of_another() -> Specimen {
    let text = store(FREE, &[u32::from_le_bytes(*b"null")]);
    let code = format!("{text} {}", store(MANIFEST, &[FREE, 4]));
    manifest(&code, Stage::Load, Class::NameTaken, "driver `null` is loaded already")
}

pub(super) fn control_characters() -> Specimen {
    let text = store(FREE, &[u32::from_le_bytes(*b"\x1b[0m")]);
    let code = format!("{text} {}", store(MANIFEST + 16, &[FREE, 4]));
    bad(&code, "summary: has control characters")
}

pub(super) fn bad_name() -> Specimen {
    let text = store(FREE, &[u32::from_le_bytes(*b"../x")]);
    bad(&format!("{text} {}", store(MANIFEST, &[FREE, 4])), "not valid: name: ")
}

pub(super) fn bad_utf8_in_name() -> Specimen {
    let code = format!("{} {}", store(FREE, &[0xffff_ffff]), store(MANIFEST, &[FREE, 4]));
    manifest(&code, Stage::Describe, Class::Trap, "invalid utf-8 sequence")
}

pub(super) fn long_summary() -> Specimen {
    let code = store(MANIFEST + 16, &[65_536, 1025]);
    bad(&code, "summary: limit of text in bytes: 1025 exceeds 1024")
}

fn options(words: &[u32], count: u32) -> String {
    format!("{} {}", store(FREE, words), store(MANIFEST + 32, &[FREE, count]))
}

pub(super) fn too_many_options() -> Specimen {
    bad(&options(&[], 33), "options: limit of options: 33 exceeds 32")
}

pub(super) fn option_twice() -> Specimen {
    let option = [TEXT, 5, 0, TEXT, 5];
    bad(&options(&[option, option].concat(), 2), "options[1].name: is there twice")
}

pub(super) fn option_without_name() -> Specimen {
    bad(&options(&[], 1), "options[0].name: is not the key of an option")
}

pub(super) fn too_many_capabilities() -> Specimen {
    let code = store(MANIFEST + 24, &[FREE, 1000]);
    bad(&code, "capabilities: has 1000 entries, at most 11 are allowed")
}

pub(super) fn unknown_capability() -> Specimen {
    let code = format!("{} {}", store(FREE, &[200]), store(MANIFEST + 24, &[FREE, 1]));
    manifest(&code, Stage::Describe, Class::Trap, "unexpected discriminant: 200")
}

pub(super) fn unknown_attach() -> Specimen {
    let code = store(MANIFEST + 40, &[0x0700]);
    manifest(&code, Stage::Describe, Class::Trap, "unexpected discriminant: 7")
}

pub(super) fn huge_manifest() -> Specimen {
    let code = store(MANIFEST + 16, &[65_536, 3 << 20]);
    let class = Class::Limit(Limit::ResultBytes);
    manifest(&code, Stage::Describe, class, "limit of result in bytes: exceeds 2097152")
}
