//! Macvlan links: made in a sandbox on a parent that is a test's own, seen, changed, gone.

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use postern_kernel::{ApplyError, Kernel};
use postern_model::decision::MacvlanMode;
use postern_model::plan::Step;
use postern_model::resource::{Macvlan, Owner, Place, Resource};

use crate::host::{
    Host, address, bridge, endpoint, ip, ip_in, links, name, on_a_host, open, route, sandbox, set,
    veth,
};

const MODES: [MacvlanMode; 4] =
    [MacvlanMode::Private, MacvlanMode::Vepa, MacvlanMode::Bridge, MacvlanMode::Passthru];

/// The parent `wire`, the other end of which is `far`.
fn wire() {
    ip("link add wire address 02:00:00:00:09:01 type veth peer name far");
    ip("link set wire up");
    ip("link set far up");
}

/// The n-th endpoint's link, `eth0` in the sandbox of the same number.
fn macvlan(n: u32, mode: MacvlanMode) -> Macvlan {
    let mac = format!("02:00:00:00:00:{n:02x}").parse().unwrap();
    Macvlan {
        sandbox: sandbox(n),
        interface: name("eth0"),
        owner: endpoint(n),
        parent: name("wire"),
        mode,
        mac: (mode != MacvlanMode::Passthru).then_some(mac),
        mtu: 1450,
    }
}

/// A sandbox with its link, addresses and routes, in the order in which they are made.
fn whole(host: &Host, n: u32, mode: MacvlanMode) -> Vec<Resource> {
    let place = Place::Sandbox(sandbox(n));
    vec![
        host.namespace(n),
        Resource::Macvlan(macvlan(n, mode)),
        address(place, "eth0", &format!("10.1.0.{n}/24")),
        address(place, "eth0", &format!("fd01::{n}/64")),
        route(sandbox(n), "eth0", "192.0.2.0/24", None),
        route(sandbox(n), "eth0", "0.0.0.0/0", Some("10.1.0.99")),
        route(sandbox(n), "eth0", "::/0", Some("fd01::99")),
    ]
}

fn inside(host: &Host, n: u32) -> Vec<String> {
    let list = ip_in(&host.path(n), "-br link");
    list.lines().filter_map(|line| line.split(['@', ' ']).next().map(str::to_owned)).collect()
}

#[test]
fn what_is_made_is_what_is_observed_in_every_mode() {
    on_a_host(async |host| {
        wire();
        let before = (links(), ip("-o link show wire"));
        for mode in MODES {
            let all = whole(host, 1, mode);
            host.create(&all).await.unwrap();
            assert_eq!(host.observe().await, set(&all), "{mode}");
            // Taken over after a restart, nothing has changed.
            let again = open(host.run_dir.path()).await;
            assert_eq!(again.observe(&host.namespaces).await.unwrap(), set(&all), "{mode}");
            let shown = ip_in(&host.path(1), "-d link show eth0");
            assert!(shown.contains(&format!("macvlan mode {mode}")), "{shown}");
            assert!(shown.contains("state UP") && shown.contains("group 20560"), "{shown}");
            assert!(shown.contains(&format!("alias postern:{}", endpoint(1))), "{shown}");
            let mac = if mode == MacvlanMode::Passthru { "09:01" } else { "00:01" };
            assert!(shown.contains(&format!("ether 02:00:00:00:{mac} ")), "{shown}");
            let addresses = ip_in(&host.path(1), "-6 -o addr show dev eth0");
            assert!(!addresses.contains("tentative"), "{addresses}");
            let backwards: Vec<_> = all.iter().rev().cloned().collect();
            host.delete(&backwards[..6]).await.unwrap();
            assert_eq!(inside(host, 1), ["lo"], "{mode}");
            host.delete(&backwards).await.unwrap();
            assert_eq!(host.observe().await, set(&[]), "{mode}");
        }
        assert_eq!((links(), ip("-o link show wire")), before);
    });
}

#[test]
fn what_is_on_it_goes_with_it_and_its_name_and_mac_are_free_at_once() {
    on_a_host(async |host| {
        wire();
        host.create(&[host.namespace(1), Resource::Bridge(bridge(1))]).await.unwrap();
        let all = whole(host, 1, MacvlanMode::Bridge);
        let pair = Resource::Veth(veth(1, "br-1", sandbox(1), "eth0"));
        for _ in 0..3 {
            host.create(&all[1..]).await.unwrap();
            let steps = vec![Step::Delete(all[1].clone()), Step::Create(pair.clone())];
            host.kernel.apply(&host.plan(steps)).await.unwrap();
            host.delete(std::slice::from_ref(&pair)).await.unwrap();
        }
        host.create(&all[1..]).await.unwrap();
        let base = [Resource::Bridge(bridge(1))];
        assert_eq!(host.observe().await, set(&[&all[..], &base].concat()));
    });
}

