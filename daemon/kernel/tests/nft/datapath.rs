//! Who reaches whom, with real packets.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use postern_kernel::nft::Nft;
use postern_model::network::Family;
use postern_model::port::Protocol;
use postern_model::resource::Element;
use socket2::{Domain, Socket, Type};

use crate::lab::{
    Endpoint, Server, block_on, blocked, bridge, endpoint, ip, name, on_a_host, opened, reaches,
    sysctl, within, world,
};

/// Both values of the namespace's own switch for bridged packets: a bridge's decides
/// alone only if this is off, and nobody must rely on either.
fn both_ways(test: fn(&Nft)) {
    for value in ["0", "1"] {
        on_a_host(move || {
            let nft = opened();
            for family in ["iptables", "ip6tables", "arptables"] {
                sysctl(&format!("net/bridge/bridge-nf-call-{family}"), value);
            }
            println!("bridge-nf-call: {value}");
            test(&nft);
        });
    }
}

fn add(nft: &Nft, elements: &[Element]) {
    block_on(nft.commit(&[], elements)).unwrap();
}

fn remove(nft: &Nft, elements: &[Element]) {
    block_on(nft.commit(elements, &[])).unwrap();
}

fn networks(nft: &Nft, apart: bool, numbers: &[u8]) {
    for number in numbers {
        add(nft, &bridge(*number, apart));
    }
}

fn joined(nft: &Nft, number: u8, host: u8) -> Endpoint {
    let endpoint = endpoint(number, host);
    add(nft, &endpoint.elements);
    endpoint
}

fn text(address: IpAddr) -> String {
    address.to_string()
}

fn each<T>(addresses: &[impl AsRef<str>], probe: impl Fn(&str) -> T) {
    for address in addresses {
        probe(address.as_ref());
    }
}

/// Publishes port 80 of an endpoint on port 8080 of every address.
fn publish(nft: &Nft, endpoint: &Endpoint) {
    add(nft, &["0.0.0.0", "::"].map(|host| endpoint.published(host, 8080, 80)));
}

#[test]
fn neighbours_reach_each_other_unless_kept_apart() {
    both_ways(|nft| {
        networks(nft, false, &[1]);
        networks(nft, true, &[2]);
        for number in [1, 2] {
            let (a, b) = (joined(nft, number, 2), joined(nft, number, 3));
            let _server = Server::start(&b.namespace, 80);
            for (from, to) in a.addresses().into_iter().zip(b.addresses()) {
                if number == 1 {
                    assert_eq!(reaches(&a.namespace, &text(to), 80), from);
                } else {
                    blocked(&a.namespace, &text(to), 80);
                }
                // The host itself is not judged.
                reaches("host", &text(to), 80);
            }
        }
    });
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    both_ways(|nft| {
        world();
        networks(nft, true, &[1, 2]);
        let (server, neighbour) = (joined(nft, 1, 2), joined(nft, 1, 3));
        let other = joined(nft, 2, 2);
        let _server = Server::start(&server.namespace, 80);
        let everywhere =
            [server.namespace.as_str(), &neighbour.namespace, &other.namespace, "world", "host"];
        for host in ["192.0.2.1", "2001:db8::1", "10.1.0.1", "fd00:1::1"] {
            for from in everywhere {
                blocked(from, host, 8080);
            }
        }
        publish(nft, &server);
        for host in ["192.0.2.1", "2001:db8::1", "10.1.0.1", "fd00:1::1"] {
            for from in everywhere {
                reaches(from, host, 8080);
                blocked(from, host, 8081);
            }
        }
        assert_eq!(text(reaches("host", "127.0.0.1", 8080)), "10.1.0.1");
        assert_eq!(text(reaches("host", "127.1.2.3", 8080)), "10.1.0.1");
        blocked("host", "::1", 8080);
        // Clients are seen as they are, but for those whose answers would miss the host.
        assert_eq!(text(reaches("world", "192.0.2.1", 8080)), "192.0.2.2");
        assert_eq!(text(reaches("world", "2001:db8::1", 8080)), "2001:db8::2");
        assert_eq!(reaches(&other.namespace, "192.0.2.1", 8080), other.v4);
        assert_eq!(reaches(&other.namespace, "2001:db8::1", 8080), other.v6);
        for from in [&server.namespace, &neighbour.namespace] {
            assert_eq!(text(reaches(from, "192.0.2.1", 8080)), "10.1.0.1");
            assert_eq!(text(reaches(from, "2001:db8::1", 8080)), "fd00:1::1");
        }
        // The port behind it stays closed.
        for address in server.addresses() {
            for from in [&neighbour.namespace, &other.namespace, "world"] {
                blocked(from, &text(address), 80);
            }
        }
    });
}

