//! A link lets one sandbox reach another's exposed ports by a name of its own.

use postern_proto::v1::link_status::State;
use postern_proto::v1::{ExposedPort, Link, Protocol, SandboxSpec};
use postern_tests::dns::dig;
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{Netns, World, ask};

/// `quiet`, where icc is off, with `web` at 10.1.0.8 and `db` at 10.1.0.9, which serves 80
/// and 81 and exposes 80.
async fn furnish(world: &World) -> (Netns, Netns, Vec<Server>) {
    let spec = ask::apart(ask::network(&["10.1.0.0/24", "fd00:1::/64"]));
    world.api.create_network("quiet", spec).await.unwrap();
    let six = |mut spec: postern_proto::v1::EndpointSpec, last: u8| {
        spec.ipv4_address = format!("10.1.0.{last}");
        spec.ipv6_address = format!("fd00:1::{last}");
        spec
    };
    let web = world.place("quiet", "web", six(ask::expose(&[80]), 8)).await;
    let db = world.place("quiet", "db", six(ask::expose(&[80]), 9)).await;
    let servers = vec![
        Server::tcp(&db, "[::]:80", "db"),
        Server::tcp(&db, "[::]:81", "db-81"),
        Server::udp(&db, "[::]:80", "db-udp"),
        Server::tcp(&web, "[::]:80", "web"),
    ];
    (web, db, servers)
}

fn hosts(world: &World, sandbox: &postern_proto::v1::Sandbox) -> String {
    assert!(sandbox.files_path.starts_with(world.run_dir().to_str().unwrap()));
    std::fs::read_to_string(format!("{}/hosts", sandbox.files_path)).unwrap()
}

#[test]
fn exactly_the_exposed_ports_open_one_way() {
    World::run(async |world| {
        let (web, db, _servers) = furnish(world).await;
        assert_eq!(traffic::tcp(&web, "10.1.0.9:80"), None, "icc is off");
        let linked = world.api.add_link("web", "db", "webdb").await.unwrap();
        assert_eq!(linked.links[0].state(), State::Live, "{linked:?}");
        for address in ["10.1.0.9", "[fd00:1::9]"] {
            let at = |port| format!("{address}:{port}");
            assert_eq!(traffic::tcp(&web, &at(80)).unwrap().server, "db", "{address}");
            assert_eq!(traffic::tcp(&web, &at(81)), None, "81 is not exposed");
            assert_eq!(traffic::udp(&web, &at(80)), None, "only TCP is");
        }
        assert_eq!(traffic::tcp(&db, "10.1.0.8:80"), None, "the other way");
        let third = world.place("quiet", "third", ask::endpoint()).await;
        assert_eq!(traffic::tcp(&third, "10.1.0.9:80"), None, "nobody else");
        world.assert_agrees().await;
    });
}

#[test]
fn the_alias_is_the_linking_sandboxs_own() {
    World::run(async |world| {
        let (web, db, _servers) = furnish(world).await;
        world.api.add_link("web", "db", "WebDB").await.unwrap();
        assert_eq!(dig(&web, "webdb A").answers, ["10.1.0.9"]);
        assert_eq!(dig(&web, "webdb AAAA").answers, ["fd00:1::9"]);
        assert_eq!(dig(&db, "webdb A").status, "NXDOMAIN");
        let web = world.api.sandbox("web").await.unwrap();
        assert!(hosts(world, &web).contains("10.1.0.9\twebdb db\nfd00:1::9\twebdb db\n"));
        let db = world.api.sandbox("db").await.unwrap();
        assert!(!hosts(world, &db).contains("webdb"));
    });
}

#[test]
fn removing_a_link_ends_what_it_let_through() {
    World::run(async |world| {
        let (web, _db, _servers) = furnish(world).await;
        world.api.add_link("web", "db", "webdb").await.unwrap();
        let mut four = Conversation::begin(&web, "10.1.0.9:80").unwrap();
        let mut six = Conversation::begin(&web, "[fd00:1::9]:80").unwrap();
        assert!(four.goes_on() && six.goes_on());
        let plain = world.api.remove_link("web", "webdb").await.unwrap();
        assert!(!four.goes_on(), "the flow went on");
        assert!(!six.goes_on(), "the flow went on");
        assert_eq!(dig(&web, "webdb A").status, "NXDOMAIN");
        assert!(!hosts(world, &plain).contains("webdb"));
        assert!(world.own_elements("inet", "set", "link4").is_empty());
        assert!(world.own_elements("inet", "set", "link6").is_empty());
        world.assert_agrees().await;
    });
}

