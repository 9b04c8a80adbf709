//! Published ports: which address and port of the host leads where, and who holds it.

use std::net::{TcpListener, UdpSocket};

use postern_tests::traffic::{self, Server};
use postern_tests::{HOST4, HOST6, OUTSIDE4, Refusal, World, ask};
use tonic::Code;

async fn blue(world: &World) {
    world.api.create_network("blue", ask::network(&["10.1.0.0/24", "fd00:1::/64"])).await.unwrap();
}

#[test]
fn a_port_is_reached_from_everywhere() {
    World::run(async |world| {
        blue(world).await;
        let web = world.place("blue", "web", ask::publish(&[ask::tcp(8080, 80)])).await;
        let other = world.place("blue", "other", ask::endpoint()).await;
        let _server = Server::tcp(&web, "[::]:80", "web");
        for (from, to) in [
            (&world.outside, format!("{HOST4}:8080")),
            (&world.outside, format!("[{HOST6}]:8080")),
            (&world.host, format!("{HOST4}:8080")),
            (&world.host, "127.0.0.1:8080".to_owned()),
            (&other, format!("{HOST4}:8080")),
            (&other, "10.1.0.1:8080".to_owned()),
            (&other, format!("[{HOST6}]:8080")),
            (&web, format!("{HOST4}:8080")),
            (&web, format!("[{HOST6}]:8080")),
        ] {
            assert_eq!(traffic::tcp(from, &to).map(|a| a.server).as_deref(), Some("web"), "{to}");
        }
        let seen = traffic::tcp(&world.outside, &format!("{HOST4}:8080")).unwrap().seen_from;
        assert_eq!(seen.to_string(), OUTSIDE4, "the caller's address is kept");
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:80")).is_none(), "unpublished");
        world.assert_agrees().await;
    });
}

#[test]
fn udp_and_tcp_of_one_number_are_two_ports() {
    World::run(async |world| {
        blue(world).await;
        let web = world.place("blue", "web", ask::publish(&[ask::tcp(53, 53)])).await;
        let dns = world.place("blue", "dns", ask::publish(&[ask::udp(53, 5353)])).await;
        let _tcp = Server::tcp(&web, "0.0.0.0:53", "web");
        let _udp = Server::udp(&dns, "0.0.0.0:5353", "dns");
        let to = format!("{HOST4}:53");
        assert_eq!(traffic::tcp(&world.outside, &to).unwrap().server, "web");
        assert_eq!(traffic::udp(&world.outside, &to).unwrap().server, "dns");
        assert_eq!(traffic::udp(&world.host, "127.0.0.1:53").unwrap().server, "dns");
    });
}

