//! Names of others, and the servers that are asked for them.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, SOA, TXT};
use postern_model::topology::Put;
use tokio::time::sleep;

use super::world::{
    At, PATIENCE, Server, ask_at, by_tcp, by_udp, limits, resolver, serve, with, without,
};
use crate::fixture::{ask, endpoint, network, put, said};
use crate::{Limits, Resolver};

/// A resolver whose first sandbox asks these servers.
fn world(limits: Limits, servers: &[&Server]) -> (Resolver, At) {
    let resolver = resolver(limits);
    let servers: Vec<_> = servers.iter().map(|server| server.at).collect();
    ask_at(&resolver, 1, "Web", &servers);
    let at = serve(&resolver, 1);
    (resolver, at)
}

#[tokio::test]
async fn answers_are_passed_on_and_kept() {
    let server = Server::plain(60).await;
    let (resolver, at) = world(limits(), &[&server]);
    for (id, name) in [(1, "WwW.Example.ORG."), (2, "www.example.org."), (3, "www.EXAMPLE.org.")] {
        let reply = by_udp(at, &ask(id, name, A, None)).await;
        assert_eq!(reply.queries[0].name.to_ascii(), name);
        assert_eq!(reply.answers[0].name.to_ascii(), name);
        assert_eq!(said(&reply.answers), ["192.0.0.0"]);
        assert!(!reply.authoritative && reply.recursion_available && reply.edns.is_none());
    }
    let counters = resolver.counters();
    assert_eq!((counters.forwarded, counters.cached, server.asked()), (1, 2, 1));
}

#[tokio::test]
async fn what_is_kept_ages() {
    let server = Server::plain(2).await;
    let (_resolver, at) = world(limits(), &[&server]);
    let question = ask(1, "www.example.org.", A, None);
    assert_eq!(by_udp(at, &question).await.answers[0].ttl, 2);
    sleep(Duration::from_millis(1050)).await;
    let reply = by_udp(at, &question).await;
    assert!(server.asked() > 1 || reply.answers[0].ttl == 1);
    sleep(Duration::from_millis(1000)).await;
    assert_eq!(by_udp(at, &question).await.answers[0].ttl, 2);
    assert!(server.asked() > 1);
}

#[tokio::test]
async fn no_such_name_is_passed_on_with_its_soa_and_kept() {
    let server =
        Server::start("127.0.0.1", |message, _| async { vec![without(message, 60)] }).await;
    let (resolver, at) = world(limits(), &[&server]);
    for id in 0..3 {
        let reply = by_udp(at, &ask(id, "none.example.", A, Some(1232))).await;
        assert_eq!(reply.response_code, ResponseCode::NXDomain);
        assert_eq!(reply.authorities[0].record_type(), SOA);
    }
    assert_eq!((server.asked(), resolver.counters().cached), (1, 2));
}

