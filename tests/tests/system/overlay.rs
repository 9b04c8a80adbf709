//! One network over several hosts, with real packets between them.

use std::net::UdpSocket;
use std::time::Duration;

use postern_proto::v1::PolicyRule;
use postern_tests::dns::dig;
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{Host, Hosts, MIDDLE, Netns, ask};
use tonic::Code;

fn tcp(from: &Netns, address: &str) -> Option<String> {
    traffic::tcp(from, address).map(|answer| answer.server)
}

/// Waits until a probe is answered, or is not.
async fn until(host: &Host, from: &Netns, address: &str, wanted: Option<&str>) {
    let what = format!("{address} answers {wanted:?}");
    host.until(&what, async || tcp(from, address).as_deref() == wanted).await;
}

async fn agree(world: &Hosts) {
    for host in &world.hosts {
        host.assert_agrees().await;
    }
}

#[test]
fn sandboxes_on_different_hosts_reach_each_other() {
    Hosts::run(3, async |world| {
        let spec = ask::network(&["10.1.0.0/24", "fd00:1::/64"]);
        let network = world.share("blue", spec).await;
        assert_eq!((network.scope.as_str(), network.spec.unwrap().mtu), ("global", 1450));
        let [a, b, c] = world.hosts.as_slice() else { panic!("three hosts") };
        let web = a.place("blue", "web", ask::endpoint()).await;
        let db = b.place("blue", "db", ask::publish(&[ask::tcp(8080, 80)])).await;
        world.until_all_know("blue").await;
        let _server = Server::tcp(&db, "[::]:80", "db");
        let address = b.address_of("db", "blue").await;
        let found = traffic::tcp(&web, &format!("{address}:80")).unwrap();
        assert_eq!(found.seen_from.to_string(), a.address_of("web", "blue").await);
        let six = b.api.endpoint("db.blue").await.unwrap().ipv6_address;
        let six = six.split('/').next().unwrap();
        assert_eq!(tcp(&web, &format!("[{six}]:80")).as_deref(), Some("db"));
        // As large as a packet can be, in both directions.
        for size in [1422, 3000] {
            let ping = format!("busybox ping -c1 -W2 -s {size} {address}");
            assert!(web.sh(&ping).contains("1 packets received"), "{size}");
        }
        // Flows are tracked where they are bridged, and not once more on their way.
        a.assert_untracked("dport=4789");
        // A host that has nobody on it takes part, and whoever comes to it is known.
        let late = c.place("blue", "late", ask::endpoint()).await;
        world.until_all_know("blue").await;
        assert_eq!(tcp(&late, &format!("{address}:80")).as_deref(), Some("db"));
        // The world is reached by the own host, and reaches what is published there.
        let middle = Netns::current();
        let _world = Server::tcp(&middle, "0.0.0.0:9000", "world");
        let seen = traffic::tcp(&web, &format!("{MIDDLE}:9000")).unwrap();
        assert_eq!(seen.seen_from.to_string(), a.underlay);
        assert_eq!(tcp(&middle, &format!("{}:8080", b.underlay)).as_deref(), Some("db"));
        assert_eq!(tcp(&middle, &format!("{}:8080", a.underlay)), None, "on its own host alone");
        agree(world).await;
    });
}

