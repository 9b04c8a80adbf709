//! Many pairs, and the way they go.

use std::fs::File;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use postern_kernel::nft::Nft;
use postern_kernel::{ApplyError, Kernel};
use postern_model::plan::Step;
use postern_model::resource::{Place, Resource};

use crate::host::{
    SANDBOXES, address, bridge, everything, ip, ip_in, links, name, on_a_host, open, route,
    sandbox, set, veth,
};

#[test]
fn a_name_can_be_used_again_at_once() {
    on_a_host(async |host| {
        let base = [host.namespace(1), Resource::Bridge(bridge(1))];
        host.create(&base).await.unwrap();
        let first = Resource::Veth(veth(1, "br-1", sandbox(1), "eth0"));
        let second = Resource::Veth(veth(2, "br-1", sandbox(1), "eth0"));
        host.create(std::slice::from_ref(&first)).await.unwrap();
        for _ in 0..3 {
            for (old, new) in [(&first, &second), (&second, &first)] {
                let steps = vec![Step::Delete(old.clone()), Step::Create(new.clone())];
                host.kernel.apply(&host.plan(steps)).await.unwrap();
                let all = [base[0].clone(), base[1].clone(), new.clone()];
                assert_eq!(host.observe().await, set(&all));
            }
        }
        // The same pair, in two plans.
        host.delete(std::slice::from_ref(&first)).await.unwrap();
        assert_eq!(host.observe().await, set(&base));
        host.create(&[first]).await.unwrap();
    });
}

#[test]
fn somebody_elses_interface_keeps_the_name_it_has_taken() {
    on_a_host(async |host| {
        let pair = Resource::Veth(veth(1, "br-1", sandbox(1), "eth0"));
        host.create(&[host.namespace(1), Resource::Bridge(bridge(1)), pair.clone()]).await.unwrap();
        ip_in(&host.path(1), "link set eth0 down");
        ip_in(&host.path(1), "link set eth0 name moved");
        ip_in(&host.path(1), "link add eth0 type bridge");
        host.delete(&[pair]).await.unwrap();
        host.kernel.quiesce().await;
        let left = ip_in(&host.path(1), "-o link show");
        assert!(left.contains("eth0") && !left.contains("moved"), "{left}");
    });
}

#[test]
fn what_is_on_a_link_out_of_service_is_gone_already() {
    on_a_host(async |host| {
        let base = [host.namespace(1), Resource::Bridge(bridge(1))];
        let pair = [
            Resource::Veth(veth(1, "br-1", sandbox(1), "eth0")),
            address(Place::Sandbox(sandbox(1)), "eth0", "10.1.0.2/24"),
            route(sandbox(1), "eth0", "0.0.0.0/0", Some("10.1.0.1")),
        ];
        host.create(&base).await.unwrap();
        for _ in 0..10 {
            host.create(&pair).await.unwrap();
            host.delete(&pair[..1]).await.unwrap();
            // The kernel takes its time to delete the link, and the route is there till then.
            assert_eq!(host.observe().await, set(&base));
        }
    });
}

#[test]
fn what_an_earlier_run_left_out_of_service_is_deleted() {
    on_a_host(async |host| {
        ip("link add pv-7 group 20561 type veth peer name other");
        ip("link set pv-7 alias postern:endpoint/01932c07-a9d0-7000-8abc-0123456789ab");
        ip("link add pv-8 group 20560 type veth peer name another");
        ip("link add uplink type bridge");
        let _again = open(host.run_dir.path()).await;
        assert_eq!(links(), ["lo", "uplink"]);
    });
}

#[test]
fn a_foreign_link_in_the_group_survives() {
    on_a_host(async |host| {
        ip("link add foreign group 20561 type bridge");
        ip("link set foreign alias uplink");
        host.kernel = open(host.run_dir.path()).await;
        let all = everything(host);
        host.create(&all).await.unwrap();
        let backwards: Vec<_> = all.iter().rev().cloned().collect();
        host.delete(&backwards).await.unwrap();
        host.kernel.quiesce().await;
        assert_eq!(links(), ["foreign", "lo"]);
    });
}

