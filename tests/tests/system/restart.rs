//! The daemon's death changes nothing in the data path; its start adopts what is there.

use postern_tests::command::{binary, run, sh};
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{HOST4, Netns, World, ask};

async fn furnish(world: &World) -> (Netns, Server) {
    world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
    let web = world.place("blue", "web", ask::publish(&[ask::tcp(8080, 80)])).await;
    let server = Server::tcp(&web, "0.0.0.0:80", "web");
    (web, server)
}

#[test]
fn state_and_flows_survive_a_crash() {
    World::run(async |world| {
        let (_web, _server) = furnish(world).await;
        let mut talk = Conversation::begin(&world.outside, &format!("{HOST4}:8080")).unwrap();
        let before = world.snapshot().await;
        world.kill9();
        assert!(talk.goes_on(), "the flow ended with the daemon");
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_some());
        world.start().await;
        assert!(talk.goes_on(), "the flow ended with the daemon's start");
        assert_eq!(world.snapshot().await, before);
        world.assert_agrees().await;
        let taken = std::net::TcpListener::bind(("0.0.0.0", 8080));
        assert!(taken.is_err(), "the port is not held after the restart");
        world.api.delete_sandbox("web", true).await.unwrap();
        world.api.delete_network("blue").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn a_clean_stop_leaves_the_data_path_too() {
    World::run(async |world| {
        let (_web, _server) = furnish(world).await;
        let before = world.snapshot().await;
        world.stop().await;
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_some());
        world.start().await;
        assert_eq!(world.snapshot().await, before);
        world.assert_agrees().await;
    });
}

#[test]
fn clients_that_say_nothing_do_not_hold_up_the_stop() {
    World::run(async |world| {
        let socket = world.run_dir().join("postern.sock");
        let _silent = std::os::unix::net::UnixStream::connect(socket).unwrap();
        let mut watch = world.api.watch(None).await.unwrap();
        // `stop` has a limit of its own.
        world.stop().await;
        let end = watch.next().await;
        assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    });
}

#[test]
fn what_was_lost_while_it_was_away_is_made_again() {
    World::run(async |world| {
        let (_web, _server) = furnish(world).await;
        let port = port_of_the_endpoint(world);
        world.kill9();
        sh("nft flush ruleset");
        // Somebody else's table went with it; that is not the daemon's doing.
        run("nft", &["-f", "/run/foreign.nft"]);
        sh(&format!("ip link del {port}"));
        world.start().await;
        world.assert_agrees().await;
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_some());
    });
}

/// The name of the one endpoint's link on the host.
fn port_of_the_endpoint(world: &World) -> String {
    let links = world.own_links();
    let port = links.into_iter().find(|link| link.owner.starts_with("endpoint/"));
    port.unwrap_or_else(|| panic!("no endpoint has a link")).name
}

#[test]
fn drift_is_named_and_reconciled() {
    World::run_with(&["--own-tables=false", "--watch-drift=false"], async |world| {
        let (_web, _server) = furnish(world).await;
        sh("nft delete element inet postern publish4-any { tcp . 8080 }");
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_none());
        let drift = world.api.drift().await.unwrap();
        assert!(drift.iter().any(|step| step.kind == "element"), "{drift:?}");
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_none(), "it repaired");
        let request = postern_proto::v1::ReconcileRequest {};
        let steps = world.api.system.reconcile(request).await.unwrap().into_inner().steps;
        assert!(drift.iter().all(|step| steps.contains(step)), "{steps:?}");
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_some());
        world.assert_agrees().await;
    });
}

#[test]
fn leftovers_of_a_lost_state_are_removed_and_nothing_else() {
    World::run(async |world| {
        furnish(world).await;
        world.kill9();
        std::fs::remove_dir_all("/run/state").unwrap();
        world.start().await;
        world.assert_only_predefined().await;
        world.assert_foreign_untouched();
    });
}

#[test]
fn a_crash_in_the_middle_of_work_leaves_a_whole() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        for round in 0..12_u64 {
            let api = world.api.clone();
            let work = tokio::spawn(async move {
                for index in 0..50 {
                    let name = format!("s{round}-{index}");
                    if api.create_sandbox(&name).await.is_err() {
                        return;
                    }
                    let spec = ask::publish(&[ask::tcp(0, 80)]);
                    if api.connect("blue", &name, spec).await.is_err() {
                        return;
                    }
                }
            });
            tokio::time::sleep(std::time::Duration::from_millis(3 + 5 * round)).await;
            world.kill9();
            work.await.unwrap();
            world.start().await;
            world.assert_agrees().await;
            let endpoints = world.api.list_endpoints().await.unwrap();
            let half = endpoints.iter().find(|endpoint| endpoint.sandbox.is_empty());
            assert_eq!(half, None, "half of a Connect was done");
        }
        for sandbox in world.api.list_sandboxes().await.unwrap() {
            world.api.delete_sandbox(&sandbox.name, true).await.unwrap();
        }
        world.api.delete_network("blue").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn a_second_daemon_of_the_namespace_is_refused() {
    World::run(async |world| {
        let (_web, _server) = furnish(world).await;
        let before = world.snapshot().await;
        // Folders of its own, so that nothing but the namespace is shared.
        let program = binary("posternd").display().to_string();
        let folders = ["--state-dir=/run/second/state", "--run-dir=/run/second/run"];
        let second = run("timeout", &["10", &program, folders[0], folders[1]]);
        assert_ne!(second.code, Some(0));
        assert!(second.stderr.contains("network namespace"), "{}", second.stderr);
        assert_eq!(world.snapshot().await, before);
        world.assert_agrees().await;
    });
}

#[test]
fn what_somebody_deleted_is_repaired_in_one_pass() {
    World::run_with(&["--own-tables=false", "--watch-drift=false"], async |world| {
        let (web, _server) = furnish(world).await;
        let bridge = world.api.network("blue").await.unwrap().bridge;
        sh(&format!("ip link del {bridge}"));
        sh("nft flush table inet postern");
        assert!(!world.api.drift().await.unwrap().is_empty());
        let repaired = world.cli(&["reconcile"]);
        assert_eq!(repaired.code, Some(0), "{}", repaired.stderr);
        assert!(world.api.drift().await.unwrap().is_empty());
        world.assert_agrees().await;
        assert!(web.enter(|| sh("ip route")).contains("default via 10.1.0.1"));
        // The server went on listening all the time; only its interface is new.
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_some());
    });
}