#[test]
fn a_port_is_published_on_the_address_it_says() {
    on_a_host(|| {
        let nft = opened();
        world();
        networks(&nft, false, &[1]);
        let server = joined(&nft, 1, 2);
        let _server = Server::start(&server.namespace, 80);
        add(
            &nft,
            &[server.published("127.0.0.1", 8081, 80), server.published("192.0.2.1", 8082, 80)],
        );
        add(&nft, &[server.published("2001:db8::1", 8083, 80)]);
        reaches("host", "127.0.0.1", 8081);
        blocked("host", "127.0.0.2", 8081);
        blocked("host", "192.0.2.1", 8081);
        within("world", || ip("route add 127.0.0.1/32 via 192.0.2.1 table 99"));
        within("world", || ip("rule add to 127.0.0.1 lookup 99 priority 0"));
        for from in ["world", &server.namespace] {
            blocked(from, "127.0.0.1", 8081);
            blocked(from, "192.0.2.1", 8081);
            blocked(from, "10.1.0.1", 8081);
        }
        for from in ["world", "host", &server.namespace] {
            reaches(from, "192.0.2.1", 8082);
            blocked(from, "10.1.0.1", 8082);
            reaches(from, "2001:db8::1", 8083);
            blocked(from, "fd00:1::1", 8083);
        }
    });
}

#[test]
fn an_endpoint_does_not_reach_the_hosts_loopback() {
    both_ways(|nft| {
        networks(nft, false, &[1]);
        let endpoint = joined(nft, 1, 2);
        let _server = Server::start("host", 80);
        reaches(&endpoint.namespace, "10.1.0.1", 80);
        within(&endpoint.namespace, || {
            ip("addr del 127.0.0.1/8 dev lo");
            sysctl("net/ipv4/conf/all/route_localnet", "1");
            ip("rule add pref 1 lookup local");
            ip("rule add pref 0 to 127.0.0.0/8 lookup 99");
            ip("route add 127.0.0.0/8 via 10.1.0.1 src 10.1.0.2 table 99");
        });
        blocked(&endpoint.namespace, "127.0.0.1", 80);
    });
}

#[test]
fn networks_are_apart_unless_both_are_open() {
    both_ways(|nft| {
        networks(nft, true, &[1, 2]);
        let (a, b) = (joined(nft, 1, 2), joined(nft, 2, 2));
        let neighbour = joined(nft, 1, 3);
        let _servers = [&b, &neighbour].map(|endpoint| Server::start(&endpoint.namespace, 80));
        let [open1, open2] = [Element::Open(name("br1")), Element::Open(name("br2"))];
        let all_blocked = || each(&b.texts(), |to| blocked(&a.namespace, to, 80));
        all_blocked();
        add(nft, std::slice::from_ref(&open1));
        all_blocked();
        add(nft, &[open2]);
        for (from, to) in a.addresses().into_iter().zip(b.addresses()) {
            assert_eq!(reaches(&a.namespace, &text(to), 80), from, "and not masqueraded");
        }
        // Open to others, and still without a way between neighbours.
        each(&neighbour.texts(), |to| blocked(&a.namespace, to, 80));
        remove(nft, &[open1]);
        all_blocked();
    });
}

