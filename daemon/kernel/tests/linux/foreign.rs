//! What is not ours: it is in the way, or is adopted, and it survives.

use std::path::Path;
use std::process::Command;

use postern_kernel::nft::Nft;
use postern_kernel::{ApplyError, HostSettings, Kernel, Linux, NoNames};
use postern_model::decision::LinkSysctl;
use postern_model::network::Family;
use postern_model::plan::Plan;
use postern_model::resource::{Bridge, Place, Resource};

use crate::host::{
    address, bridge, everything, in_namespaces, ip, ip_in, links, name, on_a_host, route, run_dir,
    sandbox, set, veth,
};

#[test]
fn a_taken_interface_name_leaves_nothing_of_the_pair() {
    on_a_host(async |host| {
        let base = [host.namespace(1), Resource::Bridge(bridge(1))];
        host.create(&base).await.unwrap();
        ip_in(&host.path(1), "link add eth0 type bridge");
        let before = links();
        let pair = Resource::Veth(veth(1, "br-1", sandbox(1), "eth0"));
        let error = host.create(&[pair]).await.unwrap_err();
        assert!(matches!(&error, ApplyError::Exists { object } if object.starts_with("eth0 in")));
        assert_eq!(links(), before);
        assert_eq!(host.observe().await, set(&base));
    });
}

#[test]
fn a_taken_host_name_is_left_alone() {
    on_a_host(async |host| {
        host.create(&[host.namespace(1), Resource::Bridge(bridge(1))]).await.unwrap();
        ip("link add pv-1 type bridge");
        ip("link add br-2 type bridge");
        let before = ip("-d link show pv-1") + &ip("-d link show br-2");
        let pair = Resource::Veth(veth(1, "br-1", sandbox(1), "eth0"));
        let theirs = Resource::Bridge(bridge(2));
        let error = host.create(std::slice::from_ref(&pair)).await.unwrap_err();
        assert!(matches!(&error, ApplyError::Exists { object } if object == "pv-1"), "{error}");
        let error = host.create(std::slice::from_ref(&theirs)).await.unwrap_err();
        assert!(matches!(&error, ApplyError::Exists { object } if object == "br-2"), "{error}");
        host.delete(&[pair, theirs.clone()]).await.unwrap();
        let error = host.update(theirs.clone(), theirs).await;
        assert!(matches!(error, Err(ApplyError::Foreign { .. })), "{error:?}");
        assert_eq!(ip("-d link show pv-1") + &ip("-d link show br-2"), before);
    });
}

fn adopted(filtered: bool) -> Resource {
    let name = name("uplink");
    Resource::Bridge(Bridge { name, adopted: true, mac: None, mtu: None, filtered, ..bridge(1) })
}

#[test]
fn an_adopted_bridge_survives() {
    on_a_host(async |host| {
        ip("link add uplink address 02:00:00:00:09:01 type bridge");
        ip("addr add 192.0.2.1/24 dev uplink");
        ip("link set uplink up");
        let state = || ip("-o -4 addr show uplink") + &ip("-o link show uplink")[..40];
        let before = state();
        let there = address(Place::Host, "uplink", "192.0.2.1/24");
        let added = address(Place::Host, "uplink", "198.51.100.1/24");
        host.create(&[adopted(false), host.namespace(1)]).await.unwrap();
        assert!(ip("-d link show uplink").contains("nf_call_iptables 0"));
        host.create(&[adopted(true)]).await.unwrap();
        assert!(ip("-d link show uplink").contains("nf_call_iptables 1"));
        let pair = Resource::Veth(veth(1, "uplink", sandbox(1), "eth0"));
        host.create(&[there.clone(), added.clone(), pair.clone()]).await.unwrap();
        // The address that was there is not ours; the one that was added is.
        let seen = host.observe().await;
        assert_eq!(seen, set(&[host.namespace(1), pair.clone(), added.clone()]));
        host.delete(&[pair, there, added, adopted(true)]).await.unwrap();
        host.kernel.quiesce().await;
        assert_eq!(state().replace("NO-CARRIER,", ""), before.replace("NO-CARRIER,", ""));
        let facts = host.kernel.link(&name("uplink")).await.unwrap().unwrap();
        assert!(facts.is_bridge && facts.ours.is_none() && facts.mtu == 1500, "{facts:?}");
        assert!(facts.addresses.contains(&"192.0.2.1/24".parse().unwrap()), "{facts:?}");
        assert_eq!(host.kernel.link(&name("nowhere")).await.unwrap(), None);
    });
}

