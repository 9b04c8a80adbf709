//! What the tables hold: commits, dumps, reloads, and what stays untouched.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;
use std::time::Instant;

use futures::future::join_all;
use postern_kernel::nft::{Action, Nft, NftError};
use postern_model::mac::MacAddr;
use postern_model::network::Family;
use postern_model::policy::{Direction, Match};
use postern_model::port::Protocol;
use postern_model::resource::{Decision, Element, Verdict};

use crate::lab::{block_on, name, nft, on_a_host, opened, run};

fn publish(host: &str, port: u16, target: &str, target_port: u16) -> Element {
    Element::Publish {
        host: host.parse().unwrap(),
        protocol: Protocol::Tcp,
        port,
        target: target.parse().unwrap(),
        target_port,
    }
}

/// One of every set and map.
fn one_of_each() -> Vec<Element> {
    let br = || name("br-0123456789ab");
    let mac = MacAddr::from_seed(7);
    let mut elements = vec![
        Element::Bridge(br()),
        Element::Neighbours(br()),
        Element::Open(br()),
        Element::Internal(br()),
        Element::Direct(br()),
        Element::Port(name("v0")),
        Element::Quarantine(name("v0")),
        Element::PortMac(name("v0"), mac),
        publish("0.0.0.0", 80, "10.0.0.2", 8080),
        publish("192.0.2.1", 80, "10.0.0.3", 8080),
        publish("::", 80, "fd00::2", 8080),
        publish("2001:db8::1", 80, "fd00::3", 8080),
    ];
    for (family, address) in [(Family::V4, "10.0.0.2"), (Family::V6, "fd00::2")] {
        let address: IpAddr = address.parse().unwrap();
        elements.push(Element::Masquerade(family, br()));
        elements.push(Element::Snat(br(), address));
        elements.push(Element::Guard(name("v0"), mac, address));
        elements.push(Element::Endpoint(address, br()));
        elements.push(Element::OffGateway(address));
        elements.push(Element::Identity(address, 0x8000_0001));
        elements.push(Element::Restricted(address, Protocol::Tcp, 80));
        let prefixes: &[&str] = match family {
            Family::V4 => &["10.0.0.0/8", "192.0.2.7/32", "0.0.0.0/5"],
            Family::V6 => &["fd00::/8", "2001:db8::1/128"],
        };
        elements.extend(
            prefixes.iter().map(|prefix| {
                Element::AllowFrom(address, Protocol::Tcp, 80, prefix.parse().unwrap())
            }),
        );
        for direction in Direction::ALL {
            elements.push(Element::Policed(direction, address));
            elements.push(Element::Isolated(direction, address));
            elements.extend(decisions(direction, address));
        }
    }
    elements.extend([
        span("10.0.0.0", "10.0.0.127", 1),
        span("10.0.0.128", "10.0.0.255", 2),
        span("192.0.2.7", "192.0.2.7", 3),
        span("224.0.0.0", "255.255.255.255", 4),
        span("::", "fd00::", 5),
        span("fd00::2", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6),
    ]);
    elements
}

fn span(first: &str, last: &str, identity: u32) -> Element {
    Element::PrefixIdentity { first: first.parse().unwrap(), last: last.parse().unwrap(), identity }
}

fn decisions(direction: Direction, subject: IpAddr) -> Vec<Element> {
    let one = |protocol, number| Match { protocol, first: number, last: number };
    let all = [
        (None, None, Verdict::Drop),
        (None, Some(one(6, 80)), Verdict::Accept),
        (None, Some(Match { protocol: 6, first: 81, last: 90 }), Verdict::Return),
        (None, Some(Match { protocol: 6, first: 91, last: 65535 }), Verdict::Drop),
        (None, Some(Match { protocol: 17, first: 0, last: 65535 }), Verdict::Accept),
        (Some(1), None, Verdict::Isolated),
        (Some(u32::MAX), Some(one(6, 80)), Verdict::Reject),
        (Some(2), Some(Match { protocol: 6, first: 81, last: 90 }), Verdict::Drop),
        (Some(3), Some(Match { protocol: 6, first: 81, last: 90 }), Verdict::Reject),
    ];
    let element = |(peer, what, verdict)| {
        Element::Decision(Decision { direction, subject, peer, what, verdict })
    };
    all.into_iter().map(element).collect()
}

