//! What is made is what is observed, and it changes in place.

use std::process::Command;

use futures::future::join_all;
use nix::errno::Errno;
use postern_kernel::{ApplyError, Kernel};
use postern_model::decision::LinkSysctl;
use postern_model::network::Family;
use postern_model::resource::{Bridge, Place, Resource, ResourceSet, Veth};

use crate::host::{
    SANDBOXES, address, bridge, endpoint, everything, ip, ip_in, links, name, on_a_host, open,
    route, sandbox, set, veth,
};

#[test]
fn what_is_made_is_what_is_observed() {
    on_a_host(async |host| {
        let all = everything(host);
        assert_eq!(host.observe().await, ResourceSet::default());
        host.create(&all).await.unwrap();
        assert_eq!(host.observe().await, set(&all));
        // Taken again after a restart, nothing has changed.
        let again = open(host.run_dir.path()).await;
        assert_eq!(again.observe(&host.namespaces).await.unwrap(), set(&all));
        // Elements, addresses and routes that are there already are no error.
        let there: Vec<_> =
            all.iter().filter(|resource| is_idempotent(resource)).cloned().collect();
        host.create(&there).await.unwrap();
        assert_eq!(host.observe().await, set(&all));
    });
}

fn is_idempotent(resource: &Resource) -> bool {
    matches!(resource, Resource::Address { .. } | Resource::Route { .. } | Resource::Element(_))
}

#[test]
fn what_is_deleted_leaves_nothing() {
    on_a_host(async |host| {
        let before = links();
        let all = everything(host);
        host.create(&all).await.unwrap();
        let backwards: Vec<_> = all.iter().rev().cloned().collect();
        host.delete(&backwards).await.unwrap();
        assert_eq!(host.observe().await, ResourceSet::default());
        // The bridge is deleted in a moment; the host answers for it no more.
        let addresses = ip("-o addr show");
        assert!(!addresses.contains("10.1.0.1") && !addresses.contains("fd01::1"), "{addresses}");
        host.kernel.quiesce().await;
        assert_eq!(links(), before);
        assert!(!host.path(1).exists());
        // Once more: what is gone is no error.
        host.delete(&backwards).await.unwrap();
    });
}

#[test]
fn links_are_up_and_marked() {
    on_a_host(async |host| {
        let all = everything(host);
        host.create(&all).await.unwrap();
        let pair = ip("-d link show pv-1");
        assert!(pair.contains("state UP") && pair.contains("group 20560"), "{pair}");
        assert!(pair.contains(&format!("alias postern:{}", endpoint(1))), "{pair}");
        assert!(pair.contains("hairpin on") && pair.contains("proxy_arp_wifi on"), "{pair}");
        let known = Command::new("bridge").args(["fdb", "show", "dev", "pv-1"]).output().unwrap();
        let known = String::from_utf8_lossy(&known.stdout);
        let mac = veth(1, "br-1", sandbox(1), "eth0").mac;
        assert!(known.contains(&format!("{mac} master br-1 static")), "{known}");
        assert_eq!(ip("-6 addr show dev pv-1 scope link"), "", "a port speaks for nobody");
        assert_eq!(ip("-6 route show table all dev pv-1"), "", "and hears nobody");
        let path = host.path(1);
        let lo = ip_in(&path, "link show lo");
        assert!(lo.contains("LOOPBACK,UP"), "{lo}");
        let inside = ip_in(&path, "link show dev eth0");
        assert!(inside.contains("state UP"), "{inside}");
        let addresses = ip_in(&path, "-6 -o addr show dev eth0");
        assert!(!addresses.contains("tentative"), "{addresses}");
        assert!(addresses.contains("fe80::ff:fe00:1/64"), "{addresses}");
        let found = ip("-d link show br-1");
        assert!(found.contains("nf_call_iptables 1") && found.contains("nf_call_ip6tables 1"));
        assert!(found.contains("stp_state 0") && found.contains("forward_delay 0"), "{found}");
    });
}

#[test]
fn an_interface_without_ipv6_addresses_is_silent() {
    on_a_host(async |host| {
        let v6 = |resource: &Resource| match resource {
            Resource::Address { address, .. } => address.is_ipv6(),
            Resource::Route { destination, .. } => destination.is_ipv6(),
            _ => false,
        };
        let v4: Vec<_> = everything(host).into_iter().filter(|resource| !v6(resource)).collect();
        host.create(&v4).await.unwrap();
        assert_eq!(ip_in(&host.path(1), "-6 addr show dev eth0"), "");
    });
}

#[test]
fn properties_change_in_place() {
    on_a_host(async |host| {
        let all = everything(host);
        host.create(&all).await.unwrap();
        let index = |name: &str| {
            let text = ip(&format!("-o link show {name}"));
            text.split(':').next().map(str::to_owned)
        };
        let before = (index("br-1"), index("pv-1"));
        let wide = Bridge { mtu: Some(9000), filtered: false, ..bridge(1) };
        let pair =
            Veth { mtu: 9000, hairpin: false, quiet: false, ..veth(1, "br-1", sandbox(1), "eth0") };
        let news = [
            Resource::Bridge(wide),
            Resource::Veth(pair),
            route(sandbox(1), "eth0", "0.0.0.0/0", Some("10.1.0.7")),
            route(sandbox(1), "eth0", "::/0", Some("fd01::7")),
        ];
        for new in &news {
            let old = host.observe().await.get(&new.key()).cloned().unwrap();
            assert_ne!(old, *new);
            host.update(old, new.clone()).await.unwrap();
        }
        let mut expected = set(&all);
        expected.extend(news);
        assert_eq!(host.observe().await, expected);
        assert_eq!((index("br-1"), index("pv-1")), before);
    });
}

