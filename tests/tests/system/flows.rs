//! New flows as they are told: with names, verdicts and the policies that decide.

use std::time::Duration;

use postern_proto::v1::flow_service_client::FlowServiceClient;
use postern_proto::v1::policy_rule::Action;
use postern_proto::v1::watch_flows_request::Of;
use postern_proto::v1::watch_flows_response::Item;
use postern_proto::v1::{
    Direction, Flow, FlowVerdict, PolicyMode, PolicySpec, Tier, WatchFlowsRequest,
    WatchFlowsResponse,
};
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{HOST4, Netns, OUTSIDE4, Refusal, World, ask};
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use crate::policies::{DB4, DB6, blue, db_from_web, reaches};

/// How long a flow is waited for, and how long nothing more must come.
const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(300);

/// A watcher.
pub(crate) struct Watcher(Streaming<WatchFlowsResponse>);

impl Watcher {
    pub(crate) async fn of(world: &World, of: Of) -> Self {
        Self::with(world, WatchFlowsRequest { of: Some(of), ..Default::default() }).await.unwrap()
    }

    async fn with(world: &World, request: WatchFlowsRequest) -> Result<Self, Status> {
        Ok(Self(world.api.flows.clone().watch(request).await?.into_inner()))
    }

    /// One of all flows, over a connection that takes in little before it is read.
    async fn narrow(world: &World) -> Self {
        let endpoint = Endpoint::from_shared(world.address()).unwrap();
        let endpoint = endpoint.initial_stream_window_size(1 << 16);
        let channel = endpoint.initial_connection_window_size(1 << 16).connect().await.unwrap();
        let mut client = FlowServiceClient::new(channel);
        Self(client.watch(WatchFlowsRequest::default()).await.unwrap().into_inner())
    }

    async fn item(&mut self, patience: Duration) -> Option<Item> {
        let message = timeout(patience, self.0.message()).await.ok()?;
        message.unwrap().expect("the stream ends").item
    }

    /// The next flow.
    pub(crate) async fn flow(&mut self) -> Flow {
        match self.item(PATIENCE).await {
            Some(Item::Flow(flow)) => flow,
            other => panic!("no flow: {other:?}"),
        }
    }

    /// How many flows are told, and how many were lost, until none come any more.
    async fn count(&mut self) -> (u32, u32) {
        let (mut told, mut lost) = (0, 0);
        while let Some(item) = self.item(SILENCE).await {
            match item {
                Item::Flow(_) => told += 1,
                Item::Lost(count) => lost += u32::try_from(count).unwrap(),
            }
        }
        (told, lost)
    }

    /// The flows until none come any more, each in short; those that are tried again once.
    async fn all(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(item) = self.item(SILENCE).await {
            let Item::Flow(flow) = item else { panic!("{item:?}") };
            all.push(short(&flow));
        }
        all.sort();
        all.dedup();
        all
    }
}

/// `web.blue db.blue 6/5432 passed`.
fn short(flow: &Flow) -> String {
    let name = |end: &Option<postern_proto::v1::ExplainedEnd>| end.clone().unwrap().name;
    let verdict = flow.verdict().as_str_name().trim_start_matches("FLOW_VERDICT_").to_lowercase();
    let published = if flow.published { " published" } else { "" };
    let audit = flow.audit.as_ref().map(|audit| format!(" audit {}", audit.policy));
    format!(
        "{} {} {}/{} {verdict}{published}{}",
        name(&flow.from),
        name(&flow.to),
        flow.protocol,
        flow.port,
        audit.unwrap_or_default()
    )
}

/// Frames between neighbours are filtered where a bridge asks for it, and only there.
fn filter_only_where_asked() {
    for family in ["iptables", "ip6tables"] {
        std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0").unwrap();
    }
}

fn sandbox(name: &str) -> Of {
    Of::Sandbox(name.to_owned())
}

fn ping(from: &Netns, to: &str) {
    from.sh(&format!("busybox ping -c 1 -W 1 {to}"));
}

