//! Flows in the daemon's own log, and on the command line.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use postern_proto::v1::{PolicyMode, PolicySpec};
use postern_tests::traffic::Server;
use postern_tests::{World, ask, command};
use serde_json::Value;

use crate::policies::{DB4, blue, db_from_web, reaches};

/// The lines of the log about flows, as soon as there is `one` of them.
async fn lines(world: &World, one: &str) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let log = world.daemon().log_tail(200);
        let lines: Vec<String> =
            log.lines().filter(|line| line.contains("postern::flow")).map(str::to_owned).collect();
        if lines.iter().any(|line| line.contains(one)) {
            return lines;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "no `{one}` in {log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_policy_logs_the_flows_it_decides_and_no_others() {
    World::run_with(&["--log-level=warn"], async |world| {
        let [web, db, other] = blue(world).await;
        let _servers = [&web, &db].map(|at| Server::tcp(at, "[::]:5432", "server"));
        let to = format!("{DB4}:5432");
        let logging = PolicySpec { log: true, ..db_from_web() };
        world.api.apply_policy("db", logging.clone()).await.unwrap();
        world.api.apply_policy("web", ask::app(&[("app", "web")], vec![])).await.unwrap();
        assert!(reaches(&web, &to) && !reaches(&other, "10.1.0.10:5432") && !reaches(&other, &to));
        let found = lines(world, "other.blue (10.1.0.12)\" to=\"db.blue").await;
        assert!(found.iter().all(|line| line.contains("policy=\"db\"")), "{found:?}");
        let passed = found.iter().find(|line| line.contains("web.blue (10.1.0.10)")).unwrap();
        for part in ["verdict=passed", "what=\"tcp/5432\"", "ingress rule 0"] {
            assert!(passed.contains(part), "{part}: {passed}");
        }
        assert!(found.iter().any(|line| line.contains("verdict=dropped")), "{found:?}");

        // After a restart too, and in mode AUDIT what it would decide.
        let audit = PolicySpec { mode: PolicyMode::Audit.into(), ..logging };
        world.api.apply_policy("db", audit).await.unwrap();
        world.restart().await;
        assert!(reaches(&other, &to));
        let found = lines(world, "audit=\"dropped\"").await;
        assert!(found.last().unwrap().contains("verdict=passed"), "{found:?}");

        world.api.apply_policy("db", db_from_web()).await.unwrap();
        let before = lines(world, "db").await.len();
        assert!(reaches(&web, &to) && !reaches(&other, &to));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(lines(world, "db").await.len(), before, "nothing logs any more");
    });
}

#[test]
fn the_command_line_follows_flows() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        let address = world.address();
        let follow = |more: &[&str]| {
            let mut child = Command::new(command::binary("postern"))
                .args(["--address", &address, "flows", "--sandbox", "db"])
                .args(more)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            (child, lines)
        };
        let (mut people, mut text) = follow(&[]);
        let (mut program, mut json) = follow(&["-o", "json", "--dropped"]);
        // Until both watch nothing is told to them.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let to = format!("{DB4}:5432");
        assert!(reaches(&web, &to) && !reaches(&other, &to));
        let line = text.next().unwrap().unwrap();
        assert!(line.contains(" passed   web.blue -> db.blue tcp/5432: accepted by"), "{line}");
        let line = text.next().unwrap().unwrap();
        assert!(line.contains(" dropped  other.blue -> db.blue tcp/5432: isolated by"), "{line}");
        let value: Value = serde_json::from_str(&json.next().unwrap().unwrap()).unwrap();
        assert_eq!(value["flow"]["from"]["name"], "other.blue");
        assert_eq!(value["flow"]["verdict"], "FLOW_VERDICT_DROPPED");
        assert_eq!(value["flow"]["ingress"]["policy"], "db");
        for child in [&mut people, &mut program] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let unknown = world.cli(&["flows", "--endpoint", "no"]);
        assert_eq!(unknown.code, Some(3));
        assert!(unknown.stderr.contains("there is no endpoint `no`"), "{unknown:?}");
    });
}
