//! What is odd about a policy because of others.

use postern_model::policy::{Action, Mode, Peer, PolicySpec, Tier};
use postern_model::port::Protocol::{Tcp, Udp};
use postern_model::topology::Put;

use super::world::{World, accept, any, app, has, of, policy, port, rule};
use crate::fixture::macvlan;
use crate::policy::LintKind::{DnsBlocked, NotEnforced, SelectsNothing, ShadowedRule};
use crate::policy::{Compiler, Lint, LintKind};

fn kinds(world: &World, name: &str) -> Vec<LintKind> {
    let policy = world.topology.find_policy(name).unwrap();
    world.compiler.lint(policy).into_iter().map(|lint: Lint| lint.kind).collect()
}

fn of_x(tier: Tier, priority: u32, action: Action) -> PolicySpec {
    let rules = vec![rule(action, vec![of(any(), any())], vec![port(Tcp, 80, 90)])];
    policy((tier, priority), (has("ns", &["x"]), any()), Some(rules), None)
}

#[test]
fn a_rule_is_shadowed_by_what_decides_before_it_for_all_its_subjects() {
    let mut world = World::new();
    world.apply("first", of_x(Tier::Admin, 1, Action::Deny));
    let narrow = |tier| {
        let rules = vec![rule(Action::Accept, vec![of(any(), any())], vec![port(Tcp, 81, 81)])];
        policy((tier, 5), (has("ns", &["x"]), has("pod", &["a"])), Some(rules), None)
    };
    world.apply("later", narrow(Tier::Admin));
    assert_eq!(kinds(&world, "later"), [ShadowedRule]);
    assert_eq!(kinds(&world, "first"), []);
    world.apply("later", PolicySpec { priority: 0, ..narrow(Tier::App) });
    assert_eq!(kinds(&world, "later"), [ShadowedRule]);
    // Passed on, audited, or for others only: it is not shadowed.
    world.apply("first", of_x(Tier::Admin, 1, Action::Pass));
    assert_eq!(kinds(&world, "later"), []);
    world.apply("first", PolicySpec { mode: Mode::Audit, ..of_x(Tier::Admin, 1, Action::Deny) });
    assert_eq!(kinds(&world, "later"), []);
    let mut some = of_x(Tier::Admin, 1, Action::Deny);
    some.subject.selected.as_mut().unwrap().endpoints = has("pod", &["b"]);
    world.apply("first", some);
    assert_eq!(kinds(&world, "later"), []);
    // Who is isolated never comes to tier BASELINE.
    world.apply("base", narrow(Tier::Baseline));
    assert_eq!(kinds(&world, "base"), [ShadowedRule]);
}

#[test]
fn a_resolver_is_closed_to_who_reaches_something_by_name() {
    let mut world = World::new();
    let dns = || vec![accept(vec![of(any(), any())], vec![port(Udp, 53, 53)])];
    world.apply("dns", app(any(), None, Some(dns())));
    assert_eq!(kinds(&world, "dns"), []);
    let name = vec![accept(vec![Peer::Domain("example.org".parse().unwrap())], vec![])];
    world.apply("names", app(has("pod", &["a"]), None, Some(name)));
    assert_eq!(kinds(&world, "dns"), [DnsBlocked]);
}

#[test]
fn it_is_told_whom_rules_do_not_hold() {
    let mut world = World::new();
    let on = world.topology.find_sandbox("x-a").unwrap().clone();
    let beyond = macvlan(20, &world.network("x"), &on);
    world.apply("alone", app(has("beyond", &["yes"]), Some(vec![]), None));
    assert_eq!(kinds(&world, "alone"), [SelectsNothing]);
    let mut labelled = beyond.clone();
    labelled.spec.labels.insert("beyond".into(), "yes".into());
    world.put(Put::Endpoint(Box::new(labelled)));
    assert_eq!(kinds(&world, "alone"), [NotEnforced]);
    assert_eq!(world.held.len(), Compiler::of(&world.topology).elements().count());
    world.put(Put::EndpointGone(beyond.id));
    assert_eq!(kinds(&world, "alone"), [SelectsNothing]);
}
