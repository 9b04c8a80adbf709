//! Two hosts with a network between them, and sandboxes that reach each other over it.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use postern_kernel::{ApplyError, Kernel};
use postern_model::plan::Step;
use postern_model::resource::{Bridge, Element, Place, Resource, Vxlan};

use crate::host::{
    Host, address, bridge, ip, ip_in, links, name, network, on_a_host, open, sandbox, set, veth,
};

fn vxlan(local: &str) -> Vxlan {
    Vxlan {
        name: name("vx-1"),
        owner: network(1),
        master: name("br-1"),
        vni: 4097.try_into().unwrap(),
        port: 4789,
        local: local.parse().unwrap(),
        mtu: 1400,
    }
}

fn mac(n: u32) -> postern_model::mac::MacAddr {
    veth(n, "br-1", sandbox(n), "eth0").mac
}

fn forwarding(n: u32, to: &str) -> Resource {
    Resource::Forwarding { link: name("vx-1"), mac: mac(n), to: to.parse().unwrap() }
}

fn neighbour(n: u32, address: &str) -> Resource {
    Resource::Neighbour { link: name("br-1"), address: address.parse().unwrap(), mac: mac(n) }
}

/// The n-th host's part of a network of two: its sandbox, and what it knows of the other's.
fn part(host: &Host, n: u32, underlay: [&str; 2]) -> Vec<Resource> {
    let other = 3 - n;
    let place = Place::Sandbox(sandbox(n));
    let mut pair = veth(n, "br-1", sandbox(n), "eth0");
    pair.mtu = 1400;
    vec![
        // The namespace's own parameter has bridged frames judged, whatever the bridge says.
        Resource::Element(Element::Bridge(name("br-1"))),
        Resource::Element(Element::Neighbours(name("br-1"))),
        host.namespace(n),
        Resource::Bridge(Bridge { filtered: false, mtu: Some(1400), ..bridge(1) }),
        Resource::Vxlan(vxlan(underlay[n as usize - 1])),
        forwarding(other, underlay[other as usize - 1]),
        neighbour(other, &format!("10.1.0.{other}")),
        neighbour(other, &format!("fd01::{other}")),
        Resource::Veth(pair),
        address(place, "eth0", &format!("10.1.0.{n}/24")),
        address(place, "eth0", &format!("fd01::{n}/64")),
    ]
}

#[test]
fn what_is_made_is_what_is_observed() {
    on_a_host(async |host| {
        ip("address add 192.0.2.1/24 dev lo");
        let before = links();
        for local in ["192.0.2.1", "2001:db8::1"] {
            let mut all = part(host, 1, [local, "192.0.2.2"]);
            if local.contains(':') {
                all.retain(|resource| !matches!(resource, Resource::Forwarding { .. }));
                all.push(forwarding(2, "2001:db8::2"));
            }
            host.create(&all).await.unwrap();
            assert_eq!(host.observe().await, set(&all), "{local}");
            // Taken over after a restart, nothing has changed.
            let again = open(host.run_dir.path()).await;
            assert_eq!(again.observe(&host.namespaces).await.unwrap(), set(&all), "{local}");
            let shown = ip("-d link show vx-1");
            for part in ["vxlan id 4097", "nolearning", "dstport 4789", "neigh_suppress on"] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
            for part in ["learning off", "flood off", "mcast_flood off", "bcast_flood off"] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
            all.reverse();
            host.delete(&all).await.unwrap();
            assert_eq!(host.observe().await, set(&[]));
            host.kernel.quiesce().await;
            assert_eq!(links(), before);
        }
    });
}

#[test]
fn an_entry_is_replaced_and_goes_with_its_link() {
    on_a_host(async |host| {
        let all = part(host, 1, ["192.0.2.1", "192.0.2.2"]);
        host.create(&all).await.unwrap();
        // The endpoint has moved to another host, and its address has another MAC.
        host.update(forwarding(2, "192.0.2.2"), forwarding(2, "192.0.2.3")).await.unwrap();
        host.update(neighbour(2, "10.1.0.2"), neighbour(3, "10.1.0.2")).await.unwrap();
        let found = host.observe().await;
        let has = |resource: &Resource| found.iter().any(|(_, there)| there == resource);
        assert!(has(&forwarding(2, "192.0.2.3")) && !has(&forwarding(2, "192.0.2.2")));
        assert!(has(&neighbour(3, "10.1.0.2")) && !has(&neighbour(2, "10.1.0.2")));
        // With its own address given again, a bridge would forget all of its neighbours.
        let bridge = |filtered| Bridge { filtered, mtu: Some(1400), ..bridge(1) };
        host.update(Resource::Bridge(bridge(false)), Resource::Bridge(bridge(true))).await.unwrap();
        assert!(host.observe().await.iter().any(|(_, there)| *there == neighbour(3, "10.1.0.2")));
        let (from, to) = (vxlan("192.0.2.1"), Vxlan { mtu: 1380, ..vxlan("192.0.2.1") });
        host.update(Resource::Vxlan(from), Resource::Vxlan(to.clone())).await.unwrap();
        assert!(ip("link show vx-1").contains("mtu 1380"));
        // What was told twice, or was forgotten already, is no error.
        host.create(&[forwarding(2, "192.0.2.3")]).await.unwrap();
        host.delete(&[forwarding(2, "192.0.2.3"), forwarding(2, "192.0.2.3")]).await.unwrap();
        host.create(&[forwarding(2, "192.0.2.3")]).await.unwrap();
        host.delete(&[Resource::Vxlan(to)]).await.unwrap();
        host.delete(&[forwarding(2, "192.0.2.3")]).await.unwrap();
        let left = host.observe().await;
        let of_vxlan = |resource: &Resource| {
            matches!(resource, Resource::Forwarding { .. } | Resource::Vxlan(_))
        };
        assert!(!left.iter().any(|(_, resource)| of_vxlan(resource)), "{left:?}");
    });
}

