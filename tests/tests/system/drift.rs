//! What somebody else changes is noticed, put right and told.

use std::time::{Duration, Instant};

use postern_proto::v1::watch_events_response::Item;
use postern_tests::command::{run, sh};
use postern_tests::dns::dig;
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{EventStream, HOST4, Netns, World, ask};

/// More than a repair takes on a machine that is busy, and much less than the full check.
const LIMIT: Duration = Duration::from_secs(10);

struct Stage {
    web: Netns,
    bridge: String,
    port: String,
    events: EventStream,
    _server: Server,
}

async fn set(world: &World) -> Stage {
    world.api.create_network("blue", ask::network(&["10.1.0.0/24", "fd00:1::/64"])).await.unwrap();
    let web = world.place("blue", "web", ask::publish(&[ask::tcp(8080, 80)])).await;
    let server = Server::tcp(&web, "0.0.0.0:80", "web");
    let bridge = world.api.network("blue").await.unwrap().bridge;
    let links = world.own_links();
    let port = links.iter().find(|link| link.owner.starts_with("endpoint/")).unwrap().name.clone();
    let events = world.api.watch(None).await.unwrap();
    Stage { web, bridge, port, events, _server: server }
}

impl Stage {
    /// Waits until watchers are told of a repair, and then finds everything as it must be.
    async fn heals(&mut self, world: &World, what: &str) {
        self.is_repaired(world, what).await;
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_some(), "{what}");
    }

    /// Waits until watchers are told of a repair, and nothing differs any more.
    async fn is_repaired(&mut self, world: &World, what: &str) {
        let begun = Instant::now();
        loop {
            match self.events.next().await {
                Ok(Some(Item::Event(event))) => {
                    let cause = event.attributes.get("cause").map(String::as_str);
                    assert_eq!((event.name.as_str(), cause), ("kernel", Some("notice")), "{what}");
                    break;
                }
                other => assert!(begun.elapsed() < LIMIT, "{what}: {other:?}"),
            }
        }
        println!("{what}: repaired after {:?}", begun.elapsed());
        // One accident may be noticed in two parts.
        while !world.api.drift().await.unwrap().is_empty() {
            assert!(begun.elapsed() < LIMIT, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.assert_agrees().await;
        // Whatever else was told is of the same accident.
        self.events = world.api.watch(None).await.unwrap();
    }
}

#[test]
fn links_addresses_and_routes_come_back_at_once() {
    World::run(async |world| {
        let mut stage = set(world).await;
        let Stage { bridge, port, .. } = &stage;
        let outside = [
            format!("ip link del {port}"),
            format!("ip addr del 10.1.0.1/24 dev {bridge}"),
            format!("ip -6 addr del fd00:1::1/64 dev {bridge}"),
            format!("ip link del {bridge}"),
        ];
        for line in outside {
            sh(&line);
            stage.heals(world, &line).await;
        }
        for line in [
            "ip route del default",
            "ip -6 route del default",
            "ip addr flush dev eth0 scope global",
            "ip link del eth0",
        ] {
            stage.web.sh(line);
            stage.heals(world, line).await;
        }
    });
}

#[test]
fn a_namespace_that_is_unpinned_is_made_again() {
    World::run(async |world| {
        let mut stage = set(world).await;
        // It lives on: a server is in it, and the daemon's own sockets are.
        let path = world.api.sandbox("web").await.unwrap().netns_path;
        sh(&format!("umount --lazy {path}"));
        sh(&format!("rm {path}"));
        stage.is_repaired(world, "a namespace").await;
        let web = world.sandbox("web").await;
        let _server = Server::tcp(&web, "0.0.0.0:80", "again");
        let said = traffic::tcp(&world.outside, &format!("{HOST4}:8080"));
        assert_eq!(said.unwrap().server, "again");
        let address = world.api.endpoint("web.blue").await.unwrap().ipv4_address;
        assert_eq!(dig(&web, "web A").answers, [address.split('/').next().unwrap()]);
    });
}

#[test]
fn tables_that_others_can_change_come_back_at_once() {
    World::run_with(&["--own-tables=false"], async |world| {
        let mut stage = set(world).await;
        for line in [
            "nft delete element inet postern publish4-any { tcp . 8080 }",
            "nft flush set inet postern endpoint4",
            "nft flush chain inet postern forward",
            "nft delete table bridge postern",
            "nft flush table inet postern",
        ] {
            sh(line);
            stage.heals(world, line).await;
        }
        sh("nft flush ruleset");
        // Somebody else's table went with it; that is not the daemon's doing.
        run("nft", &["-f", "/run/foreign.nft"]);
        stage.heals(world, "nft flush ruleset").await;
    });
}

#[test]
fn what_clients_ask_for_is_no_drift() {
    World::run(async |world| {
        let mut stage = set(world).await;
        let mut talk = Conversation::begin(&world.outside, &format!("{HOST4}:8080")).unwrap();
        for _ in 0..3 {
            world.place("blue", "db", ask::publish(&[ask::tcp(0, 80)])).await;
            world.api.delete_sandbox("db", true).await.unwrap();
            world.api.create_network("red", ask::network(&["10.2.0.0/24"])).await.unwrap();
            world.api.connect("red", "web", ask::endpoint()).await.unwrap();
            world.api.disconnect("red", "web").await.unwrap();
            world.api.delete_network("red").await.unwrap();
        }
        assert!(talk.goes_on());
        // The links are deleted after their calls have returned.
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.api.create_network("last", ask::network(&["10.3.0.0/24"])).await.unwrap();
        loop {
            let told = stage.events.short().await;
            assert!(!told.contains("kernel"), "{told}");
            if told == "network created last" {
                break;
            }
        }
    });
}
