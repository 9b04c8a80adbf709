//! Hosts and a real etcd, each test in a network namespace of its own.

mod stage;

use std::time::Duration;

use postern_cluster::ClusterError;
use postern_cluster::mirror::Change;
use postern_cluster::session::Notice;
use postern_model::cluster::Vni;
use stage::{Host, LEASE, Stage, block, network, peer};

#[test]
fn hosts_see_each_other_and_what_they_have() {
    Stage::run(async |stage| {
        let mut a = stage.host(1, "a").await;
        let mut b = stage.host(2, "b").await;
        a.until(|mirror| mirror.nodes().len() == 2).await;
        let shared = a.cluster.claim_network(network("blue")).await.unwrap();
        let web = peer(&a, &shared, "web", "10.0.0.2");
        a.cluster.publish(&web).unwrap();
        b.until(|mirror| mirror.endpoints().eq([&web])).await;
        assert_eq!(b.mirror().networks().values().collect::<Vec<_>>(), [&shared]);
        a.cluster.retract(web.network(), web.id());
        b.until(|mirror| mirror.endpoints().next().is_none()).await;
    });
}

#[test]
fn of_those_that_claim_one_thing_one_has_it() {
    Stage::run(async |stage| {
        let hosts = [stage.host(1, "a").await, stage.host(2, "b").await];
        let [a, b] = &hosts;
        let claims = tokio::join!(
            a.cluster.claim_network(network("blue")),
            b.cluster.claim_network(network("blue")),
        );
        let shared = match claims {
            (Ok(shared), Err(ClusterError::NameTaken(name)))
            | (Err(ClusterError::NameTaken(name)), Ok(shared)) => {
                assert_eq!(name.as_str(), "blue");
                shared
            }
            other => panic!("{other:?}"),
        };
        // A VNI and a block are not asked for by number, so each has one of its own.
        let mut vnis = vec![shared.vni];
        for index in 0..4 {
            let (one, other) = tokio::join!(
                a.cluster.claim_network(network(&format!("a{index}"))),
                b.cluster.claim_network(network(&format!("b{index}"))),
            );
            vnis.extend([one.unwrap().vni, other.unwrap().vni]);
        }
        vnis.sort();
        vnis.dedup();
        assert_eq!(vnis.len(), 9);
        let subnet = "10.0.0.0/24".parse().unwrap();
        let mut blocks = Vec::new();
        for _ in 0..8 {
            let take = |host: &Host| {
                let cluster = host.cluster.clone();
                async move { cluster.take_block(shared.network.id, (subnet, subnet), None).await }
            };
            let (one, other) = tokio::join!(take(a), take(b));
            blocks.extend([one.unwrap(), other.unwrap()]);
        }
        blocks.sort();
        blocks.dedup();
        assert_eq!(blocks.len(), 16);
        let none = a.cluster.take_block(shared.network.id, (subnet, subnet), None).await;
        assert!(matches!(none, Err(ClusterError::NoBlockFree { .. })), "{none:?}");
    });
}

#[test]
fn a_wanted_address_is_had_where_its_block_is_nobody_elses() {
    Stage::run(async |stage| {
        let (a, b) = (stage.host(1, "a").await, stage.host(2, "b").await);
        let shared = a.cluster.claim_network(network("blue")).await.unwrap();
        let subnet = "10.0.0.0/24".parse().unwrap();
        let wanted = block("10.0.0.16/28");
        let take = async |host: &Host| {
            host.cluster.take_block(shared.network.id, (subnet, subnet), Some(wanted)).await
        };
        assert_eq!(take(&a).await.unwrap(), wanted);
        assert_eq!(take(&a).await.unwrap(), wanted);
        match take(&b).await {
            Err(ClusterError::BlockTaken { block, node }) => {
                assert_eq!((block, node), (wanted, a.cluster.node()));
            }
            other => panic!("{other:?}"),
        }
        a.cluster.release_network(&shared).await.unwrap();
        let gone = take(&b).await;
        assert!(matches!(gone, Err(ClusterError::Changed(_))), "{gone:?}");
    });
}

