//! Answers that somebody has to let through first.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{A, TXT};
use postern_model::id::SandboxId;

use super::world::{At, Server, ask_at, by_tcp, by_udp, limits, resolver, serve};
use crate::fixture::{ask, said, sandbox_id};
use crate::{Admission, NameGate, Resolver, Withheld};

/// A name, and its addresses with their TTLs.
type Seen = (String, Vec<(IpAddr, Duration)>);

/// Concerned with one name; takes a while, and says yes or no.
#[derive(Debug, Default)]
struct Gate {
    shut: AtomicBool,
    seen: Mutex<Vec<Seen>>,
}

impl NameGate for Gate {
    fn concerns(&self, sandbox: SandboxId, name: &str) -> bool {
        sandbox == sandbox_id(1) && name == "api.example.org"
    }

    fn admit(
        &self,
        _sandbox: SandboxId,
        name: String,
        addresses: Vec<(IpAddr, Duration)>,
    ) -> Admission<'_> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.seen.lock().unwrap().push((name, addresses));
            if self.shut.load(Ordering::Relaxed) { Err(Withheld) } else { Ok(2) }
        })
    }
}

async fn world() -> (Resolver, Arc<Gate>, Server, [At; 2]) {
    let (resolver, server, gate) = (resolver(limits()), Server::plain(60).await, Arc::default());
    resolver.guard(Arc::clone(&gate) as Arc<dyn NameGate>);
    ask_at(&resolver, 1, "Web", &[server.at]);
    ask_at(&resolver, 2, "Db", &[server.at]);
    let at = [serve(&resolver, 1), serve(&resolver, 2)];
    (resolver, gate, server, at)
}

#[tokio::test]
async fn every_answer_is_let_through_a_kept_one_too() {
    let (resolver, gate, server, [at, _]) = world().await;
    for id in [1, 2] {
        let reply = by_udp(at, &ask(id, "API.example.org.", A, None)).await;
        assert_eq!(said(&reply.answers), ["192.0.0.0"]);
        let seen = gate.seen.lock().unwrap().pop().expect("the gate was asked before the reply");
        assert_eq!(seen.0, "api.example.org");
        assert_eq!(seen.1[0].0, IpAddr::from([192, 0, 0, 0]));
        assert!(seen.1[0].1 <= Duration::from_secs(60), "{seen:?}");
    }
    assert_eq!(server.asked(), 1);
    let counters = resolver.counters();
    assert_eq!((counters.admitted, counters.evicted, counters.withheld), (2, 4, 0));
}

#[tokio::test]
async fn what_is_not_let_through_is_not_told() {
    let (resolver, gate, _server, [at, other]) = world().await;
    gate.shut.store(true, Ordering::Relaxed);
    let question = ask(1, "api.example.org.", A, None);
    for reply in [by_udp(at, &question).await, by_tcp(at, &question).await] {
        assert_eq!(reply.response_code, ResponseCode::ServFail);
        assert!(reply.answers.is_empty());
    }
    assert_eq!(resolver.counters().withheld, 2);
    gate.seen.lock().unwrap().clear();
    // Other names, answers without addresses and other sandboxes are none of its business.
    assert_eq!(by_udp(at, &ask(2, "www.example.org.", A, None)).await.answers.len(), 1);
    let none = by_udp(at, &ask(3, "api.example.org.", TXT, None)).await;
    assert_eq!(none.response_code, ResponseCode::NoError);
    assert_eq!(by_udp(other, &question).await.answers.len(), 1);
    assert!(gate.seen.lock().unwrap().is_empty());
}