#[test]
fn it_changes_in_place() {
    on_a_host(async |host| {
        wire();
        let all = whole(host, 1, MacvlanMode::Bridge);
        host.create(&all).await.unwrap();
        let index = || ip_in(&host.path(1), "-o link show eth0")[..2].to_owned();
        let before = index();
        let news = Macvlan { mtu: 1300, ..macvlan(1, MacvlanMode::Private) };
        host.update(all[1].clone(), Resource::Macvlan(news.clone())).await.unwrap();
        let mut expected = set(&all);
        expected.extend([Resource::Macvlan(news.clone())]);
        assert_eq!(host.observe().await, expected);
        assert_eq!(index(), before);
        // Down, it is not as it should be, and what is told of it brings it up.
        ip_in(&host.path(1), "link set eth0 down");
        let seen = host.observe().await;
        let Some(seen @ Resource::Macvlan(down)) = seen.get(&all[1].key()) else { panic!() };
        assert_eq!(down.mtu, 0);
        host.update(seen.clone(), Resource::Macvlan(news.clone())).await.unwrap();
        assert!(ip_in(&host.path(1), "link show eth0").contains("state UP"));
        let wide = Macvlan { mtu: 1501, ..news.clone() };
        let refused = host.update(Resource::Macvlan(news), Resource::Macvlan(wide)).await;
        assert!(matches!(refused, Err(ApplyError::ParentBusy { .. })), "{refused:?}");
    });
}

#[test]
fn what_stands_in_its_way_leaves_nothing_behind() {
    on_a_host(async |host| {
        wire();
        ip("link add uplink type bridge");
        ip("link add port type veth peer name other");
        ip("link set port master uplink");
        let namespaces = [host.namespace(1), host.namespace(2)];
        host.create(&namespaces).await.unwrap();
        let before = links();
        let on = |parent: &str, link: Macvlan| {
            [Resource::Macvlan(Macvlan { parent: name(parent), ..link })]
        };
        let one = || macvlan(1, MacvlanMode::Bridge);
        let gone = host.create(&on("nowhere", one())).await;
        assert!(matches!(gone, Err(ApplyError::Missing { .. })), "{gone:?}");
        let busy = host.create(&on("port", one())).await;
        assert!(matches!(busy, Err(ApplyError::ParentBusy { .. })), "{busy:?}");
        ip_in(&host.path(1), "link add eth0 type bridge");
        let taken = host.create(&on("wire", one())).await;
        assert!(matches!(&taken, Err(ApplyError::Exists { object }) if object.starts_with("eth0")));
        ip_in(&host.path(1), "link del eth0");
        // The MAC is another's on the same parent, or the parent's; the parent is shared.
        host.create(&on("wire", one())).await.unwrap();
        let same = Macvlan { mac: one().mac, ..macvlan(2, MacvlanMode::Bridge) };
        let of_parent = Macvlan { mac: "02:00:00:00:09:01".parse().ok(), ..same.clone() };
        for second in [same, of_parent, macvlan(2, MacvlanMode::Passthru)] {
            let refused = host.create(&on("wire", second)).await;
            assert!(matches!(refused, Err(ApplyError::ParentBusy { .. })), "{refused:?}");
            assert_eq!(inside(host, 2), ["lo"]);
        }
        let all = [&namespaces[..], &on("wire", one())].concat();
        assert_eq!((links(), host.observe().await), (before, set(&all)));
    });
}

#[test]
fn who_is_privileged_in_the_sandbox_cannot_keep_it() {
    on_a_host(async |host| {
        wire();
        let all = whole(host, 1, MacvlanMode::Bridge);
        let link = &all[1];
        host.create(&all[..1]).await.unwrap();
        let path = host.path(1);
        let alone = Resource::Macvlan(macvlan(1, MacvlanMode::Passthru));
        host.create(std::slice::from_ref(&alone)).await.unwrap();
        ip_in(&path, "link set eth0 down");
        ip_in(&path, "link set dev eth0 name moved alias mine");
        host.delete(&[alone]).await.unwrap();
        assert_eq!(inside(host, 1), ["lo"]);
        ip("link add theirs link wire type macvlan");
        ip(&format!("link set theirs netns {}", path.display()));
        for change in ["alias mine", "group 7 alias mine", "name moved", "name moved alias mine"] {
            host.create(std::slice::from_ref(link)).await.unwrap();
            ip_in(&path, "link set eth0 down");
            ip_in(&path, &format!("link set dev eth0 {change}"));
            assert_ne!(host.observe().await.get(&link.key()), Some(link), "{change}");
            host.delete(std::slice::from_ref(link)).await.unwrap();
            assert_eq!(inside(host, 1), ["lo", "theirs"], "{change}");
        }
        // One that was made and not marked yet is seen, and can be removed.
        ip("link add half link wire type macvlan");
        ip(&format!("link set half netns {} name eth0", path.display()));
        ip_in(&path, "link set eth0 group 20560");
        let seen = host.observe().await;
        let Some(half @ Resource::Macvlan(found)) = seen.get(&link.key()) else { panic!() };
        assert_eq!(found.owner, Owner::Sandbox(sandbox(1)));
        host.delete(std::slice::from_ref(half)).await.unwrap();
        assert_eq!(inside(host, 1), ["lo", "theirs"]);
        assert_eq!(host.observe().await, set(&all[..1]));
    });
}

