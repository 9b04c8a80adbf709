//! Hosts that share a network, and what may befall them: etcd away, a host that dies, one
//! that is cut off and comes back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{Hosts, LEASE, MIDDLE, ask, etcd_json};
use tonic::Code;

/// At once: nobody waits for an etcd that is not there.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn without_etcd_all_that_needs_no_agreement_goes_on() {
    Hosts::run(2, async |world| {
        world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        let web = world.hosts[0].place("blue", "web", ask::endpoint()).await;
        let db = world.hosts[1].place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let _server = Server::tcp(&db, "[::]:80", "db");
        let address = format!("{}:80", world.hosts[1].address_of("db", "blue").await);
        let mut talk = Conversation::begin(&web, &address).unwrap();
        world.etcd.kill();
        for host in &world.hosts {
            host.until_connected(false).await;
        }
        let a = &world.hosts[0];
        assert!(talk.goes_on());
        // From its own block, and of its own networks.
        let second = a.place("blue", "second", ask::endpoint()).await;
        assert_eq!(traffic::tcp(&second, &address), None, "nobody there knows it yet");
        a.api.create_network("local", ask::network(&["10.8.0.0/24"])).await.unwrap();
        a.place("local", "third", ask::endpoint()).await;
        let begun = Instant::now();
        let refused = [
            a.api.create_network("red", ask::overlay(&["10.2.0.0/24"])).await.map(drop),
            a.api.delete_network("blue").await,
            a.api.apply_policy("p", ask::app(&[("a", "b")], Vec::new())).await.map(drop),
            a.api.connect("blue", "third", ask::address("10.1.0.250")).await.map(drop),
        ];
        let codes: Vec<Code> = refused.into_iter().map(|r| r.unwrap_err().code()).collect();
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        // The network is in use here, which needs no etcd to be seen.
        let away = Code::Unavailable;
        assert_eq!(codes, [away, Code::FailedPrecondition, away, away]);
        assert!(a.api.network("red").await.is_err(), "nothing is half-done");
        // A daemon that begins now goes on with what was known.
        world.hosts[0].kill9();
        assert!(talk.goes_on());
        world.hosts[0].start().await;
        assert!(talk.goes_on());
        let a = &world.hosts[0];
        assert_eq!(a.peers("blue").await.len(), 1);
        a.assert_agrees().await;
        assert_eq!(traffic::tcp(&web, &address).unwrap().server, "db");
        world.etcd.again();
        world.met().await;
        world.until_all_know("blue").await;
        assert_eq!(traffic::tcp(&second, &address).unwrap().server, "db");
        assert!(talk.goes_on(), "nothing was cut");
        for host in &world.hosts {
            host.assert_agrees().await;
        }
    });
}

