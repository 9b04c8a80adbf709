//! Drivers that answer with what is no decision, and ones that write to the log.

use super::super::module::{ANSWER, FREE, Module, TEXT, answer, store};
use super::{Class, Specimen, Stage};
use crate::Limit;

fn network(network: &str, class: Class, says: &'static str) -> Specimen {
    let module = Module { pages: 64, network, ..Module::default() };
    Specimen::new(module.bytes(), Stage::Network, class, says)
}

const COPIED: &str = "limit of result in bytes: exceeds 2097152";

pub(super) fn huge_state() -> Specimen {
    network(&answer(&[0, 0, 0, 0, 3 << 20]), Class::Limit(Limit::ResultBytes), COPIED)
}

pub(super) fn huge_list() -> Specimen {
    network(&answer(&[0, FREE, 70_000, 0, 0]), Class::Limit(Limit::ResultBytes), COPIED)
}

/// 400 links, each with the same megabyte as its handle: little of the driver, gigabytes of
/// the host.
pub(super) fn aliases() -> Specimen {
    let fill = format!(
        "(local $at i32)
        (local.set $at (i32.const {FREE}))
        (loop $again
            (i32.store offset=4 (local.get $at) (i32.const 65536))
            (i32.store offset=8 (local.get $at) (i32.const 1048576))
            (local.set $at (i32.add (local.get $at) (i32.const 56)))
            (br_if $again (i32.lt_u (local.get $at) (i32.const {}))))",
        FREE + 400 * 56
    );
    let body = format!("{fill} {}", answer(&[0, FREE, 400, 0, 0]));
    network(&body, Class::Limit(Limit::ResultBytes), COPIED)
}

pub(super) fn too_many_resources() -> Specimen {
    let says = "not valid: resources: limit of resources: 513 exceeds 512";
    network(&answer(&[0, 65_536, 513, 0, 0]), Class::BadDecision, says)
}

pub(super) fn too_much_state() -> Specimen {
    let says = "not valid: state: limit of state in bytes: 65537 exceeds 65536";
    network(&answer(&[0, 0, 0, 0, 65_537]), Class::BadDecision, says)
}

/// An answer of one resource, with these words.
fn one(resource: &[u32]) -> String {
    format!("{} {}", store(FREE, resource), answer(&[0, FREE, 1, 0, 0]))
}

pub(super) fn long_text() -> Specimen {
    let says = "resources[0].link.handle: limit of text in bytes: 1025 exceeds 1024";
    network(&one(&[0, 65_536, 1025]), Class::BadDecision, says)
}

pub(super) fn bad_utf8() -> Specimen {
    let body = format!("{} {}", store(FREE, &[0xffff_ffff]), answer(&[1, 1, FREE, 4]));
    network(&body, Class::Trap, "invalid utf-8 sequence")
}

pub(super) fn bad_pointer() -> Specimen {
    let body = answer(&[1, 1, 0xffff_0000, 16]);
    network(&body, Class::Trap, "string pointer/length out of bounds of memory")
}

pub(super) fn bad_list() -> Specimen {
    let body = answer(&[0, 0xffff_0000, 16, 0, 0]);
    network(&body, Class::Trap, "list pointer/length out of bounds of memory")
}

pub(super) fn bad_case() -> Specimen {
    network(&answer(&[7]), Class::Trap, "invalid expected discriminant")
}

pub(super) fn bad_resource() -> Specimen {
    network(&one(&[9]), Class::Trap, "unexpected discriminant: 9")
}

pub(super) fn unaligned() -> Specimen {
    network("i32.const 257", Class::Trap, "not aligned")
}

/// So many lines of five bytes.
pub(super) fn lines(count: u32) -> String {
    format!(
        "(local $i i32)
        (loop $again
            (call $log (i32.const 0) (i32.const {TEXT}) (i32.const 5))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const {count}))))
        i32.const {ANSWER}"
    )
}

fn heard(network: &str) -> Specimen {
    let module = Module { pages: 64, network, ..Module::default() };
    Specimen::new(module.bytes(), Stage::End, Class::Heard, "")
}

pub(super) fn log_flood() -> Specimen {
    heard(&lines(10_000))
}

/// More than the host copies at a time; a line within that is only cut.
pub(super) fn huge_line() -> Specimen {
    let body = "(call $log (i32.const 0) (i32.const 65536) (i32.const 3145728)) i32.const 256";
    network(body, Class::Limit(Limit::ResultBytes), COPIED)
}

pub(super) fn bad_line() -> Specimen {
    let body = "(call $log (i32.const 9) (i32.const 128) (i32.const 5)) i32.const 256";
    network(body, Class::Trap, "unexpected discriminant: 9")
}

/// A bridge, which the manifest does not ask for: well-formed, and for admission to refuse.
pub(super) fn capability_not_asked() -> Specimen {
    heard(&one(&[0, TEXT, 5]))
}