#[test]
fn what_is_not_ours_is_not_touched_and_what_cannot_be_is_said() {
    on_a_host(async |host| {
        ip("link add br-1 type bridge");
        ip("link add vx-1 type vxlan id 7 dstport 4790 local 192.0.2.9");
        let mine = host.create(&[forwarding(2, "192.0.2.2")]).await.unwrap_err();
        assert!(matches!(mine, ApplyError::Foreign { .. }), "{mine}");
        let taken = host.create(&[Resource::Vxlan(vxlan("192.0.2.1"))]).await.unwrap_err();
        assert!(matches!(taken, ApplyError::Exists { .. }), "{taken}");
        host.delete(&[Resource::Vxlan(vxlan("192.0.2.1"))]).await.unwrap();
        host.kernel.quiesce().await;
        assert!(ip("-d link show vx-1").contains("vxlan id 7"));
        ip("link del vx-1");
        // Another link has the VNI on that port.
        ip("link add other type vxlan id 4097 dstport 4789 local 192.0.2.1");
        let refused = host.create(&[Resource::Vxlan(vxlan("192.0.2.1"))]).await.unwrap_err();
        assert!(refused.to_string().contains("vx-1"), "{refused}");
        assert!(!links().iter().any(|link| link.contains("vx-1")), "{:?}", links());
        let step = Step::Create(Resource::Vxlan(vxlan("192.0.2.1")));
        host.kernel.apply(&host.plan(vec![step])).await.unwrap_err();
    });
}

/// What the second host tells the first, and the other way round.
struct Line(Sender<String>, Receiver<String>);

impl Line {
    fn pair() -> (Self, Self) {
        let ((to, from), (back, there)) = (channel(), channel());
        (Self(to, there), Self(back, from))
    }

    fn say(&self, words: impl Into<String>) {
        self.0.send(words.into()).unwrap();
    }

    fn hear(&self) -> String {
        self.1.recv().unwrap()
    }
}

fn reaches(from: &Path, to: &str) -> bool {
    let mut ping = Command::new("nsenter");
    ping.arg(format!("--net={}", from.display())).args(["busybox", "ping", "-c1", "-W2", to]);
    ping.output().unwrap().status.success()
}

/// Bytes and packets that the VXLAN link has sent: what it dropped is not among them.
fn sent() -> Vec<String> {
    let shown = ip("-s -o link show vx-1");
    let numbers = shown.split("TX:").nth(1).unwrap().split_whitespace();
    numbers.filter(|word| word.parse::<u64>().is_ok()).take(2).map(str::to_owned).collect()
}

const UNDERLAY: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

fn second_host(line: Line) {
    on_a_host(async move |host| {
        let (pid, tid) = (std::process::id(), nix::unistd::gettid());
        line.say(format!("/proc/{pid}/task/{tid}/ns/net"));
        assert_eq!(line.hear(), "wired");
        ip("address add 192.0.2.2/24 dev under");
        ip("link set under up");
        host.create(&part(host, 2, UNDERLAY)).await.unwrap();
        line.say("made");
        assert_eq!(line.hear(), "over");
    });
}

#[test]
fn sandboxes_of_two_hosts_reach_each_other_and_nobody_else_is_asked() {
    thread::scope(|scope| {
        let (here, there) = Line::pair();
        scope.spawn(move || second_host(there));
        let namespace = here.hear();
        on_a_host(async move |host| {
            ip(&format!("link add under type veth peer name under netns {namespace}"));
            ip("address add 192.0.2.1/24 dev under");
            ip("link set under up");
            here.say("wired");
            host.create(&part(host, 1, UNDERLAY)).await.unwrap();
            assert_eq!(here.hear(), "made");
            let path = host.path(1);
            for to in ["10.1.0.2", "fd01::2"] {
                assert!(reaches(&path, to), "{to}");
            }
            // The bridge has answered for it, with the MAC that it was told.
            let known = ip_in(&path, "neighbour show 10.1.0.2");
            assert!(known.contains(&mac(2).to_string()), "{known}");
            // Of one that nobody has told of, no question leaves the host.
            let before = sent();
            assert!(!reaches(&path, "10.1.0.9"));
            assert_eq!(sent(), before);
            // Without its entry frames go nowhere.
            host.delete(&[forwarding(2, UNDERLAY[1])]).await.unwrap();
            assert!(!reaches(&path, "10.1.0.2"));
            host.create(&[forwarding(2, UNDERLAY[1])]).await.unwrap();
            assert!(reaches(&path, "10.1.0.2"));
            here.say("over");
        });
    });
}