#[test]
fn a_link_follows_its_source() {
    World::run(async |world| {
        let (web, _db, servers) = furnish(world).await;
        world.api.add_link("web", "db", "webdb").await.unwrap();
        drop(servers);
        for last in [30, 31] {
            world.api.delete_sandbox("db", true).await.unwrap();
            assert_eq!(dig(&web, "webdb A").status, "NXDOMAIN");
            let linking = world.api.sandbox("web").await.unwrap();
            assert_eq!(linking.links[0].state(), State::NoSource);
            assert!(!hosts(world, &linking).contains("webdb"));
            let spec = postern_proto::v1::EndpointSpec {
                ipv4_address: format!("10.1.0.{last}"),
                ..ask::expose(&[80])
            };
            let db = world.place("quiet", "db", spec).await;
            let _server = Server::tcp(&db, "0.0.0.0:80", "db");
            assert_eq!(dig(&web, "webdb A").answers, [format!("10.1.0.{last}")]);
            assert!(hosts(world, &linking).contains(&format!("10.1.0.{last}\twebdb db\n")));
            let at = format!("10.1.0.{last}:80");
            assert_eq!(traffic::tcp(&web, &at).unwrap().server, "db");
            world.assert_agrees().await;
        }
    });
}

#[test]
fn a_link_can_be_there_before_its_source() {
    World::run(async |world| {
        let spec = ask::apart(ask::network(&["10.1.0.0/24"]));
        world.api.create_network("quiet", spec).await.unwrap();
        let links = vec![Link { source: "db".into(), alias: "webdb".into() }];
        let spec = SandboxSpec { links, ..SandboxSpec::default() };
        let made = world.api.create_sandbox_as("web", spec).await.unwrap();
        assert_eq!(made.links[0].state(), State::NoSource);
        assert!(made.links[0].reason.contains("`db`"), "{:?}", made.links);
        world.api.connect("quiet", "web", ask::endpoint()).await.unwrap();
        world.api.create_sandbox("db").await.unwrap();
        let waiting = world.api.sandbox("web").await.unwrap();
        assert_eq!(waiting.links[0].state(), State::NotJoined);
        let mut spec = ask::expose(&[80]);
        spec.ipv4_address = "10.1.0.9".into();
        world.api.connect("quiet", "db", spec).await.unwrap();
        let _server = Server::tcp(&world.sandbox("db").await, "0.0.0.0:80", "db");
        let web = world.sandbox("web").await;
        assert_eq!(traffic::tcp(&web, "10.1.0.9:80").unwrap().server, "db");
        assert_eq!(dig(&web, "webdb A").answers, ["10.1.0.9"]);
        // Ports that are exposed later open later.
        let _more = Server::tcp(&world.sandbox("db").await, "0.0.0.0:90", "more");
        assert_eq!(traffic::tcp(&web, "10.1.0.9:90"), None);
        assert_eq!(
            world.cli(&["endpoint", "update", "db.quiet", "--expose-add", "90"]).code,
            Some(0)
        );
        assert_eq!(traffic::tcp(&web, "10.1.0.9:90").unwrap().server, "more");
        let mut talk = Conversation::begin(&web, "10.1.0.9:90").unwrap();
        let mut other = Conversation::begin(&web, "10.1.0.9:80").unwrap();
        assert_eq!(
            world.cli(&["endpoint", "update", "db.quiet", "--expose-rm", "90"]).code,
            Some(0)
        );
        assert!(!talk.goes_on(), "the port is not exposed any more");
        assert!(other.goes_on(), "this one is");
        world.assert_agrees().await;
    });
}

#[test]
fn a_link_between_two_networks_says_why_it_cannot_work() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.api.create_network("red", ask::network(&["10.2.0.0/24"])).await.unwrap();
        let web = world.place("blue", "web", ask::endpoint()).await;
        world.place("red", "db", ask::expose(&[80])).await;
        let done = world.cli(&["link", "add", "web", "db:webdb"]);
        assert_eq!((done.code, done.stdout.trim()), (Some(0), "webdb"));
        assert!(done.stderr.contains("no network together"), "{}", done.stderr);
        let linked = world.api.sandbox("web").await.unwrap();
        assert_eq!(linked.links[0].state(), State::NoCommonNetwork);
        assert_eq!(dig(&web, "webdb A").status, "NXDOMAIN");
        let listed = world.cli(&["link", "ls"]).stdout;
        assert!(listed.contains("no network together"), "{listed}");
        world.api.connect("blue", "db", ask::address("10.1.0.9")).await.unwrap();
        assert_eq!(world.api.sandbox("web").await.unwrap().links[0].state(), State::Live);
        assert_eq!(dig(&web, "webdb A").answers, ["10.1.0.9"]);
    });
}