#[test]
fn who_asks_for_a_mac_is_answered_and_nobody_else_hears_it() {
    Hosts::run(2, async |world| {
        let spec = ask::network(&["10.1.0.0/24", "fd00:1::/64"]);
        world.share("blue", spec).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let web = a.place("blue", "web", ask::endpoint()).await;
        let other = a.place("blue", "other", ask::endpoint()).await;
        b.place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let db = b.api.endpoint("db.blue").await.unwrap();
        let heard = || -> u64 {
            let links = other.sh("cat /proc/net/dev");
            let own = links.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
            own.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        for address in [db.ipv4_address, db.ipv6_address] {
            let address = address.split('/').next().unwrap();
            // Of multicast groups sandboxes tell each other, now and then.
            let quiet = (0..5).any(|_| {
                web.sh("ip neigh flush dev eth0");
                let before = heard();
                let pinged = web.sh(&format!("busybox ping -c1 -W2 {address}"));
                assert!(pinged.contains("1 packets received"), "{pinged}");
                heard() == before
            });
            assert!(quiet, "a question for {address} is flooded");
        }
        agree(world).await;
    });
}

#[test]
fn who_is_given_an_address_again_is_reached_by_those_who_knew_the_last_one() {
    Hosts::run(2, async |world| {
        world.share("blue", ask::network(&["10.1.0.0/24", "fd00:1::/64"])).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let web = a.place("blue", "web", ask::endpoint()).await;
        let mut last = None;
        for name in ["first", "second"] {
            let spec = last.as_deref().map_or_else(ask::endpoint, ask::address);
            let netns = b.place("blue", name, spec).await;
            world.until_all_know("blue").await;
            let _server = Server::tcp(&netns, "[::]:80", name);
            let address = b.address_of(name, "blue").await;
            assert_eq!(tcp(&web, &format!("{address}:80")).as_deref(), Some(name));
            b.api.disconnect("blue", name).await.unwrap();
            last = Some(address);
        }
    });
}

#[test]
fn names_and_links_hold_across_hosts() {
    Hosts::run(2, async |world| {
        world.share("quiet", ask::apart(ask::network(&["10.1.0.0/24"]))).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let web = a.place("quiet", "web", ask::endpoint()).await;
        let db = b.place("quiet", "db", ask::expose(&[80])).await;
        world.until_all_know("quiet").await;
        let _servers = [Server::tcp(&db, "[::]:80", "db"), Server::tcp(&db, "[::]:81", "db-81")];
        let address = b.address_of("db", "quiet").await;
        let at = |port| format!("{address}:{port}");
        assert_eq!(dig(&web, "db A").answers, [address.as_str()]);
        assert_eq!(dig(&web, "db.quiet A").answers, [address.as_str()]);
        let own = a.address_of("web", "quiet").await;
        assert_eq!(dig(&db, "web A").answers, [own]);
        assert_eq!(tcp(&web, &at(80)), None, "neighbours are kept apart");
        let linked = a.api.add_link("web", "db", "store").await.unwrap();
        assert_eq!(linked.links[0].addresses, [address.as_str()]);
        until(a, &web, &at(80), Some("db")).await;
        assert_eq!(tcp(&web, &at(81)), None, "81 is not exposed");
        assert_eq!(dig(&web, "store A").answers, [address.as_str()]);
        let hosts = std::fs::read_to_string(format!("{}/hosts", linked.files_path)).unwrap();
        assert!(hosts.contains(&format!("{address}\tstore db")), "{hosts}");
        agree(world).await;
        let mut talk = Conversation::begin(&web, &at(80)).unwrap();
        assert!(talk.goes_on());
        a.api.remove_link("web", "store").await.unwrap();
        until(a, &web, &at(80), None).await;
        assert!(!talk.goes_on(), "the flow went on");
        // The source goes, and comes back with another address.
        a.api.add_link("web", "db", "store").await.unwrap();
        until(a, &web, &at(80), Some("db")).await;
        b.api.disconnect("quiet", "db").await.unwrap();
        a.until("db is gone", async || dig(&web, "store A").answers.is_empty()).await;
        b.api.connect("quiet", "db", ask::expose(&[80])).await.unwrap();
        let address = b.address_of("db", "quiet").await;
        until(a, &web, &format!("{address}:80"), Some("db")).await;
        agree(world).await;
    });
}

fn from(labels: &[(&str, &str)]) -> PolicyRule {
    ask::accept(vec![ask::peer(labels)], 0)
}

#[test]
fn a_policy_is_every_host_s() {
    Hosts::run(2, async |world| {
        world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let web = a.place("blue", "web", ask::labelled(&[("role", "web")])).await;
        let other = a.place("blue", "other", ask::labelled(&[("role", "other")])).await;
        let db = b.place("blue", "db", ask::labelled(&[("role", "db")])).await;
        world.until_all_know("blue").await;
        let _server = Server::tcp(&db, "[::]:80", "db");
        let address = format!("{}:80", b.address_of("db", "blue").await);
        let mut talk = Conversation::begin(&other, &address).unwrap();
        assert!(talk.goes_on());
        // Applied where the beginners are, carried out where the subject is.
        let spec = ask::app(&[("role", "db")], vec![from(&[("role", "web")])]);
        a.api.apply_policy("store", spec).await.unwrap();
        until(a, &other, &address, None).await;
        assert!(!talk.goes_on(), "the flow went on");
        assert_eq!(tcp(&web, &address).as_deref(), Some("db"));
        let there = b.api.list_policies().await.unwrap();
        assert_eq!(there.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["store"]);
        let why = a.cli(&["explain", "other", "db", "tcp/80"]).stdout;
        assert!(why.contains("store"), "{why}");
        // Another label on the beginner is another identity at the subject.
        agree(world).await;
        b.api.delete_policy("store").await.unwrap();
        until(a, &other, &address, Some("db")).await;
        a.until("it is gone", async || a.api.list_policies().await.unwrap().is_empty()).await;
        agree(world).await;
    });
}

#[test]
fn a_network_is_in_use_on_whichever_host() {
    Hosts::run(2, async |world| {
        world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let taken = b.api.create_network("blue", ask::overlay(&["10.2.0.0/24"])).await;
        assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
        let overlaps = b.api.create_network("red", ask::overlay(&["10.1.0.128/25"])).await;
        assert_eq!(overlaps.unwrap_err().code(), Code::FailedPrecondition);
        let underlay = b.api.create_network("red", ask::overlay(&["192.0.2.0/25"])).await;
        assert_eq!(underlay.unwrap_err().code(), Code::FailedPrecondition);
        b.place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let used = a.api.delete_network("blue").await.unwrap_err();
        assert_eq!(used.code(), Code::FailedPrecondition, "{used}");
        b.api.disconnect("blue", "db").await.unwrap();
        a.until("it can be deleted", async || a.api.delete_network("blue").await.is_ok()).await;
        b.until("it is gone", async || b.api.network("blue").await.is_err()).await;
        agree(world).await;
        // An option that is changed is changed everywhere.
        let made = world.share("green", ask::network(&["10.3.0.0/24"])).await;
        let updated = b.cli(&["network", "update", "green", "--icc=false"]);
        assert_eq!(updated.code, Some(0), "{}", updated.stderr);
        a.until("it is followed", async || {
            let spec = a.api.network("green").await.unwrap().spec.unwrap();
            spec.icc == Some(false)
        })
        .await;
        assert_eq!(a.api.network("green").await.unwrap().vni, made.vni);
        agree(world).await;
    });
}

#[test]
fn what_cannot_be_shared_is_said() {
    Hosts::run_with(1, &["--cluster-vnis=5000-5001"], async |world| {
        let [a] = world.hosts.as_slice() else { panic!("one host") };
        let refused = async |name: &str, spec| {
            let status = a.api.create_network(name, spec).await.unwrap_err();
            (status.code(), postern_tests::Refusal::of(&status).fields)
        };
        let encrypted = ask::with_option(ask::overlay(&["10.9.0.0/24"]), "encrypted", "true");
        let field = "spec.options[\"encrypted\"]".to_owned();
        assert_eq!(refused("secret", encrypted).await, (Code::InvalidArgument, vec![field]));
        let wide = postern_proto::v1::NetworkSpec { mtu: 1451, ..ask::overlay(&["10.9.0.0/24"]) };
        let field = "spec.mtu".to_owned();
        assert_eq!(refused("wide", wide).await, (Code::InvalidArgument, vec![field]));
        for (name, subnet) in [("one", "10.1.0.0/24"), ("two", "10.2.0.0/24")] {
            let made = a.api.create_network(name, ask::overlay(&[subnet])).await.unwrap();
            assert!((5000..=5001).contains(&made.vni), "{made:?}");
        }
        let (code, _) = refused("three", ask::overlay(&["10.3.0.0/24"])).await;
        assert_eq!(code, Code::ResourceExhausted);
        assert!(a.api.network("three").await.is_err());
        a.api.delete_network("one").await.unwrap();
        a.api.create_network("three", ask::overlay(&["10.3.0.0/24"])).await.unwrap();
        a.assert_agrees().await;
    });
}

/// Of frames between hosts nothing is believed that the cluster does not say.
#[test]
fn a_stranger_in_the_underlay_is_nobody() {
    Hosts::run(2, async |world| {
        let made = world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let web = a.place("blue", "web", ask::endpoint()).await;
        let db = b.place("blue", "db", ask::endpoint()).await;
        world.until_all_know("blue").await;
        let heard = db.enter(|| UdpSocket::bind("0.0.0.0:7000").unwrap());
        heard.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let to = format!("{}:7000", b.address_of("db", "blue").await);
        let hears = |from: &Netns, words: &str| {
            from.enter(|| {
                UdpSocket::bind("0.0.0.0:0").unwrap().send_to(words.as_bytes(), &to).unwrap()
            });
            let mut buffer = [0; 64];
            heard.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == words.as_bytes())
        };
        assert!(hears(&web, "web"));
        // In the middle of the underlay, with the MAC and the address of `web`.
        let peer = &b.api.peers("blue").await.unwrap()[0];
        let middle = Netns::current();
        let stranger = |local: &str| {
            let vni = made.vni;
            middle.sh(&format!(
                "ip link add stranger type vxlan id {vni} local {local} remote {} dstport 4789",
                b.underlay
            ));
            middle.sh(&format!("ip link set stranger address {} mtu 1400 up", peer.mac_address));
            middle.sh(&format!("ip addr add {}/24 dev stranger", peer.ipv4_address));
            b.api.endpoint("db.blue")
        };
        let mac = stranger(MIDDLE).await.unwrap().mac_address;
        let neighbour =
            format!("ip neigh add {} lladdr {mac} dev stranger", to.split(':').next().unwrap());
        middle.sh(&neighbour);
        assert!(!hears(&middle, "stranger"), "it is no host of the cluster");
        // What it sends is right but for that: with the address of a host it is heard.
        middle.sh("ip link del stranger");
        middle.sh(&format!("ip addr add {}/32 dev lo", a.underlay));
        stranger(&a.underlay).await.unwrap();
        middle.sh(&neighbour);
        assert!(hears(&middle, "thief"));
        // And an address of its own choice is nobody's, from wherever it comes.
        middle.sh(&format!("ip addr del {}/24 dev stranger", peer.ipv4_address));
        middle.sh("ip addr add 10.1.0.99/24 dev stranger");
        middle.sh(&neighbour.replace("neigh add", "neigh replace"));
        assert!(!hears(&middle, "nobody"));
        middle.sh("ip link del stranger");
        // Its only endpoint gone, the host has nothing to say on the network.
        let from = format!("{} . ", a.underlay);
        let senders = || b.netns.sh("nft list set inet postern tunnel-from4");
        assert!(senders().contains(&from), "{}", senders());
        a.api.disconnect("blue", "web").await.unwrap();
        b.until("it is no sender", async || !senders().contains(&from)).await;
    });
}

#[test]
fn peers_are_shown_and_told() {
    Hosts::run(2, async |world| {
        world.share("blue", ask::network(&["10.1.0.0/24"])).await;
        let [a, b] = world.hosts.as_slice() else { panic!("two hosts") };
        let mut events = a.api.watch(None).await.unwrap();
        b.place("blue", "db", ask::labelled(&[("role", "db")])).await;
        let told = events.short().await;
        assert_eq!(told, "peer joined db.blue");
        let shown = a.cli(&["network", "inspect", "blue"]).stdout;
        let address = b.address_of("db", "blue").await;
        for part in ["\"peers\"", "\"host\": \"b\"", "\"underlayAddress\": \"192.0.2.2\"", &address]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        b.api.disconnect("blue", "db").await.unwrap();
        assert_eq!(events.short().await, "peer left db.blue");
        let listed = a.cli(&["network", "ls"]).stdout;
        assert!(listed.lines().any(|line| line.contains("blue") && line.contains("global")));
    });
}
