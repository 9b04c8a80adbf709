//! Policies with real packets: who reaches whom, and when that ends.

use postern_proto::v1::policy_port::Protocol;
use postern_proto::v1::policy_rule::Action;
use postern_proto::v1::{
    Direction, EndpointSpec, Entity, PolicyPort, PolicyRule, PolicySpec, PublishedPort, Tier,
    UpdateEndpointRequest,
};
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{HOST4, HOST6, Netns, OUTSIDE4, OUTSIDE6, World, ask, labels};

/// `web`, `db` and `other` on `blue`, each with an app label of its name.
pub(crate) async fn blue(world: &World) -> [Netns; 3] {
    let subnets = ["10.1.0.0/24", "fd00:1::/64"];
    world.api.create_network("blue", ask::network(&subnets)).await.unwrap();
    let mut made = Vec::new();
    for (name, last) in [("web", 10), ("db", 11), ("other", 12)] {
        let mut spec = ask::labelled(&[("app", name)]);
        spec.ipv4_address = format!("10.1.0.{last}");
        spec.ipv6_address = format!("fd00:1::{last}");
        made.push(world.place("blue", name, spec).await);
    }
    made.try_into().unwrap()
}

pub(crate) const DB4: &str = "10.1.0.11";
pub(crate) const DB6: &str = "[fd00:1::11]";

pub(crate) fn reaches(from: &Netns, to: &str) -> bool {
    traffic::tcp(from, to).is_some()
}

pub(crate) fn db_from_web() -> PolicySpec {
    ask::app(&[("app", "db")], vec![ask::accept(vec![ask::peer(&[("app", "web")])], 5432)])
}

#[test]
fn an_isolated_endpoint_accepts_what_a_rule_accepts_and_nothing_else() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        let _servers = [5432, 80].map(|port| Server::tcp(&db, &format!("[::]:{port}"), "db"));
        let _near = Server::tcp(&web, "[::]:80", "web");
        let reached = |from: &Netns| {
            let to =
                [DB4, DB6].into_iter().flat_map(|db| [5432, 80].map(|port| format!("{db}:{port}")));
            to.map(|to| reaches(from, &to)).collect::<Vec<_>>()
        };
        assert_eq!([reached(&web), reached(&other)], [[true; 4], [true; 4]], "icc is on");

        let applied = world.api.apply_policy("db", db_from_web()).await.unwrap();
        assert_eq!(applied.policy.unwrap().subjects, ["db.blue"]);
        assert_eq!(reached(&web), [true, false, true, false]);
        assert_eq!(reached(&other), [false; 4]);
        assert_eq!(reached(&world.host), [false; 4], "the host is no exception");
        assert!(reaches(&db, "10.1.0.10:80"), "what it begins itself is not isolated");
        world.assert_agrees().await;

        world.restart().await;
        assert_eq!([reached(&web), reached(&other)], [[true, false, true, false], [false; 4]]);
        world.assert_agrees().await;

        world.api.delete_policy("db").await.unwrap();
        assert_eq!([reached(&web), reached(&other)], [[true; 4], [true; 4]]);
        assert_eq!(reached(&world.host), [true; 4]);
        world.assert_agrees().await;
    });
}

/// The stream goes from the server to the client, so that it is the other end's packets
/// which could bring the flow back.
#[test]
fn a_live_stream_stops_when_its_accept_is_revoked_and_others_go_on() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        let both = |spec: PolicySpec| {
            let mut spec = spec;
            spec.ingress.push(ask::accept(vec![ask::peer(&[("app", "other")])], 5432));
            spec
        };
        world.api.apply_policy("db", both(db_from_web())).await.unwrap();
        let mut talks =
            [DB4, DB6].map(|to| Conversation::begin(&web, &format!("{to}:5432")).unwrap());
        let mut stays = Conversation::begin(&other, &format!("{DB4}:5432")).unwrap();
        assert!(talks.iter_mut().all(Conversation::goes_on) && stays.goes_on());

        let none = ask::app(&[("app", "db")], Vec::new());
        let cut = world.api.apply_policy("db", both(none)).await.unwrap().flows_cut;
        assert_eq!(cut, 2, "one of each family");
        assert!(talks.iter_mut().all(|talk| !talk.goes_on()), "a revoked flow goes on");
        assert!(stays.goes_on(), "a flow that is still allowed was cut");

        assert_eq!(world.api.delete_policy("db").await.unwrap(), 0);
        assert!(stays.goes_on());
    });
}

#[test]
fn labels_change_live() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        let to = format!("{DB4}:5432");
        let mut talk = Conversation::begin(&web, &to).unwrap();
        assert!(!reaches(&other, &to));
        let relabel = async |world: &mut World, name: &str, app: &str| {
            let made = world.api.endpoint(&format!("{name}.blue")).await.unwrap();
            let request = UpdateEndpointRequest {
                endpoint: made.uid,
                labels: labels(&[("app", app)]),
                revision: made.revision,
                ..Default::default()
            };
            world.api.endpoints.update(request).await.unwrap();
        };
        relabel(world, "other", "web").await;
        assert!(reaches(&other, &to) && talk.goes_on());
        relabel(world, "web", "none").await;
        assert!(!reaches(&web, &to));
        assert!(!talk.goes_on(), "a flow outlived the label that allowed it");
        world.assert_agrees().await;
    });
}

