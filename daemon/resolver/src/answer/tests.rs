use hickory_proto::rr::RecordType::{A, AAAA, ANY, HTTPS, MX, NS, PTR, SRV, TXT};
use hickory_proto::rr::rdata::SOA;
use postern_model::topology::Put;

use super::*;
use crate::fixture::{link, query, said, sandbox, sandbox_id, topology};

fn directory() -> Directory {
    let mut directory = Directory::default();
    topology().iter().for_each(|put| directory.put(put));
    let mut web = sandbox(1, "Web");
    web.spec.links = vec![link("db", "store"), link("later", "soon")];
    directory.put(&Put::Sandbox(web));
    directory
}

fn asked(asker: u128, name: &str, record_type: RecordType) -> Verdict {
    answer(&directory(), sandbox_id(asker), &query(name, record_type), &mut rand::rng())
}

/// Code and answers in order; none if forwarded.
fn told(asker: u128, name: &str, record_type: RecordType) -> Option<(ResponseCode, Vec<String>)> {
    match asked(asker, name, record_type) {
        Verdict::Own(own) => {
            let mut said = said(&own.answers);
            said.sort_unstable();
            Some((own.code, said))
        }
        Verdict::Forward => None,
    }
}

fn yes(answers: &[&str]) -> Option<(ResponseCode, Vec<String>)> {
    Some((ResponseCode::NoError, answers.iter().map(|&text| text.to_owned()).collect()))
}

fn no() -> Option<(ResponseCode, Vec<String>)> {
    Some((ResponseCode::NXDomain, Vec::new()))
}

#[test]
fn addresses_by_type_in_any_letters() {
    for name in ["db.", "DB.", "dB.bAcK.", "store."] {
        assert_eq!(told(1, name, A), yes(&["10.2.0.3"]), "{name}");
        assert_eq!(told(1, name, AAAA), yes(&["fd00:2::3"]), "{name}");
        assert_eq!(told(1, name, ANY), yes(&["10.2.0.3", "fd00:2::3"]), "{name}");
        for other in [TXT, MX, HTTPS, NS, RecordType::SOA, SRV] {
            assert_eq!(told(1, name, other), yes(&[]), "{name} {other}");
        }
    }
    assert_eq!(told(1, "db2.", AAAA), yes(&[]));
}

#[test]
fn the_owner_is_as_it_was_asked_for() {
    let Verdict::Own(own) = asked(1, "dB.BACK.", A) else { panic!("it is forwarded") };
    assert_eq!(own.answers[0].name.to_ascii(), "dB.BACK.");
    assert_eq!(own.answers[0].ttl, TTL);
}

#[test]
fn several_addresses_come_in_any_order() {
    let orders: std::collections::HashSet<Vec<String>> = (0..100)
        .filter_map(|_| match asked(1, "all.", A) {
            Verdict::Own(own) => Some(said(&own.answers)),
            Verdict::Forward => None,
        })
        .collect();
    assert_eq!(orders.len(), 2);
}

#[test]
fn names_of_ours_are_not_forwarded() {
    for (asker, name) in [
        (1, "nobody."),
        (1, "lone."),
        (1, "lone.far."),
        (1, "soon."),
        (2, "store."),
        (2, "web.front."),
        (1, "_http._tcp.nobody."),
        (1, "_http._tcp.lone.far."),
        (1, "_http._tcp.db."),
        (1, "_http._tcp.soon."),
    ] {
        for record_type in [A, AAAA, ANY, SRV, TXT, MX, HTTPS, PTR] {
            assert_eq!(told(asker, name, record_type), no(), "{asker} {name} {record_type}");
        }
    }
    assert_eq!(told(1, "soon.", NS), no());
    assert_eq!(told(1, "lone.far.", NS), no());
}

#[test]
fn everything_else_is() {
    for (name, record_type) in [
        ("example.org.", A),
        (".", NS),
        (".", A),
        ("com.", NS),
        ("com.", RecordType::DS),
        ("_dmarc.example.org.", TXT),
        ("_http._tcp.example.org.", SRV),
        ("1.2.9.10.in-addr.arpa.", PTR),
        ("10.in-addr.arpa.", NS),
        ("in-addr.arpa.", NS),
    ] {
        assert_eq!(told(1, name, record_type), None, "{name} {record_type}");
    }
}

#[test]
fn a_networks_name_is_a_domain_of_its_own_for_those_who_are_on_it() {
    for (name, record_type) in
        [("other.back.", A), ("a.b.back.", TXT), ("_http._tcp.other.back.", SRV), ("x.back.", NS)]
    {
        assert_eq!(
            told(1, name, record_type),
            Some((ResponseCode::NXDomain, vec![])),
            "{name} {record_type}"
        );
    }
}

#[test]
fn a_dot_within_a_label_is_not_one_between_two() {
    let name = Name::from_labels([&b"db.back"[..]]).unwrap();
    let query = Query::query(name, A);
    let verdict = answer(&directory(), sandbox_id(1), &query, &mut rand::rng());
    assert_ne!(verdict, asked(1, "db.back.", A));
    let odd = |labels: &[&[u8]]| {
        let query = Query::query(Name::from_labels(labels.iter().copied()).unwrap(), A);
        answer(&directory(), sandbox_id(1), &query, &mut rand::rng())
    };
    assert_eq!(odd(&[b"\0\xff", b"db"]), Verdict::Forward);
    assert_eq!(odd(&[b"my db"]), Own::none());
}

#[test]
fn addresses_lead_back() {
    let v6 = "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.0.0.d.f.ip6.arpa.";
    for name in ["3.0.2.10.in-addr.arpa.", "3.0.2.10.IN-ADDR.ARPA.", v6] {
        assert_eq!(told(1, name, PTR), yes(&["db.back."]), "{name}");
        assert_eq!(told(1, name, ANY), yes(&["db.back."]), "{name}");
        assert_eq!(told(1, name, A), yes(&[]), "{name}");
        assert_eq!(told(4, name, PTR), no(), "{name}");
    }
    assert_eq!(told(1, "77.0.2.10.in-addr.arpa.", PTR), no());
    assert_eq!(told(1, "2.0.3.10.in-addr.arpa.", PTR), no());
}

#[test]
fn named_ports_are_told_with_their_addresses() {
    for owner in ["db", "sql", "store", "db.back"] {
        let Verdict::Own(own) = asked(1, &format!("_postgresql._TCP.{owner}."), SRV) else {
            panic!("{owner} is forwarded")
        };
        assert_eq!(said(&own.answers), ["0 0 5432 db.back."]);
        assert_eq!(said(&own.additionals), ["10.2.0.3", "fd00:2::3"]);
        assert_eq!(own.additionals[0].name.to_ascii(), "db.back.");
    }
    assert_eq!(told(1, "_stats._udp.all.", SRV), yes(&["0 0 9000 db.back."]));
    assert_eq!(told(1, "_stats._udp.db.", A), yes(&[]));
    for name in ["_stats._tcp.db.", "_http._tcp.db.", "_stats._udp.db2.", "_stats._foo.db."] {
        assert_eq!(told(1, name, SRV), no(), "{name}");
    }
}

#[test]
fn no_answer_of_ours_is_kept_by_clients_for_long() {
    let of_zone = |record: &Record| matches!(record.data, RData::SOA(SOA { .. }));
    for name in ["db.", "nobody."] {
        let Verdict::Own(own) = asked(1, name, A) else { panic!("it is forwarded") };
        assert!(own.answers.iter().all(|record| record.ttl <= 1 && !of_zone(record)));
    }
}
