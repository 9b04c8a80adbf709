//! The truth table: how many of the 72 pairs may talk.

use postern_model::policy::{Action, Mode, Operator, Peer, PolicyPort, PolicySpec, Selector, Tier};
use postern_model::port::Protocol::{Sctp, Tcp, Udp};
use postern_model::topology::Put;

use super::world::{
    TCP80, TCP81, UDP80, World, accept, any, app, cidr, has, is, named, near, of, policy, port,
    rule,
};

fn a() -> Selector {
    has("pod", &["a"])
}

fn b() -> Selector {
    has("pod", &["b"])
}

/// One policy of tier app for network x.
fn under(spec: PolicySpec) -> World {
    let mut world = World::new();
    assert_eq!(world.allowed(TCP80), 72);
    world.apply("p", spec);
    world
}

fn dns() -> PolicyPort {
    port(Udp, 53, 53)
}

#[test]
fn ingress() {
    let not_x = || Selector(vec![is("ns", Operator::NotIn, &["x"])]);
    for (case, pods, rules, pairs) in [
        ("E01", any(), vec![], 48),
        ("E03", a(), vec![accept(vec![near(b())], vec![])], 65),
        ("E05", a(), vec![accept(vec![of(any(), any())], vec![])], 72),
        ("E07", a(), vec![accept(vec![near(has("pod", &["b"]))], vec![])], 65),
        ("E09", a(), vec![accept(vec![of(not_x(), any()), near(b())], vec![])], 71),
        ("E11", a(), vec![accept(vec![of(not_x(), has("pod", &["b", "c"]))], vec![])], 68),
        ("E13", a(), vec![accept(vec![of(has("ns", &["y"]), a())], vec![])], 65),
        ("E23", any(), vec![accept(vec![near(any())], vec![])], 54),
    ] {
        assert_eq!(under(app(pods, Some(rules), None)).allowed(TCP80), pairs, "{case}");
    }
}

#[test]
fn ports() {
    let from_y =
        |number| accept(vec![of(has("ns", &["y"]), any())], vec![port(Tcp, number, number)]);
    let mut world = under(app(a(), Some(vec![from_y(81)]), None));
    assert_eq!((world.allowed(TCP80), world.allowed(TCP81)), (64, 67), "E15");
    world.apply("p", app(a(), Some(vec![from_y(81), from_y(80)]), None));
    assert_eq!((world.allowed(TCP80), world.allowed(TCP81)), (67, 67), "E15");

    let by_name = accept(vec![], vec![named(Tcp, "serve-81-tcp")]);
    let world = under(app(any(), Some(vec![by_name]), None));
    assert_eq!((world.allowed(TCP80), world.allowed(TCP81)), (48, 72), "E17");

    let by_name = accept(vec![], vec![named(Tcp, "serve-80-tcp")]);
    let world = under(app(a(), None, Some(vec![by_name, accept(vec![], vec![dns()])])));
    assert_eq!((world.allowed(TCP80), world.allowed(TCP81)), (72, 64), "E19");

    let mut world = under(app(any(), Some(vec![accept(vec![], vec![port(Tcp, 80, 80)])]), None));
    assert_eq!(world.allowed(TCP81), 48, "E31");
    world.apply("all", app(any(), Some(vec![accept(vec![], vec![])]), None));
    assert_eq!(world.allowed(TCP81), 72, "E31");

    let world = under(app(a(), Some(vec![accept(vec![], vec![port(Sctp, 80, 80)])]), None));
    assert_eq!(world.allowed(TCP81), 64, "E39");
}