#[test]
fn parameters_are_set_in_their_place() {
    on_a_host(async |host| {
        host.create(&everything(host)).await.unwrap();
        let parameter = |place, link: &str, family, key: &str, value: &str| Resource::Sysctl {
            place,
            link: name(link),
            sysctl: LinkSysctl { family, key: key.into() },
            value: value.into(),
        };
        let inside = Place::Sandbox(sandbox(1));
        let parameters = [
            parameter(Place::Host, "br-1", Family::V4, "route_localnet", "1"),
            parameter(inside, "eth0", Family::V6, "accept_ra", "0"),
        ];
        host.create(&parameters).await.unwrap();
        let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
        assert_eq!(read("/proc/sys/net/ipv4/conf/br-1/route_localnet"), "1");
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", host.path(1).display()));
        let output = command.args(["cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra"]).output();
        assert_eq!(output.unwrap().stdout, b"0\n");
        for bad in ["../br-1/forwarding", "", "a.b"] {
            let step = parameter(inside, "eth0", Family::V4, bad, "1");
            let outcome = host.create(&[step]).await;
            assert!(matches!(outcome, Err(ApplyError::Sysctl { .. })), "{bad}: {outcome:?}");
        }
    });
}

#[test]
fn a_pair_that_was_tampered_with_differs() {
    on_a_host(async |host| {
        host.create(&everything(host)).await.unwrap();
        let pair = Resource::Veth(Veth { hairpin: true, ..veth(1, "br-1", sandbox(1), "eth0") });
        let path = host.path(1);
        let key = pair.key();
        ip_in(&path, "link set eth0 mtu 1400");
        assert!(matches!(host.observe().await.get(&key), Some(Resource::Veth(v)) if v.mtu == 0));
        host.update(pair.clone(), pair.clone()).await.unwrap();
        assert_eq!(host.observe().await.get(&key), Some(&pair));
        ip("link set pv-1 nomaster");
        assert_ne!(host.observe().await.get(&key), Some(&pair));
        ip("link set pv-1 master br-1");
        ip_in(&path, &format!("link set eth0 name moved netns {}", std::process::id()));
        let seen = host.observe().await;
        let Some(seen @ Resource::Veth(_)) = seen.get(&key) else { panic!("{seen:?}") };
        assert_ne!(*seen, pair);
        host.delete(std::slice::from_ref(seen)).await.unwrap();
        host.kernel.quiesce().await;
        assert!(!links().contains(&"pv-1".to_owned()));
    });
}

#[test]
fn namespaces_that_no_record_speaks_of_are_observed() {
    on_a_host(async |host| {
        let all = everything(host);
        host.create(&all).await.unwrap();
        host.namespaces.clear();
        assert_eq!(host.observe().await, set(&all));
    });
}

#[test]
fn what_the_kernel_says_is_in_the_error() {
    on_a_host(async |host| {
        host.create(&everything(host)).await.unwrap();
        let unreachable = route(sandbox(1), "eth0", "203.0.113.0/24", Some("172.16.0.1"));
        match host.create(&[unreachable]).await {
            Err(ApplyError::Netlink { object, source }) => {
                assert!(object.starts_with("203.0.113.0/24 via 172.16.0.1 dev eth0"), "{object}");
                assert_eq!(source.errno, Errno::ENETUNREACH);
                assert!(source.text.is_some_and(|text| text.contains("gateway")));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn plans_are_carried_out_side_by_side() {
    on_a_host(async |host| {
        let base = Resource::Bridge(bridge(1));
        host.create(std::slice::from_ref(&base)).await.unwrap();
        let of = |n: u32| {
            let place = Place::Sandbox(sandbox(n));
            let pair = Resource::Veth(veth(n, "br-1", sandbox(n), "eth0"));
            [host.namespace(n), pair, address(place, "eth0", &format!("10.1.0.{}/24", n + 2))]
        };
        let all: Vec<_> = (0..SANDBOXES).map(of).collect();
        for made in join_all(all.iter().map(|one| host.create(one))).await {
            made.unwrap();
        }
        let mut expected = set(std::slice::from_ref(&base));
        expected.extend(all.iter().flatten().cloned());
        assert_eq!(host.observe().await, expected);
        let gone: Vec<_> =
            all.iter().map(|[namespace, pair, _]| [pair.clone(), namespace.clone()]).collect();
        for gone in join_all(gone.iter().map(|one| host.delete(one))).await {
            gone.unwrap();
        }
        host.kernel.quiesce().await;
        assert_eq!(host.observe().await, set(&[base]));
        assert_eq!(links(), ["br-1", "lo"]);
    });
}
