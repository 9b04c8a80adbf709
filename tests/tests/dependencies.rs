//! Which crate may depend on which: the way through the daemon has no back edges, and
//! each outside thing the daemon stands on is known to one crate.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

type Edges = BTreeMap<String, BTreeSet<String>>;

/// The direct dependencies of every crate of the workspace, those of tests apart.
fn edges(with_tests: bool) -> Edges {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let all = list(&package["dependencies"]);
            let wanted = all.iter().filter(|one| with_tests || one["kind"] != "dev");
            (name(package), wanted.map(name).collect())
        })
        .collect()
}

/// Every crate of the workspace and the crates of the workspace it may know.
const ALLOWED: &[(&str, &[&str])] = &[
    ("postern-proto", &[]),
    ("postern-failpoint", &[]),
    ("postern-model", &[]),
    ("postern-planner", &["postern-model"]),
    ("postern-store", &["postern-failpoint", "postern-model"]),
    ("postern-plugin", &["postern-model"]),
    ("postern-kernel", &["postern-failpoint", "postern-model"]),
    ("postern-resolver", &["postern-model"]),
    ("postern-cluster", &["postern-model"]),
    ("postern-server", &["postern-model", "postern-proto"]),
    (
        "postern-runtime",
        &[
            "postern-cluster",
            "postern-failpoint",
            "postern-kernel",
            "postern-model",
            "postern-planner",
            "postern-plugin",
            "postern-proto",
            "postern-resolver",
            "postern-server",
            "postern-store",
        ],
    ),
    ("posternd", &["postern-runtime"]),
    ("postern-workbench", &["postern-model", "postern-planner", "postern-plugin"]),
    ("postern-cli", &["postern-proto", "postern-workbench"]),
    ("postern-sdk", &[]),
    ("postern-driver-bridge", &["postern-sdk"]),
    ("postern-driver-host", &["postern-sdk"]),
    ("postern-driver-null", &["postern-sdk"]),
    ("postern-driver-overlay", &["postern-sdk"]),
    ("postern-tests", &["postern-proto"]),
    ("postern-test-driver", &["postern-sdk"]),
    ("xtask", &[]),
];

/// What is known to few: the crate of others, and our crates that may use it.
const CONFINED: &[(&str, &[&str])] = &[
    // The tests write a ledger as another version would.
    ("sled", &["postern-store", "postern-tests"]),
    ("wasmtime", &["postern-plugin"]),
    ("rtnetlink", &["postern-kernel"]),
    ("netlink-sys", &["postern-kernel"]),
    ("netlink-packet-route", &["postern-kernel"]),
    ("netlink-packet-netfilter", &["postern-kernel"]),
    ("nftables", &["postern-kernel"]),
    ("etherparse", &["postern-kernel"]),
    ("plotters", &["postern-tests"]),
    ("rustix", &["postern-kernel"]),
    (
        "tonic",
        &["postern-proto", "postern-server", "postern-runtime", "postern-cli", "postern-tests"],
    ),
    ("etcd-client", &["postern-cluster"]),
    ("hickory-proto", &["postern-resolver"]),
    ("wit-bindgen", &["postern-sdk"]),
];

/// What a crate without effects has no use for.
const EFFECTS: &[&str] = &["tokio", "nix", "libc", "socket2", "rand", "tracing", "tempfile"];

#[test]
fn the_workspace_has_no_back_edges() {
    let edges = edges(false);
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    for (package, dependencies) in &edges {
        let Some(may) = allowed.get(package.as_str()) else {
            panic!("{package} has no line in ALLOWED: say whom it may know");
        };
        let ours = dependencies.iter().filter(|name| edges.contains_key(*name));
        let excess: Vec<_> = ours.filter(|name| !may.contains(&name.as_str())).collect();
        assert!(excess.is_empty(), "{package} must not depend on {excess:?}");
    }
}

#[test]
fn outside_things_stay_where_they_are_known() {
    let edges = edges(true);
    for (thing, may) in CONFINED {
        let users = edges.iter().filter(|(_, dependencies)| dependencies.contains(*thing));
        let users: Vec<&str> = users.map(|(package, _)| package.as_str()).collect();
        assert!(!users.is_empty(), "nothing uses {thing} any more: take the line out");
        let excess: Vec<_> = users.iter().filter(|user| !may.contains(user)).collect();
        assert!(excess.is_empty(), "{thing} is used by {excess:?}");
    }
}

#[test]
fn the_core_has_no_effects() {
    let edges = edges(false);
    for package in ["postern-model", "postern-planner"] {
        let dependencies = &edges[package];
        let effects: Vec<_> = EFFECTS.iter().filter(|one| dependencies.contains(**one)).collect();
        assert!(effects.is_empty(), "{package} depends on {effects:?}");
    }
}
