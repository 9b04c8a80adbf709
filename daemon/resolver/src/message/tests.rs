use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use proptest::prelude::*;

use super::*;
use crate::fixture::{ask, query};

fn code(bytes: &[u8]) -> Option<ResponseCode> {
    match parse(bytes) {
        Parsed::Nothing => None,
        Parsed::Refused(refusal) => Some(refusal.code),
        Parsed::Ask(_) => Some(ResponseCode::NoError),
    }
}

fn changed(change: impl FnOnce(&mut Message)) -> Option<ResponseCode> {
    let mut message = ask(7, "db.example.", RecordType::A, Some(1232));
    change(&mut message);
    code(&message.to_vec().unwrap())
}

#[test]
fn what_is_not_a_question_is_turned_down() {
    use ResponseCode::{BADVERS, FormErr, NoError, NotImp, Refused};
    assert_eq!(changed(|_| ()), Some(NoError));
    assert_eq!(changed(|m| m.metadata.message_type = MessageType::Response), None);
    assert_eq!(changed(|m| m.metadata.op_code = OpCode::Update), Some(NotImp));
    assert_eq!(changed(|m| m.metadata.op_code = OpCode::Unknown(9)), Some(NotImp));
    assert_eq!(changed(|m| m.queries.clear()), Some(FormErr));
    assert_eq!(changed(|m| m.queries.push(m.queries[0].clone())), Some(FormErr));
    for class in [DNSClass::CH, DNSClass::HS, DNSClass::ANY, DNSClass::Unknown(77)] {
        assert_eq!(changed(|m| m.queries[0].query_class = class), Some(Refused));
    }
    for record_type in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(changed(|m| m.queries[0].query_type = record_type), Some(Refused));
    }
    assert_eq!(changed(|m| m.queries[0].query_type = RecordType::Unknown(4711)), Some(NoError));
    let newer = |m: &mut Message| {
        m.edns.get_or_insert_default().set_version(1);
    };
    assert_eq!(changed(newer), Some(BADVERS));
}

#[test]
fn cut_and_knotted_messages_are_turned_down() {
    let whole = ask(7, "db.example.", RecordType::A, Some(1232)).to_vec().unwrap();
    for length in 0..whole.len() {
        let expected = (length >= 12).then_some(ResponseCode::FormErr);
        assert_eq!(code(&whole[..length]), expected, "{length}");
    }
    let header = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for name in [
        // To itself, to each other, forward, and a kind of label there is not.
        &[0xc0, 12][..],
        &[0xc0, 14, 0xc0, 12],
        &[1, b'a', 0xc0, 12],
        &[0xc0, 200],
        &[0xff, 0xff],
        &[0x80, 1],
        &[0x40, 1],
    ] {
        let bytes = [&header[..], name, &[0, 1, 0, 1]].concat();
        assert_eq!(code(&bytes), Some(ResponseCode::FormErr), "{name:?}");
    }
    let long = [&header[..], &[63].repeat(64 * 5), &[0, 0, 1, 0, 1]].concat();
    assert_eq!(code(&long), Some(ResponseCode::FormErr));
}

fn client(payload: Option<u16>) -> Ask {
    match parse(&ask(7, "Many.Example.", RecordType::A, payload).to_vec().unwrap()) {
        Parsed::Ask(ask) => ask,
        other => panic!("{other:?}"),
    }
}

fn many(count: u8) -> Vec<Record> {
    let name = Name::from_ascii("many.example.").unwrap();
    let record = |n| Record::from_rdata(name.clone(), 60, RData::A(A::new(192, 0, 2, n)));
    (0..count).map(record).collect()
}

#[test]
fn answers_are_cut_to_what_the_client_takes() {
    for (payload, limit) in
        [(None, 512), (Some(0), 512), (Some(700), 700), (Some(1232), 1232), (Some(9000), 1232)]
    {
        let ask = client(payload);
        assert_eq!(ask.client.limit(Transport::Udp), limit);
        assert_eq!(ask.client.limit(Transport::Tcp), u16::MAX);
        for additionals in [&[][..], &many(5)] {
            let answers = many(200);
            let mut reply = Reply::bare(&ask.client, Some(&ask.query), ResponseCode::NoError);
            (reply.answers, reply.additionals) = (&answers, additionals);
            let mut out = vec![0; 3];
            assert!(reply.encode(limit, &mut out));
            let message = Message::from_vec(&out).unwrap();
            assert!(out.len() <= usize::from(limit) && message.truncation);
            assert_eq!(message.edns.is_some(), payload.is_some());
            assert!(!message.answers.is_empty() && message.answers.len() < 200);
            assert!(!reply.encode(u16::MAX, &mut out));
            assert_eq!(Message::from_vec(&out).unwrap().answers.len(), 200);
        }
    }
}

