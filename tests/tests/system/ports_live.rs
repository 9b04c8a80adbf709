//! Published ports of a living endpoint: added, removed, and the flows they carried.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use postern_proto::v1::{PublishedPort, UpdateEndpointRequest};
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{HOST4, HOST6, Netns, OUTSIDE4, Refusal, World, ask};
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

/// Everyone who may reach a port of blue's endpoint, over both transports.
fn reaches(world: &World, from: &[(&Netns, &str)], seen_outside: &str) {
    for (from, host) in from {
        let tcp = traffic::tcp(from, &format!("{host}:8080"));
        assert_eq!(tcp.map(|answer| answer.server).as_deref(), Some("web"), "{host}");
        let udp = traffic::udp(from, &format!("{host}:8080"));
        assert_eq!(udp.map(|answer| answer.server).as_deref(), Some("web"), "udp {host}");
    }
    let seen = traffic::tcp(&world.outside, &format!("{HOST4}:8080")).unwrap().seen_from;
    assert_eq!(seen.to_string(), seen_outside);
}

/// A second network takes over the default route; the published ports of the first go on.
#[test]
fn a_port_is_reached_though_the_default_route_goes_by_another_network() {
    World::run(async |world| {
        let networks = [
            ("blue", ["10.1.0.0/24", "fd00:1::/64"]),
            ("alpha", ["10.2.0.0/24", "fd00:2::/64"]),
            ("other", ["10.3.0.0/24", "fd00:3::/64"]),
        ];
        for (name, subnets) in networks {
            world.api.create_network(name, ask::network(&subnets)).await.unwrap();
        }
        let ports = [ask::tcp(8080, 80), ask::udp(8080, 80)];
        let web = world.place("blue", "web", ask::publish(&ports)).await;
        let near = world.place("blue", "near", ask::endpoint()).await;
        let far = world.place("other", "far", ask::endpoint()).await;
        let _tcp = Server::tcp(&web, "[::]:80", "web");
        let _udp = Server::udp(&web, "[::]:80", "web");
        let six = format!("[{HOST6}]");
        let from = [
            (&world.outside, HOST4),
            (&world.outside, six.as_str()),
            (&world.host, HOST4),
            (&world.host, "127.0.0.1"),
            (&world.host, six.as_str()),
            (&near, HOST4),
            (&far, HOST4),
            (&far, six.as_str()),
        ];
        reaches(world, &from, OUTSIDE4);
        let mut talk = Conversation::begin(&world.outside, &format!("{HOST4}:8080")).unwrap();

        world.api.connect("alpha", "web", ask::endpoint()).await.unwrap();
        reaches(world, &from, "10.1.0.1");
        assert!(!talk.goes_on(), "answers leave by another network");
        let mut talk = Conversation::begin(&world.outside, &format!("{HOST4}:8080")).unwrap();
        world.assert_agrees().await;

        world.api.disconnect("alpha", "web").await.unwrap();
        reaches(world, &from, OUTSIDE4);
        assert!(!talk.goes_on(), "a flow kept the bridge's address");
        world.assert_agrees().await;
    });
}

/// One socket sends on and on, and nobody listens until the port is published: for the
/// kernel that is one flow, which was judged when it began.
#[test]
fn a_udp_port_is_live_for_those_who_were_sending_already() {
    World::run(async |world| {
        world
            .api
            .create_network("blue", ask::network(&["10.1.0.0/24", "fd00:1::/64"]))
            .await
            .unwrap();
        let web = world.place("blue", "web", ask::endpoint()).await;
        let _server = Server::udp(&web, "[::]:80", "web");
        let client = world.outside.enter(|| UdpSocket::bind("[::]:0").unwrap());
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let hosts = [format!("[::ffff:{HOST4}]:9000"), format!("[{HOST6}]:9000")];
        let hosts: Vec<SocketAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let ask = |host: &SocketAddr| {
            client.send_to(b"?", host).ok()?;
            client.recv_from(&mut [0; 64]).ok().map(|(_, peer)| peer)
        };
        for host in &hosts {
            assert_eq!((0..3).find_map(|_| ask(host)), None, "nobody serves yet");
        }
        set_ports(world, &[ask::udp(9000, 80)]).await.unwrap();
        for host in &hosts {
            assert_eq!((0..5).find_map(|_| ask(host)), Some(*host));
        }
    });
}