#[test]
fn a_flow_has_names_a_verdict_and_the_policy_that_decides() {
    World::run(async |world| {
        filter_only_where_asked();
        let [web, db, other] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        let mut watcher = Watcher::of(world, sandbox("db")).await;
        for (to, ipv6, address) in [(DB4, false, "10.1.0.10"), (DB6, true, "fd00:1::10")] {
            let to = format!("{to}:5432");
            let mut talk = Conversation::begin(&web, &to).unwrap();
            assert!(talk.goes_on());
            let flow = watcher.flow().await;
            let from = flow.from.clone().unwrap();
            assert_eq!((from.name.as_str(), from.address.as_str()), ("web.blue", address));
            assert_eq!((from.network.as_str(), from.sandbox.as_str()), ("blue", "web"));
            assert_eq!(from.labels.get("app").map(String::as_str), Some("web"));
            assert_eq!(short(&flow), "web.blue db.blue 6/5432 passed");
            assert!(flow.source_port > 1023 && flow.ipv6 == ipv6 && flow.time.is_some());
            assert!(flow.reason.contains("by policy `db`, ingress rule 0"), "{}", flow.reason);
            let side = flow.ingress.unwrap();
            assert_eq!((side.outcome.as_str(), &*side.policy, side.rule), ("accept", "db", 0));
            assert_eq!(flow.egress.unwrap().outcome, "default");

            assert!(!reaches(&other, &to));
            let flow = watcher.flow().await;
            assert_eq!(short(&flow), "other.blue db.blue 6/5432 dropped");
            let side = flow.ingress.unwrap();
            assert_eq!((side.outcome.as_str(), &*side.policy, side.rule), ("isolated", "db", -1));
            assert!(flow.reason.contains("isolated by policy `db`"), "{}", flow.reason);
            assert!(watcher.all().await.iter().all(|one| one.starts_with("other")));
        }

        // What explain says is what is told.
        let deny = PolicySpec {
            tier: Tier::Admin.into(),
            ingress: vec![
                ask::rule(Action::Deny, vec![ask::peer(&[("app", "x")])], 0),
                ask::rule(Action::Reject, vec![ask::peer(&[("app", "web")])], 0),
            ],
            ..ask::app(&[("app", "db")], Vec::new())
        };
        world.api.apply_policy("admin", deny).await.unwrap();
        assert!(!reaches(&web, &format!("{DB4}:5432")));
        let flow = watcher.flow().await;
        assert_eq!(flow.verdict(), FlowVerdict::Rejected);
        let side = flow.ingress.unwrap();
        assert_eq!((side.outcome.as_str(), &*side.policy, side.rule), ("reject", "admin", 1));
    });
}

#[test]
fn the_host_the_world_and_published_ports() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let web = world.place("blue", "web", ask::publish(&[ask::tcp(8080, 80)])).await;
        let near = world.place("blue", "near", ask::endpoint()).await;
        let address = world.api.endpoint("web.blue").await.unwrap().ipv4_address;
        let address = address.split('/').next().unwrap().to_owned();
        let _servers = [(&web, "web"), (&world.host, "host"), (&world.outside, "outside")]
            .map(|(at, name)| Server::tcp(at, "[::]:80", name));
        let mut watcher = Watcher::of(world, Of::Network("blue".into())).await;
        let port = format!("{HOST4}:8080");
        for (from, to, expected) in [
            (&world.outside, &port, format!("{OUTSIDE4} web.blue 6/80 passed published")),
            (&near, &port, "near.blue web.blue 6/80 passed published".into()),
            (&world.host, &port, "host web.blue 6/80 passed published".into()),
            (&world.host, &format!("{address}:80"), "host web.blue 6/80 passed".into()),
            (&web, &"10.1.0.1:80".to_owned(), "web.blue host 6/80 passed".into()),
            (&web, &format!("{OUTSIDE4}:80"), format!("web.blue {OUTSIDE4} 6/80 passed")),
        ] {
            assert!(reaches(from, to));
            assert_eq!(watcher.all().await, [expected]);
        }
        ping(&web, OUTSIDE4);
        let flow = watcher.flow().await;
        let icmp = flow.icmp.unwrap();
        assert_eq!((flow.protocol, icmp.r#type, icmp.ipv6), (1, 8, false));
        // What is nobody's of ours is not told.
        assert!(reaches(&world.host, &format!("{OUTSIDE4}:80")));
        assert!(reaches(&world.outside, &format!("{HOST4}:80")));
        assert_eq!(watcher.all().await, Vec::<String>::new());
    });
}

