//! How the contract may grow: a driver that was compiled against a released text of it must
//! load in every later daemon of the same package version. `docs/driver-contract.md` has the
//! rules in words.

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::semver_check;
use wit_parser::{Resolve, WorldId, WorldItem};

const WORLD: &str = "network-driver";

/// Why a driver compiled against `old` may not be loaded by a daemon that speaks `new`, or
/// the other way round; none if both work.
fn breakage(old: &str, new: &str) -> Option<String> {
    let mut resolve = Resolve::default();
    // Two packages of one name have to differ in their version; the comparison ignores it.
    let worlds = [(old, "1.0.0"), (new, "1.0.1")].map(|(text, version)| {
        let package = resolve.push_source("driver.wit", &versioned(text, version)).unwrap();
        resolve.select_world(&[package], Some(WORLD)).unwrap()
    });
    let [old, new] = worlds;
    if let Some(function) = lost(&resolve, old, new) {
        return Some(format!("the driver's function `{function}` is gone"));
    }
    semver_check(resolve, old, new).err().map(|error| format!("{error:#}"))
}

fn versioned(text: &str, version: &str) -> String {
    let line = |line: &str| match line.strip_prefix("package postern:driver@") {
        Some(_) => format!("package postern:driver@{version};\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// A function that a driver had to export and need not any more. Old drivers do not mind, but
/// a new one would not load in the daemons before.
fn lost(resolve: &Resolve, old: WorldId, new: WorldId) -> Option<String> {
    let still = exported(resolve, new);
    exported(resolve, old).into_iter().find(|function| !still.contains(function))
}

fn exported(resolve: &Resolve, world: WorldId) -> Vec<String> {
    let mut functions = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        match item {
            WorldItem::Interface { id, .. } => {
                let interface = &resolve.interfaces[*id];
                let name = interface.name.clone().unwrap_or_default();
                functions.extend(interface.functions.keys().map(|f| format!("{name}.{f}")));
            }
            WorldItem::Function(function) => functions.push(function.name.clone()),
            WorldItem::Type { .. } => functions.push(resolve.name_world_key(key)),
        }
    }
    functions
}

/// A contract with one of each.
const SMALL: &str = "package postern:driver@0.1.0;
interface types {
    enum family { v4, v6 }
    record view { name: string, mtu: u32 }
    variant desired { link(string), address(string) }
    type unused = u8;
}
interface log { write: func(message: string); }
interface driver {
    use types.{view, desired, family};
    describe: func() -> string;
    network: func(view: view, family: family) -> list<desired>;
}
world network-driver {
    import log;
    export driver;
}
";

fn grown(from: &str, to: &str) -> Option<String> {
    assert!(SMALL.contains(from), "{from}");
    breakage(SMALL, &SMALL.replace(from, to))
}

#[test]
fn what_a_compiled_driver_does_not_notice() {
    for (what, from, to) in [
        ("nothing", "mtu: u32", "mtu: u32"),
        ("a comment", "record view", "/// What there is.\n record view"),
        ("a function more to import", "(message: string);", "(message: string); flush: func();"),
        (
            "an interface more to import",
            "import log;",
            "import log; import clock: interface { now: func() -> u64; }",
        ),
        ("a type more", "type unused = u8;", "type unused = u8; record other { a: u8 }"),
        (
            "another world",
            "world network-driver",
            "world peer { export driver; }\nworld network-driver",
        ),
    ] {
        assert_eq!(grown(from, to), None, "{what}");
    }
}

#[test]
fn what_breaks_a_compiled_driver() {
    for (what, from, to) in [
        ("a field more", "mtu: u32", "mtu: u32, mac: string"),
        ("a field less", ", mtu: u32", ""),
        ("a field of another name", "mtu: u32", "size: u32"),
        ("a field of another type", "mtu: u32", "mtu: u64"),
        ("fields in another order", "name: string, mtu: u32", "mtu: u32, name: string"),
        ("an optional field", "mtu: u32", "mtu: option<u32>"),
        ("a case more", "address(string)", "address(string), route(string)"),
        ("a case less", ", address(string)", ""),
        ("a case of another type", "address(string)", "address(u32)"),
        ("a name more in an enum", "v4, v6", "v4, v6, both"),
        ("a parameter more", "func(view: view,", "func(now: u64, view: view,"),
        ("another result", "-> string", "-> option<string>"),
        ("a function more to export", "describe:", "peer: func(); describe:"),
        ("a function less to export", "describe: func() -> string;", ""),
        (
            "an interface more to export",
            "export driver;",
            "export driver; export types2: interface { f: func(); }",
        ),
        ("a function less to import", "write: func(message: string);", ""),
        ("an imported function of another type", "(message: string)", "(message: list<u8>)"),
        ("an interface less to import", "import log;", ""),
    ] {
        assert!(grown(from, to).is_some(), "{what}");
    }
}

fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/wit")
}

/// The released texts, by version.
fn released() -> Vec<(String, String)> {
    let files = fs::read_dir(contract().join("released")).unwrap();
    let read = |path: PathBuf| {
        let version = path.file_stem().unwrap().to_string_lossy().into_owned();
        (version, fs::read_to_string(path).unwrap())
    };
    let mut texts: Vec<_> = files.map(|file| read(file.unwrap().path())).collect();
    texts.sort();
    texts
}

/// The version a text says it is.
fn version(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix("package postern:driver@"));
    line.and_then(|rest| rest.strip_suffix(';')).unwrap()
}

/// The part of a version that one set of bindings serves: `0.1`.
fn series(version: &str) -> &str {
    version.rsplit_once('.').unwrap().0
}

#[test]
fn the_contract_breaks_no_released_driver() {
    let text = fs::read_to_string(contract().join("driver.wit")).unwrap();
    let released = released();
    assert!(!released.is_empty());
    for (name, old) in &released {
        assert_eq!(version(old), name, "a released text is named by its version");
        if series(name) == series(version(&text)) {
            let breakage = breakage(old, &text);
            assert_eq!(
                breakage, None,
                "sdk/wit/driver.wit breaks drivers compiled against {name}. If {name} has been \
                 released, this needs a new package version: see docs/driver-contract.md. If it \
                 has not, copy driver.wit over sdk/wit/released/{name}.wit."
            );
        }
    }
}