#[test]
fn egress() {
    let not_y = Selector(vec![is("ns", Operator::NotIn, &["y"])]);
    for (case, rules, pairs) in [
        ("E25", vec![], 64),
        ("E29", vec![accept(vec![of(has("ns", &["y"]), a())], vec![])], 65),
        (
            "E35",
            vec![accept(
                vec![
                    cidr("192.168.1.0/24", &["192.168.1.11/32"]),
                    cidr("fd00:1::/64", &["fd00:1::11/128"]),
                ],
                vec![],
            )],
            65,
        ),
        ("E41", vec![accept(vec![of(not_y, any())], vec![])], 69),
    ] {
        assert_eq!(under(app(a(), None, Some(rules))).allowed(TCP80), pairs, "{case}");
    }
    let ingress = Some(vec![accept(vec![near(b())], vec![])]);
    let world = under(app(a(), ingress, Some(vec![accept(vec![], vec![port(Tcp, 80, 80)])])));
    assert_eq!((world.allowed(TCP80), world.allowed(TCP81)), (65, 57), "E27");
    let world = under(app(a(), Some(vec![]), Some(vec![accept(vec![], vec![])])));
    assert_eq!(world.allowed(TCP80), 64, "E37");
}

#[test]
fn labels_and_policies_change_live() {
    let ns2 = accept(vec![of(has("ns2", &["updated"]), any())], vec![]);
    let mut world = under(app(a(), Some(vec![ns2]), None));
    assert_eq!(world.allowed(TCP80), 64, "E21");
    let mut y = world.network("y");
    y.spec.labels.insert("ns2".into(), "updated".into());
    world.put(Put::Network(y));
    assert_eq!(world.allowed(TCP80), 67, "E21");

    let mut world = World::new();
    let both = world.apply("p", app(any(), Some(vec![]), Some(vec![])));
    assert_eq!(world.allowed(TCP80), 30, "E33");
    world.delete(both);
    assert_eq!(world.allowed(TCP80), 72, "E33");
    let leftovers: Vec<_> =
        world.held.iter().filter(|e| !e.set().starts_with("identity")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

/// A rule for everybody by a port's name means whom another policy tells apart later, too.
#[test]
fn names_of_ports_follow_new_identities() {
    let by_name = accept(vec![], vec![named(Tcp, "serve-80-tcp")]);
    let mut world = under(app(b(), None, Some(vec![by_name])));
    let before = world.allowed(TCP80);
    let one = accept(vec![Peer::Endpoint("x-a".parse().unwrap())], vec![]);
    world.apply("other", PolicySpec { mode: Mode::Audit, ..app(a(), Some(vec![one]), None) });
    assert_eq!(world.allowed(TCP80), before);
}

#[test]
fn generated_by_others() {
    let ingress =
        accept(vec![of(has("ns", &["x", "y"]), has("pod", &["b", "c"]))], vec![port(Tcp, 80, 80)]);
    let egress =
        accept(vec![of(has("ns", &["y", "z"]), has("pod", &["a", "b"]))], vec![port(Tcp, 80, 80)]);
    let base = || {
        app(
            a(),
            Some(vec![ingress.clone()]),
            Some(vec![egress.clone(), accept(vec![], vec![dns()])]),
        )
    };
    let mut world = under(base());
    assert_eq!(
        (world.allowed(TCP80), world.allowed(TCP81), world.allowed(UDP80)),
        (64, 56, 56),
        "Y00"
    );
    let id = world.topology.find_policy("p").unwrap().id;
    world.delete(id);
    assert_eq!(world.allowed(TCP80), 72, "Y09");

    let from = accept(vec![of(has("new", &["label"]), any())], vec![port(Tcp, 80, 80)]);
    let mut world = under(PolicySpec { ingress: vec![from], ..base() });
    assert_eq!(world.allowed(TCP80), 60, "Y12");
    let y = world.network("y");
    let mut labelled = y.clone();
    labelled.spec.labels.insert("new".into(), "label".into());
    world.put(Put::Network(labelled));
    assert_eq!(world.allowed(TCP80), 63, "Y12");
    world.put(Put::Network(y));
    assert_eq!(world.allowed(TCP80), 60, "Y12");
}

fn admin(priority: u32, egress: Vec<postern_model::policy::Rule>) -> PolicySpec {
    policy((Tier::Admin, priority), (has("ns", &["x"]), any()), None, Some(egress))
}

/// What every tier has passed on is an entry of its own beside a rule for everything, and
/// nobody's to count.
#[test]
fn what_every_tier_passes_on_is_left_to_the_networks() {
    let passed = rule(Action::Pass, vec![], vec![port(Tcp, 80, 80)]);
    let denied = rule(Action::Deny, vec![], vec![]);
    let baseline = policy((Tier::Baseline, 0), (any(), any()), Some(vec![passed, denied]), None);
    let world = under(baseline);
    assert_eq!((world.allowed(TCP80), world.allowed(TCP81)), (72, 0));
}

#[test]
fn the_first_rule_of_tier_admin_decides() {
    let y = || vec![of(has("ns", &["y"]), any())];
    let of_y = |action| rule(action, y(), vec![]);
    let order = |actions: [Action; 3]| admin(10, actions.map(of_y).to_vec());
    for (case, actions, pairs) in [
        ("N01", [Action::Accept, Action::Deny, Action::Pass], 72),
        ("N02", [Action::Deny, Action::Accept, Action::Pass], 63),
        ("N03", [Action::Pass, Action::Accept, Action::Deny], 72),
    ] {
        assert_eq!(under(order(actions)).allowed(TCP80), pairs, "{case}");
    }
    let z = || vec![of(has("ns", &["z"]), any())];
    let rules =
        vec![rule(Action::Accept, z(), vec![port(Tcp, 81, 81)]), rule(Action::Deny, z(), vec![])];
    let world = under(admin(10, rules));
    assert_eq!((world.allowed(TCP80), world.allowed(TCP81)), (63, 72), "N04");

    let others = || vec![of(Selector(vec![is("ns", Operator::NotIn, &["x"])]), any())];
    let mut world = under(admin(50, vec![rule(Action::Deny, others(), vec![])]));
    world.apply("pass", admin(60, vec![rule(Action::Pass, others(), vec![])]));
    assert_eq!(world.allowed(TCP80), 54, "N08");
    world.apply("pass", admin(40, vec![rule(Action::Pass, others(), vec![])]));
    assert_eq!(world.allowed(TCP80), 72, "N09");
}

#[test]
fn tiers_stand_around_each_other() {
    let all = |tier, action| {
        let rules = || Some(vec![rule(action, vec![], vec![])]);
        policy((tier, 20), (has("ns", &["x"]), any()), rules(), rules())
    };
    let mut world = World::new();
    let app_id = world.apply("app", app(any(), Some(vec![]), Some(vec![accept(vec![], vec![])])));
    world.apply("admin", all(Tier::Admin, Action::Deny));
    assert_eq!(world.allowed(TCP80), 30, "N10");
    world.apply("admin", all(Tier::Admin, Action::Pass));
    assert_eq!(world.allowed(TCP80), 48, "N11");
    world.delete(app_id);
    let outside = vec![of(Selector(vec![is("ns", Operator::NotIn, &["x"])]), any())];
    world.apply(
        "base",
        policy(
            (Tier::Baseline, 0),
            (has("ns", &["x"]), any()),
            Some(vec![rule(Action::Deny, outside, vec![])]),
            None,
        ),
    );
    assert_eq!(world.allowed(TCP80), 54, "N12");

    let mut world = World::new();
    world.apply("app", app(any(), Some(vec![]), Some(vec![])));
    world.apply("admin", all(Tier::Admin, Action::Accept));
    // x itself, with an ingress of its own, is open again; both directions are accepted.
    assert_eq!(world.allowed(TCP80), 72, "N14");

    let ports = vec![port(Tcp, 80, 81)];
    let from_x = vec![of(has("ns", &["x"]), any())];
    let spec = policy(
        (Tier::Admin, 10),
        (has("ns", &["x"]), a()),
        Some(vec![rule(Action::Deny, from_x, ports)]),
        None,
    );
    let world = under(spec);
    let counts = [TCP80, TCP81, UDP80].map(|what| world.allowed(what));
    assert_eq!(counts, [70, 70, 72], "N18");
}
