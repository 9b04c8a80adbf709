//! Endpoints: the CNM verbs, what an endpoint brings, several of them in one sandbox.

use postern_proto::v1::{
    CreateEndpointRequest, DeleteEndpointRequest, EndpointSpec, JoinEndpointRequest,
    LeaveEndpointRequest, UpdateEndpointRequest,
};
use postern_tests::{HOST4, OUTSIDE4, Refusal, World, ask, labels, traffic};
use tonic::Code;

#[test]
fn create_join_leave_delete() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let inside = world.api.create_sandbox("a").await.unwrap();
        let inside = postern_tests::Netns::open(inside.netns_path);
        let mut endpoints = world.api.endpoints.clone();

        let create = CreateEndpointRequest {
            name: "port".into(),
            network: "blue".into(),
            ..Default::default()
        };
        let made = endpoints.create(create).await.unwrap().into_inner().endpoint.unwrap();
        assert_eq!((made.sandbox.as_str(), made.interface_name.as_str()), ("", ""));
        assert!(!made.ipv4_address.is_empty());
        world.assert_agrees().await;

        let join = JoinEndpointRequest {
            endpoint: "port".into(),
            sandbox: "a".into(),
            ..Default::default()
        };
        let joined = endpoints.join(join.clone()).await.unwrap().into_inner().endpoint.unwrap();
        assert_eq!((joined.sandbox.as_str(), joined.interface_name.as_str()), ("a", "eth0"));
        assert_eq!(joined.ipv4_address, made.ipv4_address);
        let shown = inside.sh("ip -o addr show dev eth0");
        assert!(shown.contains(&made.ipv4_address), "{shown}");
        world.assert_agrees().await;

        let twice = Refusal::expect(endpoints.join(join.clone()).await);
        assert_eq!(twice.code, Code::FailedPrecondition);
        let delete = DeleteEndpointRequest { endpoint: "port".into(), ..Default::default() };
        let joined_still = Refusal::expect(endpoints.delete(delete.clone()).await);
        assert_eq!(joined_still.code, Code::FailedPrecondition);

        let leave = LeaveEndpointRequest { endpoint: "port".into(), ..Default::default() };
        let left = endpoints.leave(leave.clone()).await.unwrap().into_inner().endpoint.unwrap();
        assert_eq!((left.sandbox.as_str(), left.ipv4_address), ("", made.ipv4_address.clone()));
        inside.assert_without("eth0");
        let twice = Refusal::expect(endpoints.leave(leave).await);
        assert_eq!(twice.code, Code::FailedPrecondition);
        world.assert_agrees().await;

        // At once again, under the same interface name and with the same address.
        let again = endpoints.join(join).await.unwrap().into_inner().endpoint.unwrap();
        assert_eq!(
            (again.interface_name.as_str(), again.ipv4_address),
            ("eth0", made.ipv4_address)
        );
        let leave = LeaveEndpointRequest { endpoint: "port".into(), ..Default::default() };
        endpoints.leave(leave).await.unwrap();
        endpoints.delete(delete).await.unwrap();
        world.api.delete_sandbox("a", false).await.unwrap();
        world.api.delete_network("blue").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn address_mac_and_interface_name_may_be_fixed() {
    World::run(async |world| {
        let spec = ask::network(&["10.1.0.0/24", "fd00:1::/64"]);
        world.api.create_network("blue", spec).await.unwrap();
        let spec = EndpointSpec {
            ipv4_address: "10.1.0.77".into(),
            ipv6_address: "fd00:1::77".into(),
            mac_address: "02:00:5e:00:53:01".into(),
            interface_name: "front".into(),
            ..Default::default()
        };
        let inside = world.place("blue", "a", spec).await;
        let made = world.api.endpoint("a.blue").await.unwrap();
        assert_eq!(made.ipv4_address, "10.1.0.77/24");
        assert_eq!(made.ipv6_address, "fd00:1::77/64");
        assert_eq!(made.interface_name, "front");
        let link = inside.sh("ip -o link show front");
        assert!(link.contains("02:00:5e:00:53:01"), "{link}");
        let addresses = inside.sh("ip -o addr show dev front");
        assert!(addresses.contains("10.1.0.77/24") && addresses.contains("fd00:1::77/64"));
        world.assert_agrees().await;
    });
}

