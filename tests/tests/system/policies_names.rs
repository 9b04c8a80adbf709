//! Policies that let the world be reached by name, with real questions and real packets.

use std::time::Duration;

use postern_proto::v1::policy_peer::Kind;
use postern_proto::v1::policy_rule::Action;
use postern_proto::v1::{Direction, PolicyPeer, PolicySpec, Tier};
use postern_tests::command::run;
use postern_tests::dns::{Dnsmasq, dig};
use postern_tests::traffic::{Conversation, Server};
use postern_tests::{Netns, OUTSIDE4, OUTSIDE6, Refusal, World, ask};
use tonic::Code;

use super::policies::reaches;

const HOST_FILE: &str = "/run/resolv.conf";
const SETTINGS: [&str; 2] = ["--resolv-conf=/run/resolv.conf", "--name-ttl-min=3"];
/// A second address of the world outside, which is at no name that a rule has.
const OTHER4: &str = "192.0.2.3";

fn domain(name: &str) -> PolicyPeer {
    PolicyPeer { kind: Some(Kind::Domain(name.to_owned())) }
}

/// `web` may begin what these rules accept, and nothing else.
fn only(names: &[&str]) -> PolicySpec {
    PolicySpec {
        directions: vec![Direction::Egress.into()],
        egress: vec![ask::accept(names.iter().map(|name| domain(name)).collect(), 80)],
        ..ask::app(&[("app", "web")], Vec::new())
    }
}

/// The world outside has servers at two addresses and a name server that knows them, whose
/// answers hold for a second.
async fn stage(world: &World) -> (Netns, Vec<Server>, Dnsmasq) {
    world.outside.sh(&format!("ip addr add {OTHER4}/24 dev eth0"));
    let config = [
        format!("--host-record=api.example.test,{OUTSIDE4},{OUTSIDE6}"),
        format!("--host-record=other.example.test,{OTHER4}"),
        "--cname=alias.example.test,other.example.test".to_owned(),
        "--local=/test/".to_owned(),
        "--local-ttl=1".to_owned(),
    ];
    let config: Vec<&str> = config.iter().map(String::as_str).collect();
    let names = Dnsmasq::start(&world.outside, OUTSIDE4, &config);
    std::fs::write(HOST_FILE, format!("nameserver {OUTSIDE4}\n")).unwrap();
    let servers = [80, 81].map(|port| Server::tcp(&world.outside, &format!("[::]:{port}"), "out"));
    let subnets = ["10.1.0.0/24", "fd00:1::/64"];
    world.api.create_network("blue", ask::network(&subnets)).await.unwrap();
    let web = world.place("blue", "web", ask::labelled(&[("app", "web")])).await;
    (web, servers.into(), names)
}

