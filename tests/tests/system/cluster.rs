//! A host as one of a cluster: what it says of itself, and that it waits for nobody.

use std::time::{Duration, Instant};

use postern_proto::v1::ClusterInfo;
use postern_tests::command::{binary, run};
use postern_tests::{Etcd, HOST4, World, ask};

const LIMIT: Duration = Duration::from_secs(20);
const ARGS: [&str; 4] = [
    "--cluster-endpoints=http://127.0.0.1:2379",
    "--cluster-name=test",
    "--cluster-node-name=a",
    "--cluster-lease=3",
];

async fn until(world: &World, wanted: impl Fn(&ClusterInfo) -> bool) -> ClusterInfo {
    let begun = Instant::now();
    loop {
        let info = world.api.facts().await.unwrap().cluster.unwrap();
        if wanted(&info) {
            return info;
        }
        assert!(begun.elapsed() < LIMIT, "{info:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_host_without_etcd_serves_and_joins_when_it_is_there() {
    World::run_with(&ARGS, async |world| {
        let info = until(world, |info| !info.connected).await;
        assert!(info.nodes.is_empty() && !info.away_reason.is_empty());
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.place("blue", "a", ask::endpoint()).await;
        let mut etcd = Etcd::start("/run/etcd");
        let info = until(world, |info| info.connected).await;
        let [node] = info.nodes.as_slice() else { panic!("{info:?}") };
        assert_eq!((&node.id, node.name.as_str()), (&info.node_id, "a"));
        // The address from which etcd is reached.
        assert_eq!(node.underlay_address, "127.0.0.1");
        assert_eq!((info.name.as_str(), info.unreadable_keys), ("test", 0));
        let shown = world.cli(&["status"]).stdout;
        assert!(shown.contains("reached since") && shown.contains("this host"), "{shown}");
        etcd.kill();
        let away = until(world, |info| !info.connected).await;
        assert!(!away.away_reason.is_empty());
        world.place("blue", "b", ask::endpoint()).await;
        etcd.again();
        until(world, |info| info.connected && info.nodes.len() == 1).await;
        // The same host, after a restart too.
        world.restart().await;
        let again = until(world, |info| info.connected).await;
        assert_eq!((again.node_id, again.nodes.len()), (info.node_id, 1));
        world.assert_agrees().await;
    });
}

#[test]
fn a_host_alone_says_nothing_of_a_cluster() {
    World::run(async |world| {
        assert_eq!(world.api.facts().await.unwrap().cluster, None);
        assert!(!world.cli(&["status"]).stdout.contains("etcd"));
    });
}

#[test]
fn settings_that_cannot_be_are_named_before_anything_is_touched() {
    World::run(async |_| {
        let program = binary("posternd").display().to_string();
        for (args, expected) in [
            (&["--cluster-endpoints=127.0.0.1:2379"][..], "127.0.0.1:2379"),
            (&["--cluster-endpoints=https://127.0.0.1:2379"], "cluster-ca"),
            (&["--cluster-endpoints=http://127.0.0.1:2379", "--cluster-lease=1"], "cluster-lease"),
            (
                &["--cluster-endpoints=https://127.0.0.1:2379", "--cluster-ca=/run/no-such-file"],
                "/run/no-such-file",
            ),
        ] {
            let checked = run(&program, &[&["--check-config"], args].concat());
            assert_ne!(checked.code, Some(0), "{args:?}");
            assert!(checked.stderr.contains(expected), "{args:?}: {}", checked.stderr);
        }
        let address = format!("--cluster-underlay={HOST4}");
        let fine = run(&program, &["--check-config", ARGS[0], &address]);
        assert_eq!(fine.code, Some(0), "{}", fine.stderr);
    });
}