#[tokio::test]
async fn nothing_without_an_soa_is_not_kept() {
    let server = Server::code(ResponseCode::NXDomain).await;
    let (_resolver, at) = world(limits(), &[&server]);
    for id in 0..2 {
        by_udp(at, &ask(id, "none.example.", A, None)).await;
    }
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails() {
    let silent = Server::silent().await;
    let good = Server::plain(60).await;
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let resolver = resolver(limits());
    let at = serve(&resolver, 1);
    let mut failing = vec![silent.at, closed];
    for code in
        [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr, ResponseCode::NotImp]
    {
        failing.push(Server::code(code).await.at);
    }
    for (n, first) in (0..).zip(failing) {
        ask_at(&resolver, 1, "Web", &[first, good.at]);
        let reply = by_udp(at, &ask(n, "www.example.org.", A, None)).await;
        assert_eq!(said(&reply.answers), ["192.0.0.0"], "{n}");
    }
    let counters = resolver.counters();
    assert!(counters.upstream_timeouts >= 1 && counters.upstream_errors >= 5);
}

#[tokio::test]
async fn when_no_server_answers_the_client_is_told() {
    let silent = Server::silent().await;
    let bad = Server::code(ResponseCode::ServFail).await;
    let (resolver, at) = world(limits(), &[&silent, &bad]);
    let reply = by_udp(at, &ask(1, "www.example.org.", A, Some(1232))).await;
    assert_eq!(reply.response_code, ResponseCode::ServFail);
    assert!(reply.edns.is_some());
    // Who kept silent is asked again, who knows nothing is not.
    assert_eq!((silent.asked(), bad.asked()), (2, 1));
    assert_eq!(resolver.counters().failed, 1);
}

#[tokio::test]
async fn a_dead_server_costs_one_question_its_patience() {
    let silent = Server::silent().await;
    let good = Server::plain(60).await;
    let (resolver, at) = world(limits(), &[&silent, &good]);
    for id in 0..5 {
        let reply = by_udp(at, &ask(id, &format!("www{id}.example.org."), A, None)).await;
        assert_eq!(said(&reply.answers), ["192.0.0.0"]);
    }
    assert_eq!((silent.asked(), resolver.counters().upstream_timeouts), (1, 1));
}

#[tokio::test]
async fn a_large_answer_is_fetched_by_tcp_and_cut_for_udp() {
    let server = Server::start("127.0.0.1", |mut message, by_tcp| async move {
        message.metadata.truncation = !by_tcp;
        vec![if by_tcp { with(message, 200, 60) } else { message }]
    })
    .await;
    let (resolver, at) = world(limits(), &[&server]);
    let question = |payload| ask(1, "www.example.org.", A, payload);
    for (payload, least, most) in [(None, 25, 31), (Some(1232), 60, 76), (Some(4096), 60, 76)] {
        let reply = by_udp(at, &question(payload)).await;
        assert!(reply.truncation);
        assert!((least..=most).contains(&reply.answers.len()), "{}", reply.answers.len());
    }
    let reply = by_tcp(at, &question(None)).await;
    assert!(!reply.truncation);
    assert_eq!(reply.answers.len(), 200);
    // Once by UDP and once by TCP; then it was kept.
    assert_eq!((server.asked(), resolver.counters().truncated), (2, 3));
}

#[tokio::test]
async fn equal_questions_are_asked_once() {
    let server = Server::start("127.0.0.1", |message, _| async {
        sleep(Duration::from_millis(100)).await;
        vec![with(message, 1, 60)]
    })
    .await;
    let resolver = resolver(Limits { attempt: Duration::from_secs(5), ..limits() });
    let mut clients = tokio::task::JoinSet::new();
    for (n, name) in [(1, "Web"), (2, "db")] {
        ask_at(&resolver, n, name, &[server.at]);
        let at = serve(&resolver, n);
        for id in 0..5 {
            let question = ask(id, "www.example.org.", A, None);
            clients.spawn(async move { by_udp(at, &question).await });
        }
    }
    while let Some(reply) = clients.join_next().await {
        assert_eq!(reply.unwrap().answers.len(), 1);
    }
    assert_eq!(server.asked(), 1);
    let counters = resolver.counters();
    assert_eq!((counters.forwarded, counters.coalesced + counters.cached), (1, 9));
}

#[tokio::test]
async fn answers_to_other_questions_are_passed_over() {
    let server = Server::start("127.0.0.1", |message, _| async {
        let (mut id, mut name) = (message.clone(), message.clone());
        id.metadata.id = id.metadata.id.wrapping_add(1);
        name.queries[0].query_type = TXT;
        vec![with(id, 5, 60), with(name, 5, 60), with(message, 1, 60)]
    })
    .await;
    let (_resolver, at) = world(limits(), &[&server]);
    let reply = by_udp(at, &ask(1, "www.example.org.", A, None)).await;
    assert_eq!(said(&reply.answers), ["192.0.0.0"]);
}

#[tokio::test]
async fn the_wishes_of_a_client_reach_the_server() {
    let (wishes, mut wished) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start("127.0.0.1", move |mut message, _| {
        let edns = message.edns.clone().unwrap();
        let of = (edns.max_payload(), edns.flags().dnssec_ok, message.checking_disabled);
        wishes.send(of).unwrap();
        message.metadata.authentic_data = true;
        async { vec![with(message, 1, 60)] }
    })
    .await;
    let (_resolver, at) = world(limits(), &[&server]);
    for (dnssec_ok, checking_disabled) in [(true, false), (true, true), (false, false)] {
        let mut question = ask(1, "www.example.org.", A, Some(1232));
        question.edns.as_mut().unwrap().set_dnssec_ok(dnssec_ok);
        question.metadata.checking_disabled = checking_disabled;
        let reply = by_udp(at, &question).await;
        assert_eq!(wished.recv().await, Some((1232, dnssec_ok, checking_disabled)));
        assert_eq!(reply.authentic_data, dnssec_ok);
        assert_eq!(reply.checking_disabled, checking_disabled);
        assert_eq!(reply.edns.unwrap().flags().dnssec_ok, dnssec_ok);
    }
}

#[tokio::test]
async fn a_sandbox_asks_no_more_than_its_share() {
    let silent = Server::silent().await;
    let slow = Limits { attempt: Duration::from_secs(5), ..limits() };
    let (resolver, at) = world(Limits { forwards_per_sandbox: 2, ..slow }, &[&silent]);
    let mut clients = tokio::task::JoinSet::new();
    for id in 0..6 {
        let question = ask(id, &format!("out{id}.example."), A, None);
        clients.spawn(async move { by_udp(at, &question).await.response_code });
    }
    for _ in 0..4 {
        let code = clients.join_next().await.unwrap().unwrap();
        assert_eq!(code, ResponseCode::Refused);
    }
    let asked = async {
        while silent.asked() < 2 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
    assert_eq!(resolver.counters().refused, 4);
}

#[tokio::test]
async fn a_sandbox_without_a_way_out_is_told_nothing_of_outside() {
    let server = Server::plain(60).await;
    let (resolver, _) = world(limits(), &[&server]);
    let mut inner = network(3, "far");
    inner.spec.internal = true;
    resolver.apply(&[Put::Network(inner)]);
    ask_at(&resolver, 4, "lone", &[server.at]);
    let reply = by_udp(serve(&resolver, 4), &ask(1, "www.example.org.", A, None)).await;
    assert_eq!(reply.response_code, ResponseCode::ServFail);
    assert_eq!(server.asked(), 0);
}

/// A server in a sandbox, which asks the sandbox's resolver.
async fn forwarder(ip: &str, at: At) -> Server {
    Server::start(ip, move |mut message, _| async move {
        let mut question = ask(1, "www.example.org.", A, None);
        question.queries.clone_from(&message.queries);
        message.metadata.response_code = by_udp(at, &question).await.response_code;
        vec![message]
    })
    .await
}

#[tokio::test]
async fn a_loop_through_two_servers_is_noticed_at_once() {
    let resolver = resolver(Limits { attempt: Duration::from_secs(30), ..limits() });
    let doors = [serve(&resolver, 1), serve(&resolver, 2), serve(&resolver, 3)];
    let second = forwarder("127.0.0.1", doors[1]).await;
    let third = forwarder("127.0.0.2", doors[2]).await;
    for (n, name, server) in [(1, "Web", second.at), (2, "db", third.at), (3, "db2", second.at)] {
        ask_at(&resolver, n, name, &[server]);
    }
    resolver.apply(&[
        put(endpoint(13, "db.back", 2, 2, &["127.0.0.1/32"])),
        put(endpoint(14, "db2.back", 2, 3, &["127.0.0.2/32"])),
    ]);
    let reply = by_udp(doors[0], &ask(1, "www.example.org.", A, None)).await;
    assert_eq!(reply.response_code, ResponseCode::ServFail);
    let counters = resolver.counters();
    assert_eq!((counters.loops, counters.upstream_timeouts), (1, 0));
}

#[tokio::test]
async fn a_server_that_is_the_asker_is_a_loop() {
    let folder = tempfile::tempdir().unwrap();
    let host_file = folder.path().join("resolv.conf");
    std::fs::write(&host_file, "nameserver 10.3.0.2\n").unwrap();
    let resolver = Resolver::new(crate::ResolverOptions { host_file, limits: limits() });
    resolver.apply(&crate::fixture::topology());
    let reply = by_udp(serve(&resolver, 4), &ask(1, "www.example.org.", A, None)).await;
    assert_eq!(reply.response_code, ResponseCode::ServFail);
    assert_eq!(resolver.counters().loops, 1);
}
