//! What an endpoint may send, frame by frame.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use postern_model::mac::MacAddr;
use postern_model::resource::Element;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::lab::{Endpoint, block_on, bridge, endpoint, name, on_a_host, opened, sysctl, within};

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
/// A tag that a frame is known again by.
const TAG: &[u8; 12] = b"postern-test";
/// The tag and a byte that tells frames apart.
const TRAILER: u8 = 13;
const PATIENCE: Duration = Duration::from_secs(5);
/// A frame that overtook the one sent after it would still come within this time.
const STRAGGLERS: Duration = Duration::from_millis(20);

/// A raw socket on a namespace's `eth0`.
struct Wire(Socket);

impl Wire {
    fn open(namespace: &str) -> Self {
        within(namespace, || {
            let all = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).unwrap();
            let index = nix::net::if_::if_nametoindex("eth0").unwrap();
            socket.bind(&link_address(index)).unwrap();
            Self(socket)
        })
    }

    fn send(&self, frame: &[u8]) {
        assert_eq!(self.0.send(frame).unwrap(), frame.len());
    }

    /// The tag's neighbour byte of every tagged frame until the one that ends with `last`.
    fn until(&self, last: u8) -> Vec<u8> {
        let mut seen = Vec::new();
        let mut deadline = Instant::now() + PATIENCE;
        while let Some(left) =
            deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            let mut bytes = [0; 2048];
            self.0.set_read_timeout(Some(left)).unwrap();
            let Ok(length) = nix::unistd::read(&self.0, &mut bytes) else { break };
            let Some(mark) = mark(&bytes[..length]) else { continue };
            seen.push(mark);
            if mark == last {
                deadline = Instant::now() + STRAGGLERS;
            }
        }
        assert!(seen.contains(&last), "the last frame did not arrive");
        seen
    }
}

/// The byte behind the tag.
fn mark(frame: &[u8]) -> Option<u8> {
    let at = frame.windows(TAG.len()).position(|window| window == TAG)?;
    frame.get(at + TAG.len()).copied()
}

#[expect(unsafe_code, reason = "a packet socket is bound by an address that no safe type has")]
fn link_address(index: u32) -> SockAddr {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: i32::try_from(index).unwrap(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the storage is larger than a `sockaddr_ll` and aligned for every address, and
    // the length is that of what is written to it.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *length = u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap();
            Ok(())
        })
    }
    .unwrap();
    address
}

/// Who sends, as the frame has it.
#[derive(Clone, Copy)]
struct Sender {
    mac: MacAddr,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
}

impl Sender {
    fn of(endpoint: &Endpoint) -> Self {
        let (IpAddr::V4(v4), IpAddr::V6(v6)) = (endpoint.v4, endpoint.v6) else { panic!() };
        let mac = endpoint.elements.iter().find_map(|element| match element {
            Element::PortMac(_, mac) => Some(*mac),
            _ => None,
        });
        Self { mac: mac.unwrap(), v4, v6 }
    }
}