#[test]
fn additional_records_that_do_not_fit_are_no_loss() {
    let ask = client(None);
    let (answers, additionals) = (many(1), many(100));
    let mut reply = Reply::bare(&ask.client, Some(&ask.query), ResponseCode::NoError);
    (reply.answers, reply.additionals) = (&answers, &additionals);
    let mut out = Vec::new();
    assert!(!reply.encode(512, &mut out));
    assert!(!Message::from_vec(&out).unwrap().truncation);
}

fn answer(records: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut message = Message::new(9, MessageType::Response, OpCode::Query);
    message.add_query(query("many.example.", RecordType::A));
    message.answers = records;
    message.authorities = authorities;
    message
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let name = Name::from_ascii("example.").unwrap();
    Record::from_rdata(
        name.clone(),
        ttl,
        RData::SOA(SOA::new(name.clone(), name, 1, 2, 3, 4, minimum)),
    )
}

#[test]
fn only_the_answer_to_the_question_is_taken() {
    let asked = query("MANY.example.", RecordType::A);
    let checked = |message: &Message| check(&message.to_vec().unwrap(), 9, &asked);
    assert!(checked(&answer(many(1), vec![])).is_ok());
    for change in [
        (|m| m.metadata.id = 10) as fn(&mut Message),
        |m| m.metadata.message_type = MessageType::Query,
        |m| m.queries[0] = query("other.example.", RecordType::A),
        |m| m.queries[0] = query("many.example.", RecordType::AAAA),
        |m| m.queries[0].query_class = DNSClass::CH,
        |m| m.queries.clear(),
    ] {
        let mut message = answer(many(1), vec![]);
        change(&mut message);
        assert_eq!(checked(&message), Err(AnswerError::Other));
    }
    let mut failed = answer(vec![], vec![]);
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr] {
        failed.metadata.response_code = code;
        assert_eq!(checked(&failed), Err(AnswerError::Refused(code)));
        failed.queries.clear();
        assert_eq!(checked(&failed), Err(AnswerError::Refused(code)));
        failed.queries.push(asked.clone());
    }
    let mut cut = answer(vec![], vec![]);
    cut.metadata.truncation = true;
    assert_eq!(checked(&cut), Err(AnswerError::Truncated));
    assert_eq!(check(&[0, 9, 0x80], 9, &asked), Err(AnswerError::Unreadable));
}

#[test]
fn an_answer_holds_as_long_as_its_records_and_nothing_as_its_soa_says() {
    let asked = query("many.example.", RecordType::A);
    let relayed = |message: &Message| check(&message.to_vec().unwrap(), 9, &asked).unwrap();
    let seconds = |s| Some(Duration::from_secs(s));
    let mut records = many(3);
    records[1].ttl = 5;
    let found = relayed(&answer(records, vec![soa(600, 9)]));
    assert_eq!(found, Relayed { ttl: seconds(5), negative: false });
    let none = |ttl, minimum| relayed(&answer(vec![], vec![soa(ttl, minimum)]));
    assert_eq!(none(600, 30), Relayed { ttl: seconds(30), negative: true });
    assert_eq!(none(20, 30), Relayed { ttl: seconds(20), negative: true });
    assert_eq!(relayed(&answer(vec![], vec![])), Relayed { ttl: None, negative: true });
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let mut out = Vec::new();
        if let Parsed::Refused(refusal) = parse(&bytes) {
            refuse(&refusal, 512, &mut out);
            prop_assert_eq!(out.get(..2), bytes.get(..2));
            prop_assert!(Message::from_vec(&out).is_ok());
        }
    }

    #[test]
    fn any_bytes_of_a_server_are_passed_on_or_not(
        at in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut: prop::sample::Index,
        keep: bool,
        age in 0..200_u64,
    ) {
        let mut bytes = answer(many(40), vec![soa(60, 60)]).to_vec().unwrap();
        for (index, byte) in at {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        let ask = client(Some(1232));
        let _ = check(&bytes, 9, &ask.query);
        let mut out = Vec::new();
        relay(&ask, &bytes, Duration::from_secs(age), Transport::Udp, &mut out);
        prop_assert!(out.len() <= 1232);
        let reply = Message::from_vec(&out);
        prop_assert!(reply.is_ok_and(|m| m.metadata.id == 7 && m.queries == vec![ask.query]));
    }
}
