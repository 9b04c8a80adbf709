//! Policies as their users have them: rehearsed, explained, refused, expired, from files.

use postern_proto::v1::policy_rule::Action;
use postern_proto::v1::{
    ApplyPolicyRequest, Direction, PolicyPort, PolicyRule, PolicySpec, PolicySubject, Tier,
};
use postern_tests::dns;
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{Netns, OUTSIDE4, Refusal, World, ask};
use tonic::Code;

use crate::policies::{DB4, DB6, blue, db_from_web, reaches};

#[test]
fn a_policy_expires() {
    World::run(async |world| {
        let [web, db, _] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:80", "db");
        let now = std::time::SystemTime::now();
        let expires = |seconds| {
            let at = now + std::time::Duration::from_secs(seconds);
            Some(prost_types::Timestamp::from(at))
        };
        let mut spec = ask::app(&[("app", "db")], Vec::new());
        spec.expire_time = expires(3);
        world.api.apply_policy("db", spec).await.unwrap();
        assert!(!reaches(&web, &format!("{DB4}:80")));
        let gone = (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            reaches(&web, &format!("{DB4}:80"))
        });
        assert!(gone, "it stays");
    });
}

#[test]
fn what_is_wrong_is_named_and_changes_nothing() {
    World::run(async |world| {
        blue(world).await;
        let before = world.snapshot().await;
        let app = |change: &dyn Fn(&mut PolicySpec)| {
            let mut spec = db_from_web();
            change(&mut spec);
            spec
        };
        let cases: Vec<(PolicySpec, &str)> = vec![
            (PolicySpec::default(), "spec.subject"),
            (app(&|s| s.subject = Some(PolicySubject::default())), "spec.subject"),
            (app(&|s| s.tier = 9), "spec.tier"),
            (app(&|s| s.priority = 1), "spec.priority"),
            (app(&|s| s.ingress[0].action = Action::Deny.into()), "spec.ingress[0].action"),
            (app(&|s| s.ingress[0].peers[0].kind = None), "spec.ingress[0].peers[0]"),
            (
                app(&|s| s.ingress[0].peers[0] = ask::cidr("10.0.0.0/8", &["11.0.0.0/16"])),
                "spec.ingress[0].peers[0].cidr.except",
            ),
            (
                app(&|s| s.ingress[0].peers[0] = ask::cidr("10.0.0.1/8", &[])),
                "spec.ingress[0].peers[0].cidr.cidr",
            ),
            (app(&|s| s.ingress[0].ports[0].port = 70_000), "spec.ingress[0].ports[0].port"),
            (app(&|s| s.ingress[0].ports[0].port_end = 5), "spec.ingress[0].ports[0].port"),
            (app(&|s| s.ingress[0].ports[0].name = "x".into()), "spec.ingress[0].ports[0].name"),
            (app(&|s| s.directions = vec![Direction::Egress.into()]), "spec.ingress"),
            (app(&|s| s.expire_time = Some(prost_types::Timestamp::default())), "spec.expire_time"),
        ];
        for (spec, field) in cases {
            let refusal = Refusal::expect(world.api.apply_policy("p", spec).await.map(|_| ()));
            refusal.assert(Code::InvalidArgument, field);
            assert_eq!(world.snapshot().await, before, "{field}");
        }
        let request = ApplyPolicyRequest {
            name: "p".into(),
            spec: Some(db_from_web()),
            revision: Some(7),
            ..Default::default()
        };
        let refusal = Refusal::expect(world.api.policies.apply(request).await.map(|_| ()));
        assert_eq!(refusal.code, Code::Aborted);
        assert_eq!(world.snapshot().await, before);
    });
}

/// The same file once in the form of the API, once as Kubernetes has it.

