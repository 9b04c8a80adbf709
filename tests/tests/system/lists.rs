//! Lists: pages, filters, prune.

use postern_proto::v1::{
    Filter, ListEndpointsRequest, ListNetworksRequest, ListSandboxesRequest, NetworkSpec,
    PageRequest, PruneNetworksRequest,
};
use postern_tests::{Refusal, World, ask, labels};
use tonic::Code;

#[test]
fn pages_follow_each_other_by_name() {
    World::run(async |world| {
        for index in (0..7).rev() {
            world.api.create_sandbox(&format!("s{index}")).await.unwrap();
        }
        let (mut names, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = Some(PageRequest { size: 3, token });
            let request = ListSandboxesRequest { page, ..Default::default() };
            let answer = world.api.sandboxes.list(request).await.unwrap().into_inner();
            names.extend(answer.sandboxes.into_iter().map(|sandbox| sandbox.name));
            (token, pages) = (answer.next_token, pages + 1);
            if token.is_empty() {
                break;
            }
            assert!(pages < 10, "the pages never end");
        }
        assert_eq!(names, ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]);
        assert_eq!(pages, 3);
        for (size, token) in [(1001, ""), (3, "no such token")] {
            let page = Some(PageRequest { size, token: token.into() });
            let request = ListSandboxesRequest { page, ..Default::default() };
            let refusal = Refusal::expect(world.api.sandboxes.list(request).await);
            let field = if size > 1000 { "page.size" } else { "page.token" };
            refusal.assert(Code::InvalidArgument, field);
        }
    });
}

#[test]
fn filters_choose_by_name_and_label() {
    World::run(async |world| {
        for (name, subnet, team) in [
            ("blue", "10.1.0.0/24", "a"),
            ("red", "10.2.0.0/24", "a"),
            ("green", "10.3.0.0/24", "b"),
        ] {
            let labels = labels(&[("team", team)]);
            let spec = NetworkSpec { labels, ..ask::network(&[subnet]) };
            world.api.create_network(name, spec).await.unwrap();
        }
        let red = world.api.network("red").await.unwrap().uid;
        for (filter, expected) in [
            (Filter { names: vec!["blue".into(), red], ..Default::default() }, vec!["blue", "red"]),
            (
                Filter { labels: labels(&[("team", "a")]), ..Default::default() },
                vec!["blue", "red"],
            ),
            (
                Filter { labels: labels(&[("team", "")]), ..Default::default() },
                vec!["blue", "green", "red"],
            ),
            (Filter { names: vec!["green".into()], labels: labels(&[("team", "a")]) }, Vec::new()),
        ] {
            let request = ListNetworksRequest { filter: Some(filter), ..Default::default() };
            let answer = world.api.networks.list(request).await.unwrap().into_inner();
            let names: Vec<_> = answer.networks.into_iter().map(|network| network.name).collect();
            assert_eq!(names, expected);
        }
        let request = ListNetworksRequest { driver: "null".into(), ..Default::default() };
        let answer = world.api.networks.list(request).await.unwrap().into_inner();
        let names: Vec<_> = answer.networks.into_iter().map(|network| network.name).collect();
        assert_eq!(names, ["none"]);
    });
}

#[test]
fn endpoints_are_listed_by_network_and_sandbox() {
    World::run(async |world| {
        for (name, subnet) in [("blue", "10.1.0.0/24"), ("red", "10.2.0.0/24")] {
            world.api.create_network(name, ask::network(&[subnet])).await.unwrap();
        }
        world.place("blue", "a", ask::endpoint()).await;
        world.place("blue", "b", ask::endpoint()).await;
        world.api.connect("red", "b", ask::endpoint()).await.unwrap();
        for (network, sandbox, expected) in [
            ("blue", "", vec!["a.blue", "b.blue"]),
            ("", "b", vec!["b.blue", "b.red"]),
            ("red", "b", vec!["b.red"]),
            ("red", "a", vec![]),
        ] {
            let request = ListEndpointsRequest {
                network: network.into(),
                sandbox: sandbox.into(),
                ..Default::default()
            };
            let answer = world.api.endpoints.list(request).await.unwrap().into_inner();
            let names: Vec<_> = answer.endpoints.into_iter().map(|one| one.name).collect();
            assert_eq!(names, expected);
        }
        assert_eq!(world.api.network("blue").await.unwrap().endpoint_count, 2);
        let request = ListEndpointsRequest { network: "nope".into(), ..Default::default() };
        let refusal = Refusal::expect(world.api.endpoints.list(request).await);
        assert_eq!(refusal.code, Code::NotFound);
    });
}

#[test]
fn prune_takes_what_is_unused_and_matches() {
    World::run(async |world| {
        for (name, subnet, team) in [
            ("blue", "10.1.0.0/24", "a"),
            ("red", "10.2.0.0/24", "a"),
            ("green", "10.3.0.0/24", "b"),
        ] {
            let labels = labels(&[("team", team)]);
            let spec = NetworkSpec { labels, ..ask::network(&[subnet]) };
            world.api.create_network(name, spec).await.unwrap();
        }
        world.place("blue", "a", ask::endpoint()).await;
        let filter = Some(Filter { labels: labels(&[("team", "a")]), ..Default::default() });
        let request = PruneNetworksRequest { filter, validate_only: true, ..Default::default() };
        let before = world.snapshot().await;
        let names = world.api.networks.prune(request.clone()).await.unwrap().into_inner().names;
        assert_eq!(names, ["red"]);
        assert_eq!(world.snapshot().await, before);
        let request = PruneNetworksRequest { validate_only: false, ..request };
        assert_eq!(world.api.networks.prune(request).await.unwrap().into_inner().names, ["red"]);
        let long_ago = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
        let request = PruneNetworksRequest { created_before: long_ago, ..Default::default() };
        let pruned = world.api.networks.prune(request).await.unwrap().into_inner().names;
        assert_eq!(pruned, Vec::<String>::new());
        let request = PruneNetworksRequest::default();
        assert_eq!(world.api.networks.prune(request).await.unwrap().into_inner().names, ["green"]);
        let left = world.api.list_networks("").await.unwrap();
        let left: Vec<_> = left.into_iter().map(|network| network.name).collect();
        assert_eq!(left, ["blue", "bridge", "host", "none"]);
        world.assert_agrees().await;
    });
}