/// Ranges that are cut anew within one transaction.
#[test]
fn ranges_are_replaced_by_overlapping_ones() {
    on_a_host(|| {
        let nft = opened();
        let subject: IpAddr = "10.0.0.2".parse().unwrap();
        let ports = |first, last, verdict| {
            let what = Some(Match { protocol: 6, first, last });
            let direction = Direction::Ingress;
            Element::Decision(Decision { direction, subject, peer: Some(9), what, verdict })
        };
        let mut before: Vec<Element> = Vec::new();
        for after in [
            vec![ports(80, 90, Verdict::Accept), span("10.0.0.0", "10.255.255.255", 1)],
            vec![
                ports(80, 85, Verdict::Accept),
                ports(86, 95, Verdict::Drop),
                span("10.0.0.0", "10.0.255.255", 1),
                span("10.1.0.0", "10.1.255.255", 2),
                span("10.2.0.0", "10.255.255.255", 1),
            ],
            vec![ports(70, 100, Verdict::Drop), span("0.0.0.0", "255.255.255.255", 7)],
            vec![],
        ] {
            block_on(nft.commit(&before, &after)).unwrap();
            assert_eq!(held(&nft), set(&after));
            before = after;
        }
    });
}

#[test]
fn the_tables_can_be_listed_by_people() {
    on_a_host(|| {
        let nft = opened();
        block_on(nft.commit(&[], &one_of_each())).unwrap();
        let text = run("nft", "list table inet postern");
        for line in ["10.0.0.128/25", "goto reject-it", "map @identity4"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    });
}

fn held(nft: &Nft) -> BTreeSet<Element> {
    let elements = nft.elements().unwrap();
    let set: BTreeSet<Element> = elements.iter().cloned().collect();
    assert_eq!(set.len(), elements.len(), "an element is listed twice");
    set
}

fn set(elements: &[Element]) -> BTreeSet<Element> {
    elements.iter().cloned().collect()
}

/// Distinct elements of the largest kind.
fn many(count: u16) -> Vec<Element> {
    (0..count).map(|port| publish("2001:db8::1", port, "fd00::2", port)).collect()
}

#[test]
fn what_is_committed_is_dumped() {
    on_a_host(|| {
        let nft = opened();
        let elements = one_of_each();
        block_on(nft.commit(&[], &elements)).unwrap();
        assert_eq!(held(&nft), set(&elements));
        assert!(nft.holds(&elements).unwrap().into_iter().all(|there| there));

        // Again, and what is absent: neither is an error.
        block_on(nft.commit(&[Element::Open(name("nowhere"))], &elements)).unwrap();
        assert_eq!(held(&nft), set(&elements));

        block_on(nft.commit(&elements, &[])).unwrap();
        block_on(nft.commit(&elements, &[])).unwrap();
        assert_eq!(held(&nft), BTreeSet::new());
        assert!(!nft.holds(&elements).unwrap().into_iter().any(|there| there));
    });
}

#[test]
fn a_value_changes_by_remove_and_add() {
    on_a_host(|| {
        let nft = opened();
        let (old, new) =
            (publish("0.0.0.0", 80, "10.0.0.2", 80), publish("0.0.0.0", 80, "10.0.0.3", 80));
        block_on(nft.commit(&[], std::slice::from_ref(&old))).unwrap();
        let error = block_on(nft.commit(&[], std::slice::from_ref(&new))).unwrap_err();
        let NftError::Element { action, element, .. } = error else { panic!("{error}") };
        assert_eq!((action, *element), (Action::Add, new.clone()));
        block_on(nft.commit(&[old], std::slice::from_ref(&new))).unwrap();
        assert_eq!(held(&nft), set(&[new]));
    });
}

#[test]
fn a_commit_that_fails_changes_nothing_and_names_the_element() {
    on_a_host(|| {
        let nft = opened();
        let before = publish("2001:db8::1", 1234, "fd00::9", 1);
        block_on(nft.commit(&[], std::slice::from_ref(&before))).unwrap();
        let error = block_on(nft.commit(&[], &many(2_000))).unwrap_err();
        let NftError::Element { element, .. } = error else { panic!("{error}") };
        assert_eq!(*element, publish("2001:db8::1", 1234, "fd00::2", 1234));
        assert_eq!(held(&nft), set(&[before]));

        let mixed = publish("0.0.0.0", 1, "fd00::2", 1);
        let error = block_on(nft.commit(&[], &[mixed])).unwrap_err();
        assert!(matches!(error, NftError::MixedFamilies { .. }), "{error}");
    });
}

#[test]
fn without_the_base_nothing_is_committed() {
    on_a_host(|| {
        let nft = Nft::open(false).unwrap();
        assert!(!nft.base_is_intact().unwrap());
        let error = block_on(nft.commit(&[], &[Element::Open(name("br0"))])).unwrap_err();
        assert!(matches!(error, NftError::Set { set: "open", .. }), "{error}");
        assert_eq!(nft.elements().unwrap(), []);
        nft.unload().unwrap();
    });
}

#[test]
fn of_concurrent_commits_only_the_guilty_one_fails() {
    on_a_host(|| {
        let nft = opened();
        let calls: Vec<[Element; 2]> = (0..200)
            .map(|i| {
                let target = if i == 100 { "10.0.0.9" } else { "10.0.0.2" };
                let port = if i == 100 { 7 } else { i };
                let publish = publish("0.0.0.0", port, target, 80);
                [Element::Open(name(&format!("br{i}"))), publish]
            })
            .collect();
        let results = block_on(join_all(calls.iter().map(|call| nft.commit(&[], call))));
        for (i, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), i == 100, "{i}: {result:?}");
        }
        let expected: Vec<Element> = calls
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != 100)
            .flat_map(|(_, c)| c.clone())
            .collect();
        assert_eq!(held(&nft), set(&expected));
    });
}

