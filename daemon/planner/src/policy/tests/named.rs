//! What is kept of the answers that endpoints get.

use std::time::Duration;

use postern_model::policy::{Peer, PolicySpec};
use postern_model::port::Protocol::Tcp;
use postern_model::resource::{Element, NamedAddress};
use postern_model::time::Timestamp;

use super::world::{World, accept, app, has, port};
use crate::policy::{Answer, NameLimits, Resolution};

fn domain(name: &str) -> Peer {
    Peer::Domain(name.parse().unwrap())
}

/// `x-a` reaches one name on port 80 and all below another on 443.
fn world() -> World {
    let rules = vec![
        accept(vec![domain("a.example")], vec![port(Tcp, 80, 80)]),
        accept(vec![domain("*.example.org")], vec![port(Tcp, 443, 443)]),
    ];
    let mut world = World::new();
    world.apply("names", app(has("pod", &["a"]), None, Some(rules)));
    world
}

fn told(world: &mut World, name: &str, addresses: &[(&str, u64)], at: u64) -> Resolution {
    let addresses = addresses.iter();
    let addresses =
        addresses.map(|(ip, ttl)| (ip.parse().unwrap(), Duration::from_secs(*ttl))).collect();
    let limits = NameLimits { floor: Duration::from_secs(1), addresses: 2 };
    let id = world.endpoint("x-a").id;
    let answer = Answer { name: name.into(), addresses };
    world.compiler.resolve(id, &answer, (limits, Timestamp(at * 1_000)))
}

fn named(world: &World, at: u64) -> Vec<NamedAddress> {
    world.compiler.named(Timestamp(at * 1_000)).collect()
}

#[test]
fn an_address_keeps_few_names_the_latest_among_them() {
    let mut world = world();
    for n in 0..200 {
        told(&mut world, &format!("n{n}.example.org"), &[("198.51.100.1", 600)], n);
    }
    let [one] = &named(&world, 200)[..] else { panic!("one address") };
    let names: Vec<_> = one.names.split(' ').collect();
    assert!(names.len() == 16 && names.contains(&"n199.example.org"), "{names:?}");
}

#[test]
fn what_is_told_now_is_not_what_makes_room() {
    let mut world = world();
    let name = "api.example.org";
    told(&mut world, name, &[("198.51.100.1", 9_000), ("198.51.100.2", 9_000)], 0);
    let third = told(&mut world, name, &[("198.51.100.3", 3)], 1);
    assert_eq!(third.evicted, 1);
    let held: Vec<_> = named(&world, 2).iter().map(|of| of.address.to_string()).collect();
    assert!(held.len() == 2 && held.contains(&"198.51.100.3".to_owned()), "{held:?}");
    let added = |of: &Element| matches!(of, Element::Named(of) if of.address == third_of());
    assert!(third.delta.add.iter().any(added));
}

fn third_of() -> std::net::IpAddr {
    "198.51.100.3".parse().unwrap()
}

#[test]
fn a_name_is_over_though_another_one_has_its_address() {
    let mut world = world();
    told(&mut world, "a.example", &[("198.51.100.1", 10)], 0);
    told(&mut world, "api.example.org", &[("198.51.100.1", 900)], 0);
    let both = named(&world, 0)[0].clone();
    assert!(world.compiler.lapse(Timestamp(9_000)).is_empty());
    let delta = world.compiler.lapse(Timestamp(16_000));
    let [one] = &named(&world, 16)[..] else { panic!("one address") };
    assert_eq!(one.names, "api.example.org");
    assert_ne!(one.identity, both.identity, "it may be reached as by both");
    let gone: Vec<_> = delta.remove.iter().map(Element::key).collect();
    assert!(gone.contains(&Element::Named(both).key()));
    assert!(delta.add.contains(&Element::Named(one.clone())));
}

/// So that whoever is told a second time waits for what was begun the first time.
#[test]
fn what_is_told_again_is_put_there_again() {
    let mut world = world();
    let first = told(&mut world, "a.example", &[("198.51.100.1", 10)], 0).delta;
    let again = told(&mut world, "a.example", &[("198.51.100.1", 10)], 0).delta;
    let of = |delta: &[Element]| delta.iter().filter(|e| matches!(e, Element::Named(_))).count();
    assert_eq!((of(&first.add), of(&again.add), again.remove.len()), (1, 1, 0));
    // A clock that was set back does not keep what it promised then.
    world.compiler.lapse(Timestamp(0));
    let id = world.endpoint("x-a").id;
    let limits = NameLimits { floor: Duration::from_secs(1), addresses: 2 };
    let answer = Answer {
        name: "a.example".into(),
        addresses: vec![("198.51.100.9".parse().unwrap(), Duration::from_secs(10))],
    };
    world.compiler.resolve(id, &answer, (limits, Timestamp(3_600_000)));
    let back = world.compiler.resolve(id, &answer, (limits, Timestamp(0))).delta;
    assert_eq!(back.remove.len(), 1, "it was taken for known");
}

#[test]
fn nothing_is_kept_for_who_does_not_ask_by_name() {
    let mut world = world();
    world.apply(
        "names",
        PolicySpec { egress: Vec::new(), ..app(has("pod", &["a"]), None, Some(vec![])) },
    );
    let none = told(&mut world, "a.example", &[("198.51.100.1", 10)], 0);
    assert!(none.delta.is_empty() && named(&world, 0).is_empty());
}
