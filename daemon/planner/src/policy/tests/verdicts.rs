//! What becomes of a flow, who decides, and what audited policies would have said.

use postern_model::decision::Desired;
use postern_model::network::Family;
use postern_model::policy::{Action, Direction, FlowVerdict, Mode, PolicySpec, Selection, Tier};
use postern_model::port::Protocol::Tcp;
use postern_model::topology::Put;

use super::world::{TCP80, TCP81, World, accept, any, app, has, of, policy, port, rule};
use crate::policy::{Compiler, Flow, Judgement, Party};

/// The world with networks that let everybody through.
fn open() -> World {
    let mut world = World::new();
    for name in ["x", "y", "z"] {
        let mut network = world.network(name);
        network.decision.resources.push(Desired::Filter {
            link: "bridge".parse().unwrap(),
            neighbours: true,
            networks: true,
            world: true,
            direct: false,
        });
        world.put(Put::Network(network));
    }
    world
}

fn flow(world: &World, from: &str, to: &str, what: Selection) -> Flow {
    let party = |name: &str| match name {
        "host" => Party::Host,
        name => Party::Address(world.endpoint(name).address(Family::V4).unwrap()),
    };
    Flow {
        from: party(from),
        to: party(to),
        family: Family::V4,
        what,
        published: false,
        begins: None,
    }
}

fn judged(world: &World, from: &str, to: &str, what: Selection) -> Judgement {
    world.compiler.judge(&world.topology, &flow(world, from, to, what))
}

fn deciders(judgement: &Judgement) -> Vec<(Direction, String, Option<usize>)> {
    let deciders = judgement.deciders().into_iter();
    deciders.map(|(side, cause)| (side, cause.policy.clone(), cause.rule)).collect()
}

fn admin(action: Action) -> PolicySpec {
    let rules = vec![rule(action, vec![], vec![port(Tcp, 80, 80)])];
    policy((Tier::Admin, 1), (has("ns", &["x"]), has("pod", &["a"])), Some(rules), None)
}

#[test]
fn of_each_action() {
    let ingress = |rule| vec![(Direction::Ingress, "p".to_owned(), rule)];
    for (action, verdict, decided) in [
        (Action::Accept, FlowVerdict::Passed, ingress(Some(0))),
        (Action::Deny, FlowVerdict::Dropped, ingress(Some(0))),
        (Action::Reject, FlowVerdict::Rejected, ingress(Some(0))),
        (Action::Pass, FlowVerdict::Passed, vec![]),
    ] {
        let mut world = open();
        world.apply("p", admin(action));
        let judgement = judged(&world, "x-b", "x-a", TCP80);
        assert_eq!((judgement.verdict(), deciders(&judgement)), (verdict, decided), "{action:?}");
        let other = judged(&world, "x-b", "x-a", TCP81);
        assert_eq!((other.verdict(), deciders(&other)), (FlowVerdict::Passed, vec![]));
    }
    let mut world = open();
    world.apply("p", app(has("pod", &["a"]), Some(vec![]), None));
    let judgement = judged(&world, "x-b", "x-a", TCP80);
    assert_eq!(judgement.verdict(), FlowVerdict::Dropped);
    assert_eq!(deciders(&judgement), ingress(None));
}

#[test]
fn the_side_that_is_asked_first_decides() {
    let mut world = open();
    world.apply("in", admin(Action::Reject));
    world.apply("out", app(has("pod", &["b"]), None, Some(vec![])));
    let judgement = judged(&world, "x-b", "x-a", TCP80);
    assert_eq!(judgement.verdict(), FlowVerdict::Dropped);
    assert_eq!(deciders(&judgement), [(Direction::Egress, "out".to_owned(), None)]);
    let judgement = judged(&world, "x-c", "x-a", TCP80);
    assert_eq!(judgement.verdict(), FlowVerdict::Rejected);
}

#[test]
fn what_is_never_asked_of_policies_is_not_rejected() {
    let mut world = open();
    let mut internal = world.network("x");
    internal.spec.internal = true;
    world.put(Put::Network(internal));
    world.apply("p", admin(Action::Reject));
    assert_eq!(judged(&world, "y-a", "x-a", TCP80).verdict(), FlowVerdict::Dropped);
    assert_eq!(judged(&world, "x-b", "x-a", TCP80).verdict(), FlowVerdict::Rejected);
}

#[test]
fn audited_policies_are_judged_apart() {
    let mut world = open();
    let from_b = accept(vec![of(any(), has("pod", &["b"]))], vec![]);
    let spec =
        PolicySpec { mode: Mode::Audit, ..app(has("pod", &["a"]), Some(vec![from_b]), None) };
    world.apply("p", spec);
    let audited = |world: &World, from: &str, to: &str| {
        world.compiler.judge_audited(&world.topology, &flow(world, from, to, TCP80))
    };
    for (from, would) in [("x-b", FlowVerdict::Passed), ("x-c", FlowVerdict::Dropped)] {
        assert_eq!(judged(&world, from, "x-a", TCP80).verdict(), FlowVerdict::Passed);
        let judgement = audited(&world, from, "x-a").unwrap();
        assert_eq!(judgement.verdict(), would, "{from}");
        assert_eq!(deciders(&judgement).len(), 1);
    }
    assert_eq!(audited(&world, "x-b", "x-c"), None, "nobody audits it");
    assert_eq!(audited(&world, "host", "x-c"), None);
    assert!(!world.compiler.is_policed_flow(&flow(&world, "x-c", "x-a", TCP80)));
}

/// Frames between neighbours are judged for who is audited too, or they would not be seen;
/// change by change as from the beginning.
#[test]
fn networks_are_judged_while_somebody_is_policed_or_audited() {
    let mut world = open();
    let check = |world: &World, expected: bool| {
        let (x, y) = (world.network("x").id, world.network("y").id);
        for compiler in [&world.compiler, &Compiler::of(&world.topology)] {
            assert_eq!((compiler.is_policed(x), compiler.is_policed(y)), (expected, false));
        }
    };
    let with = |mode| PolicySpec { mode, ..app(has("pod", &["a"]), Some(vec![]), None) };
    check(&world, false);
    let one = world.apply("one", with(Mode::Audit));
    check(&world, true);
    world.apply("two", with(Mode::Enforce));
    world.delete(one);
    check(&world, true);
    world.apply("two", with(Mode::Audit));
    check(&world, true);
    let mut relabelled = world.endpoint("x-a");
    relabelled.spec.labels.insert("pod".into(), "none".into());
    world.put(Put::Endpoint(Box::new(relabelled)));
    check(&world, false);
    let mut back = world.endpoint("x-a");
    back.spec.labels.insert("pod".into(), "a".into());
    world.put(Put::Endpoint(Box::new(back.clone())));
    check(&world, true);
    world.put(Put::EndpointGone(back.id));
    check(&world, false);
}
