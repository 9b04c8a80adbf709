//! Published ports of a living endpoint: added, removed, and the flows they carried.

use postern_proto::v1::{PublishedPort, UpdateEndpointRequest};
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{HOST4, Refusal, World, ask};
use tonic::Code;

async fn set_ports(world: &mut World, ports: &[PublishedPort]) -> Result<(), tonic::Status> {
    let made = world.api.endpoint("web.blue").await?;
    let request = UpdateEndpointRequest {
        endpoint: "web.blue".into(),
        published_ports: ports.to_vec(),
        revision: made.revision,
        ..Default::default()
    };
    world.api.endpoints.update(request).await.map(|_| ())
}

#[test]
fn ports_are_added_and_removed_and_their_flows_end() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let (one, two) = (ask::tcp(8081, 80), ask::tcp(8082, 80));
        let web = world.place("blue", "web", ask::publish(std::slice::from_ref(&one))).await;
        let _server = Server::tcp(&web, "0.0.0.0:80", "web");
        let mut stays = Conversation::begin(&world.outside, &format!("{HOST4}:8081")).unwrap();

        set_ports(world, &[one.clone(), two.clone()]).await.unwrap();
        let mut ends = Conversation::begin(&world.outside, &format!("{HOST4}:8082")).unwrap();
        assert!(stays.goes_on() && ends.goes_on());
        world.assert_agrees().await;

        set_ports(world, std::slice::from_ref(&one)).await.unwrap();
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8082")).is_none());
        assert!(!ends.goes_on(), "a flow outlived its port");
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:8081")).is_some());
        assert_eq!(world.api.endpoint("web.blue").await.unwrap().bindings.len(), 1);
        world.assert_agrees().await;
    });
}

#[test]
fn flows_of_a_port_that_stays_go_on() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let (one, two) = (ask::tcp(8081, 81), ask::tcp(8082, 82));
        let web = world.place("blue", "web", ask::publish(&[one.clone(), two])).await;
        let _server = Server::tcp(&web, "0.0.0.0:81", "web");
        let mut stays = Conversation::begin(&world.outside, &format!("{HOST4}:8081")).unwrap();
        set_ports(world, &[one]).await.unwrap();
        assert!(stays.goes_on(), "a flow of another port was cut");
    });
}

#[test]
fn a_port_that_is_busy_leaves_the_living_ones_alone() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let one = ask::tcp(8081, 80);
        let web = world.place("blue", "web", ask::publish(std::slice::from_ref(&one))).await;
        world.place("blue", "other", ask::publish(&[ask::tcp(9090, 80)])).await;
        let _server = Server::tcp(&web, "0.0.0.0:80", "web");
        let mut talk = Conversation::begin(&world.outside, &format!("{HOST4}:8081")).unwrap();
        let before = world.snapshot().await;
        let refusal = Refusal::expect(set_ports(world, &[ask::tcp(9090, 80)]).await);
        refusal.assert(Code::FailedPrecondition, "published_ports[0].host_port");
        assert_eq!(world.snapshot().await, before);
        assert!(talk.goes_on());
    });
}

#[test]
fn a_disconnect_ends_the_flows_and_a_new_owner_gets_none_of_them() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let web = world.place("blue", "web", ask::publish(&[ask::tcp(8080, 80)])).await;
        let server = Server::tcp(&web, "0.0.0.0:80", "old");
        let mut talk = Conversation::begin(&world.outside, &format!("{HOST4}:8080")).unwrap();
        world.api.disconnect("blue", "web").await.unwrap();
        assert!(!talk.goes_on());
        drop(server);
        let next = world.place("blue", "next", ask::publish(&[ask::tcp(8080, 80)])).await;
        let _server = Server::tcp(&next, "0.0.0.0:80", "new");
        let answer = traffic::tcp(&world.outside, &format!("{HOST4}:8080")).unwrap();
        assert_eq!(answer.server, "new");
        assert!(!talk.goes_on());
    });
}
