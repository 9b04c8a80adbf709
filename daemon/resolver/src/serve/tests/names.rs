//! Our own names, and what clients do.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, AAAA, SRV};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::world::{
    PATIENCE, Server, ask_at, by_tcp, by_udp, framed, limits, next, resolver, serve,
};
use crate::Limits;
use crate::fixture::{ask, endpoint, put, said, sandbox_id};

#[tokio::test]
async fn names_are_told_by_udp_and_tcp() {
    let resolver = resolver(limits());
    let at = serve(&resolver, 1);
    let question = ask(77, "dB.Back.", A, None);
    for reply in [by_udp(at, &question).await, by_tcp(at, &question).await] {
        assert_eq!(said(&reply.answers), ["10.2.0.3"]);
        assert_eq!(reply.answers[0].name.to_ascii(), "dB.Back.");
        assert_eq!(reply.queries[0].name.to_ascii(), "dB.Back.");
        assert!(reply.authoritative && reply.recursion_available && reply.recursion_desired);
        assert!(reply.edns.is_none());
    }
    let reply = by_udp(at, &ask(78, "_postgresql._tcp.db.", SRV, Some(4096))).await;
    assert_eq!(said(&reply.additionals), ["10.2.0.3", "fd00:2::3"]);
    assert_eq!(reply.edns.unwrap().max_payload(), 1232);
    let reply = by_udp(at, &ask(79, "nobody.", A, None)).await;
    assert_eq!(reply.response_code, ResponseCode::NXDomain);
    let counters = resolver.counters();
    assert_eq!((counters.queries, counters.answered, counters.negative), (4, 3, 1));
    assert!(counters.iter().any(|counter| counter == ("queries", 4)));
}

#[tokio::test]
async fn who_asks_is_told_by_the_socket() {
    let resolver = resolver(limits());
    let (web, lone) = (serve(&resolver, 1), serve(&resolver, 4));
    let question = ask(1, "db.back.", A, None);
    assert_eq!(by_udp(web, &question).await.response_code, ResponseCode::NoError);
    assert_eq!(by_udp(lone, &question).await.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn a_change_is_seen_by_the_next_question() {
    let resolver = resolver(limits());
    let at = serve(&resolver, 1);
    for n in 5..40_u8 {
        let address = format!("10.2.0.{n}");
        resolver.apply(&[put(endpoint(13, "db.back", 2, 2, &[&format!("{address}/16")]))]);
        let reply = by_udp(at, &ask(1, "db.", A, None)).await;
        assert_eq!(said(&reply.answers), [address]);
    }
}

#[tokio::test]
async fn a_connection_has_many_questions_and_ends_after_the_last_answer() {
    let resolver = resolver(limits());
    let slow = Server::start("127.0.0.1", |message, _| async {
        sleep(Duration::from_millis(60)).await;
        vec![super::world::with(message, 1, 60)]
    })
    .await;
    ask_at(&resolver, 1, "Web", &[slow.at]);
    let mut stream = TcpStream::connect(serve(&resolver, 1).tcp).await.unwrap();
    let names = ["out.example.", "db.", "db2."];
    for (id, name) in (0..).zip(names) {
        let bytes = framed(&ask(id, name, A, None).to_vec().unwrap());
        stream.write_all(&bytes).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    let mut ids = Vec::new();
    for _ in names {
        let reply = timeout(PATIENCE, next(&mut stream)).await.unwrap();
        assert_eq!(reply.answers.len(), 1);
        ids.push(reply.id);
    }
    // What is ours does not wait for what is not.
    assert_eq!(ids, [1, 2, 0]);
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn slow_and_strange_connections_are_closed() {
    let limits = Limits { tcp_idle: Duration::from_millis(80), ..limits() };
    let resolver = resolver(limits);
    let at = serve(&resolver, 1);
    let whole = framed(&ask(1, "db.", A, None).to_vec().unwrap());
    for start in [&whole[..0], &whole[..1], &whole[..9], &[0, 3, 1, 2, 3], &[0, 0]] {
        let mut stream = TcpStream::connect(at.tcp).await.unwrap();
        stream.write_all(start).await.unwrap();
        let end = timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{start:?}");
    }
    assert_eq!(resolver.counters().tcp_closed, 5);
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let resolver = resolver(Limits { tcp_per_sandbox: 2, ..limits() });
    let (at, other) = (serve(&resolver, 1), serve(&resolver, 2));
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(at.tcp).await.unwrap();
        let bytes = framed(&ask(1, "db.", A, None).to_vec().unwrap());
        stream.write_all(&bytes).await.unwrap();
        timeout(PATIENCE, next(&mut stream)).await.unwrap();
        open.push(stream);
    }
    let mut third = TcpStream::connect(at.tcp).await.unwrap();
    let end = timeout(PATIENCE, third.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
    assert_eq!(resolver.counters().tcp_rejected, 1);
    by_tcp(other, &ask(1, "db.", A, None)).await;
}

#[tokio::test]
async fn a_released_sandbox_gives_its_sockets_back() {
    let resolver = resolver(limits());
    let silent = Server::silent().await;
    ask_at(&resolver, 1, "Web", &[silent.at]);
    let first = serve(&resolver, 1);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let waiting = ask(1, "out.example.", A, None).to_vec().unwrap();
    client.send_to(&waiting, first.udp).await.unwrap();
    let mut connected = TcpStream::connect(first.tcp).await.unwrap();
    by_udp(first, &ask(1, "db.", AAAA, None)).await;
    let second = serve(&resolver, 1);
    free(first.udp).await;
    by_udp(second, &ask(1, "db.", AAAA, None)).await;
    resolver.release(sandbox_id(1));
    free(second.udp).await;
    let end = timeout(PATIENCE, connected.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
    resolver.release(sandbox_id(1));
}

/// Waits until nobody has the address.
async fn free(address: std::net::SocketAddr) {
    let free = async {
        while UdpSocket::bind(address).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_and_a_dead_server_harm_nobody_else() {
    let resolver = resolver(Limits { forwards_per_sandbox: 8, ..limits() });
    let silent = Server::silent().await;
    ask_at(&resolver, 2, "db", &[silent.at]);
    let (web, db) = (serve(&resolver, 1), serve(&resolver, 2));
    let flood = tokio::spawn(async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for n in 0..u16::MAX {
            let message = ask(n, &format!("out{n}.example."), A, None).to_vec().unwrap();
            for bytes in [&message[..], &message[..20], b"garbage"] {
                socket.send_to(bytes, db.udp).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    });
    for n in 0..50 {
        let reply = by_udp(web, &ask(n, "db2.", A, None)).await;
        assert_eq!(said(&reply.answers), ["10.2.0.4"]);
    }
    let full = async {
        while resolver.counters().refused == 0 || resolver.counters().malformed == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, full).await.unwrap();
    flood.abort();
}