#[test]
fn a_network_is_changed_as_it_was_read_and_released_when_nobody_uses_it() {
    Stage::run(async |stage| {
        let (a, b) = (stage.host(1, "a").await, stage.host(2, "b").await);
        let first = a.cluster.claim_network(network("blue")).await.unwrap();
        let mut second = first.clone();
        second.network.spec.icc = false;
        b.cluster.change_network(&first, &second).await.unwrap();
        let stale = a.cluster.change_network(&first, &first).await;
        assert!(matches!(stale, Err(ClusterError::Changed(_))), "{stale:?}");
        let mut b = b;
        let web = peer(&a, &second, "web", "10.0.0.2");
        a.cluster.publish(&web).unwrap();
        b.until(|mirror| mirror.endpoints().next().is_some()).await;
        let used = b.cluster.release_network(&second).await;
        assert!(matches!(used, Err(ClusterError::InUse)), "{used:?}");
        a.cluster.retract(web.network(), web.id());
        b.until(|mirror| mirror.endpoints().next().is_none()).await;
        b.cluster.release_network(&second).await.unwrap();
        b.cluster.release_network(&second).await.unwrap();
        b.until(|mirror| mirror.networks().is_empty() && mirror.blocks().is_empty()).await;
        let again = a.cluster.claim_network(network("blue")).await.unwrap();
        assert!(again.vni >= Vni::MIN);
    });
}

#[test]
fn while_etcd_is_away_requests_fail_at_once_and_what_is_ones_own_is_told_later() {
    Stage::run(async |stage| {
        let (mut a, mut b) = (stage.host(1, "a").await, stage.host(2, "b").await);
        let shared = a.cluster.claim_network(network("blue")).await.unwrap();
        let [web, db] = [("web", "10.0.0.2"), ("db", "10.0.0.3")]
            .map(|(name, address)| peer(&a, &shared, name, address));
        a.cluster.publish(&web).unwrap();
        b.until(|mirror| mirror.endpoints().next().is_some()).await;
        stage.kill_etcd();
        a.until_away().await;
        b.until_away().await;
        let begun = std::time::Instant::now();
        let refused = a.cluster.claim_network(network("red")).await;
        assert!(matches!(refused, Err(ClusterError::Away { .. })), "{refused:?}");
        assert!(begun.elapsed() < Duration::from_millis(500));
        a.cluster.publish(&db).unwrap();
        a.cluster.retract(web.network(), web.id());
        stage.start_etcd().await;
        b.until(|mirror| mirror.endpoints().eq([&db])).await;
        assert_eq!(b.mirror().networks().len(), 1);
        a.until(|mirror| mirror.networks().len() == 1).await;
        a.cluster.claim_network(network("red")).await.unwrap();
    });
}

#[test]
fn a_lost_lease_is_replaced_and_everything_put_again() {
    Stage::run(async |stage| {
        let (a, mut b) = (stage.host(1, "a").await, stage.host(2, "b").await);
        let shared = a.cluster.claim_network(network("blue")).await.unwrap();
        let web = peer(&a, &shared, "web", "10.0.0.2");
        a.cluster.publish(&web).unwrap();
        b.until(|mirror| mirror.endpoints().next().is_some()).await;
        stage.revoke_leases().await;
        let gone = b.until_told(|change| matches!(change, Change::EndpointGone(..))).await;
        assert_eq!(gone, Change::EndpointGone(web.network(), web.id()));
        b.until(|mirror| mirror.nodes().len() == 2 && mirror.endpoints().eq([&web])).await;
    });
}

/// Cut off while others change what it knows and etcd forgets how: it takes over what there
/// is, changed peers too, and none of its own is gone.
#[test]
fn who_was_cut_off_over_a_compaction_finds_what_changed() {
    Stage::run(async |stage| {
        let mut a = stage.host(1, "a").await;
        let (mut b, cut) = stage.host_behind_a_relay(2, "b").await;
        let shared = a.cluster.claim_network(network("blue")).await.unwrap();
        let mut web = peer(&a, &shared, "web", "10.0.0.2");
        let db = peer(&a, &shared, "db", "10.0.0.3");
        let own = peer(&b, &shared, "own", "10.0.0.4");
        [&web, &db].iter().for_each(|one| a.cluster.publish(one).unwrap());
        b.cluster.publish(&own).unwrap();
        b.until(|mirror| mirror.endpoints().count() == 3).await;
        cut.close();
        b.until_away().await;
        // Its lease ends, and with it what others know of it.
        a.until(|mirror| mirror.endpoints().count() == 2 && mirror.nodes().len() == 1).await;
        web.endpoint.mac = "02:00:00:00:00:77".parse().unwrap();
        a.cluster.publish(&web).unwrap();
        a.cluster.retract(db.network(), db.id());
        a.until(|mirror| mirror.endpoints().eq([&web])).await;
        stage.compact().await;
        cut.open();
        let mut expected = [&web, &own];
        expected.sort_by_key(|one| one.id());
        b.until(|mirror| mirror.endpoints().eq(expected)).await;
        a.until(|mirror| mirror.endpoints().eq(expected)).await;
    });
}