#[test]
fn files_are_applied_from_the_command_line() {
    World::run(async |world| {
        let [web, db, _] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        let file = world.run_dir().join("policies.yaml");
        let own = "name: db\nspec: {subject: {endpoints: {matchLabels: {app: db}}}}\n";
        let theirs = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: blue}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
";
        let apply = |text: &str, more: &[&str]| {
            std::fs::write(&file, text).unwrap();
            let mut args = vec!["policy", "apply", "-f", file.to_str().unwrap()];
            args.extend(more);
            world.cli(&args)
        };
        let to = format!("{DB4}:5432");
        let dry = apply(own, &["--dry-run"]);
        assert!(dry.stdout.contains("deny  web.blue -> db.blue other ipv4"), "{dry:?}");
        assert!(reaches(&web, &to), "a dry run changed something");
        assert!(apply(own, &[]).stdout.starts_with("db: selects one endpoint"));
        assert!(!reaches(&web, &to));
        assert!(apply(theirs, &[]).stdout.starts_with("blue.db: selects one endpoint"));
        assert!(reaches(&web, &to));
        let wrong = apply(&format!("{own}---\nname: x\nspec: {{oops: 1}}\n"), &[]);
        assert!(wrong.code == Some(2) && wrong.stderr.contains("document 2"), "{wrong:?}");
        let table = world.cli(&["policy", "ls"]).stdout;
        assert!(table.contains("blue.db") && table.contains("ingress"), "{table}");
        assert_eq!(world.cli(&["policy", "rm", "blue.db", "db"]).code, Some(0));
        assert!(world.cli(&["policy", "ls", "-q"]).stdout.is_empty());
    });
}

#[test]
fn a_quarantined_sandbox_is_cut_off_at_once_and_over_a_restart() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        let _db = Server::tcp(&db, "[::]:80", "db");
        let _web = Server::tcp(&web, "[::]:80", "web");
        let _udp = Server::udp(&db, "[::]:53", "db");
        let _outside = Server::tcp(&world.outside, "[::]:80", "outside");
        let mut talk = Conversation::begin(&web, &format!("{DB4}:80")).unwrap();
        let near = |world: &World| {
            [
                reaches(&web, &format!("{DB4}:80")),
                reaches(&other, &format!("{DB6}:80")),
                reaches(&world.host, &format!("{DB4}:80")),
                traffic::udp(&other, &format!("{DB4}:53")).is_some(),
                reaches(&db, "10.1.0.10:80"),
                reaches(&db, &format!("{OUTSIDE4}:80")),
            ]
        };
        assert_eq!(near(world), [true; 6]);
        let told = |db: &Netns| dns::dig(db, "web A");
        assert_eq!(told(&db).answers, ["10.1.0.10"]);

        assert_eq!(world.cli(&["sandbox", "quarantine", "db"]).code, Some(0));
        assert!(!talk.goes_on(), "a live flow goes on");
        assert_eq!(near(world), [false; 6]);
        assert_eq!(told(&db).status, "REFUSED");
        assert!(reaches(&other, "10.1.0.10:80"), "others are not concerned");
        assert!(world.api.sandbox("db").await.unwrap().quarantined);
        world.assert_agrees().await;

        world.restart().await;
        assert_eq!(near(world), [false; 6]);
        assert_eq!(told(&db).status, "REFUSED");
        assert_eq!(world.cli(&["sandbox", "release", "db"]).code, Some(0));
        assert_eq!(near(world), [true; 6]);
        world.assert_agrees().await;
    });
}

#[test]
fn a_verdict_is_explained_and_the_kernel_asked() {
    World::run_with(&["--own-tables=false", "--watch-drift=false"], async |world| {
        let [web, db, _] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        let explain = |args: &[&str]| {
            let shown = world.cli(&[&["explain"], args].concat());
            assert_eq!(shown.code, Some(0), "{}", shown.stderr);
            shown.stdout
        };
        for (from, what, verdict, said) in [
            ("web", "tcp/5432", "ALLOWED", "accepted by policy `db`, ingress rule 0"),
            ("web", "tcp/80", "DENIED", "isolated by policy `db`"),
            ("other.blue", "tcp/5432", "DENIED", "other peer"),
            ("host", "tcp/5432", "DENIED", "would allow: {tier: TIER_APP"),
            ("198.51.100.1", "tcp/5432", "DENIED", "the port is not published"),
            ("web", "icmp", "DENIED", "isolated"),
        ] {
            for family in [&[][..], &["-6"][..]] {
                if (from.starts_with("198") || what == "icmp") && !family.is_empty() {
                    continue;
                }
                let shown = explain(&[&[from, "db", what], family].concat());
                assert!(shown.starts_with(verdict) && shown.contains(said), "{shown}");
                assert!(shown.contains("kernel   agrees"), "{shown}");
            }
        }
        assert!(explain(&["db", "web", "tcp/80"]).contains("neighbours may talk"));
        world.host.sh("nft flush set inet postern policed-in4");
        assert!(explain(&["web", "db", "tcp/80"]).contains("kernel   DIFFERS"));
        assert!(reaches(&web, &format!("{DB4}:5432")));
        let refused = world.cli(&["explain", "web", "nobody", "tcp/80"]);
        assert!(refused.code == Some(3) && refused.stderr.contains("nobody"), "{refused:?}");
        assert_eq!(world.cli(&["explain", "web", "db", "5432"]).code, Some(2));
        assert_eq!(world.cli(&["reconcile"]).code, Some(0));
        assert!(explain(&["web", "db", "tcp/80"]).contains("kernel   agrees"));
    });
}