#[test]
fn an_accept_opens_what_the_networks_keep_shut() {
    World::run(async |world| {
        for (name, subnet, third) in [("blue", "10.1.0.0/24", 1), ("red", "10.2.0.0/24", 2)] {
            world.api.create_network(name, ask::apart(ask::network(&[subnet]))).await.unwrap();
            for (sandbox, last) in [("web", 10), ("db", 11)] {
                let mut spec = ask::labelled(&[("app", sandbox)]);
                spec.ipv4_address = format!("10.{third}.0.{last}");
                world.place(name, &format!("{sandbox}-{name}"), spec).await;
            }
        }
        let db = world.sandbox("db-blue").await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        let (near, far) = (world.sandbox("web-blue").await, world.sandbox("web-red").await);
        let reached = || [&near, &far].map(|from| reaches(from, "10.1.0.11:5432"));
        assert_eq!(reached(), [false, false], "icc is off, and networks are closed");
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        assert_eq!(reached(), [true, true]);
        let mut own = db_from_web();
        own.ingress[0].peers = vec![ask::entity(Entity::SameNetwork)];
        world.api.apply_policy("db", own).await.unwrap();
        assert_eq!(reached(), [true, false]);
        world.api.delete_policy("db").await.unwrap();
        assert_eq!(reached(), [false, false]);
        world.assert_agrees().await;
    });
}

#[test]
fn the_world_the_host_and_published_ports_are_judged_alike() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let mut spec = ask::publish(&[ask::tcp(8080, 80)]);
        spec.labels = labels(&[("app", "web")]);
        let web = world.place("blue", "web", spec).await;
        let near = world.place("blue", "near", ask::endpoint()).await;
        let _server = Server::tcp(&web, "[::]:80", "web");
        let port = format!("{HOST4}:8080");
        let reached =
            |world: &World| [&world.outside, &world.host, &near].map(|from| reaches(from, &port));
        assert_eq!(reached(world), [true; 3]);
        for (peers, expected) in [
            (None, [false; 3]),
            (Some(vec![ask::entity(Entity::World)]), [true, false, false]),
            (Some(vec![ask::entity(Entity::Host)]), [false, true, false]),
            (Some(vec![ask::entity(Entity::AllEndpoints)]), [false, false, true]),
            (Some(vec![ask::cidr(&format!("{OUTSIDE4}/32"), &[])]), [true, false, false]),
            (
                Some(vec![ask::cidr("0.0.0.0/0", &[&format!("{OUTSIDE4}/32")])]),
                [false, false, true],
            ),
        ] {
            let rules = peers.iter().map(|peers| ask::accept(peers.clone(), 80)).collect();
            world.api.apply_policy("web", ask::app(&[("app", "web")], rules)).await.unwrap();
            assert_eq!(reached(world), expected, "{peers:?}");
        }
        world.assert_agrees().await;
    });
}

#[test]
fn what_an_endpoint_begins_is_judged_too() {
    World::run(async |world| {
        let [web, db, _] = blue(world).await;
        let _db = Server::tcp(&db, "[::]:80", "db");
        let _outside = [80, 81, 90]
            .map(|port| Server::tcp(&world.outside, &format!("[::]:{port}"), "outside"));
        let _host = Server::tcp(&world.host, "[::]:80", "host");
        let ping = |to: &str| {
            let command = format!("timeout 2 busybox ping -c 1 -W 1 {to}");
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| web.sh(&command))).is_ok()
        };
        let reached = || {
            let to = [
                format!("{DB4}:80"),
                format!("{OUTSIDE4}:80"),
                format!("[{OUTSIDE6}]:80"),
                format!("{OUTSIDE4}:81"),
                format!("{OUTSIDE4}:90"),
                format!("{HOST4}:80"),
                "10.1.0.1:80".to_owned(),
            ];
            to.map(|to| reaches(&web, &to))
        };
        assert_eq!(reached(), [true; 7]);
        let egress = |rules: Vec<PolicyRule>| PolicySpec {
            egress: rules,
            directions: vec![Direction::Egress.into()],
            ..ask::app(&[("app", "web")], Vec::new())
        };
        world.api.apply_policy("web", egress(Vec::new())).await.unwrap();
        assert_eq!(reached(), [false; 7]);
        assert!(!ping(OUTSIDE4));

        let mut range = ask::accept(vec![ask::cidr(&format!("{OUTSIDE4}/32"), &[])], 80);
        range.ports[0].port_end = 85;
        let mut icmp = ask::accept(vec![ask::entity(Entity::World)], 0);
        icmp.ports = vec![PolicyPort { protocol: Protocol::Icmp.into(), ..Default::default() }];
        world.api.apply_policy("web", egress(vec![range, icmp])).await.unwrap();
        assert_eq!(reached(), [false, true, false, true, false, false, false]);
        assert!(ping(OUTSIDE4) && !ping(DB4));

        let gateway = ask::accept(vec![ask::entity(Entity::Gateway)], 80);
        world.api.apply_policy("web", egress(vec![gateway])).await.unwrap();
        assert_eq!(reached(), [false, false, false, false, false, false, true]);
        world.assert_agrees().await;
    });
}