#[test]
fn what_cannot_be_adopted() {
    on_a_host(async |host| {
        assert!(matches!(host.create(&[adopted(true)]).await, Err(ApplyError::Missing { .. })));
        ip("link add uplink type veth peer name other");
        assert!(matches!(host.create(&[adopted(true)]).await, Err(ApplyError::Unsupported { .. })));
        let parameter = Resource::Sysctl {
            place: Place::Host,
            link: name("uplink"),
            sysctl: LinkSysctl { family: Family::V4, key: "forwarding".into() },
            value: "0".into(),
        };
        assert!(matches!(host.create(&[parameter]).await, Err(ApplyError::Foreign { .. })));
    });
}

#[test]
fn a_foreign_route_is_not_replaced_by_a_new_one() {
    on_a_host(async |host| {
        let all = everything(host).into_iter();
        let rest: Vec<_> = all.filter(|one| !matches!(one, Resource::Route { .. })).collect();
        host.create(&rest).await.unwrap();
        ip_in(&host.path(1), "route add default via 10.1.0.77");
        let default = route(sandbox(1), "eth0", "0.0.0.0/0", Some("10.1.0.1"));
        let error = host.create(std::slice::from_ref(&default)).await;
        assert!(matches!(error, Err(ApplyError::RouteExists { .. })), "{error:?}");
        host.delete(&[default]).await.unwrap();
        assert!(ip_in(&host.path(1), "route").contains("default via 10.1.0.77"));
        assert_eq!(host.observe().await, set(&rest));
        // One of ours by another way is.
        let one = route(sandbox(1), "eth0", "203.0.113.0/24", Some("10.1.0.1"));
        let two = route(sandbox(1), "eth0", "203.0.113.0/24", Some("10.1.0.2"));
        host.create(&[one, two.clone()]).await.unwrap();
        assert_eq!(host.observe().await.get(&two.key()), Some(&two));
    });
}

#[test]
fn the_hosts_own_prefixes() {
    on_a_host(async |host| {
        host.create(&everything(host)).await.unwrap();
        ip("link add uplink type bridge");
        ip("link set uplink up");
        ip("addr add 192.0.2.7/24 dev uplink");
        ip("addr add 2001:db8::7/64 dev uplink");
        ip("route add 10.9.0.0/16 via 192.0.2.1");
        ip("route add default via 192.0.2.1");
        let found = host.kernel.host_prefixes().await.unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.9.0.0/16", "192.0.2.0/24", "2001:db8::/64"]);
    });
}

#[test]
fn forwarding_is_turned_on_behind_a_fence() {
    in_namespaces(|| {
        let net = Path::new("/proc/sys/net");
        let read = |key: &str| std::fs::read_to_string(net.join(key)).unwrap().trim().to_owned();
        let write = |key: &str, value| std::fs::write(net.join(key), value).unwrap();
        let (v4, v6) = ("ipv4/ip_forward", "ipv6/conf/all/forwarding");
        let fenced = || Nft::open(false).unwrap().fences().unwrap();
        ip("link add uplink type bridge");
        write(v4, "0");
        write(v6, "0");
        write("ipv6/conf/uplink/accept_ra", "1");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = run_dir();
        let start = |ip_forward| {
            let settings = HostSettings {
                ip_forward,
                own_tables: false,
                run_dir: directory.path().to_owned(),
            };
            drop(runtime.block_on(Linux::open(&settings, std::sync::Arc::new(NoNames))).unwrap());
        };
        start(false);
        assert_eq!((read(v4), read(v6), fenced().len()), ("0".into(), "0".into(), 0));
        start(true);
        assert_eq!((read(v4), read(v6)), ("1".into(), "1".into()));
        assert_eq!(read("ipv6/conf/uplink/accept_ra"), "2");
        assert_eq!(fenced(), Family::ALL);
        start(true);
        assert_eq!(fenced(), Family::ALL);
    });
}

#[test]
fn rules_that_were_flushed_come_back() {
    on_a_host(async |host| {
        let all = everything(host);
        host.create(&all).await.unwrap();
        let flushed = Command::new("nft").args(["flush", "ruleset"]).status();
        assert!(flushed.unwrap().success());
        let seen = host.observe().await;
        assert!(seen.iter().all(|(_, resource)| !matches!(resource, Resource::Element(_))));
        assert!(!host.kernel.rules_are_intact().await.unwrap());
        let rules = Plan { rules: true, ..Plan::default() };
        host.kernel.apply(&rules).await.unwrap();
        assert!(host.kernel.rules_are_intact().await.unwrap());
        host.create(&all[..3]).await.unwrap();
        assert_eq!(host.observe().await, set(&all));
        assert_eq!(Nft::open(false).unwrap().fences().unwrap(), Family::ALL);
    });
}
