//! `flows`.

use postern_proto::v1;
use postern_proto::v1::watch_flows_request::Of;
use serde_json::{Value, json};

use crate::Daemon;

#[test]
fn one_to_a_line_with_the_gap_said() {
    let daemon = Daemon::start();
    let outcome = daemon.run("flows --sandbox web --dropped --audit");
    assert_eq!(
        outcome.stdout,
        "lost: 7 flows were not told; there are more than are read\n\
         1970-01-01T00:00:00Z passed   web.blue -> db.blue tcp/5432: accepted by policy `db`, \
         ingress rule 0\n"
    );
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), "error: the daemon has gone\n"));
    let request: v1::WatchFlowsRequest = daemon.fake.last("flow.watch");
    assert_eq!(request.of, Some(Of::Sandbox("web".into())));
    assert!(request.dropped_only && request.audit_only);
}

#[test]
fn as_json_lines() {
    let daemon = Daemon::start();
    let outcome = daemon.run("flows -o json --network blue");
    let lines: Vec<Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({ "lost": "7" }));
    assert_eq!(lines[1]["flow"]["verdict"], "FLOW_VERDICT_PASSED");
    assert_eq!(lines[1]["flow"]["port"], 5432);
    let request: v1::WatchFlowsRequest = daemon.fake.last("flow.watch");
    assert_eq!(request.of, Some(Of::Network("blue".into())));
    assert!(!request.dropped_only && !request.audit_only);
}

#[test]
fn what_is_not_there_and_what_contradicts_itself() {
    let daemon = Daemon::start();
    let gone = daemon.run("flows --sandbox gone");
    assert_eq!(gone.code, Some(3));
    assert!(gone.stderr.contains("there is no sandbox `gone`"), "{gone:?}");
    assert_eq!(daemon.run("flows --sandbox a --endpoint b").code, Some(2));
}