#[test]
fn an_internal_network_keeps_to_itself() {
    both_ways(|nft| {
        world();
        networks(nft, false, &[1, 2]);
        let (a, b, other) = (joined(nft, 1, 2), joined(nft, 1, 3), joined(nft, 2, 2));
        let _servers = ["world", &b.namespace, &other.namespace].map(|at| Server::start(at, 80));
        let open = ["br1", "br2"].map(|br| Element::Open(name(br)));
        let direct = ["br1", "br2"].map(|br| Element::Direct(name(br)));
        add(nft, &open);
        add(nft, &direct);
        publish(nft, &b);
        let outside = ["192.0.2.2", "2001:db8::2"];
        each(&outside, |to| reaches(&a.namespace, to, 80));
        add(nft, &[Element::Internal(name("br1"))]);
        for (inside, to_other) in b.addresses().into_iter().zip(other.addresses()) {
            reaches(&a.namespace, &text(inside), 80);
            blocked(&a.namespace, &text(to_other), 80);
            blocked(&other.namespace, &text(inside), 80);
            blocked("world", &text(inside), 80);
        }
        each(&outside, |to| blocked(&a.namespace, to, 80));
        for host in ["192.0.2.1", "2001:db8::1"] {
            blocked("world", host, 8080);
            blocked(&other.namespace, host, 8080);
        }
    });
}

#[test]
fn to_the_world_from_the_hosts_address() {
    both_ways(|nft| {
        world();
        networks(nft, false, &[1]);
        let endpoint = joined(nft, 1, 2);
        let _server = Server::start("world", 80);
        let sees = |address: &str| text(reaches(&endpoint.namespace, address, 80));
        assert_eq!(sees("192.0.2.2"), "192.0.2.1");
        assert_eq!(sees("2001:db8::2"), "2001:db8::1");

        ip("addr add 192.0.2.9/24 dev v-world");
        // None that would be chosen anyway.
        ip("addr add 2001:db8::9/64 dev v-world nodad preferred_lft 0");
        let fixed = ["192.0.2.9", "2001:db8::9"]
            .map(|address| Element::Snat(name("br1"), address.parse().unwrap()));
        add(nft, &fixed);
        assert_eq!(sees("192.0.2.2"), "192.0.2.9");
        assert_eq!(sees("2001:db8::2"), "2001:db8::9");

        remove(nft, &fixed);
        remove(nft, &Family::ALL.map(|family| Element::Masquerade(family, name("br1"))));
        assert_eq!(sees("192.0.2.2"), text(endpoint.v4));
        assert_eq!(sees("2001:db8::2"), text(endpoint.v6));
    });
}

#[test]
fn the_world_reaches_unpublished_ports_only_of_direct_networks() {
    both_ways(|nft| {
        world();
        networks(nft, false, &[1]);
        let endpoint = joined(nft, 1, 2);
        let _server = Server::start(&endpoint.namespace, 80);
        let direct = [Element::Direct(name("br1"))];
        each(&endpoint.texts(), |to| blocked("world", to, 80));
        add(nft, &direct);
        each(&endpoint.texts(), |to| reaches("world", to, 80));
        remove(nft, &direct);
        each(&endpoint.texts(), |to| blocked("world", to, 80));
    });
}

