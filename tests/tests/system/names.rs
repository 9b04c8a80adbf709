//! What shares a network is known by its names, and to nobody else.

use postern_proto::v1::{EndpointSpec, ExposedPort, Protocol, SandboxSpec};
use postern_tests::dns::dig;
use postern_tests::{Netns, World, ask};

/// `web` and `db` on `blue`, `far` on `red`; both families.
async fn furnish(world: &World) -> (Netns, Netns) {
    for (name, subnets) in
        [("blue", ["10.1.0.0/24", "fd00:1::/64"]), ("red", ["10.2.0.0/24", "fd00:2::/64"])]
    {
        world.api.create_network(name, ask::network(&subnets)).await.unwrap();
    }
    let web = world.place("blue", "web", ask::endpoint()).await;
    let named = SandboxSpec {
        hostname: "db1".into(),
        domain_name: "corp.test".into(),
        ..SandboxSpec::default()
    };
    world.api.create_sandbox_as("db", named).await.unwrap();
    let spec = EndpointSpec {
        ipv4_address: "10.1.0.9".into(),
        ipv6_address: "fd00:1::9".into(),
        aliases: vec!["Database".into(), "store.internal".into()],
        exposed_ports: vec![ExposedPort {
            port: 5432,
            protocol: Protocol::Tcp.into(),
            name: "postgres".into(),
            ..ExposedPort::default()
        }],
        ..EndpointSpec::default()
    };
    world.api.connect("blue", "db", spec).await.unwrap();
    let far = world.place("red", "far", ask::address("10.2.0.9")).await;
    (web, far)
}

#[test]
fn a_neighbour_has_many_names() {
    World::run(async |world| {
        let (web, _) = furnish(world).await;
        let sandbox = world.api.sandbox("db").await.unwrap();
        let endpoint = world.api.endpoint("db.blue").await.unwrap();
        let short = |uid: &str| uid.rsplit('-').next().unwrap_or_default().to_owned();
        let (of_sandbox, of_endpoint) = (short(&sandbox.uid), short(&endpoint.uid));
        for name in [
            "db",
            "DB",
            "db.",
            "db.blue",
            "dB.BLUE",
            "database",
            "database.blue",
            "store.internal",
            "store.internal.blue",
            "db1",
            "db1.corp.test",
            &of_sandbox,
            &of_endpoint,
        ] {
            let told = dig(&web, &format!("{name} A"));
            assert_eq!(
                (told.status.as_str(), told.answers),
                ("NOERROR", vec!["10.1.0.9".into()]),
                "{name}"
            );
            assert!(told.ttls.iter().all(|ttl| *ttl <= 5), "{name}: {:?}", told.ttls);
            assert_eq!(dig(&web, &format!("{name} AAAA")).answers, ["fd00:1::9"], "{name}");
            assert_eq!(dig(&web, &format!("+tcp {name} A")).answers, ["10.1.0.9"], "{name}");
        }
        // It knows itself, too.
        assert_eq!(dig(&web, "web AAAA").status, "NOERROR");
    });
}

#[test]
fn what_is_not_there_is_told_apart_from_what_has_no_such_record() {
    World::run(async |world| {
        let (web, _) = furnish(world).await;
        for kind in ["MX", "TXT", "NS", "CAA", "TYPE65"] {
            let told = dig(&web, &format!("db {kind}"));
            assert_eq!((told.status.as_str(), told.answers.len()), ("NOERROR", 0), "{kind}");
        }
        for name in ["nobody", "nobody.blue", "far", "far.red", "web.nowhere.blue"] {
            assert_eq!(dig(&web, &format!("{name} A")).status, "NXDOMAIN", "{name}");
        }
        for question in ["db CH TXT", "version.bind CH TXT", "db AXFR"] {
            let told = dig(&web, question);
            assert!(
                !matches!(told.status.as_str(), "NOERROR" | "NXDOMAIN"),
                "{question}: {told:?}"
            );
            assert!(told.answers.is_empty(), "{question}");
        }
    });
}

#[test]
fn addresses_have_names() {
    World::run(async |world| {
        let (web, far) = furnish(world).await;
        assert_eq!(dig(&web, "-x 10.1.0.9").answers, ["db.blue."]);
        assert_eq!(dig(&web, "-x fd00:1::9").answers, ["db.blue."]);
        assert_eq!(dig(&far, "-x 10.1.0.9").status, "NXDOMAIN", "it is not on blue");
        assert_eq!(dig(&web, "-x 10.1.0.200").status, "NXDOMAIN", "nobody has it");
    });
}

