//! Every limit is hit once, and says so: which it is, what it allows, and what was measured
//! where the engine tells.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::lines::logged;
use super::module::{FREE, MANIFEST, Module, TEXT, answer, store};
use super::{context, endpoint, load, network};
use crate::{CallError, Limits, Quarantine};

/// One test for each limit. A field of [`Limits`] that is not named here does not compile.
macro_rules! limits {
    (in_child: [$($elsewhere:ident),*], $($field:ident => $proof:expr,)*) => {
        $(#[test]
        fn $field() {
            $proof;
        })*

        const _: fn(Limits) = |Limits { $($elsewhere: _,)* $($field: _,)* }| {};
    };
}

limits! {
    // Proven by `tests/child.rs`, which can be its own child.
    in_child: [compile_cpu, compile_wall, compile_memory],
    module_bytes => says(
        Limits { module_bytes: 1000, ..Limits::default() },
        Module { fields: &format!(r#"(data (i32.const 2048) "{}")"#, "x".repeat(9000)), ..Module::default() },
        "the module exceeds the limit of module in bytes: ",
    ),
    memory_bytes => says(
        Limits { memory_bytes: 64 << 10, ..Limits::default() },
        Module::default(),
        "limit of memory in bytes: 131072 exceeds 65536",
    ),
    memories => says(
        Limits { memories: 0, ..Limits::default() },
        Module::default(),
        "limit of memories: 1 exceeds 0",
    ),
    tables => says(
        Limits { tables: 1, ..Limits::default() },
        Module { fields: "(table 1 funcref)", ..Module::default() },
        "limit of tables: 2 exceeds 1",
    ),
    table_elements => says(
        Limits { table_elements: 10, ..Limits::default() },
        Module { fields: "(table 11 funcref)", ..Module::default() },
        "limit of table elements: 11 exceeds 10",
    ),
    // A core module becomes a component of three: itself, and two that tie its imports.
    instances => says(
        Limits { instances: 2, ..Limits::default() },
        Module::default(),
        "limit of instances: 3 exceeds 2",
    ),
    stack_bytes => says(
        Limits { stack_bytes: 64 << 10, ..Limits::default() },
        Module { network: "call $deep unreachable", ..Module::default() },
        "limit of stack in bytes: exceeds 65536",
    ),
    fuel => says(
        Limits { fuel: 100_000, ..Limits::default() },
        Module { network: "call $forever unreachable", ..Module::default() },
        "limit of fuel: 100000 exceeds 100000",
    ),
    call_wall => late(
        Limits { call_wall: Duration::from_millis(30), fuel: u64::MAX, ..Limits::default() },
        Module { network: "call $forever unreachable", ..Module::default() },
        "limit of call time in ms: ",
    ),
    instantiate_wall => late(
        Limits { instantiate_wall: Duration::from_millis(30), fuel: u64::MAX, ..Limits::default() },
        Module { fields: "(start $forever)", ..Module::default() },
        "limit of instantiation time in ms: ",
    ),
    result_bytes => says(
        Limits { result_bytes: 4096, ..Limits::default() },
        Module { network: &answer(&[0, 0, 0, 0, 4097]), ..Module::default() },
        "limit of result in bytes: exceeds 4096",
    ),
    handles => zoo_handles(),
    resources => says(
        Limits { resources: 1, ..Limits::default() },
        Module { network: &answer(&[0, FREE, 2, 0, 0]), ..Module::default() },
        "resources: limit of resources: 2 exceeds 1",
    ),
    string_bytes => says(
        Limits { string_bytes: 5, ..Limits::default() },
        Module { describe: &manifest(16, &[TEXT, 6]), ..Module::default() },
        "summary: limit of text in bytes: 6 exceeds 5",
    ),
    options => says(
        Limits { options: 1, ..Limits::default() },
        Module { describe: &manifest(32, &[FREE, 2]), ..Module::default() },
        "options: limit of options: 2 exceeds 1",
    ),
    state_bytes => says(
        Limits { state_bytes: 4, ..Limits::default() },
        Module { network: &answer(&[0, 0, 0, TEXT, 5]), ..Module::default() },
        "state: limit of state in bytes: 5 exceeds 4",
    ),
    quarantine => it_rests(),
    log_lines => lines_are_counted(),
    log_bytes => lines_are_cut(),
    calls_per_driver => refused(
        &Limits { calls_per_driver: 1, queued: 0, ..Limits::default() },
        "limit of queued calls of the driver: 1 exceeds 0",
    ),
    calls => refused(
        &Limits { calls: 1, queued: 0, ..Limits::default() },
        "limit of queued calls of all drivers: 1 exceeds 0",
    ),
    queued => refused(
        &Limits { calls_per_driver: 1, queued: 1, ..Limits::default() },
        "limit of queued calls of the driver: 2 exceeds 1",
    ),
}

/// `describe`, with these words at this place of the manifest.
fn manifest(at: u32, words: &[u32]) -> String {
    format!("{} i32.const {MANIFEST}", store(MANIFEST + at, words))
}

/// The first error of a driver: when it is loaded, or of its first call.
fn error(limits: Limits, bytes: &[u8]) -> String {
    match load(bytes, limits) {
        Ok(driver) => driver.network(&context(), &network(&[])).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

fn says(limits: Limits, module: Module<'_>, text: &str) {
    let error = error(limits, &module.bytes());
    assert!(error.contains(text), "{error}");
}

/// As [`says`], for what is measured anew each time: it is 30 ms at the least.
fn late(limits: Limits, module: Module<'_>, text: &str) {
    let error = error(limits, &module.bytes());
    let (_, figures) = error.split_once(text).unwrap_or_else(|| panic!("{error}"));
    let (measured, limit) = figures.split_once(" exceeds ").unwrap();
    assert_eq!(limit, "30");
    assert!(measured.parse::<u64>().unwrap() >= 30, "{error}");
}

fn zoo_handles() {
    let bytes = super::zoo::many_handles();
    let limits = Limits { handles: 3, ..Limits::default() };
    assert!(error(limits, &bytes).contains("limit of handles: exceeds 3"));
}

/// What is logged in a call that writes five lines of five bytes.
fn five_lines(limits: Limits) -> Vec<String> {
    let write = "(call $log (i32.const 1) (i32.const 128) (i32.const 5))".repeat(5);
    let module = Module { network: &format!("{write} i32.const 256"), ..Module::default() };
    let driver = load(&module.bytes(), limits).unwrap();
    logged(|| {
        driver.network(&context(), &network(&[])).unwrap();
    })
}

fn lines_are_counted() {
    let lines = five_lines(Limits { log_lines: 3, ..Limits::default() });
    let of = r#"driver="guest" request="r-1""#;
    let line = format!("guest {of}");
    let dropped = format!("log lines of the driver dropped {of} lines=2");
    assert_eq!(lines, [line.clone(), line.clone(), line, dropped]);
}

fn lines_are_cut() {
    let lines = five_lines(Limits { log_bytes: 2, ..Limits::default() });
    assert_eq!(lines.len(), 5);
    assert!(lines.iter().all(|line| line.starts_with("gu driver=")), "{lines:?}");
}

/// Calls that never end, at the same time, and one more than may wait: that one is refused,
/// the others run until their time is up.
fn refused(limits: &Limits, text: &str) {
    let callers = limits.queued + 2;
    let module = Module { endpoint: "call $forever unreachable", ..Module::default() };
    let call_wall = Duration::from_millis(500);
    let driver =
        load(&module.bytes(), Limits { fuel: u64::MAX, call_wall, ..limits.clone() }).unwrap();
    let together = Barrier::new(callers);
    let errors: Vec<String> = thread::scope(|scope| {
        let call = || {
            together.wait();
            driver.endpoint(&context(), &network(&[]), &endpoint()).unwrap_err().to_string()
        };
        let calls: Vec<_> = (0..callers).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let refused = errors.iter().filter(|error| error.contains(text)).count();
    let late = errors.iter().filter(|error| error.contains("call time")).count();
    assert_eq!((refused, late), (1, callers - 1), "{errors:?}");
}

/// How long and how often is held by the tests of `health`.
fn it_rests() {
    let quarantine = Quarantine { faults: 2, ..Limits::default().quarantine };
    let module = Module { network: "unreachable", ..Module::default() };
    let driver = load(&module.bytes(), Limits { quarantine, ..Limits::default() }).unwrap();
    let ask = || driver.network(&context(), &network(&[])).unwrap_err();
    assert!(matches!(ask(), CallError::Trap { .. }));
    assert!(matches!(ask(), CallError::Trap { .. }));
    let rests = ask();
    let CallError::Quarantined(rest) = &rests else { panic!("{rests}") };
    assert!(rest.left <= quarantine.first && rest.reason.contains("unreachable"), "{rests}");
}

/// A driver in JavaScript has three memories; what they have together counts.
#[test]
fn memories_share_their_limit() {
    let module = Module {
        fields: "(memory $other 1) (memory $bounded 1 2)",
        network: "
            (drop (memory.grow $bounded (i32.const 511)))
            (drop (memory.grow $other (i32.const 300)))
            (drop (memory.grow (i32.const 209))) unreachable",
        ..Module::default()
    };
    says(Limits::default(), module, "limit of memory in bytes: 33619968 exceeds 33554432");
    let fields = "(memory 1)".repeat(4);
    let module = Module { fields: &fields, ..Module::default() };
    says(Limits::default(), module, "limit of memories: 5 exceeds 4");
}