#[test]
fn what_audited_policies_would_decide_is_marked() {
    World::run(async |world| {
        filter_only_where_asked();
        let [web, db, other] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        let mut before = Conversation::begin(&other, &format!("{DB4}:5432")).unwrap();
        let audit = PolicySpec { mode: PolicyMode::Audit.into(), ..db_from_web() };
        assert_eq!(world.api.apply_policy("db", audit).await.unwrap().flows_cut, 0);
        assert!(before.goes_on(), "an audit cut a flow");
        let mut all = Watcher::of(world, Of::Endpoint("db.blue".into())).await;
        let request = WatchFlowsRequest { audit_only: true, ..Default::default() };
        let mut marked = Watcher::with(world, request).await.unwrap();
        let request = WatchFlowsRequest { dropped_only: true, ..Default::default() };
        let mut dropped = Watcher::with(world, request).await.unwrap();
        let to = format!("{DB4}:5432");
        assert!(reaches(&web, &to) && reaches(&other, &to), "an audit changes nothing");
        let flow = marked.flow().await;
        assert_eq!(short(&flow), "other.blue db.blue 6/5432 passed audit db");
        let would = flow.audit.unwrap();
        assert_eq!((would.verdict(), would.rule), (FlowVerdict::Dropped, -1));
        assert_eq!(would.direction(), Direction::Ingress);
        assert!(would.reason.contains("isolated by policy `db`"), "{}", would.reason);
        assert_eq!(marked.all().await, Vec::<String>::new(), "the other is as it would be");
        let unmarked = "web.blue db.blue 6/5432 passed";
        assert_eq!(all.all().await, ["other.blue db.blue 6/5432 passed audit db", unmarked]);
        assert_eq!(dropped.all().await, Vec::<String>::new());
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        assert!(!reaches(&other, &to));
        assert_eq!(dropped.all().await, ["other.blue db.blue 6/5432 dropped"]);
        world.assert_agrees().await;
    });
}

#[test]
fn a_connection_whose_beginning_was_not_seen_is_told_as_it_is_reset() {
    World::run(async |world| {
        filter_only_where_asked();
        let [web, db, _] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        // Nothing judges frames between neighbours yet.
        let mut talk = Conversation::begin(&web, &format!("{DB4}:5432")).unwrap();
        let mut watcher = Watcher::of(world, sandbox("web")).await;
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        assert!(!talk.goes_on());
        let flow = watcher.flow().await;
        assert_eq!(short(&flow), "web.blue db.blue 6/5432 rejected");
        assert!(flow.reason.contains("beginning was not seen"), "{}", flow.reason);
        assert!(reaches(&web, &format!("{DB4}:5432")));
        assert!(watcher.all().await.contains(&"web.blue db.blue 6/5432 passed".to_owned()));
    });
}

#[test]
fn only_what_was_asked_for() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        world.api.create_network("red", ask::network(&["10.2.0.0/24"])).await.unwrap();
        let red = world.place("red", "red", ask::endpoint()).await;
        let _servers = [&web, &db].map(|at| Server::tcp(at, "[::]:80", "server"));
        let everybody = ask::app(&[("app", "db")], vec![ask::accept(vec![], 0)]);
        world.api.apply_policy("db", everybody).await.unwrap();
        let mut watchers = Vec::new();
        for of in [sandbox("web"), Of::Endpoint("db.blue".into()), Of::Network("red".into())] {
            watchers.push(Watcher::of(world, of).await);
        }
        assert!(reaches(&web, &format!("{DB4}:80")) && reaches(&other, &format!("{DB4}:80")));
        assert!(reaches(&other, "10.1.0.10:80"));
        let _ = reaches(&red, &format!("{OUTSIDE4}:80"));
        let [of_web, of_db, of_red] = &mut watchers[..] else { panic!("three") };
        let web_db = "web.blue db.blue 6/80 passed".to_owned();
        let other_db = "other.blue db.blue 6/80 passed".to_owned();
        let other_web = "other.blue web.blue 6/80 passed".to_owned();
        assert_eq!(of_web.all().await, [other_web, web_db.clone()]);
        assert_eq!(of_db.all().await, [other_db, web_db]);
        assert_eq!(of_red.all().await, [format!("red.red {OUTSIDE4} 6/80 passed")]);
        for (of, field) in [
            (sandbox("no"), "sandbox"),
            (Of::Endpoint("no".into()), "endpoint"),
            (Of::Network("no".into()), "network"),
        ] {
            let request = WatchFlowsRequest { of: Some(of), ..Default::default() };
            let refusal = Refusal::expect(Watcher::with(world, request).await.map(|_| ()));
            refusal.assert(Code::NotFound, field);
        }
    });
}