#[test]
fn services_by_the_names_of_their_ports() {
    World::run(async |world| {
        let (web, _) = furnish(world).await;
        let told = dig(&web, "_postgres._tcp.db SRV");
        assert_eq!(told.status, "NOERROR");
        let [answer] = told.answers.as_slice() else { panic!("{told:?}") };
        assert!(answer.contains(" 5432 ") && answer.ends_with(".blue."), "{answer}");
        let target = answer.split(' ').next_back().unwrap();
        assert_eq!(dig(&web, &format!("{target} A")).answers, ["10.1.0.9"]);
        assert!(dig(&web, "_postgres._udp.db SRV").answers.is_empty());
        assert!(dig(&web, "_http._tcp.db SRV").answers.is_empty());
    });
}

#[test]
fn a_name_that_several_have_stands_for_all() {
    World::run(async |world| {
        let (web, _) = furnish(world).await;
        let mut expected = Vec::new();
        for last in 100..108 {
            let spec = EndpointSpec {
                aliases: vec!["pool".into()],
                ..ask::address(&format!("10.1.0.{last}"))
            };
            world.place("blue", &format!("member{last}"), spec).await;
            expected.push(format!("10.1.0.{last}"));
        }
        expected.sort();
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..24 {
            let words = ["@127.0.0.11", "+short", "pool", "A"];
            let text = web.enter(|| postern_tests::command::run("dig", &words)).stdout;
            let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
            firsts.insert(all[0].clone());
            all.sort();
            assert_eq!(all, expected);
        }
        assert!(firsts.len() > 1, "always the same one first");
    });
}

#[test]
fn who_is_on_two_networks_knows_both() {
    World::run(async |world| {
        let (web, far) = furnish(world).await;
        assert_eq!(dig(&web, "far A").status, "NXDOMAIN");
        world.api.connect("red", "web", ask::endpoint()).await.unwrap();
        assert_eq!(dig(&web, "far A").answers, ["10.2.0.9"]);
        assert_eq!(dig(&web, "db A").answers, ["10.1.0.9"]);
        assert_eq!(dig(&far, "db A").status, "NXDOMAIN");
        assert_eq!(dig(&far, "web A").answers.len(), 1, "one of the two addresses is on red");
        world.api.disconnect("red", "web").await.unwrap();
        assert_eq!(dig(&web, "far A").status, "NXDOMAIN");
    });
}

#[test]
fn a_change_is_seen_when_the_call_returns() {
    World::run(async |world| {
        let (web, _) = furnish(world).await;
        for round in 0..20 {
            let address = format!("10.1.0.{}", 50 + round);
            world.api.create_sandbox("moving").await.unwrap();
            world.api.connect("blue", "moving", ask::address(&address)).await.unwrap();
            assert_eq!(dig(&web, "moving A").answers, [address]);
            world.api.delete_sandbox("moving", true).await.unwrap();
            assert_eq!(dig(&web, "moving A").status, "NXDOMAIN");
        }
    });
}

#[test]
fn names_are_told_again_after_a_crash() {
    World::run(async |world| {
        let (web, _) = furnish(world).await;
        assert_eq!(dig(&web, "db A").answers, ["10.1.0.9"]);
        world.restart().await;
        assert_eq!(dig(&web, "db A").answers, ["10.1.0.9"]);
        world.assert_agrees().await;
        web.sh("nft flush ruleset");
        assert_eq!(dig(&web, "db A").status, "", "there is no way to it");
        assert!(world.api.drift().await.unwrap().iter().any(|step| step.kind == "name-server"));
        assert_eq!(world.cli(&["reconcile"]).code, Some(0));
        assert_eq!(dig(&web, "db A").answers, ["10.1.0.9"]);
        world.assert_agrees().await;
    });
}

#[test]
fn an_adopted_namespace_is_told_names_and_left_clean() {
    World::run(async |world| {
        furnish(world).await;
        world.host.sh("ip netns add theirs");
        let spec = ask::adopt("/run/netns/theirs");
        world.api.create_sandbox_as("theirs", spec).await.unwrap();
        world.api.connect("blue", "theirs", ask::endpoint()).await.unwrap();
        let theirs = Netns::open("/run/netns/theirs");
        assert_eq!(dig(&theirs, "db A").answers, ["10.1.0.9"]);
        world.api.delete_sandbox("theirs", true).await.unwrap();
        assert_eq!(theirs.sh("nft list tables").trim(), "");
        assert_eq!(dig(&theirs, "db A").status, "");
        world.assert_agrees().await;
    });
}