#[test]
fn two_sandboxes_can_link_to_each_other() {
    World::run(async |world| {
        let (web, db, _servers) = furnish(world).await;
        world.api.add_link("web", "db", "other").await.unwrap();
        world.api.add_link("db", "web", "other").await.unwrap();
        assert_eq!(traffic::tcp(&web, "10.1.0.9:80").unwrap().server, "db");
        assert_eq!(traffic::tcp(&db, "10.1.0.8:80").unwrap().server, "web");
        assert_eq!(dig(&web, "other A").answers, ["10.1.0.9"]);
        assert_eq!(dig(&db, "other A").answers, ["10.1.0.8"]);
        world.api.disconnect("quiet", "web").await.unwrap();
        world.assert_agrees().await;
    });
}

#[test]
fn links_survive_a_crash_of_the_daemon() {
    World::run(async |world| {
        let (web, _db, _servers) = furnish(world).await;
        world.api.add_link("web", "db", "webdb").await.unwrap();
        let mut talk = Conversation::begin(&web, "10.1.0.9:80").unwrap();
        world.kill9();
        assert!(talk.goes_on());
        assert!(traffic::tcp(&web, "10.1.0.9:80").is_some());
        world.start().await;
        assert!(talk.goes_on());
        assert_eq!(dig(&web, "webdb A").answers, ["10.1.0.9"]);
        world.assert_agrees().await;
        world.api.delete_sandbox("web", true).await.unwrap();
        world.api.delete_sandbox("db", true).await.unwrap();
        world.api.delete_network("quiet").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn dockers_variables_are_printed() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.place("blue", "web", ask::endpoint()).await;
        let environment = [("MODE".to_owned(), "fast and loose".to_owned())].into();
        let spec = SandboxSpec { environment, ..SandboxSpec::default() };
        world.api.create_sandbox_as("db", spec).await.unwrap();
        let mut spec = ask::expose(&[5432]);
        spec.ipv4_address = "10.1.0.9".into();
        spec.exposed_ports.push(ExposedPort {
            protocol: Protocol::Udp.into(),
            port: 53,
            ..ExposedPort::default()
        });
        world.api.connect("blue", "db", spec).await.unwrap();
        world.api.add_link("web", "db", "web-db").await.unwrap();
        let printed = world.cli(&["link", "env", "web"]);
        assert_eq!(
            printed.stdout,
            "WEB_DB_PORT=tcp://10.1.0.9:5432\n\
             WEB_DB_PORT_5432_TCP=tcp://10.1.0.9:5432\n\
             WEB_DB_PORT_5432_TCP_ADDR=10.1.0.9\n\
             WEB_DB_PORT_5432_TCP_PORT=5432\n\
             WEB_DB_PORT_5432_TCP_PROTO=tcp\n\
             WEB_DB_PORT_53_UDP=udp://10.1.0.9:53\n\
             WEB_DB_PORT_53_UDP_ADDR=10.1.0.9\n\
             WEB_DB_PORT_53_UDP_PORT=53\n\
             WEB_DB_PORT_53_UDP_PROTO=udp\n\
             WEB_DB_NAME=/web/web-db\n\
             WEB_DB_ENV_MODE=fast and loose\n"
        );
    });
}

#[test]
fn many_changes_at_once_miss_nothing() {
    World::run(async |world| {
        let spec = ask::apart(ask::network(&["10.1.0.0/24"]));
        world.api.create_network("quiet", spec).await.unwrap();
        // Everybody links to everybody, while everybody comes and goes.
        let names: Vec<String> = (0..6).map(|n| format!("s{n}")).collect();
        for name in &names {
            world.api.create_sandbox(name).await.unwrap();
        }
        let mut tasks = Vec::new();
        for (index, name) in names.iter().cloned().enumerate() {
            let (api, names) = (world.api.clone(), names.clone());
            tasks.push(tokio::spawn(async move {
                for other in names.iter().filter(|other| **other != name) {
                    api.add_link(&name, other, &format!("to-{other}")).await.unwrap();
                    api.connect("quiet", &name, ask::expose(&[80])).await.unwrap();
                    if index % 2 == 0 || other != names.last().unwrap() {
                        api.disconnect("quiet", &name).await.unwrap();
                    }
                }
                if api.endpoint(&format!("{name}.quiet")).await.is_err() {
                    api.connect("quiet", &name, ask::expose(&[80])).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        world.assert_agrees().await;
        assert_eq!(world.own_elements("inet", "set", "link4").len(), 30);
    });
}
