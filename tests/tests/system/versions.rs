//! An upgrade, and the way back: what another version of the daemon has left.

use postern_tests::command::{run, sh};
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{HOST4, Netns, World, ask};

const LEDGER: &str = "/run/state/ledger";

async fn furnish(world: &World) -> (Netns, Server, Conversation) {
    world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
    let web = world.place("blue", "web", ask::publish(&[ask::tcp(8080, 80)])).await;
    let rules = vec![ask::accept(vec![ask::cidr("192.0.2.0/24", &[])], 80)];
    let policy = ask::app(&[("app", "web")], rules);
    world.api.apply_policy("web", policy).await.unwrap();
    let server = Server::tcp(&web, "0.0.0.0:80", "web");
    let talk = Conversation::begin(&world.outside, &format!("{HOST4}:8080")).unwrap();
    (web, server, talk)
}

/// Changes the text of every record of a ledger that no daemon has open; returns how many.
/// As text, since there are numbers in it that a JSON value has no room for.
fn rewrite(change: impl Fn(&str) -> String) -> usize {
    let db = sled::open(LEDGER).unwrap();
    let mut count = 0;
    for record in db.iter() {
        let (key, bytes) = record.unwrap();
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        // Some values are plain numbers.
        if text.starts_with("{\"v\":") {
            db.insert(key, change(text).as_bytes()).unwrap();
            count += 1;
        }
    }
    db.flush().unwrap();
    count
}

/// A record as the next version would write it, which knows more.
fn newer(record: &str) -> String {
    let more = "\"d\":{\"something-new\":{\"of\":\"its contents\"},";
    let newer = record.replacen("\"v\":1", "\"v\":2", 1);
    // A lease is one of several things, and of those there can be no other for who must do.
    if newer.contains("\"d\":{\"held\"") { newer } else { newer.replacen("\"d\":{", more, 1) }
}

#[test]
fn records_of_the_next_version_serve_where_they_say_so() {
    World::run(async |world| {
        let (_web, _server, mut talk) = furnish(world).await;
        let before = world.snapshot().await;
        world.kill9();
        let count = rewrite(|record| newer(record).replacen("\"v\":2", "\"v\":2,\"r\":1", 1));
        assert!(count > 5, "{count} records");
        world.start().await;
        assert!(talk.goes_on(), "the downgrade cut a flow");
        assert_eq!(world.snapshot().await, before);
        world.assert_agrees().await;
        // What is changed is a record of this version again, and the upgrade reads both.
        world.api.disconnect("blue", "web").await.unwrap();
        world.restart().await;
        world.api.delete_policy("web").await.unwrap();
        world.api.delete_sandbox("web", true).await.unwrap();
        world.api.delete_network("blue").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn records_that_only_a_newer_version_can_read_are_refused_and_nothing_is_touched() {
    World::run(async |world| {
        let (_web, _server, mut talk) = furnish(world).await;
        let before = world.snapshot().await;
        world.kill9();
        rewrite(newer);
        let ended = world.try_start("").await;
        assert!(!ended.unwrap_err().success());
        let log = std::fs::read_to_string("/run/posternd.log").unwrap();
        assert!(log.contains("version 2"), "{log}");
        assert!(talk.goes_on(), "what it cannot read it has taken for nothing");
        // Back to the version that wrote them.
        rewrite(|record| record.replacen("\"v\":2", "\"v\":1", 1));
        world.start().await;
        assert_eq!(world.snapshot().await, before);
        assert!(talk.goes_on());
    });
}

#[test]
fn tables_of_another_layout_are_made_anew() {
    World::run(async |world| {
        let (_web, _server, mut talk) = furnish(world).await;
        world.kill9();
        // They are nobody's now, and a set of theirs has other keys than ours.
        sh("nft delete table inet postern");
        std::fs::write(
            "/run/layout.nft",
            "table inet postern {\n\
             set endpoint4 { type inet_service; elements = { 80 } }\n\
             set of_then { type ipv4_addr; }\n\
             chain then { type filter hook forward priority 0; tcp dport @endpoint4 accept; }\n\
             }\n",
        )
        .unwrap();
        run("nft", &["-f", "/run/layout.nft"]);
        world.start().await;
        world.assert_agrees().await;
        assert!(!world.own_tables().contains("of_then"));
        assert!(talk.goes_on());
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8080")).is_some());
    });
}