#[test]
fn a_rehearsal_tells_pairs_live_flows_and_what_is_odd() {
    World::run(async |world| {
        let [web, db, _] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        // Flows are known only where frames between neighbours are judged.
        world
            .api
            .apply_policy("other", ask::app(&[("app", "db")], vec![ask::accept(vec![], 0)]))
            .await
            .unwrap();
        let mut talk = Conversation::begin(&web, &format!("{DB4}:5432")).unwrap();
        let before = world.snapshot().await;
        let mut spec = db_from_web();
        spec.ingress[0].peers = vec![ask::peer(&[("app", "nobody")])];
        let rehearse = async |world: &mut World, name: &str, spec: PolicySpec| {
            let request = ApplyPolicyRequest {
                name: name.into(),
                spec: Some(spec),
                validate_only: true,
                ..Default::default()
            };
            world.api.policies.apply(request).await.unwrap().into_inner()
        };
        let told = rehearse(world, "other", spec).await;
        let denied: Vec<_> = told.changes.iter().filter(|change| !change.ipv6).collect();
        assert!(denied.iter().all(|change| change.to == "db.blue" && !change.allowed));
        let from: std::collections::BTreeSet<_> = denied.iter().map(|c| c.from.as_str()).collect();
        assert_eq!(from.into_iter().collect::<Vec<_>>(), ["host", "other.blue", "web.blue"]);
        assert_eq!((told.flows_cut, told.live_flows_cut.len()), (1, 1), "{told:?}");
        assert!(told.live_flows_cut[0].contains("tcp/5432"));
        assert_eq!(told.lint[0].code, "UNKNOWN_PEER");
        assert_eq!(world.snapshot().await, before);
        assert!(talk.goes_on());

        let nothing = rehearse(world, "x", ask::app(&[("app", "nobody")], vec![])).await;
        assert_eq!((nothing.lint[0].code.as_str(), nothing.changes.len()), ("SELECTS_NOTHING", 0));
        let mut shadowed = db_from_web();
        shadowed.tier = Tier::Admin.into();
        shadowed.ingress = vec![ask::rule(Action::Deny, vec![], 0), ask::accept(vec![], 5432)];
        shadowed.ingress[1].ports[0] = PolicyPort { name: "none".into(), ..Default::default() };
        let told = rehearse(world, "y", shadowed).await;
        let codes: Vec<_> = told.lint.iter().map(|lint| lint.code.as_str()).collect();
        assert_eq!(codes, ["UNKNOWN_PORT", "UNREACHABLE_RULE"]);
        assert_eq!(told.lint[1].rule, "ingress[1]");
    });
}

/// Many prefixes, many ports and some endpoints: each alone is within its bounds.
#[test]
fn a_policy_that_needs_too_many_entries_is_refused_with_the_number() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        for n in 0..8 {
            world.place("blue", &format!("e{n}"), ask::labelled(&[("app", "many")])).await;
        }
        let before = world.snapshot().await;
        // Neighbouring numbers would be one range.
        let port = |n: u32| PolicyPort { port: 1000 + 2 * n, ..PolicyPort::default() };
        let rule = |r: u32| PolicyRule {
            peers: (0..64).map(|n| ask::cidr(&format!("100.{r}.{n}.0/24"), &[])).collect(),
            ports: (0..64).map(port).collect(),
            ..PolicyRule::default()
        };
        let apply = async |rules: u32| {
            let spec = ask::app(&[("app", "many")], (64..64 + rules).map(rule).collect());
            world.api.apply_policy("many", spec).await
        };
        let refusal = Refusal::expect(apply(7).await.map(|_| ()));
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::ResourceExhausted, "POLICY_TOO_LARGE")
        );
        let needed = refusal.message.split(' ').find_map(|word| word.parse::<usize>().ok());
        assert!(needed.is_some_and(|needed| needed > 200_000), "{refusal:?}");
        assert!(refusal.message.contains("at most 200000"), "{refusal:?}");
        assert_eq!(world.snapshot().await, before);
        apply(1).await.unwrap();
        world.assert_agrees().await;
    });
}