#[test]
fn it_falls_with_its_parent_and_is_not_of_another_ones_name() {
    on_a_host(async |host| {
        wire();
        let all = whole(host, 1, MacvlanMode::Bridge);
        host.create(&all).await.unwrap();
        // Seen by its parent's index, whatever that is called.
        ip("link set wire down");
        ip("link set wire name renamed");
        let seen = host.observe().await;
        let Some(Resource::Macvlan(seen)) = seen.get(&all[1].key()) else { panic!("{seen:?}") };
        assert_eq!(seen.parent, name("renamed"));
        ip("link del renamed");
        assert_eq!(host.observe().await, set(&all[..1]));
        let missing = host.create(&all[1..]).await;
        assert!(matches!(missing, Err(ApplyError::Missing { .. })), "{missing:?}");
        host.delete(&all[1..2]).await.unwrap();
    });
}

#[test]
fn a_parent_is_known_before_it_is_used() {
    on_a_host(async |host| {
        wire();
        ip("link add uplink type bridge");
        ip("link set far master uplink");
        ip("tuntap add tunnel mode tun");
        let facts = async |link: &str| host.kernel.link(&name(link)).await.unwrap().unwrap();
        let wire = facts("wire").await;
        assert!(wire.is_ethernet && !wire.is_port && !wire.is_bridge && wire.ours.is_none());
        assert_eq!((wire.mac, wire.mtu), ("02:00:00:00:09:01".parse().ok(), 1500));
        assert!(facts("far").await.is_port);
        assert!(facts("uplink").await.is_bridge && facts("uplink").await.is_ethernet);
        assert!(!facts("tunnel").await.is_ethernet);
    });
}

/// A datagram from one namespace to an address where another one waits for it.
fn reaches(from: &Path, to: &Path, address: &str) -> Result<Duration, io::Error> {
    let at = format!("{address}:9");
    let bound = in_namespace(to, move || {
        let socket = UdpSocket::bind(at)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        Ok(socket)
    })?;
    let at = format!("{address}:9");
    let started = Instant::now();
    in_namespace(from, move || UdpSocket::bind("0.0.0.0:0")?.send_to(b"first", at))?;
    bound.recv(&mut [0; 8])?;
    Ok(started.elapsed())
}

fn in_namespace<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let namespace = File::open(path)?;
    let visit = thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    });
    visit.join().unwrap()
}

#[test]
fn two_on_one_parent_reach_each_other_and_the_far_end_of_the_wire() {
    on_a_host(async |host| {
        wire();
        host.create(&[host.namespace(9)]).await.unwrap();
        let far = host.path(9);
        ip(&format!("link set far netns {}", far.display()));
        ip_in(&far, "addr add 10.1.0.99/24 dev far");
        ip_in(&far, "link set far up");
        ip("addr add 10.1.0.50/24 dev wire");
        for mode in [MacvlanMode::Bridge, MacvlanMode::Private, MacvlanMode::Vepa] {
            let (one, two) = (whole(host, 1, mode), whole(host, 2, mode));
            host.create(&one).await.unwrap();
            host.create(&two).await.unwrap();
            let (a, b) = (host.path(1), host.path(2));
            // The first packet arrives, at once, both ways.
            println!("{mode}: out {:?}", reaches(&a, &far, "10.1.0.99").unwrap());
            println!("{mode}: in {:?}", reaches(&far, &b, "10.1.0.2").unwrap());
            let near = reaches(&a, &b, "10.1.0.2");
            println!("{mode}: near {near:?}");
            assert_eq!(near.is_ok(), mode == MacvlanMode::Bridge, "{mode}: {near:?}");
            // The host itself is out of reach.
            let own = Path::new("/proc/thread-self/ns/net");
            assert!(reaches(&a, own, "10.1.0.50").is_err(), "{mode}");
            for all in [one, two] {
                host.delete(&[all[1].clone(), all[0].clone()]).await.unwrap();
            }
        }
        let alone = whole(host, 1, MacvlanMode::Passthru);
        host.create(&alone).await.unwrap();
        reaches(&host.path(1), &far, "10.1.0.99").unwrap();
    });
}

#[test]
fn the_time_of_an_attach_and_a_detach() {
    on_a_host(async |host| {
        wire();
        let all = whole(host, 1, MacvlanMode::Bridge);
        host.create(&all[..1]).await.unwrap();
        for _ in 0..5 {
            let started = Instant::now();
            host.create(&all[1..]).await.unwrap();
            let attached = started.elapsed();
            let started = Instant::now();
            host.delete(&all[1..2]).await.unwrap();
            println!("attach {attached:?}, detach {:?}", started.elapsed());
        }
    });
}
