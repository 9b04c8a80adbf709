//! Published ports against real sockets.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use postern_kernel::{Kernel, PortAsk, PortError};
use postern_model::port::{HostPorts, PortRange, Protocol, PublishedPort};

use crate::host::{ip, on_a_host};

fn range(first: u32, last: u32) -> PortRange {
    PortRange::new(first, last).unwrap()
}

fn ask(protocol: Protocol, host_ip: Option<&str>, host: HostPorts, count: u32) -> PortAsk {
    PortAsk {
        published: PublishedPort {
            protocol,
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host,
            container: range(80, 79 + count),
            allow_from: Vec::new(),
        },
        targets: vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
        default_ip: None,
    }
}

fn exactly(protocol: Protocol, port: u32) -> PortAsk {
    ask(protocol, None, HostPorts::Exactly(range(port, port)), 1)
}

#[test]
fn a_port_is_ours_until_it_is_released() {
    on_a_host(async |host| {
        let ports = host.kernel.ports();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let bound = ports.reserve(&[exactly(protocol, 8080)]).unwrap();
            assert_eq!(bound.len(), 2);
            let take = |address: &str| match protocol {
                Protocol::Udp => UdpSocket::bind((address, 8080)).map(drop),
                _ => TcpListener::bind((address, 8080)).map(drop),
            };
            for address in ["0.0.0.0", "127.0.0.1", "::", "::1"] {
                assert!(take(address).is_err(), "{protocol} {address}");
            }
            let again = ports.reserve(&[exactly(protocol, 8080)]);
            assert!(matches!(again, Err(PortError::Busy { by_us: true, .. })), "{again:?}");
            ports.release(&bound);
            for address in ["0.0.0.0", "::"] {
                // A child of another test has copies of this process's sockets from its fork
                // to its exec.
                let begun = Instant::now();
                while let Err(error) = take(address) {
                    assert!(begun.elapsed() < Duration::from_secs(2), "{address}: {error}");
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    });
}

#[test]
fn a_port_of_a_program_is_busy() {
    on_a_host(async |host| {
        let ports = host.kernel.ports();
        let theirs = TcpListener::bind("[::1]:8080").unwrap();
        let asks = [exactly(Protocol::Tcp, 8079), exactly(Protocol::Tcp, 8080)];
        match ports.reserve(&asks) {
            Err(PortError::Busy { address, port: 8080, by_us: false, .. }) => {
                assert_eq!(address, "::".parse::<IpAddr>().unwrap());
            }
            other => panic!("{other:?}"),
        }
        // Nothing is kept of what came before it.
        drop(TcpListener::bind("0.0.0.0:8079").unwrap());
        drop(TcpListener::bind("0.0.0.0:8080").unwrap());
        drop(theirs);
        assert_eq!(ports.reserve(&asks).unwrap().len(), 4);
    });
}

#[test]
fn ephemeral_ports_keep_to_the_hosts_settings() {
    on_a_host(async |host| {
        let set = |key: &str, value| {
            std::fs::write(format!("/proc/sys/net/ipv4/{key}"), value).unwrap();
        };
        set("ip_local_reserved_ports", "40001");
        set("ip_local_port_range", "40000 40005");
        let ports = host.kernel.ports();
        let _theirs = TcpListener::bind("0.0.0.0:40003").unwrap();
        let run = ask(Protocol::Tcp, None, HostPorts::Ephemeral, 2);
        assert_eq!(ports.reserve(&[run]).unwrap()[0].host, range(40004, 40005));
        let one = ask(Protocol::Tcp, None, HostPorts::Ephemeral, 1);
        assert_eq!(ports.reserve(std::slice::from_ref(&one)).unwrap()[0].host.first(), 40000);
        assert_eq!(ports.reserve(std::slice::from_ref(&one)).unwrap()[0].host.first(), 40002);
        assert!(matches!(ports.reserve(&[one]), Err(PortError::NoneFree { .. })));
    });
}

#[test]
fn one_address_of_the_host() {
    on_a_host(async |host| {
        let ports = host.kernel.ports();
        let of = |ip| ask(Protocol::Tcp, Some(ip), HostPorts::Exactly(range(8080, 8080)), 1);
        assert!(matches!(ports.reserve(&[of("192.0.2.1")]), Err(PortError::NotLocal { .. })));
        assert!(matches!(ports.reserve(&[of("2001:db8::1")]), Err(PortError::NotLocal { .. })));
        ip("addr add 192.0.2.1/24 dev lo");
        let bound = ports.reserve(&[of("192.0.2.1"), of("127.0.0.1")]).unwrap();
        assert_eq!(bound[0].target, "10.0.0.2".parse::<IpAddr>().unwrap());
        drop(TcpListener::bind("127.0.0.2:8080").unwrap());
    });
}

#[test]
fn a_held_udp_port_queues_nothing() {
    on_a_host(async |host| {
        let bound = host.kernel.ports().reserve(&[exactly(Protocol::Udp, 5353)]).unwrap();
        assert_eq!(bound.len(), 2);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..8 {
            sender.send_to(&[0; 512], "127.0.0.1:5353").unwrap();
        }
        let sockets = std::fs::read_to_string("/proc/thread-self/net/udp").unwrap();
        let held = sockets.lines().find(|line| line.contains(":14E9 ")).unwrap();
        assert_eq!(held.split_whitespace().nth(4), Some("00000000:00000000"), "{held}");
    });
}

#[test]
fn sctp_is_at_least_booked() {
    on_a_host(async |host| {
        let ports = host.kernel.ports();
        let bound = ports.reserve(&[exactly(Protocol::Sctp, 9000)]).unwrap();
        let again = ports.reserve(&[exactly(Protocol::Sctp, 9000)]);
        assert!(matches!(again, Err(PortError::Busy { by_us: true, .. })), "{again:?}");
        ports.release(&bound);
        ports.hold(&bound).unwrap();
    });
}

#[test]
fn the_time_of_a_thousand_ports() {
    on_a_host(async |host| {
        let ports = host.kernel.ports();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for host_ports in [HostPorts::Exactly(range(20000, 20999)), HostPorts::Ephemeral] {
                let asks = [ask(protocol, None, host_ports, 1000)];
                let started = Instant::now();
                let bound = ports.reserve(&asks).unwrap();
                let reserved = started.elapsed();
                ports.release(&bound);
                println!("{protocol} {host_ports:?}: {reserved:?}, all {:?}", started.elapsed());
            }
        }
    });
}
