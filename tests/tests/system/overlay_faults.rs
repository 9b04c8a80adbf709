//! Hosts that share a network, and what may befall them: etcd away, a host that dies, one
//! that is cut off and comes back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{Hosts, LEASE, ask};
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
            a.api.delete_network("blue").await.map_err(|status| status),
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