#[test]
fn tiers_and_actions() {
    World::run(async |world| {
        let [web, db, _] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        let to = format!("{DB4}:5432");
        let admin = |action, priority| PolicySpec {
            tier: Tier::Admin.into(),
            priority,
            ingress: vec![ask::rule(action, vec![ask::peer(&[("app", "web")])], 0)],
            ..ask::app(&[("app", "db")], Vec::new())
        };
        for (action, expected) in [
            (Action::Deny, false),
            (Action::Accept, true),
            (Action::Reject, false),
            (Action::Pass, true),
        ] {
            world.api.apply_policy("admin", admin(action, 10)).await.unwrap();
            assert_eq!(reaches(&web, &to), expected, "{action:?}");
        }
        world.api.apply_policy("shut", ask::app(&[("app", "db")], Vec::new())).await.unwrap();
        assert!(!reaches(&web, &to), "what is passed on is for tier APP");
        world.api.apply_policy("first", admin(Action::Accept, 5)).await.unwrap();
        assert!(reaches(&web, &to), "ADMIN comes before APP");
        // Refused at once, not after a while.
        world.api.apply_policy("first", admin(Action::Reject, 5)).await.unwrap();
        let begun = std::time::Instant::now();
        assert!(!reaches(&web, &to));
        assert!(begun.elapsed() < std::time::Duration::from_millis(500), "no reset came");
        world.assert_agrees().await;
    });
}

#[test]
fn a_reused_address_inherits_nothing() {
    World::run_with(&["--address-rest=0"], async |world| {
        let [web, ..] = blue(world).await;
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        world.api.delete_sandbox("db", true).await.unwrap();
        let mut spec = ask::address("10.1.0.11");
        spec.ipv6_address = "fd00:1::11".into();
        let next = world.place("blue", "next", spec).await;
        let _server = Server::tcp(&next, "[::]:80", "next");
        assert!(reaches(&web, &format!("{DB4}:80")), "its policies were of another");
        let seen = world.own_elements("inet", "set", "policed-in4");
        assert!(seen.is_empty(), "{seen:?}");
        world.assert_agrees().await;
    });
}

#[test]
fn a_port_can_be_published_to_some_alone() {
    World::run(async |world| {
        let subnets = ["10.1.0.0/24", "fd00:1::/64"];
        world.api.create_network("blue", ask::network(&subnets)).await.unwrap();
        let port = |from: &[&str]| {
            let allow_from = from.iter().map(|one| (*one).to_owned()).collect();
            vec![PublishedPort { allow_from, ..ask::tcp(8080, 80) }]
        };
        let spec = EndpointSpec {
            published_ports: port(&["192.0.2.2/32", "2001:db8::/64", "10.1.0.0/24"]),
            ..ask::labelled(&[("app", "web")])
        };
        let web = world.place("blue", "web", spec).await;
        let near = world.place("blue", "near", ask::endpoint()).await;
        let _server = Server::tcp(&web, "[::]:80", "web");
        let to = [format!("{HOST4}:8080"), format!("[{HOST6}]:8080")];
        let from_outside = |world: &World| to.each_ref().map(|to| reaches(&world.outside, to));
        let set = async |world: &mut World, ports: Vec<PublishedPort>| {
            let made = world.api.endpoint("web.blue").await.unwrap();
            let request = UpdateEndpointRequest {
                endpoint: made.uid,
                labels: labels(&[("app", "web")]),
                published_ports: ports,
                revision: made.revision,
                ..Default::default()
            };
            world.api.endpoints.update(request).await.unwrap();
        };
        assert_eq!(from_outside(world), [true, true]);
        assert!(reaches(&near, &to[0]) && reaches(&world.host, &to[0]));
        let mut talk = Conversation::begin(&world.outside, &to[0]).unwrap();
        world.assert_agrees().await;

        // An isolated endpoint accepts who is listed, and nobody else.
        world.api.apply_policy("web", ask::app(&[("app", "web")], Vec::new())).await.unwrap();
        assert_eq!(from_outside(world), [true, true]);
        assert!(talk.goes_on() && reaches(&near, &to[0]) && !reaches(&near, "10.1.0.2:80"));
        assert!(!reaches(&world.host, &to[0]));
        world.api.delete_policy("web").await.unwrap();

        set(world, port(&["203.0.113.0/24", "fd00::/8"])).await;
        assert_eq!(from_outside(world), [false, false]);
        assert!(!talk.goes_on(), "a flow outlived the list that allowed it");
        assert!(!reaches(&near, &to[0]), "a neighbour by the host's port is one of them");
        assert!(reaches(&world.host, &to[0]), "the host itself always may");
        world.assert_agrees().await;
        world.restart().await;
        assert_eq!(from_outside(world), [false, false]);

        set(world, port(&[])).await;
        assert_eq!(from_outside(world), [true, true]);
        world.assert_agrees().await;
    });
}