#[test]
fn a_range_leads_port_by_port() {
    World::run(async |world| {
        blue(world).await;
        let spec = ask::publish(&[ask::range((9000, 9999), (1000, 1999))]);
        let web = world.place("blue", "web", spec).await;
        let bindings = world.api.endpoint("web.blue").await.unwrap().bindings;
        assert!(bindings.iter().all(|b| (b.host_port, b.count) == (9000, 1000)), "{bindings:?}");
        for (host, inside) in [(9000, 1000), (9500, 1500), (9999, 1999)] {
            let _server = Server::tcp(&web, &format!("0.0.0.0:{inside}"), "web");
            assert!(traffic::tcp(&world.outside, &format!("{HOST4}:{host}")).is_some(), "{host}");
        }
        assert_eq!(world.own_elements("inet", "map", "publish4-any").len(), 1000);
        world.assert_agrees().await;
        world.api.delete_sandbox("web", true).await.unwrap();
        world.api.delete_network("blue").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn without_a_number_the_daemon_chooses_one_for_both_families() {
    World::run(async |world| {
        blue(world).await;
        let web = world.place("blue", "web", ask::publish(&[ask::tcp(0, 80)])).await;
        let bindings = world.api.endpoint("web.blue").await.unwrap().bindings;
        let port = bindings[0].host_port;
        assert!(port >= 1024 && bindings.iter().all(|b| b.host_port == port), "{bindings:?}");
        assert_eq!(bindings.len(), 2, "{bindings:?}");
        let _server = Server::tcp(&web, "[::]:80", "web");
        assert!(traffic::tcp(&world.outside, &format!("{HOST4}:{port}")).is_some());
        assert!(traffic::tcp(&world.outside, &format!("[{HOST6}]:{port}")).is_some());
    });
}

#[test]
fn of_a_host_range_for_one_port_the_first_free_one_is_taken() {
    World::run(async |world| {
        blue(world).await;
        let _taken = TcpListener::bind(("0.0.0.0", 8000)).unwrap();
        let first_free = ask::range((8000, 8003), (80, 0));
        let mut got = Vec::new();
        for name in ["a", "b", "c"] {
            world.place("blue", name, ask::publish(std::slice::from_ref(&first_free))).await;
            let made = world.api.endpoint(&format!("{name}.blue")).await.unwrap();
            got.push(made.bindings[0].host_port);
        }
        assert_eq!(got, [8001, 8002, 8003]);
        world.api.create_sandbox("d").await.unwrap();
        let before = world.snapshot().await;
        let full = world.api.connect("blue", "d", ask::publish(&[first_free])).await;
        let refusal = Refusal::expect(full);
        assert!(
            matches!(refusal.code, Code::FailedPrecondition | Code::ResourceExhausted),
            "{refusal:?}"
        );
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn a_port_of_one_address_is_not_one_of_another() {
    World::run(async |world| {
        postern_tests::command::sh("ip addr add 192.0.2.50/24 dev uplink0");
        blue(world).await;
        let first = ask::publish(&[ask::on(HOST4, ask::tcp(8080, 80))]);
        let second = ask::publish(&[ask::on("192.0.2.50", ask::tcp(8080, 80))]);
        let a = world.place("blue", "a", first).await;
        let b = world.place("blue", "b", second).await;
        let _servers = [(&a, "a"), (&b, "b")].map(|(n, name)| Server::tcp(n, "0.0.0.0:80", name));
        for (to, name) in [("192.0.2.1:8080", "a"), ("192.0.2.50:8080", "b")] {
            assert_eq!(traffic::tcp(&world.outside, to).unwrap().server, name);
        }
        assert!(traffic::tcp(&world.host, "127.0.0.1:8080").is_none());
        world.api.create_sandbox("c").await.unwrap();
        let before = world.snapshot().await;
        let every = world.api.connect("blue", "c", ask::publish(&[ask::tcp(8080, 80)])).await;
        Refusal::expect(every)
            .assert(Code::FailedPrecondition, "spec.published_ports[0].host_port");
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn a_port_of_the_loopback_is_for_the_host_alone() {
    World::run(async |world| {
        blue(world).await;
        let spec = ask::publish(&[ask::on("127.0.0.1", ask::tcp(8080, 80))]);
        let web = world.place("blue", "web", spec).await;
        let other = world.place("blue", "other", ask::endpoint()).await;
        let _server = Server::tcp(&web, "0.0.0.0:80", "web");
        assert!(traffic::tcp(&world.host, "127.0.0.1:8080").is_some());
        assert!(traffic::tcp(&world.host, &format!("{HOST4}:8080")).is_none());
        for from in [&world.outside, &other] {
            assert!(traffic::tcp(from, &format!("{HOST4}:8080")).is_none());
        }
    });
}

#[test]
fn a_port_in_use_is_refused_and_named() {
    World::run(async |world| {
        blue(world).await;
        let _tcp = TcpListener::bind(("0.0.0.0", 8080)).unwrap();
        let _udp = UdpSocket::bind((HOST4, 5353)).unwrap();
        world.place("blue", "holder", ask::publish(&[ask::tcp(9090, 80)])).await;
        world.api.create_sandbox("late").await.unwrap();
        let before = world.snapshot().await;
        for port in [ask::tcp(8080, 80), ask::udp(5353, 53), ask::tcp(9090, 80)] {
            // The free one before it must not stay behind.
            let spec = ask::publish(&[ask::tcp(7070, 70), port.clone()]);
            let refusal = Refusal::expect(world.api.connect("blue", "late", spec).await);
            refusal.assert(Code::FailedPrecondition, "spec.published_ports[1].host_port");
            assert!(refusal.message.contains(&port.host_port.to_string()), "{}", refusal.message);
            assert_eq!(world.snapshot().await, before);
        }
        assert!(TcpListener::bind(("0.0.0.0", 7070)).is_ok(), "a port of a refused call is held");
    });
}

#[test]
fn a_published_port_is_held_against_the_host_and_given_back() {
    World::run(async |world| {
        blue(world).await;
        world.place("blue", "a", ask::publish(&[ask::tcp(8080, 80), ask::udp(8080, 80)])).await;
        assert!(TcpListener::bind(("0.0.0.0", 8080)).is_err());
        assert!(UdpSocket::bind(("0.0.0.0", 8080)).is_err());
        world.api.disconnect("blue", "a").await.unwrap();
        assert!(TcpListener::bind(("0.0.0.0", 8080)).is_ok());
        assert!(UdpSocket::bind(("0.0.0.0", 8080)).is_ok());
        world.api.connect("blue", "a", ask::publish(&[ask::tcp(8080, 80)])).await.unwrap();
    });
}

#[test]
fn nobody_serving_is_an_answer_not_a_silence() {
    World::run(async |world| {
        blue(world).await;
        world.place("blue", "a", ask::publish(&[ask::tcp(8080, 80)])).await;
        let refused = world.outside.enter(|| {
            let to = format!("{HOST4}:8080").parse().unwrap();
            std::net::TcpStream::connect_timeout(&to, std::time::Duration::from_secs(2))
        });
        let kind = refused.map(|_| ()).map_err(|error| error.kind());
        assert_eq!(kind, Err(std::io::ErrorKind::ConnectionRefused));
    });
}
