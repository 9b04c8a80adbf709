//! New flows are told: each once, whatever becomes of it, and nothing else is.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use postern_kernel::flow_log::{FirstPacket, FlowLog, Way};
use postern_kernel::nft::Nft;
use postern_model::policy::Selection;
use postern_model::resource::Element;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::lab::{
    Connection, Endpoint, Server, block_on, blocked, bridge, endpoint, name, on_a_host, opened,
    reaches, within, world,
};

/// How long nothing more must come.
const SILENCE: Duration = Duration::from_millis(250);
/// What the rules let through in a second and at once.
const RATE: usize = 1000;
const BURST: usize = 2000;

/// A listener with a runtime of its own.
struct Listener {
    runtime: Runtime,
    log: FlowLog,
    lost: u64,
}

impl Listener {
    fn open() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let log = runtime.block_on(async { FlowLog::open() })?;
        Ok(Self { runtime, log, lost: 0 })
    }

    /// What was told since the last time.
    fn told(&mut self) -> Vec<FirstPacket> {
        let Self { runtime, log, lost } = self;
        runtime.block_on(async {
            let mut told = Vec::new();
            while let Ok(batch) = timeout(SILENCE, log.next()).await {
                let batch = batch.unwrap();
                *lost += batch.lost;
                told.extend(batch.packets);
            }
            told
        })
    }

    /// As [`Listener::told`], without what changes from run to run, each only once.
    fn short(&mut self) -> Vec<(IpAddr, IpAddr, Selection, bool, Way)> {
        let told = self.told().into_iter();
        let mut short: Vec<_> =
            told.map(|told| (told.from, told.to, told.what, told.published, told.way)).collect();
        short.dedup();
        short
    }
}

fn add(nft: &Nft, elements: &[Element]) {
    block_on(nft.commit(&[], elements)).unwrap();
}

/// Two endpoints on `br1`, where frames between neighbours are filtered.
fn two(nft: &Nft, open: bool) -> [Endpoint; 2] {
    add(nft, &bridge(1, true));
    if open {
        add(nft, &[Element::Neighbours(name("br1"))]);
    }
    [2, 3].map(|host| {
        let endpoint = endpoint(1, host);
        add(nft, &endpoint.elements);
        endpoint
    })
}

fn tcp(port: u16) -> Selection {
    Selection { protocol: 6, number: port }
}

#[test]
fn a_flow_is_told_once_and_its_discovery_never() {
    on_a_host(|| {
        let nft = opened();
        let [a, b] = two(&nft, true);
        let _server = Server::start(&b.namespace, 80);
        let mut listener = Listener::open().unwrap();
        for (from, to) in a.addresses().into_iter().zip(b.addresses()) {
            let mut talk = Connection::to(&a.namespace, &to.to_string(), 80);
            (0..5).for_each(|_| talk.lives());
            let told = listener.told();
            let [packet] = &told[..] else { panic!("{told:?}") };
            assert_eq!((packet.from, packet.to, packet.what), (from, to, tcp(80)));
            assert_eq!((packet.published, packet.way), (false, Way::Forwarded));
            assert!(packet.source_port.is_some() && !packet.mid_stream);
        }
    });
}

#[test]
fn what_is_dropped_is_told_too() {
    on_a_host(|| {
        let nft = opened();
        let [a, b] = two(&nft, false);
        let mut listener = Listener::open().unwrap();
        for (from, to) in a.addresses().into_iter().zip(b.addresses()) {
            blocked(&a.namespace, &to.to_string(), 80);
            assert_eq!(listener.short(), [(from, to, tcp(80), false, Way::Forwarded)]);
        }
    });
}

#[test]
fn one_way_traffic_is_one_flow() {
    on_a_host(|| {
        let nft = opened();
        let [a, b] = two(&nft, true);
        let mut listener = Listener::open().unwrap();
        within(&a.namespace, || {
            let socket = UdpSocket::bind((a.v4, 5000)).unwrap();
            for _ in 0..10 {
                // Nobody answers, but an ICMP error may come.
                let _ = socket.send_to(b"x", (b.v4, 514));
            }
        });
        let what = Selection { protocol: 17, number: 514 };
        let told = listener.told();
        let [packet] = &told[..] else { panic!("{told:?}") };
        assert_eq!((packet.what, packet.source_port), (what, Some(5000)));
    });
}

#[test]
fn the_ways_of_the_host_the_world_and_published_ports() {
    on_a_host(|| {
        let nft = opened();
        world();
        let [a, b] = two(&nft, true);
        add(&nft, &["0.0.0.0", "::"].map(|host| a.published(host, 8080, 80)));
        let _servers = [&a.namespace, "world", "host"].map(|at| Server::start(at, 80));
        let mut listener = Listener::open().unwrap();
        let worlds = ["192.0.2.2", "2001:db8::2"];
        let hosts = ["192.0.2.1", "2001:db8::1"];
        let gateways = ["10.1.0.1", "fd00:1::1"];
        for (index, own) in a.addresses().into_iter().enumerate() {
            let ip = |texts: [&str; 2]| -> IpAddr { texts[index].parse().unwrap() };
            let (world, host, gateway) = (ip(worlds), ip(hosts), ip(gateways));
            let near = b.addresses()[index];
            for (from, to, port, expected) in [
                ("world", host, 8080, (world, own, tcp(80), true, Way::Forwarded)),
                (&*b.namespace, host, 8080, (near, own, tcp(80), true, Way::Forwarded)),
                ("host", host, 8080, (host, own, tcp(80), true, Way::FromHost)),
                ("host", own, 80, (gateway, own, tcp(80), false, Way::FromHost)),
                (&*a.namespace, gateway, 80, (own, gateway, tcp(80), false, Way::ToHost)),
                (&*a.namespace, world, 80, (own, world, tcp(80), false, Way::Forwarded)),
            ] {
                reaches(from, &to.to_string(), port);
                assert_eq!(listener.short(), [expected], "{from} to {to}");
            }
        }
        // What is not of an endpoint of ours is nobody's business here.
        reaches("host", "192.0.2.2", 80);
        reaches("world", "192.0.2.1", 80);
        assert_eq!(listener.short(), []);
    });
}

#[test]
fn one_listens_at_a_time() {
    on_a_host(|| {
        let _nft = opened();
        let first = Listener::open().unwrap();
        let refused = Listener::open().map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
        drop(first);
        Listener::open().unwrap();
    });
}

#[test]
fn a_flood_is_told_up_to_the_limit() {
    on_a_host(|| {
        let nft = opened();
        let [a, b] = two(&nft, false);
        let mut listener = Listener::open().unwrap();
        let begun = Instant::now();
        within(&a.namespace, || {
            let socket = UdpSocket::bind((a.v4, 5000)).unwrap();
            for port in 0..20_000u16 {
                socket.send_to(b"x", SocketAddr::new(b.v4, 1 + port)).unwrap();
            }
        });
        let seconds = begun.elapsed().as_secs_f64();
        let told = listener.told().len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let most = BURST + (RATE as f64 * seconds) as usize + RATE / 10;
        assert!(told >= BURST, "{told} are told, {} lost", listener.lost);
        assert!(told <= most, "{told} in {seconds} s");
        println!("{told} of 20000 in {seconds:.3} s, {} lost", listener.lost);
    });
}