#[test]
fn a_host_that_dies_leaves_with_its_lease_and_keeps_its_blocks() {
    Stage::run(async |stage| {
        let mut a = stage.host(1, "a").await;
        let b = stage.host(2, "b").await;
        let shared = b.cluster.claim_network(network("blue")).await.unwrap();
        let subnet = "10.0.0.0/24".parse().unwrap();
        let taken = b.cluster.take_block(shared.network.id, (subnet, subnet), None).await.unwrap();
        b.cluster.publish(&peer(&b, &shared, "web", "10.0.0.2")).unwrap();
        a.until(|mirror| mirror.endpoints().next().is_some()).await;
        let (node, begun) = (b.cluster.node(), std::time::Instant::now());
        drop(b);
        a.until(|mirror| mirror.endpoints().next().is_none() && mirror.nodes().len() == 1).await;
        assert!(begun.elapsed() < LEASE * 3, "{:?}", begun.elapsed());
        assert_eq!(a.mirror().blocks().get(&(shared.network.id, taken)), Some(&node));
        let again = a.cluster.take_block(shared.network.id, (subnet, subnet), Some(taken)).await;
        assert!(matches!(again, Err(ClusterError::BlockTaken { .. })), "{again:?}");
    });
}

#[test]
fn what_an_earlier_life_has_left_is_put_away() {
    Stage::run(async |stage| {
        let (a, mut b) = (stage.host(1, "a").await, stage.host(2, "b").await);
        let shared = a.cluster.claim_network(network("blue")).await.unwrap();
        let [web, db] = [("web", "10.0.0.2"), ("db", "10.0.0.3")]
            .map(|(name, address)| peer(&a, &shared, name, address));
        [&web, &db].iter().for_each(|one| a.cluster.publish(one).unwrap());
        b.until(|mirror| mirror.endpoints().count() == 2).await;
        drop(a);
        // Back before the lease is over, with one endpoint less.
        let a = stage.host_with(1, "a", &[&web]).await;
        let gone = b.until_told(|change| matches!(change, Change::EndpointGone(..))).await;
        assert_eq!(gone, Change::EndpointGone(db.network(), db.id()));
        // The old lease ends, and nothing hangs on it any more.
        tokio::time::sleep(LEASE * 2).await;
        b.drain();
        assert!(b.mirror().endpoints().eq([&web]) && b.mirror().nodes().len() == 2);
        drop(a);
    });
}

#[test]
fn what_cannot_be_read_is_counted_and_clusters_do_not_see_each_other() {
    Stage::run(async |stage| {
        let a = stage.host(1, "a").await;
        let shared = a.cluster.claim_network(network("blue")).await.unwrap();
        stage.put("/postern/test/v1/what/ever", "{}").await;
        stage.put("/postern/test/v1/nodes/00000000000000ff", "not JSON").await;
        let newer = r#"{"v":2,"d":{"new":true}}"#;
        stage.put("/postern/test/v1/nodes/00000000000000fe", newer).await;
        stage.put("/postern/other/v1/nodes/00000000000000fd", "{}").await;
        let mut b = stage.host(2, "b").await;
        assert_eq!(b.mirror().unreadable().len(), 3);
        b.until(|mirror| mirror.nodes().len() == 2 && mirror.networks().len() == 1).await;
        let other = stage.host_of("other", 1, "a").await;
        assert!(other.mirror().networks().is_empty());
        let same = other.cluster.claim_network(shared.network.clone()).await.unwrap();
        assert_eq!(same.network, shared.network);
    });
}

#[test]
fn where_there_is_no_etcd_nobody_waits_for_it() {
    Stage::run(async |stage| {
        stage.kill_etcd();
        let (cluster, mut told) = stage.join("test", 1, "a", &[]);
        let refused = cluster.claim_network(network("blue")).await;
        assert!(matches!(refused, Err(ClusterError::Away { .. })), "{refused:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(told.try_recv().is_err(), "nothing was lost, as nothing was there");
        stage.start_etcd().await;
        assert!(matches!(told.recv().await, Some(Notice::Connected)));
    });
}
