//! Events: in order, resumable, and honest about what was lost.

use postern_proto::v1::watch_events_response::Item;
use postern_proto::v1::{ObjectKind, WatchEventsRequest};
use postern_tests::{Refusal, World, ask};
use tonic::Code;

#[test]
fn every_change_is_told_in_order() {
    World::run(async |world| {
        let mut stream = world.api.watch(None).await.unwrap();
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.place("blue", "a", ask::endpoint()).await;
        world.api.disconnect("blue", "a").await.unwrap();
        world.api.delete_sandbox("a", false).await.unwrap();
        world.api.delete_network("blue").await.unwrap();
        let mut told = Vec::new();
        while told.last().map(String::as_str) != Some("network deleted blue") {
            assert!(told.len() < 20, "{told:?}");
            told.push(stream.short().await);
        }
        let place = |what: &str| {
            let found = told.iter().position(|one| one == what);
            found.unwrap_or_else(|| panic!("`{what}` is not in {told:?}"))
        };
        let order = [
            "network created blue",
            "sandbox created a",
            "endpoint joined a.blue",
            "endpoint deleted a.blue",
            "sandbox deleted a",
            "network deleted blue",
        ]
        .map(place);
        assert!(order.is_sorted(), "{told:?}");
    });
}

#[test]
fn a_reader_resumes_after_the_generation_it_had() {
    World::run(async |world| {
        world.api.create_sandbox("a").await.unwrap();
        let seen = world.api.facts().await.unwrap().generation;
        world.api.create_sandbox("b").await.unwrap();
        world.api.create_sandbox("c").await.unwrap();
        let mut stream = world.api.watch(Some(seen)).await.unwrap();
        assert_eq!(stream.short().await, "sandbox created b");
        assert_eq!(stream.short().await, "sandbox created c");
        world.api.delete_sandbox("a", false).await.unwrap();
        assert_eq!(stream.short().await, "sandbox deleted a");

        // The same after a crash.
        world.restart().await;
        let mut stream = world.api.watch(Some(seen)).await.unwrap();
        assert_eq!(stream.short().await, "sandbox created b");
    });
}

#[test]
fn only_the_kinds_that_were_asked_for() {
    World::run(async |world| {
        let kinds = vec![ObjectKind::Network.into()];
        let request = WatchEventsRequest { after_generation: None, kinds };
        let mut stream = world.api.events.watch(request).await.unwrap().into_inner();
        world.api.create_sandbox("a").await.unwrap();
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let Some(Item::Event(event)) = stream.message().await.unwrap().unwrap().item else {
            panic!("no event");
        };
        assert_eq!((event.kind(), event.name.as_str()), (ObjectKind::Network, "blue"));
    });
}

#[test]
fn the_future_cannot_be_resumed_from() {
    World::run(async |world| {
        let future = world.api.facts().await.unwrap().generation + 1000;
        let refusal = match world.api.watch(Some(future)).await {
            Err(status) => Refusal::of(&status),
            Ok(mut stream) => Refusal::expect(stream.next().await),
        };
        assert_eq!(refusal.code, Code::OutOfRange, "{refusal:?}");
    });
}

#[test]
fn a_reader_from_too_long_ago_is_told_what_it_lost() {
    World::run(async |world| {
        let seen = world.api.facts().await.unwrap().generation;
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let mut network = world.api.network("blue").await.unwrap();
        for _ in 0..4100 {
            let request = postern_proto::v1::UpdateNetworkRequest {
                network: "blue".into(),
                spec: network.spec.clone().map(|mut spec| {
                    spec.labels.insert("turn".into(), network.revision.to_string());
                    spec
                }),
                revision: network.revision,
                ..Default::default()
            };
            let answer = world.api.networks.update(request).await.unwrap().into_inner();
            network = answer.network.unwrap();
        }
        let mut stream = world.api.watch(Some(seen)).await.unwrap();
        let Ok(Some(Item::Lost(lost))) = stream.next().await else { panic!("nothing was lost") };
        assert!(lost.first_available > seen);
        let Ok(Some(Item::Event(event))) = stream.next().await else { panic!("nothing follows") };
        assert_eq!(event.generation, lost.first_available);
    });
}
