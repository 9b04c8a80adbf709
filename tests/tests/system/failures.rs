//! What fails midway leaves nothing behind.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use postern_proto::v1::{DisconnectRequest, EndpointSpec};
use postern_tests::command::sh;
use postern_tests::traffic::{Conversation, Server};
use postern_tests::{HOST4, Refusal, World, ask};
use tonic::Code;

/// How long the kernel may take to follow what was taken back.
const REPAIR_LIMIT: Duration = Duration::from_secs(10);

fn called(interface: &str) -> EndpointSpec {
    EndpointSpec {
        interface_name: interface.into(),
        ..ask::publish(&[ask::tcp(8080, 80), ask::udp(0, 53)])
    }
}

#[test]
fn an_interface_name_taken_inside_undoes_the_whole_connection() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.api.create_sandbox("a").await.unwrap();
        let inside = world.sandbox("a").await;
        inside.sh("ip link add front type bridge");
        let before = world.snapshot().await;
        for _ in 0..3 {
            let refusal = Refusal::expect(world.api.connect("blue", "a", called("front")).await);
            refusal.assert(Code::FailedPrecondition, "spec.interface_name");
            assert_eq!(world.snapshot().await, before);
        }
        assert!(TcpListener::bind(("0.0.0.0", 8080)).is_ok(), "the port is held");
        world.assert_agrees().await;
        inside.sh("ip link del front");
        // The address was not used up either.
        let made = world.api.connect("blue", "a", called("front")).await.unwrap();
        assert_eq!(made.interface_name, "front");
        world.assert_agrees().await;
    });
}

#[test]
fn a_namespace_that_is_gone_is_named_and_can_be_cleaned_up() {
    World::run(async |world| {
        sh("ip netns add theirs");
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.api.create_sandbox_as("a", ask::adopt("/run/netns/theirs")).await.unwrap();
        world.api.create_sandbox_as("b", ask::host()).await.unwrap();
        sh("ip netns del theirs");
        let before = world.snapshot().await;
        let refusal = Refusal::expect(world.api.connect("blue", "a", ask::endpoint()).await);
        refusal.assert(Code::FailedPrecondition, "");
        // Another namespace at the same path is not the sandbox.
        sh("ip netns add theirs");
        let refusal = Refusal::expect(world.api.connect("blue", "a", ask::endpoint()).await);
        refusal.assert(Code::FailedPrecondition, "");
        assert_eq!(world.snapshot().await, before);
        world.api.delete_sandbox("a", false).await.unwrap();
    });
}