/// The host's second daemon, in a manner of speaking: nflog has one listener a group.
#[test]
fn the_log_is_listened_to_only_while_somebody_watches() {
    World::run(async |world| {
        let listens = || {
            let log = std::fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_log");
            log.unwrap().lines().any(|line| line.split_whitespace().next() == Some("20561"))
        };
        let gone = async || {
            for _ in 0..100 {
                if !listens() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            false
        };
        assert!(!listens());
        for _ in 0..3 {
            let request = WatchFlowsRequest::default;
            let watchers =
                [Watcher::with(world, request()).await, Watcher::with(world, request()).await];
            let [one, two] = watchers.map(Result::unwrap);
            assert!(listens());
            drop(one);
            tokio::time::sleep(SILENCE).await;
            assert!(listens(), "the other still watches");
            drop(two);
            assert!(gone().await, "nobody watches");
        }
        // A watcher is no hindrance to the daemon's end, and is told of it.
        let mut watcher = Watcher::with(world, WatchFlowsRequest::default()).await.unwrap();
        world.stop().await;
        assert!(matches!(watcher.0.message().await, Ok(None) | Err(_)));
        world.start().await;
    });
}

/// Sends datagrams that are dropped, each a flow of its own.
fn flood(from: &Netns, count: u32) {
    from.enter(|| {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        for turn in 0..count {
            let port = u16::try_from(1 + turn % 60_000).unwrap();
            socket.send_to(b"x", ("10.1.0.11", port)).unwrap();
        }
    });
}

#[test]
fn a_flood_is_bounded_and_holds_up_nobody() {
    World::run(async |world| {
        let [web, db, other] = blue(world).await;
        let _server = Server::tcp(&db, "[::]:5432", "db");
        world.api.apply_policy("db", db_from_web()).await.unwrap();
        // One who reads nothing at all, and one who does.
        let mut idle = Watcher::narrow(world).await;
        let mut watcher = Watcher::of(world, sandbox("db")).await;
        let to = format!("{DB4}:5432");
        let mut talk = Conversation::begin(&web, &to).unwrap();
        let resident = world.daemon().resident_kib();
        let begun = std::time::Instant::now();
        flood(&other, 100_000);
        let sent = begun.elapsed();
        assert!(talk.goes_on() && traffic::tcp(&web, &to).is_some(), "traffic waits");
        let asked = std::time::Instant::now();
        world.api.facts().await.unwrap();
        assert!(asked.elapsed() < Duration::from_secs(2), "the daemon waits");
        let (told, lost) = watcher.count().await;
        let total = begun.elapsed();
        let most = 2000.0 + 1000.0 * total.as_secs_f64() + 200.0;
        println!("{told} told and {lost} lost of 100000 sent in {sent:?}, {total:?} in all");
        assert!(f64::from(told) <= most && told + lost >= 2000, "{told} {lost}");
        // Three floods are more than is kept for one who does not read; he is told so.
        let mut all = told;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            flood(&other, 20_000);
            all += watcher.count().await.0;
        }
        let (kept, missed) = idle.count().await;
        println!("of {all} the idle one was told {kept}, and {missed} were lost");
        assert!(missed > 0 && kept >= 4096 && kept + missed >= all, "{kept} {missed}");
        let grown = world.daemon().resident_kib().saturating_sub(resident);
        assert!(grown < 64 << 10, "{grown} KiB more");
        assert!(reaches(&web, &to));
        world.assert_agrees().await;
    });
}
