//! The command line against the real daemon.

use postern_tests::traffic::{self, Server};
use postern_tests::{HOST4, World, command};
use serde_json::Value;

#[track_caller]
fn ok(world: &World, args: &[&str]) -> String {
    let done = world.cli(args);
    assert_eq!(done.code, Some(0), "{args:?}: {}{}", done.stdout, done.stderr);
    done.stdout
}

#[test]
fn from_a_network_to_a_served_port_and_back() {
    World::run(async |world| {
        ok(world, &["network", "create", "blue", "--subnet", "10.1.0.0/24", "--label", "team=net"]);
        ok(world, &["sandbox", "create", "web"]);
        ok(world, &["sandbox", "create", "client"]);
        ok(world, &["connect", "blue", "web", "-p", "8080:80", "--ip", "10.1.0.9"]);
        ok(world, &["connect", "blue", "client"]);
        let _server = Server::tcp(&world.sandbox("web").await, "0.0.0.0:80", "web");
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_some());
        let shown = ok(world, &["exec", "client", "--", "ip", "-o", "addr", "show", "dev", "eth0"]);
        assert!(shown.contains("10.1.0."), "{shown}");
        let code = world.cli(&["exec", "client", "--", "sh", "-c", "exit 42"]).code;
        assert_eq!(code, Some(42));

        let table = ok(world, &["network", "ls"]);
        assert!(table.contains("NETWORK ID") && table.contains("blue"), "{table}");
        let row = table.lines().find(|line| line.contains("blue")).unwrap();
        let short = row.split_whitespace().next().unwrap();
        assert!(ok(world, &["network", "inspect", short]).contains("10.1.0.0/24"));
        assert!(!table.contains('\u{1b}'), "colours where nobody looks: {table:?}");
        let json: Value =
            serde_json::from_str(&ok(world, &["network", "inspect", "blue"])).unwrap();
        assert!(json.to_string().contains("10.1.0.0/24"), "{json}");
        let json: Value =
            serde_json::from_str(&ok(world, &["-o", "json", "endpoint", "ls"])).unwrap();
        assert!(json.to_string().contains("10.1.0.9/24"), "{json}");
        assert!(ok(world, &["status"]).contains("bridge"));

        ok(world, &["disconnect", "blue", "web"]);
        ok(world, &["sandbox", "rm", "-f", "web", "client"]);
        ok(world, &["network", "rm", "blue"]);
        world.assert_only_predefined().await;
    });
}

#[test]
fn exit_codes_tell_usage_refusal_and_failure_apart() {
    World::run(async |world| {
        let usage = world.cli(&["network", "create"]);
        assert_eq!(usage.code, Some(2), "{}", usage.stderr);
        let refused = world.cli(&["network", "create", "blue", "--subnet", "10.1.0.1/24"]);
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        assert!(refused.stderr.contains("spec.subnets[0].subnet"), "{}", refused.stderr);
        assert_eq!(world.cli(&["network", "inspect", "nope"]).code, Some(3));
        let nobody = ["--address", "unix:///run/nobody.sock", "network", "ls"];
        let failed = command::run(command::binary("postern"), &nobody);
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(failed.stderr.contains("/run/nobody.sock"), "{}", failed.stderr);
    });
}

#[test]
fn a_dry_run_shows_the_plan() {
    World::run(async |world| {
        let before = world.snapshot().await;
        let shown =
            ok(world, &["network", "create", "blue", "--subnet", "10.1.0.0/24", "--dry-run"]);
        assert!(shown.contains("bridge") && shown.contains("10.1.0.1/24"), "{shown}");
        assert_eq!(world.snapshot().await, before);
    });
}