#[test]
fn calls_take_effect_in_their_order() {
    on_a_host(|| {
        let nft = opened();
        let open = [Element::Open(name("br0"))];
        let calls = (0..101).map(|i| {
            let (remove, add): (&[_], &[_]) = if i % 2 == 0 { (&[], &open) } else { (&open, &[]) };
            nft.commit(remove, add)
        });
        for result in block_on(join_all(calls)) {
            result.unwrap();
        }
        assert_eq!(held(&nft), set(&open));
    });
}

#[test]
fn many_elements_fit_into_one_commit() {
    on_a_host(|| {
        let nft = opened();
        let elements = many(4_000);
        block_on(nft.commit(&[], &elements)).unwrap();
        assert_eq!(held(&nft), set(&elements));
        let (gone, kept) = elements.split_at(3_000);
        block_on(nft.commit(gone, kept)).unwrap();
        assert_eq!(held(&nft), set(kept));
    });
}

#[test]
fn a_reload_mends_the_rules_and_keeps_elements_and_fences() {
    on_a_host(|| {
        let nft = opened();
        assert!(nft.base_is_intact().unwrap());
        let elements = one_of_each();
        block_on(nft.commit(&[], &elements)).unwrap();
        nft.fence(Family::V6, true).unwrap();
        for damage in [
            "flush chain inet postern from",
            "flush chain bridge postern advert",
            "add rule bridge postern guard accept",
        ] {
            run("nft", damage);
            assert!(!nft.base_is_intact().unwrap(), "{damage}");
            nft.load_base().unwrap();
            assert!(nft.base_is_intact().unwrap(), "{damage}");
        }
        assert_eq!(held(&nft), set(&elements));
        assert_eq!(nft.fences().unwrap(), [Family::V6]);
        run("nft", "delete table bridge postern");
        assert!(!nft.base_is_intact().unwrap());
    });
}

#[test]
fn fences_are_set_and_lifted() {
    on_a_host(|| {
        let nft = opened();
        assert_eq!(nft.fences().unwrap(), []);
        for _ in 0..2 {
            nft.fence(Family::V4, true).unwrap();
            nft.fence(Family::V6, true).unwrap();
            assert_eq!(nft.fences().unwrap(), Family::ALL);
        }
        for _ in 0..2 {
            nft.fence(Family::V4, false).unwrap();
            assert_eq!(nft.fences().unwrap(), [Family::V6]);
        }
    });
}