#[test]
fn endpoints_reach_neighbours_and_the_world() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let a = world.place("blue", "a", ask::address("10.1.0.11")).await;
        let b = world.place("blue", "b", ask::address("10.1.0.12")).await;
        let _tcp = traffic::Server::tcp(&b, "0.0.0.0:80", "b");
        let _udp = traffic::Server::udp(&b, "0.0.0.0:53", "b-udp");
        let answer = traffic::tcp(&a, "10.1.0.12:80").unwrap();
        assert_eq!(
            (answer.server.as_str(), answer.seen_from.to_string()),
            ("b", "10.1.0.11".into())
        );
        assert_eq!(traffic::udp(&a, "10.1.0.12:53").unwrap().server, "b-udp");
        assert!(traffic::tcp(&world.host, "10.1.0.12:80").is_some(), "from the host itself");
        let _out = traffic::Server::tcp(&world.outside, "0.0.0.0:80", "outside");
        let seen = traffic::tcp(&a, &format!("{OUTSIDE4}:80")).unwrap().seen_from;
        assert_eq!(seen.to_string(), HOST4);
    });
}

fn default_via(listing: &str) -> &str {
    listing.split_whitespace().nth(2).unwrap_or_default()
}

#[test]
fn the_highest_priority_gives_the_default_route() {
    World::run(async |world| {
        for (name, subnet) in [("aa", "10.1.0.0/24"), ("bb", "10.2.0.0/24"), ("cc", "10.3.0.0/24")]
        {
            world.api.create_network(name, ask::network(&[subnet])).await.unwrap();
        }
        let inside = world.place("bb", "box", ask::endpoint()).await;
        let route = || inside.sh("ip route show default");
        assert_eq!(default_via(&route()), "10.2.0.1");
        // Among equals the network whose name sorts first.
        world.api.connect("aa", "box", ask::endpoint()).await.unwrap();
        assert_eq!(default_via(&route()), "10.1.0.1");
        let first = EndpointSpec { gateway_priority: 5, ..Default::default() };
        let made = world.api.connect("cc", "box", first).await.unwrap();
        assert_eq!(made.interface_name, "eth2");
        assert_eq!(default_via(&route()), "10.3.0.1");
        world.assert_agrees().await;
        world.api.disconnect("cc", "box").await.unwrap();
        assert_eq!(default_via(&route()), "10.1.0.1");
        world.api.disconnect("aa", "box").await.unwrap();
        assert_eq!(default_via(&route()), "10.2.0.1");
        world.api.disconnect("bb", "box").await.unwrap();
        inside.assert_without("eth0");
        assert_eq!(route(), "");
        world.assert_agrees().await;
    });
}

#[test]
fn labels_and_aliases_change_while_it_lives() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let spec = EndpointSpec { labels: labels(&[("app", "web")]), ..Default::default() };
        world.place("blue", "a", spec).await;
        let made = world.api.endpoint("a.blue").await.unwrap();
        assert_eq!(made.spec.as_ref().unwrap().labels, labels(&[("app", "web")]));
        let request = UpdateEndpointRequest {
            endpoint: "a.blue".into(),
            aliases: vec!["web".into()],
            labels: labels(&[("app", "api")]),
            revision: made.revision,
            ..Default::default()
        };
        let changed = world.api.endpoints.update(request.clone()).await.unwrap();
        let changed = changed.into_inner().endpoint.unwrap();
        let spec = changed.spec.unwrap();
        assert_eq!(
            (spec.labels, spec.aliases),
            (labels(&[("app", "api")]), vec!["web".to_owned()])
        );
        let stale = Refusal::expect(world.api.endpoints.update(request).await);
        assert_eq!(stale.code, Code::Aborted);
        world.assert_agrees().await;
    });
}

#[test]
fn the_name_of_a_connection_is_made_of_sandbox_and_network() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.place("blue", "a", ask::endpoint()).await;
        let made = world.api.endpoint("a.blue").await.unwrap();
        assert_eq!((made.network.as_str(), made.sandbox.as_str()), ("blue", "a"));
        let in_use = Refusal::expect(world.api.delete_network("blue").await);
        assert_eq!(in_use.code, Code::FailedPrecondition);
        let in_use = Refusal::expect(world.api.delete_sandbox("a", false).await);
        assert_eq!(in_use.code, Code::FailedPrecondition);
        world.assert_agrees().await;
    });
}