#[test]
fn a_host_that_is_cut_off_is_missed_and_comes_back() {
    Hosts::run(2, async |world| {
        world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let web = a.place("blue", "web", ask::endpoint()).await;
        let db = b.place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let _server = Server::tcp(&db, "[::]:80", "db");
        let before = b.address_of("db", "blue").await;
        b.cut();
        let begun = Instant::now();
        a.until("b's endpoints have left", async || a.peers("blue").await.is_empty()).await;
        // etcd itself gives a lease some time more, and looks twice a second.
        assert!(begun.elapsed() < LEASE * 2 + Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(traffic::tcp(&web, &format!("{before}:80")), None);
        // Whatever is given meanwhile, on either side, is nobody else's.
        let mut given = BTreeSet::new();
        for index in 0..20 {
            for host in [a, b] {
                let name = format!("{}{index}", host.name);
                host.place("blue", &name, ask::endpoint()).await;
                let address = host.address_of(&name, "blue").await;
                assert!(given.insert(address.clone()), "{address} is given twice");
            }
            if index == 10 {
                // By then it may have used up its blocks.
                break;
            }
        }
        let held = a.api.delete_network("blue").await.unwrap_err();
        assert_eq!(held.code(), Code::FailedPrecondition, "{held}");
        b.mend();
        world.met().await;
        world.until_all_know("blue").await;
        assert_eq!(b.address_of("db", "blue").await, before);
        // The hosts have to find each other in the underlay first.
        let again = async || traffic::tcp(&web, &format!("{before}:80")).is_some();
        a.until("it answers", again).await;
        for host in &world.hosts {
            host.assert_agrees().await;
        }
    });
}

#[test]
fn a_host_whose_daemon_dies_is_missed_and_its_sandboxes_run_on() {
    Hosts::run(2, async |world| {
        world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        world.hosts[0].place("blue", "web", ask::endpoint()).await;
        world.hosts[1].place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        world.hosts[1].kill9();
        let a = &world.hosts[0];
        a.until("b's endpoints have left", async || a.peers("blue").await.is_empty()).await;
        world.hosts[1].start().await;
        world.met().await;
        world.until_all_know("blue").await;
        // What was deleted while a host was down is not there when it is back.
        world.hosts[1].kill9();
        world.hosts[0].api.disconnect("blue", "web").await.unwrap();
        world.hosts[1].start().await;
        world.until_all_know("blue").await;
        for host in &world.hosts {
            host.assert_agrees().await;
        }
    });
}

#[test]
fn a_changed_clock_matters_nothing() {
    Hosts::run(2, async |world| {
        let b = &mut world.hosts[1];
        b.stop().await;
        b.set_clock("+0");
        b.start().await;
        world.met().await;
        world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        let web = world.hosts[0].place("blue", "web", ask::endpoint()).await;
        let db = world.hosts[1].place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let _server = Server::tcp(&db, "[::]:80", "db");
        let mut addresses = BTreeSet::from([world.hosts[1].address_of("db", "blue").await]);
        let mut talk =
            Conversation::begin(&web, &format!("{}:80", addresses.first().unwrap())).unwrap();
        let here = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        for (name, off, days) in
            [("late", "+400d", 400), ("early", "-400d", -400), ("right", "+0", 0)]
        {
            world.hosts[1].set_clock(off);
            let b = &world.hosts[1];
            b.place("blue", name, ask::endpoint()).await;
            let made = b.api.endpoint(&format!("{name}.blue")).await.unwrap().create_time.unwrap();
            assert!(
                (made.seconds - here - days * 86_400).abs() < 3_600,
                "{name}: {made:?}, {here}"
            );
            assert!(addresses.insert(b.address_of(name, "blue").await), "{addresses:?}");
            // Longer than its lease: it is missed by nobody.
            let begun = Instant::now();
            while begun.elapsed() < LEASE * 2 {
                assert!(world.hosts[0].peers("blue").await.len() >= addresses.len() - 1);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            world.until_all_know("blue").await;
            assert!(talk.goes_on());
            world.hosts[1].kill9();
            world.hosts[1].start().await;
            world.met().await;
            world.until_all_know("blue").await;
            assert!(talk.goes_on());
        }
        for host in &world.hosts {
            host.assert_agrees().await;
        }
    });
}

#[test]
fn no_address_is_given_twice_and_blocks_run_out() {
    Hosts::run(2, async |world| {
        // 16 blocks of 16 addresses would be; this one has 4 of 4.
        world.share("small", ask::network(&["10.1.0.0/28"])).await;
        let (mut given, mut full) = (BTreeSet::new(), BTreeSet::new());
        for index in 0..14 {
            for host in &world.hosts {
                let name = format!("{}{index}", host.name);
                host.api.create_sandbox(&name).await.unwrap();
                match host.api.connect("small", &name, ask::endpoint()).await {
                    Ok(_) => {
                        let address = host.address_of(&name, "small").await;
                        assert!(given.insert(address.clone()), "{address} is given twice");
                    }
                    Err(status) => {
                        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                        full.insert(host.name.clone());
                    }
                }
            }
        }
        // All but the network's own, the gateway's and the broadcast address.
        assert_eq!((given.len(), full.len()), (13, 2));
        // One that another host gives is refused, and named.
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        a.api.disconnect("small", "a0").await.unwrap();
        let free = given.iter().find(|address| address.ends_with(".2")).unwrap();
        b.api.create_sandbox("late").await.unwrap();
        let refused = b.api.connect("small", "late", ask::address(free)).await;
        assert_eq!(refused.unwrap_err().code(), Code::AlreadyExists);
        for host in &world.hosts {
            host.assert_agrees().await;
        }
    });
}

/// A device that is made again knows nothing of what was told to the one before.
#[test]
fn what_somebody_deletes_is_made_again_with_all_it_knew() {
    Hosts::run(2, async |world| {
        let made = world.share("blue", ask::network(&["10.1.0.0/24", "fd00:1::/64"])).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let web = a.place("blue", "web", ask::endpoint()).await;
        let db = b.place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let _server = Server::tcp(&db, "[::]:80", "db");
        let address = format!("{}:80", b.address_of("db", "blue").await);
        let short = made.uid.rsplit('-').next().unwrap().to_owned();
        for device in [format!("vx-{short}"), format!("br-{short}")] {
            a.netns.sh(&format!("ip link del {device}"));
            let again = async || traffic::tcp(&web, &address).is_some();
            a.until(&format!("{device} is back"), again).await;
            a.assert_agrees().await;
        }
        // What is not noticed is found when it is looked for.
        let peer = &a.api.peers("blue").await.unwrap()[0];
        let mac = &peer.mac_address;
        a.netns.sh(&format!("bridge fdb del {mac} dev vx-{short} self"));
        assert!(!a.api.drift().await.unwrap().is_empty());
        assert_eq!(a.cli(&["reconcile"]).code, Some(0));
        assert_eq!(traffic::tcp(&web, &address).unwrap().server, "db");
        a.assert_agrees().await;
    });
}

#[test]
fn what_nobody_can_read_is_counted_and_another_cluster_is_not_ours() {
    Hosts::run(2, async |world| {
        let made = world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        b.place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let etcd = format!("{MIDDLE}:2379");
        let ours = etcd_json::list(&etcd, "/postern/test/v1/");
        let under = |prefix: &str| {
            let mut found = ours.iter().filter(|(key, _)| key.starts_with(prefix));
            found.next().unwrap_or_else(|| panic!("no {prefix}")).clone()
        };
        let uid = "01932c07-a9d0-7000-8abc-0123456789ab";
        let (_, endpoint) = under("/postern/test/v1/endpoints/");
        let newer = String::from_utf8(endpoint.clone()).unwrap().replacen("\"v\":1", "\"v\":2", 1);
        let of = |folder: &str, id: &str| format!("/postern/test/v1/{folder}/{id}");
        etcd_json::put(
            &etcd,
            &[
                (of("networks", uid), b"{}".to_vec()),
                (of("networks", "no-uid"), b"{\"v\":1,\"d\":{}}".to_vec()),
                (of("endpoints", &format!("{}/{uid}", made.uid)), newer.into_bytes()),
                // Readable, and at a key that says something else.
                (
                    of("endpoints", &format!("{}/{}", made.uid, &uid.replace("8abc", "8abd"))),
                    endpoint,
                ),
                (of("policies", "p"), b"\xff".to_vec()),
                (of("whatever", "x"), b"1".to_vec()),
            ],
        );
        // A cluster beside ours, with the same network in it.
        let moved = |(key, value): &(String, Vec<u8>)| {
            (key.replace("/postern/test/", "/postern/other/"), value.clone())
        };
        etcd_json::put(&etcd, &ours.iter().map(moved).collect::<Vec<_>>());
        a.until("they are counted", async || {
            let cluster = a.api.facts().await.unwrap().cluster.unwrap();
            cluster.unreadable_keys == 6
        })
        .await;
        assert!(a.cli(&["status"]).stdout.contains("6 that this version cannot read"));
        assert_eq!(a.peers("blue").await.len(), 1);
        assert_eq!(a.api.list_networks("").await.unwrap().len(), 4);
        assert_eq!(a.api.facts().await.unwrap().cluster.unwrap().nodes.len(), 2);
        a.assert_agrees().await;
        // And work goes on around them.
        a.place("blue", "web", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let found = etcd_json::list(&etcd, "/postern/test/v1/policies/");
        assert_eq!(found, [(of("policies", "p"), b"\xff".to_vec())], "it is left alone");
    });
}

/// A network that cannot be here is said to be so, and is here as soon as it can.
#[test]
fn what_cannot_be_followed_is_told_and_tried_again() {
    Hosts::run(2, async |world| {
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        b.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        a.api.create_network("blue", ask::overlay(&["10.2.0.0/24"])).await.unwrap();
        a.api.create_network("red", ask::overlay(&["10.1.0.128/25"])).await.unwrap();
        let unfollowed = async || b.api.facts().await.unwrap().cluster.unwrap().unfollowed;
        b.until("both are told", async || unfollowed().await.len() == 2).await;
        let told = unfollowed().await.join("\n");
        assert!(told.contains("network `blue`") && told.contains("network `red`"), "{told}");
        assert!(told.contains("10.1.0.0/24"), "{told}");
        b.api.delete_network("blue").await.unwrap();
        b.until("they are here", async || {
            let there = b.api.list_networks("").await.unwrap();
            there.iter().filter(|network| network.scope == "global").count() == 2
        })
        .await;
        b.until("nothing is left", async || unfollowed().await.is_empty()).await;
        b.assert_agrees().await;
    });
}