#[test]
fn foreign_tables_stay_as_they_are() {
    on_a_host(|| {
        nft("table ip postern { map publish4 { type ipv4_addr : ipv4_addr; \
             elements = { 1.2.3.4 : 5.6.7.8 }; }; chain c { tcp dport 80 accept; }; }; \
             table inet other { set open { type ifname; elements = { br9 }; }; };");
        let foreign = || run("nft", "list table ip postern") + &run("nft", "list table inet other");
        let before = foreign();
        let nft = opened();
        let elements = one_of_each();
        block_on(nft.commit(&[], &elements)).unwrap();
        block_on(nft.commit(&elements, &[])).unwrap();
        nft.load_base().unwrap();
        assert!(nft.base_is_intact().unwrap());
        nft.unload().unwrap();
        nft.unload().unwrap();
        assert_eq!(foreign(), before);
        assert_eq!(run("nft", "list tables"), "table ip postern\ntable inet other\n");
    });
}

/// As `nft` ends: whether it was let.
fn may(command: &str) -> bool {
    let output = Command::new("nft").args(command.split(' ')).output().unwrap();
    output.status.success()
}

#[test]
fn owned_tables_are_nobody_elses_to_change() {
    on_a_host(|| {
        opened();
        // Made by one who did not want them: they are as they were.
        assert!(!Nft::open(true).unwrap().load_base().unwrap());
        Nft::open(false).unwrap().unload().unwrap();

        let nft = Nft::open(true).unwrap();
        assert!(nft.load_base().unwrap(), "this kernel has owned tables");
        let elements = one_of_each();
        block_on(nft.commit(&[], &elements)).unwrap();
        for change in [
            "flush table inet postern",
            "flush set inet postern open",
            "add rule inet postern forward accept",
            "delete table bridge postern",
        ] {
            assert!(!may(change), "{change}");
        }
        assert!(may("add table inet other") && may("flush ruleset"));
        assert_eq!(run("nft", "list tables"), "table inet postern\ntable bridge postern\n");
        assert!(nft.base_is_intact().unwrap());
        assert_eq!(held(&nft), set(&elements));
        // For a moment they are let go of; they are taken back with what is in them.
        nft.fence(Family::V4, true).unwrap();
        assert!(nft.load_base().unwrap() && !may("flush table inet postern"));
        assert_eq!(held(&nft), set(&elements));
        assert!(Nft::open(false).unwrap().load_base().is_err(), "another process owns them");

        // They outlive it, and the next one takes them over.
        drop(nft);
        let next = Nft::open(true).unwrap();
        assert!(next.load_base().unwrap());
        assert_eq!((held(&next), next.fences().unwrap()), (set(&elements), vec![Family::V4]));
        assert!(!may("flush table inet postern"));
        next.unload().unwrap();
        assert_eq!(run("nft", "list tables"), "");
    });
}

#[test]
fn a_handle_stays_in_its_namespace() {
    on_a_host(|| {
        let nft = opened();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        nft.load_base().unwrap();
        assert!(nft.base_is_intact().unwrap());
        assert_eq!(run("nft", "list tables"), "");
    });
}

#[test]
fn how_long_commits_take() {
    on_a_host(|| {
        let nft = opened();
        block_on(async {
            for (count, rounds) in [(1, 200), (1_000, 10)] {
                let elements = many(count);
                let begin = Instant::now();
                for _ in 0..rounds {
                    nft.commit(&[], &elements).await.unwrap();
                    nft.commit(&elements, &[]).await.unwrap();
                }
                let each = begin.elapsed() / (2 * rounds);
                println!("commit of {count} elements: {each:?}");
            }
        });
        for count in [0, 4_000] {
            let elements = many(count);
            block_on(nft.commit(&[], &elements)).unwrap();
            let begin = Instant::now();
            nft.load_base().unwrap();
            println!("base ruleset over {count} elements: {:?}", begin.elapsed());
            let begin = Instant::now();
            assert_eq!(held(&nft), set(&elements));
            println!("dump of {count} elements: {:?}", begin.elapsed());
        }
    });
}