#[test]
fn the_1024th_port_is_refused() {
    on_a_host(async |host| {
        // In one namespace, 1,023 interfaces would hear each other's announcements.
        let namespaces: Vec<_> = (0..SANDBOXES).map(|n| host.namespace(n)).collect();
        host.create(&namespaces).await.unwrap();
        host.create(&[Resource::Bridge(bridge(1))]).await.unwrap();
        let pair = |n: u32| {
            let (sandbox, interface) = (sandbox(n % SANDBOXES), format!("eth{}", n / SANDBOXES));
            Resource::Veth(veth(n, "br-1", sandbox, &interface))
        };
        let pairs: Vec<_> = (0..1023).map(pair).collect();
        let started = Instant::now();
        host.create(&pairs).await.unwrap();
        println!("1023 pairs made: {:?}", started.elapsed());
        let before = links();
        let error = host.create(&[pair(1023)]).await.unwrap_err();
        assert!(matches!(&error, ApplyError::BridgeFull { bridge } if *bridge == name("br-1")));
        assert_eq!(links(), before);
        let started = Instant::now();
        assert_eq!(host.observe().await.len(), 1024 + namespaces.len());
        println!("observed: {:?}", started.elapsed());
        let started = Instant::now();
        host.delete(&pairs).await.unwrap();
        println!("out of service: {:?}", started.elapsed());
        assert_eq!(host.observe().await.len(), 1 + namespaces.len());
        host.kernel.quiesce().await;
        println!("deleted: {:?}", started.elapsed());
        assert_eq!(links(), ["br-1", "lo"]);
    });
}

#[test]
fn the_time_of_an_attach_and_a_detach() {
    on_a_host(async |host| {
        let all = everything(host);
        host.create(&all[3..7]).await.unwrap();
        let place = Place::Sandbox(sandbox(1));
        for n in 0..5 {
            let attach = [
                Resource::Veth(veth(n, "br-1", sandbox(1), "eth0")),
                address(place, "eth0", "10.1.0.2/24"),
                route(sandbox(1), "eth0", "0.0.0.0/0", Some("10.1.0.1")),
            ];
            let started = Instant::now();
            host.create(&attach).await.unwrap();
            let attached = started.elapsed();
            let started = Instant::now();
            host.delete(&attach[..1]).await.unwrap();
            let detached = started.elapsed();
            host.kernel.quiesce().await;
            println!("attach {attached:?}, detach {detached:?}, deleted {:?}", started.elapsed());
        }
        let namespaces: Vec<_> = (10..30).map(|n| host.namespace(n)).collect();
        let started = Instant::now();
        host.create(&namespaces).await.unwrap();
        println!("20 namespaces {:?}", started.elapsed());
    });
}

#[test]
fn the_first_packet_arrives() {
    on_a_host(async |host| {
        let all = everything(host);
        host.create(&all[3..7]).await.unwrap();
        // The rules are others' matter, and these endpoints are in none of their sets.
        Nft::open(false).unwrap().unload().unwrap();
        let place = Place::Sandbox(sandbox(1));
        let gateway = UdpSocket::bind("10.1.0.1:9").unwrap();
        gateway.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        for n in 0..10 {
            let pair = Resource::Veth(veth(n, "br-1", sandbox(1), "eth0"));
            let attach = [pair.clone(), address(place, "eth0", "10.1.0.2/24")];
            host.create(&attach).await.unwrap();
            let namespace = File::open(host.path(1)).unwrap();
            let sender = thread::spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                let socket = UdpSocket::bind("10.1.0.2:0").unwrap();
                socket.send_to(b"first", "10.1.0.1:9").unwrap();
            });
            sender.join().unwrap();
            let mut buffer = [0; 8];
            let started = Instant::now();
            let received = gateway.recv(&mut buffer);
            println!("{:?} after {:?}", received, started.elapsed());
            assert_eq!(received.ok(), Some(5), "attach {n}");
            host.delete(&[pair]).await.unwrap();
        }
    });
}