#[test]
fn a_fence_shuts_foreign_forwarding_and_ours_not() {
    on_a_host(|| {
        let nft = opened();
        world();
        networks(&nft, false, &[1]);
        let endpoint = joined(&nft, 1, 2);
        // A foreign network on the other side of the host.
        crate::lab::joined("foreign", "02:00:00:00:fe:01");
        ip("link set v-foreign up");
        ip("addr add 198.51.100.1/24 dev v-foreign");
        ip("addr add 2001:db8:1::1/64 dev v-foreign nodad");
        within("foreign", || {
            ip("link set eth0 up");
            ip("addr add 198.51.100.2/24 dev eth0");
            ip("addr add 2001:db8:1::2/64 dev eth0 nodad");
            ip("route add default via 198.51.100.1");
            ip("route add default via 2001:db8:1::1");
        });
        within("world", || {
            ip("route add 198.51.100.0/24 via 192.0.2.1");
            ip("route add 2001:db8:1::/64 via 2001:db8::1");
        });
        let _server = Server::start("world", 80);
        let destinations = [(Family::V4, "192.0.2.2"), (Family::V6, "2001:db8::2")];
        for (family, to) in destinations {
            reaches("foreign", to, 80);
            nft.fence(family, true).unwrap();
            blocked("foreign", to, 80);
            reaches(&endpoint.namespace, to, 80);
        }
        for (family, to) in destinations {
            nft.fence(family, false).unwrap();
            reaches("foreign", to, 80);
        }
    });
}

#[test]
fn foreign_bridges_are_not_judged() {
    both_ways(|nft| {
        // Ours, as the kernel sees it, but in no set.
        drop(bridge(1, true));
        let (a, b) = (endpoint(1, 2), endpoint(1, 3));
        let _server = Server::start(&b.namespace, 80);
        each(&b.texts(), |to| reaches(&a.namespace, to, 80));
        add(nft, &[Element::Bridge(name("br1"))]);
        each(&b.texts(), |to| blocked(&a.namespace, to, 80));
    });
}

#[test]
fn udp_is_published_too() {
    on_a_host(|| {
        let nft = opened();
        world();
        networks(&nft, false, &[1]);
        let server = joined(&nft, 1, 2);
        let socket = within(&server.namespace, || std::net::UdpSocket::bind(("::", 53)).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        add(
            &nft,
            &[("0.0.0.0", server.v4), ("::", server.v6)].map(|(host, target)| Element::Publish {
                host: host.parse().unwrap(),
                protocol: Protocol::Udp,
                port: 5353,
                target,
                target_port: 53,
            }),
        );
        for (bind, to) in [("0.0.0.0:0", "192.0.2.1:5353"), ("[::]:0", "[2001:db8::1]:5353")] {
            within("world", || {
                let client = std::net::UdpSocket::bind(bind).unwrap();
                client.send_to(b"question", to).unwrap();
            });
            let mut bytes = [0; 16];
            let (length, _) = socket.recv_from(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"question", "{to}");
        }
    });
}

/// An ICMP socket in a namespace.
fn icmp(namespace: &str) -> Socket {
    let socket = within(namespace, || {
        Socket::new(Domain::IPV4, Type::RAW, Some(socket2::Protocol::ICMPV4)).unwrap()
    });
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// An echo request or reply with its checksum.
fn echo(kind: u8) -> [u8; 8] {
    let sum = !(u16::from_be_bytes([kind, 0]) + 0x1234);
    let [high, low] = sum.to_be_bytes();
    [kind, 0, high, low, 0x12, 0x34, 0, 0]
}

#[test]
fn what_belongs_to_no_flow_is_not_forwarded() {
    const REPLY: u8 = 0;
    const REQUEST: u8 = 8;
    on_a_host(|| {
        let nft = opened();
        world();
        networks(&nft, false, &[1]);
        let endpoint = joined(&nft, 1, 2);
        add(&nft, &[Element::Direct(name("br1"))]);
        for (from, to, address) in [
            (&*endpoint.namespace, "world", "192.0.2.2"),
            ("world", &endpoint.namespace, "10.1.0.2"),
        ] {
            let (sender, receiver) = (icmp(from), icmp(to));
            let address = SocketAddr::new(address.parse().unwrap(), 0).into();
            sender.send_to(&echo(REPLY), &address).unwrap();
            sender.send_to(&echo(REQUEST), &address).unwrap();
            let mut bytes = [0; 64];
            let length = nix::unistd::read(&receiver, &mut bytes).unwrap();
            assert_eq!(bytes[..length][20], REQUEST, "an answer nobody asked for came to {to}");
        }
    });
}