fn ethernet(source: MacAddr, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(source.bytes());
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An ARP request for an address of nobody.
fn arp(ether: MacAddr, sender: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(sender.bytes());
    arp.extend(address.octets());
    arp.extend([0; 6]);
    arp.extend([10, 1, 0, 250]);
    ethernet(ether, ARP, &arp)
}

fn udp4(mac: MacAddr, source: Ipv4Addr) -> Vec<u8> {
    ethernet(mac, IPV4, &packet4(source))
}

fn packet4(source: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28 + TRAILER, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(source.octets());
    packet.extend([10, 1, 0, 255]);
    packet.extend([0, 9, 0, 9, 0, 8 + TRAILER, 0, 0]);
    packet
}

fn packet6(mac: MacAddr, source: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap() + TRAILER;
    let mut packet = vec![0x60, 0, 0, 0, 0, length, next, 255];
    packet.extend(source.octets());
    packet.extend("ff02::1".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend(payload);
    ethernet(mac, IPV6, &packet)
}

fn udp6(mac: MacAddr, source: Ipv6Addr) -> Vec<u8> {
    packet6(mac, source, 17, &[0, 9, 0, 9, 0, 8 + TRAILER, 0, 0])
}

/// An ICMPv6 message of discovery: its fourth word on is an address.
fn discovery(kind: u8, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(target.octets());
    message
}

fn icmp6(mac: MacAddr, source: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    packet6(mac, source, 58, message)
}

/// The same behind an extension header of eight bytes.
fn hidden(mac: MacAddr, source: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let padding = [58, 0, 1, 4, 0, 0, 0, 0];
    packet6(mac, source, 0, &[&padding[..], message].concat())
}

const ROUTER_SOLICIT: u8 = 133;
const ROUTER_ADVERT: u8 = 134;
const SOLICIT: u8 = 135;
const ADVERT: u8 = 136;
const REDIRECT: u8 = 137;
const MLD_REPORT: u8 = 143;

/// Frames with what becomes of them.
fn frames(me: Sender, other: Sender) -> Vec<(&'static str, bool, Vec<u8>)> {
    let none4 = Ipv4Addr::UNSPECIFIED;
    let none6 = Ipv6Addr::UNSPECIFIED;
    let link_local = me.mac.link_local();
    let vlan = [&[0, 1][..], &IPV4.to_be_bytes(), &packet4(me.v4)].concat();
    vec![
        ("own ARP", true, arp(me.mac, me.mac, me.v4)),
        ("ARP for another's address", false, arp(me.mac, me.mac, other.v4)),
        ("ARP with another's address in it", false, arp(me.mac, other.mac, me.v4)),
        ("ARP from another's address", false, arp(other.mac, me.mac, me.v4)),
        ("ARP of another", false, arp(other.mac, other.mac, other.v4)),
        ("ARP probe", true, arp(me.mac, me.mac, none4)),
        ("ARP probe with another's address in it", false, arp(me.mac, other.mac, none4)),
        ("ARP probe from another's address", false, arp(other.mac, me.mac, none4)),
        ("own IPv4", true, udp4(me.mac, me.v4)),
        ("another's IPv4", false, udp4(me.mac, other.v4)),
        ("own IPv4 from another's MAC", false, udp4(other.mac, me.v4)),
        ("IPv4 from nowhere", false, udp4(me.mac, none4)),
        ("IPv4 from loopback", false, udp4(me.mac, Ipv4Addr::LOCALHOST)),
        ("own IPv6", true, udp6(me.mac, me.v6)),
        ("own link-local IPv6", true, udp6(me.mac, link_local)),
        ("another's IPv6", false, udp6(me.mac, other.v6)),
        ("own IPv6 from another's MAC", false, udp6(other.mac, me.v6)),
        ("IPv6 from nowhere", false, udp6(me.mac, none6)),
        ("own advertisement", true, icmp6(me.mac, me.v6, &discovery(ADVERT, me.v6))),
        ("advertisement of link-local", true, icmp6(me.mac, me.v6, &discovery(ADVERT, link_local))),
        ("another's advertisement", false, icmp6(me.mac, me.v6, &discovery(ADVERT, other.v6))),
        ("hidden advertisement", true, hidden(me.mac, me.v6, &discovery(ADVERT, me.v6))),
        ("another's, hidden", false, hidden(me.mac, me.v6, &discovery(ADVERT, other.v6))),
        ("advertisement from another", false, icmp6(me.mac, other.v6, &discovery(ADVERT, me.v6))),
        ("solicitation", true, icmp6(me.mac, me.v6, &discovery(SOLICIT, other.v6))),
        ("detection of duplicates", true, icmp6(me.mac, none6, &discovery(SOLICIT, me.v6))),
        ("the same from another's MAC", false, icmp6(other.mac, none6, &discovery(SOLICIT, me.v6))),
        ("groups from nowhere", true, hidden(me.mac, none6, &discovery(MLD_REPORT, none6))),
        ("advertisement from nowhere", false, icmp6(me.mac, none6, &discovery(ADVERT, me.v6))),
        ("router solicitation", true, icmp6(me.mac, me.v6, &discovery(ROUTER_SOLICIT, none6))),
        (
            "router advertisement",
            false,
            icmp6(me.mac, link_local, &discovery(ROUTER_ADVERT, none6)),
        ),
        ("router, hidden", false, hidden(me.mac, link_local, &discovery(ROUTER_ADVERT, none6))),
        ("redirect", false, icmp6(me.mac, link_local, &discovery(REDIRECT, other.v6))),
        ("an experimental ethertype", false, ethernet(me.mac, 0x88b5, &[0; 46])),
        ("an 802.3 length", false, ethernet(me.mac, 46, &[0x42; 46])),
        ("a VLAN", false, ethernet(me.mac, VLAN, &vlan)),
    ]
}

fn quiet(namespaces: &[&str]) {
    // Nothing but the test's own frames.
    for namespace in namespaces {
        within(namespace, || fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap());
    }
}

#[test]
fn an_endpoint_sends_from_its_own_addresses_only() {
    on_a_host(|| {
        let nft = opened();
        for family in ["iptables", "ip6tables", "arptables"] {
            sysctl(&format!("net/bridge/bridge-nf-call-{family}"), "0");
        }
        block_on(nft.commit(&[], &bridge(1, false))).unwrap();
        let (a, b) = (endpoint(1, 2), endpoint(1, 3));
        quiet(&[&a.namespace, &b.namespace]);
        let frames = frames(Sender::of(&a), Sender::of(&b));
        let (from, to) = (Wire::open(&a.namespace), Wire::open(&b.namespace));
        assert!(from.0.as_raw_fd() != to.0.as_raw_fd());
        let probe = || {
            let last = u8::try_from(frames.len()).unwrap();
            for (mark, (_, _, frame)) in (0u8..).zip(&frames) {
                from.send(&[frame, &TAG[..], &[mark]].concat());
            }
            from.send(&[&frames[0].2[..], TAG, &[last]].concat());
            to.until(last)
        };
        let seen = probe();
        for (mark, (what, _, _)) in (0u8..).zip(&frames) {
            assert!(seen.contains(&mark), "{what}, before the port is an endpoint's");
        }
        block_on(nft.commit(&[], &[a.elements.clone(), b.elements].concat())).unwrap();
        let seen = probe();
        for (mark, (what, passes, _)) in (0u8..).zip(&frames) {
            assert_eq!(seen.contains(&mark), *passes, "{what}");
        }
    });
}

#[test]
fn a_port_without_addresses_sends_nothing() {
    on_a_host(|| {
        let nft = opened();
        block_on(nft.commit(&[], &bridge(1, false))).unwrap();
        let (a, b) = (endpoint(1, 2), endpoint(1, 3));
        quiet(&[&a.namespace, &b.namespace]);
        let (me, other) = (Sender::of(&a), Sender::of(&b));
        let (from, to) = (Wire::open(&a.namespace), Wire::open(&b.namespace));
        block_on(nft.commit(&[], &[Element::Port(name("v-e1-2"))])).unwrap();
        for (_, _, frame) in frames(me, other) {
            from.send(&[&frame[..], TAG, &[1]].concat());
        }
        block_on(nft.commit(&[Element::Port(name("v-e1-2"))], &[])).unwrap();
        from.send(&[&arp(me.mac, me.mac, me.v4)[..], TAG, &[2]].concat());
        assert_eq!(to.until(2), [2]);
    });
}

/// Puts the right checksum into an ICMPv6 message.
fn checksummed(mut frame: Vec<u8>) -> Vec<u8> {
    const ADDRESSES: usize = 14 + 8;
    const MESSAGE: usize = 14 + 40;
    let mut sum = 58 + u32::try_from(frame.len() - MESSAGE).unwrap();
    for pair in frame[ADDRESSES..].chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).unwrap();
    frame[MESSAGE + 2..MESSAGE + 4].copy_from_slice(&checksum.to_be_bytes());
    frame
}

#[test]
fn neighbours_kept_apart_still_discover_each_other() {
    on_a_host(|| {
        let nft = opened();
        block_on(nft.commit(&[], &bridge(1, true))).unwrap();
        let (a, b) = (endpoint(1, 2), endpoint(1, 3));
        quiet(&[&a.namespace, &b.namespace]);
        let (me, other) = (Sender::of(&a), Sender::of(&b));
        let (from, to) = (Wire::open(&a.namespace), Wire::open(&b.namespace));
        block_on(nft.commit(&[], &[a.elements, b.elements].concat())).unwrap();
        let none = Ipv6Addr::UNSPECIFIED;
        let frames = [
            icmp6(me.mac, me.v6, &discovery(SOLICIT, other.v6)),
            icmp6(me.mac, none, &discovery(SOLICIT, me.v6)),
            icmp6(me.mac, me.v6, &discovery(ADVERT, me.v6)),
            // An echo request, which is no part of it.
            icmp6(me.mac, me.v6, &discovery(128, none)),
            udp4(me.mac, me.v4),
        ];
        for (mark, frame) in (0u8..).zip(&frames) {
            let frame = [frame, &TAG[..], &[mark]].concat();
            from.send(&if mark < 4 { checksummed(frame) } else { frame });
        }
        from.send(&[&arp(me.mac, me.mac, me.v4)[..], TAG, &[9]].concat());
        assert_eq!(to.until(9), [0, 1, 2, 9]);
    });
}