fn at(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[test]
fn an_address_is_reached_once_its_name_was_asked_for_and_no_other() {
    World::run_with(&SETTINGS, async |world| {
        let (web, _servers, _names) = stage(world).await;
        assert!(reaches(&web, &at(OTHER4, 80)), "nothing is forbidden yet");
        world.api.apply_policy("out", only(&["api.example.test"])).await.unwrap();
        for address in [OUTSIDE4, OUTSIDE6, OTHER4] {
            assert!(!reaches(&web, &at(address, 80)), "{address} was not asked for");
        }
        // Told, and reached at once: the rule is there before the answer.
        for (question, address) in [("A", OUTSIDE4), ("AAAA", OUTSIDE6)] {
            let told = dig(&web, &format!("API.example.test {question}"));
            assert_eq!(told.answers, [address]);
            assert!(reaches(&web, &at(address, 80)), "{address}");
            assert!(!reaches(&web, &at(address, 81)), "{address} on another port");
        }
        assert_eq!(dig(&web, "other.example.test A").answers, [OTHER4]);
        assert!(!reaches(&web, &at(OTHER4, 80)), "no rule has that name");
        let counted = world.api.facts().await.unwrap().resolver;
        assert_eq!((counted["admitted"], counted["withheld"]), (2, 0), "{counted:?}");
        world.assert_agrees().await;

        let explained = world.cli(&["explain", "web.blue", OUTSIDE4, "tcp/80"]);
        assert!(explained.stdout.contains("api.example.test"), "{}", explained.stdout);
        assert!(!explained.stdout.contains("disagree"), "{}", explained.stdout);

        let closed = world.cli(&["explain", "web.blue", OUTSIDE4, "udp/53"]).stdout;
        assert!(closed.contains("resolver alone") && !closed.contains("would allow"), "{closed}");

        // Another resolver is not to be asked, though it would say the same.
        for how in ["+notcp", "+tcp"] {
            let at = format!("@{OUTSIDE4}");
            let ask = [how, "+short", "+tries=1", "+time=1", &at, "api.example.test", "A"];
            let told = |from: &Netns| from.enter(|| run("dig", &ask)).stdout;
            assert_eq!(told(&world.outside).trim(), OUTSIDE4, "there is one");
            assert!(told(&web).lines().all(|line| line != OUTSIDE4), "{how}");
        }
    });
}

#[test]
fn an_alias_counts_by_the_name_that_was_asked_for() {
    World::run_with(&SETTINGS, async |world| {
        let (web, _servers, _names) = stage(world).await;
        world.api.apply_policy("out", only(&["alias.example.test"])).await.unwrap();
        dig(&web, "other.example.test A");
        assert!(!reaches(&web, &at(OTHER4, 80)));
        dig(&web, "alias.example.test A");
        assert!(reaches(&web, &at(OTHER4, 80)));
    });
}

#[test]
fn what_is_forgotten_begins_no_more_but_goes_on() {
    World::run_with(&SETTINGS, async |world| {
        let (web, _servers, _names) = stage(world).await;
        world.api.apply_policy("out", only(&["*.example.test"])).await.unwrap();
        dig(&web, "api.example.test A");
        let mut talk = Conversation::begin(&web, &at(OUTSIDE4, 80)).unwrap();
        // Three seconds at the least, and five of slack.
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(!reaches(&web, &at(OUTSIDE4, 80)), "it is never forgotten");
        assert!(talk.goes_on(), "a flow is cut because an answer is over");
        // Other policies change: flows are judged again, and this one may go on.
        let spec = ask::app(&[("app", "web")], vec![ask::accept(vec![], 9)]);
        assert_eq!(world.api.apply_policy("in", spec).await.unwrap().flows_cut, 0);
        assert!(talk.goes_on());
        // The name is taken back: that ends it.
        let cut = world.api.apply_policy("out", only(&["example.net"])).await.unwrap().flows_cut;
        assert!(cut == 1 && !talk.goes_on(), "{cut}");
        world.assert_agrees().await;
    });
}

#[test]
fn what_was_told_is_known_after_a_restart() {
    let settings = [
        "--resolv-conf=/run/resolv.conf",
        "--name-ttl-min=600",
        "--own-tables=false",
        "--watch-drift=false",
    ];
    World::run_with(&settings, async |world| {
        let (web, _servers, _names) = stage(world).await;
        world.api.apply_policy("out", only(&["*.example.test"])).await.unwrap();
        dig(&web, "api.example.test A");
        let mut talk = Conversation::begin(&web, &at(OUTSIDE4, 80)).unwrap();
        world.kill9();
        assert!(reaches(&web, &at(OUTSIDE4, 80)) && talk.goes_on(), "the daemon is dead");
        world.start().await;
        assert!(reaches(&web, &at(OUTSIDE4, 80)) && talk.goes_on(), "it was started again");
        world.assert_agrees().await;
        // And whoever flushes the tables has it put back, too.
        world.host.sh("nft flush map inet postern named4");
        assert!(!reaches(&web, &at(OUTSIDE4, 80)));
        world.api.system.reconcile(postern_proto::v1::ReconcileRequest::default()).await.unwrap();
        assert!(reaches(&web, &at(OUTSIDE4, 80)));
        world.api.apply_policy("out", only(&["example.net"])).await.unwrap();
        assert!(!reaches(&web, &at(OUTSIDE4, 80)) && !talk.goes_on());
        assert!(world.own_elements("inet", "map", "named4").is_empty());
    });
}

#[test]
fn a_reused_address_inherits_no_names() {
    let settings = ["--resolv-conf=/run/resolv.conf", "--name-ttl-min=600", "--address-rest=0"];
    World::run_with(&settings, async |world| {
        let (web, _servers, _names) = stage(world).await;
        world.api.apply_policy("out", only(&["*.example.test"])).await.unwrap();
        dig(&web, "api.example.test A");
        assert!(reaches(&web, &at(OUTSIDE4, 80)));
        let was = world.api.endpoint("web.blue").await.unwrap().ipv4_address;
        world.api.disconnect("blue", "web").await.unwrap();
        let mut spec = ask::labelled(&[("app", "web")]);
        spec.ipv4_address = was.split('/').next().unwrap().to_owned();
        let next = world.place("blue", "next", spec).await;
        assert!(!reaches(&next, &at(OUTSIDE4, 80)), "it inherits a name");
        dig(&next, "api.example.test A");
        assert!(reaches(&next, &at(OUTSIDE4, 80)));
    });
}

#[test]
fn an_administrators_order_holds_for_names() {
    World::run_with(&SETTINGS, async |world| {
        let (web, _servers, _names) = stage(world).await;
        let spec = PolicySpec {
            tier: Tier::Admin.into(),
            egress: vec![
                ask::rule(Action::Deny, vec![ask::cidr(&format!("{OTHER4}/32"), &[])], 80),
                ask::rule(Action::Accept, vec![domain("*.example.test")], 80),
                ask::rule(Action::Deny, vec![ask::entity(postern_proto::v1::Entity::World)], 80),
            ],
            ..only(&[])
        };
        world.api.apply_policy("order", spec).await.unwrap();
        dig(&web, "api.example.test A");
        dig(&web, "other.example.test A");
        assert!(reaches(&web, &at(OUTSIDE4, 80)));
        assert!(!reaches(&web, &at(OTHER4, 80)), "what is denied before is denied");
        assert!(reaches(&web, &at(OTHER4, 81)), "of that nothing is said");
    });
}

#[test]
fn names_stand_only_where_they_mean_something() {
    World::run(async |world| {
        let refused =
            async |spec: PolicySpec| Refusal::expect(world.api.apply_policy("bad", spec).await);
        let ingress = ask::app(&[("app", "web")], vec![ask::accept(vec![domain("a.test")], 80)]);
        refused(ingress).await.assert(Code::InvalidArgument, "spec.ingress[0].peers[0].domain");
        let deny = PolicySpec {
            tier: Tier::Admin.into(),
            egress: vec![ask::rule(Action::Deny, vec![domain("a.test")], 80)],
            ..only(&[])
        };
        refused(deny).await.assert(Code::InvalidArgument, "spec.egress[0].peers[0].domain");
        for bad in ["", "*", "*.", "a..b", "a.*.test", "a b"] {
            let field = "spec.egress[0].peers[0].domain";
            refused(only(&[bad])).await.assert(Code::InvalidArgument, field);
        }
    });
}