#[test]
fn an_endpoint_whose_namespace_died_can_be_disconnected() {
    World::run(async |world| {
        sh("ip netns add theirs");
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.api.create_sandbox_as("a", ask::adopt("/run/netns/theirs")).await.unwrap();
        world.api.connect("blue", "a", ask::publish(&[ask::tcp(8080, 80)])).await.unwrap();
        sh("ip netns del theirs");
        world.api.disconnect("blue", "a").await.unwrap();
        world.api.delete_sandbox("a", true).await.unwrap();
        world.api.delete_network("blue").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn a_full_bridge_refuses_one_more_port() {
    World::run(async |world| {
        sh("ip link add adopted0 type bridge");
        sh("ip link set adopted0 up");
        let spec = ask::with_option(ask::network(&["10.1.0.0/16"]), "bridge-name", "adopted0");
        world.api.create_network("blue", spec).await.unwrap();
        // All but one of the 1,023 ports are somebody else's.
        let mut batch = String::new();
        for index in 0..511 {
            batch.push_str(&format!("link add x{index} type veth peer name y{index}\n"));
            batch.push_str(&format!("link set x{index} master adopted0\n"));
            batch.push_str(&format!("link set y{index} master adopted0\n"));
        }
        std::fs::write("/run/batch", batch).unwrap();
        sh("ip -batch /run/batch");
        world.place("blue", "last", ask::endpoint()).await;
        world.api.create_sandbox("late").await.unwrap();
        let before = world.snapshot().await;
        let refusal = Refusal::expect(world.api.connect("blue", "late", called("eth0")).await);
        refusal.assert(Code::ResourceExhausted, "");
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn what_the_disk_refuses_is_as_it_was() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.api.create_sandbox("a").await.unwrap();
        world.api.create_sandbox("b").await.unwrap();
        world.api.connect("blue", "a", ask::publish(&[ask::tcp(8080, 80)])).await.unwrap();
        // The pair itself may be another one by then: it was gone when the disk refused.
        let before = world.api.list_endpoints().await.unwrap();
        let attempts = ["store.commit", "store.flush"].map(|place| [(place, true), (place, false)]);
        for (place, deletes) in attempts.into_iter().flatten() {
            world.kill9();
            world.try_start(&format!("{place}=1*return(EIO)")).await.unwrap();
            let refusal = if deletes {
                Refusal::expect(world.api.disconnect("blue", "a").await)
            } else {
                let other = ask::publish(&[ask::tcp(9090, 80)]);
                Refusal::expect(world.api.connect("blue", "b", other).await)
            };
            refusal.assert(Code::Internal, "");
            let begun = Instant::now();
            while !world.api.drift().await.unwrap().is_empty() {
                assert!(begun.elapsed() < REPAIR_LIMIT, "{place}: the kernel does not follow");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let bound = [8080, 9090].map(|port| TcpListener::bind(("0.0.0.0", port)).is_ok());
            assert_eq!(bound, [false, true], "{place}: the ports that are held");
            world.assert_agrees().await;
            assert_eq!(world.api.list_endpoints().await.unwrap(), before);
            world.restart().await;
            world.assert_agrees().await;
            assert_eq!(world.api.list_endpoints().await.unwrap(), before);
        }
        world.api.disconnect("blue", "a").await.unwrap();
        world.api.connect("blue", "b", called("eth0")).await.unwrap();
        world.assert_agrees().await;
    });
}

#[test]
fn a_disk_that_fails_for_good_has_everything_refused_before_it_is_begun() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let web = world.place("blue", "web", ask::publish(&[ask::tcp(8080, 80)])).await;
        world.api.create_sandbox("other").await.unwrap();
        let _server = Server::tcp(&web, "0.0.0.0:80", "web");
        world.kill9();
        world.try_start("store.broken=1*return(EIO)").await.unwrap();
        Refusal::expect(world.api.connect("blue", "other", ask::endpoint()).await)
            .assert(Code::Internal, "");
        let mut talk = Conversation::begin(&world.outside, &format!("{HOST4}:8080")).unwrap();
        let before = world.snapshot().await;
        for _ in 0..3 {
            // The same request again: what was refused is not told as if it were done.
            let request = DisconnectRequest {
                endpoint: "web.blue".into(),
                request_id: "away".into(),
                ..DisconnectRequest::default()
            };
            let refused = world.api.endpoints.clone().disconnect(request).await;
            Refusal::expect(refused.map(drop)).assert(Code::Internal, "");
            assert_eq!(world.snapshot().await, before);
            assert!(talk.goes_on(), "what the disk cannot keep was begun");
        }
        world.assert_agrees().await;
        world.restart().await;
        world.api.connect("blue", "other", ask::endpoint()).await.unwrap();
        world.api.disconnect("blue", "web").await.unwrap();
        world.assert_agrees().await;
    });
}

#[test]
fn a_flow_that_began_under_what_the_disk_refused_ends() {
    World::run(async |world| {
        let spec = || ask::apart(ask::network(&["10.1.0.0/24"]));
        world.api.create_network("blue", spec()).await.unwrap();
        let bob = world.place("blue", "bob", ask::endpoint()).await;
        let eve = world.place("blue", "eve", ask::endpoint()).await;
        let _server = Server::tcp(&bob, "0.0.0.0:80", "bob");
        let address = world.api.endpoint("bob.blue").await.unwrap().ipv4_address;
        let to = format!("{}:80", address.split('/').next().unwrap());
        world.kill9();
        // The kernel has it at once; the disk takes its time, and refuses.
        world.try_start("store.commit=1*sleep(1500);store.flush=1*return(EIO)").await.unwrap();
        let found = world.api.network("blue").await.unwrap();
        let request = postern_proto::v1::UpdateNetworkRequest {
            network: "blue".into(),
            spec: Some(ask::network(&["10.1.0.0/24"])),
            revision: found.revision,
            ..Default::default()
        };
        let mut networks = world.api.networks.clone();
        let opened = tokio::spawn(async move { networks.update(request).await });
        let begun = Instant::now();
        let mut talk = None;
        while talk.is_none() && !opened.is_finished() {
            assert!(begun.elapsed() < REPAIR_LIMIT);
            tokio::time::sleep(Duration::from_millis(20)).await;
            talk = Conversation::begin(&eve, &to);
        }
        let mut talk = talk.expect("nothing was opened");
        assert!(opened.await.unwrap().is_err());
        assert!(!talk.goes_on(), "it goes on though it may not begin");
        assert!(Conversation::begin(&eve, &to).is_none());
        world.restart().await;
        world.assert_agrees().await;
    });
}
