//! `status`, `drift`, `reconcile`, `events`, `completion`, and an absent daemon.

use std::process::{Command, Stdio};

use postern_proto::v1;
use serde_json::{Value, json};

use crate::fake::UID;
use crate::{Daemon, binary, run};

#[test]
fn status_drift_and_reconcile() {
    let daemon = Daemon::start();
    assert!(daemon.run("status").text().starts_with("Version:           0.1.0\n"));
    assert_eq!(daemon.run("status -o json").json()["generation"], "9");
    let plan = "ACTION   KIND     OBJECT\ncreate   bridge   pst-1";
    assert_eq!(daemon.run("drift").text(), plan);
    assert_eq!(daemon.run("reconcile").text(), "nothing to do");
    assert_eq!(daemon.run("reconcile -o json").json(), json!({ "steps": [] }));
}

#[test]
fn events_one_to_a_line_with_the_gap_said() {
    let daemon = Daemon::start();
    let outcome = daemon.run("events --since 3 --kind network,endpoint");
    assert_eq!(
        outcome.stdout,
        format!(
            "lost: events before generation 9 are no longer kept; the lists show the state\n\
             1970-01-01T00:00:00Z 9 network created web (uid={UID}, driver=bridge)\n"
        )
    );
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), "error: the daemon has gone\n"));
    let request: v1::WatchEventsRequest = daemon.fake.last("event.watch");
    assert_eq!(request.after_generation, Some(3));
    assert_eq!(request.kinds, [1, 3]);
}

#[test]
fn events_as_json_lines() {
    let daemon = Daemon::start();
    let outcome = daemon.run("events -o json");
    let lines: Vec<Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({ "lost": { "firstAvailable": "9" } }));
    assert_eq!(lines[1]["event"]["action"], "ACTION_CREATED");
    let request: v1::WatchEventsRequest = daemon.fake.last("event.watch");
    assert_eq!(request.after_generation, None);
}

#[test]
fn an_absent_daemon_is_said_plainly() {
    let outcome = run("unix:///nonexistent/postern.sock", "network ls", "");
    assert_eq!(outcome.code, Some(1));
    assert_eq!(
        outcome.stderr,
        "error: no daemon answers at unix:///nonexistent/postern.sock: No such file or directory \
         (os error 2)\n  is posternd running, and is this where it listens (--address)?\n"
    );
    let once = run("unix:///nonexistent/postern.sock", "network rm a b", "");
    assert_eq!(once.stderr, outcome.stderr);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let outcome = run(&format!("http://127.0.0.1:{port}"), "status", "");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("Connection refused"), "{outcome:?}");
}

#[test]
fn the_flag_stands_above_the_environment() {
    let daemon = Daemon::start();
    let line = format!("status --address {}", daemon.address());
    run("unix:///nonexistent/postern.sock", &line, "").text();
    assert_eq!(run("/run/postern.sock", "status", "").code, Some(2));
}

#[test]
fn completion_needs_no_daemon() {
    let outcome = run("unix:///nonexistent/postern.sock", "completion bash", "");
    assert!(outcome.text().contains("complete -F _postern"));
}

#[test]
fn help_tells_the_exit_codes() {
    let outcome = run("unix:///nonexistent/postern.sock", "--help", "");
    assert!(outcome.text().contains("3  the daemon refused"));
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let mut child = Command::new(binary())
        .args(["completion", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn no_colours_where_there_is_no_terminal() {
    let daemon = Daemon::start();
    for line in ["network ls", "status", "network inspect web", "network create bad", "--help"] {
        let outcome = daemon.run(line);
        assert!(!outcome.stdout.contains('\x1b') && !outcome.stderr.contains('\x1b'), "{line}");
    }
}
