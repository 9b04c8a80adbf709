use hickory_proto::rr::{Name, RecordType};

use super::*;
use crate::fixture::sandbox_id;

fn key(server: &str) -> Key {
    Key {
        servers: Arc::from([server.parse().unwrap()]),
        question: Question {
            name: Name::from_ascii("a.example.").unwrap(),
            record_type: RecordType::A,
            dnssec_ok: false,
            checking_disabled: false,
        },
    }
}

fn permits(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count))
}

/// 10.0.0.n is held by the n-th sandbox.
fn holders(server: SocketAddr) -> Vec<SandboxId> {
    match server.ip() {
        std::net::IpAddr::V4(ip) => vec![sandbox_id(u128::from(ip.octets()[3]))],
        std::net::IpAddr::V6(_) => Vec::new(),
    }
}

const S1: &str = "10.0.0.1:53";
const S2: &str = "10.0.0.2:53";
const S3: &str = "10.0.0.3:53";

#[tokio::test]
async fn the_same_question_is_asked_once() {
    let (flights, permits) = (Arc::<Flights>::default(), permits(2));
    let board = |n, server| flights.board(&key(server), sandbox_id(n), &permits, holders);
    let Boarding::Begin(mut first, take) = board(8, S1) else { panic!("not begun") };
    let Boarding::Join(mut second) = board(9, S1) else { panic!("not joined") };
    let Boarding::Begin(_, other) = board(9, S2) else { panic!("not begun") };
    assert!(matches!(board(9, S3), Boarding::Full));
    drop(other);
    take.land(Landed::Answer(Arc::from([1]), Duration::ZERO));
    for seated in [&mut first, &mut second] {
        assert!(matches!(seated.landed().await, Landed::Answer(..)));
    }
    assert!(flights.lock().is_empty());
    assert!(matches!(board(9, S1), Boarding::Begin(..)));
}

#[tokio::test]
async fn a_question_that_is_dropped_is_not_waited_for() {
    let (flights, permits) = (Arc::<Flights>::default(), permits(1));
    let boarding = flights.board(&key(S1), sandbox_id(8), &permits, holders);
    let Boarding::Begin(mut seated, take) = boarding else { panic!("not begun") };
    drop(take);
    assert!(matches!(seated.landed().await, Landed::Failed));
    assert_eq!(permits.available_permits(), 1);
}

#[tokio::test]
async fn a_loop_is_seen_through_any_number_of_servers() {
    let (flights, permits) = (Arc::<Flights>::default(), permits(9));
    let board = |n, server| flights.board(&key(server), sandbox_id(n), &permits, holders);
    assert!(matches!(board(1, S1), Boarding::Loop));
    let Boarding::Begin(_a, _at1) = board(8, S1) else { panic!("not begun") };
    let Boarding::Begin(b, at2) = board(1, S2) else { panic!("not begun") };
    // The second waits for nobody yet, so it may ask a third one; that one, neither of them.
    let Boarding::Begin(_c, _at3) = board(2, S3) else { panic!("not begun") };
    assert!(matches!(board(3, S1), Boarding::Loop));
    assert!(matches!(board(3, S2), Boarding::Loop));
    // Others are free to wait.
    let Boarding::Join(_d) = board(9, S1) else { panic!("not joined") };
    // The first one no longer waits, or its question has gone on to another server.
    drop(b);
    let Boarding::Join(e) = board(3, S1) else { panic!("not joined") };
    drop(e);
    let Boarding::Join(_b) = board(1, S2) else { panic!("not joined") };
    assert!(matches!(board(3, S1), Boarding::Loop));
    at2.turn_to("192.0.2.200:53".parse().unwrap());
    assert!(matches!(board(3, S1), Boarding::Join(_)));
}
