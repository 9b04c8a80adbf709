//! What rules have decided, counted by the kernel.

use postern_proto::v1::Direction::{Egress, Ingress};
use postern_proto::v1::policy_port::Protocol;
use postern_proto::v1::policy_rule::Action;
use postern_proto::v1::{PolicyMode, PolicyPort, PolicyRule, PolicySpec, Tier};
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{Refusal, World, ask};
use tonic::Code;

use super::policies::{DB4, DB6, blue, reaches};

#[test]
fn each_rule_counts_the_flows_that_it_decides() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        let _servers = [5432, 80].map(|port| Server::tcp(&db, &format!("[::]:{port}"), "db"));
        let of_web = || vec![ask::peer(&[("app", "web")])];
        let rules = vec![
            ask::accept(of_web(), 5432),
            // The same verdict as of the one after it, which is more general.
            ask::accept(of_web(), 80),
            ask::accept(vec![], 80),
            ask::accept(of_web(), 80),
        ];
        world.api.apply_policy("db", ask::app(&[("app", "db")], rules)).await.unwrap();
        assert_eq!(
            world.api.counters("db").await.unwrap(),
            [0, 1, 2, 3, -1].map(|rule| (Ingress, rule, 0))
        );

        let (db4, db6) = (format!("{DB4}:5432"), format!("{DB6}:5432"));
        assert!(reaches(&web, &db4) && reaches(&web, &db6) && reaches(&web, &db4));
        assert!(reaches(&web, &format!("{DB4}:80")));
        assert!(reaches(&other, &format!("{DB4}:80")) && reaches(&other, &format!("{DB6}:80")));
        let mut talk = Conversation::begin(&web, &db4).unwrap();
        assert!(talk.goes_on() && talk.goes_on(), "of what is established nothing is counted");
        let counted = world.api.counters("db").await.unwrap();
        assert_eq!(
            counted[..4],
            [(Ingress, 0, 4), (Ingress, 1, 1), (Ingress, 2, 2), (Ingress, 3, 0)]
        );
        assert_eq!(counted[4], (Ingress, -1, 0));
        assert!(!reaches(&other, &db4));
        let dropped = world.api.counters("db").await.unwrap();
        assert!(dropped[4].2 >= 1 && dropped[..4] == counted[..4], "{dropped:?}");

        // The kernel counts, whether the daemon is there or not.
        world.restart().await;
        assert_eq!(world.api.counters("db").await.unwrap(), dropped);
        assert!(reaches(&web, &db4));
        assert_eq!(world.api.counters("db").await.unwrap()[0], (Ingress, 0, 5));
        world.assert_agrees().await;
    });
}

/// A flow is counted at both ends; what a policy before another decides is not the other's.
#[test]
fn both_ends_count_and_the_first_decision_alone() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        let _server = Server::udp(&db, "[::]:55", "db");
        let ports = |first: u32, last: u32| PolicyPort {
            protocol: Protocol::Udp.into(),
            port: first,
            port_end: last,
            ..PolicyPort::default()
        };
        let rule = |action: Action, peers, ports| PolicyRule {
            ports: vec![ports],
            ..ask::rule(action, peers, 0)
        };
        let net = || vec![ask::cidr("10.1.0.0/24", &[]), ask::peer(&[("app", "db")])];
        let out = PolicySpec {
            directions: vec![Egress.into()],
            egress: vec![rule(Action::Accept, net(), ports(50, 60))],
            ..ask::app(&[("app", "web")], vec![])
        };
        let first = PolicySpec {
            tier: Tier::Admin.into(),
            ..ask::app(
                &[("app", "db")],
                vec![
                    rule(Action::Pass, vec![], ports(50, 60)),
                    rule(Action::Deny, vec![ask::peer(&[("app", "other")])], ports(55, 0)),
                ],
            )
        };
        let all = ask::app(&[("app", "db")], vec![ask::accept(vec![], 0)]);
        for (name, spec) in [("out", &out), ("in", &all)] {
            world.api.apply_policy(name, spec.clone()).await.unwrap();
        }
        let to = format!("{DB4}:55");
        assert!(traffic::udp(&web, &to).is_some() && traffic::udp(&other, &to).is_some());
        assert_eq!(world.api.counters("out").await.unwrap()[0], (Egress, 0, 1));
        assert_eq!(world.api.counters("in").await.unwrap(), [(Ingress, 0, 2), (Ingress, -1, 0)]);

        // Passed on, it is the next tier's; denied before it is passed on, it is not.
        world.api.apply_policy("first", first.clone()).await.unwrap();
        assert!(traffic::udp(&other, &to).is_some());
        let passed = world.api.counters("first").await.unwrap();
        assert_eq!(passed, [(Ingress, 0, 0), (Ingress, 1, 0)]);
        let turned =
            PolicySpec { ingress: first.ingress.iter().rev().cloned().collect(), ..first.clone() };
        world.api.apply_policy("first", turned.clone()).await.unwrap();
        assert!(traffic::udp(&other, &to).is_none());
        let denied = world.api.counters("first").await.unwrap();
        assert!(denied[0].2 >= 1 && denied[1].2 == 0, "{denied:?}");

        // What is only audited decides nothing, and nobody counts for it.
        let audited = PolicySpec { mode: PolicyMode::Audit.into(), ..turned };
        world.api.apply_policy("first", audited).await.unwrap();
        assert!(traffic::udp(&other, &to).is_some());
        let audited = world.api.counters("first").await.unwrap();
        assert_eq!(audited, [(Ingress, 0, 0), (Ingress, 1, 0)]);
        world.assert_agrees().await;
    });
}

#[test]
fn the_command_line_shows_them_and_no_policy_has_none() {
    World::run(async |world| {
        let [web, _db, _] = blue(world).await;
        let mut spec = ask::app(&[("app", "db")], vec![ask::accept(vec![], 5432)]);
        spec.ingress[0].id = "clients".to_owned();
        world.api.apply_policy("db", spec).await.unwrap();
        assert!(
            !reaches(&web, &format!("{DB4}:5432")),
            "nobody listens; it is counted all the same"
        );
        let shown = world.cli(&["policy", "counters", "db"]).stdout;
        let rows: Vec<Vec<&str>> =
            shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["DIRECTION", "RULE", "ID", "ACTION", "PACKETS"]);
        assert_eq!(rows[1], ["ingress", "0", "clients", "accept", "1"]);
        assert_eq!(rows[2], ["ingress", "-", "none", "0"]);
        let refused = Refusal::expect(world.api.counters("nowhere").await);
        refused.assert(Code::NotFound, "");
    });
}
