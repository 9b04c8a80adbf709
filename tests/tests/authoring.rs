//! A driver's author, from nothing to a driver that is checked, run, tested and timed; no
//! daemon and no root.

use std::path::{Path, PathBuf};
use std::process::Command;

use postern_tests::command::{Finished, binary, run};
use serde_json::Value;
use tempfile::TempDir;

/// Where the made project is built. It stays, as building the SDK's macro takes a minute.
const TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/author");

fn cargo(project: &Path, args: &[&str]) {
    let status = Command::new(env!("CARGO"))
        .args(args)
        .arg("--offline")
        .current_dir(project)
        .env("CARGO_TARGET_DIR", TARGET)
        .status()
        .unwrap();
    assert!(status.success(), "cargo {args:?}: {status}");
}

fn driver(args: &[&str]) -> Finished {
    run(binary("postern"), &[&["driver"], args].concat())
}

#[track_caller]
fn ok(args: &[&str]) -> String {
    let done = driver(args);
    assert_eq!(done.code, Some(0), "{args:?}: {}{}", done.stdout, done.stderr);
    done.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_new_driver_builds_and_passes_at_once() {
    let folder = TempDir::new().unwrap();
    let project = folder.path().join("project");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
    let new = ["new", "author", "--path", text(&project), "--sdk", text(&sdk)];
    ok(&new);
    let again = driver(&new);
    assert_eq!(again.code, Some(3), "{}", again.stderr);
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);

    cargo(&project, &["test"]);
    cargo(&project, &["wasm"]);
    let wasm: PathBuf =
        [TARGET, "wasm32-unknown-unknown/release/postern_driver_author.wasm"].iter().collect();
    let wasm = text(&wasm);
    let report = json(&ok(&["check", wasm, "-o", "json"]));
    assert_eq!(report["manifest"]["name"], "author");
    assert!(ok(&["check", wasm]).contains("bridge,veth,address,filter,masquerade,publish"));

    let cases = project.join("cases");
    assert_eq!(ok(&["test", wasm, text(&cases)]).matches(": ok").count(), 4);
    runs_and_changes(wasm, &cases);
    let timing = json(&ok(&["bench", wasm, "-n", "20", "-o", "json"]));
    assert!(timing["fuel"].as_u64().unwrap() > 0, "{timing}");
}

fn runs_and_changes(wasm: &str, cases: &Path) {
    let case = cases.join("endpoint.json");
    let outcome = json(&ok(&["run", wasm, "-r", text(&case)]));
    assert_eq!(outcome["decision"]["gateways"][0], "10.1.0.1");
    let refused = driver(&["run", wasm, "-r", text(&case), "--grant", "bridge"]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("capability `filter` is not granted"), "{}", refused.stderr);

    let golden = std::fs::read_to_string(&case).unwrap();
    std::fs::write(&case, golden.replace("\"eth0\"", "\"eth9\"")).unwrap();
    let differs = driver(&["test", wasm, text(&case)]);
    assert_eq!(differs.code, Some(1));
    let added = differs.stdout.lines().filter(|line| line.trim_start().starts_with('+'));
    assert!(added.eq([r#"  +              "interface": "eth0","#]), "{}", differs.stdout);
    ok(&["test", wasm, text(&case), "--bless"]);
    assert_eq!(std::fs::read_to_string(&case).unwrap(), golden);
}

#[test]
fn what_is_no_driver_is_told_why() {
    let done = driver(&["check", text(&binary("postern"))]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let done = driver(&["check", "/nonexistent.wasm"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("/nonexistent.wasm"), "{}", done.stderr);
}
