//! A message of the log group, read.

use etherparse::{IpNumber, LaxIpSlice};
use postern_model::policy::Selection;

use super::{FirstPacket, NEW, PUBLISHED, Way};
use crate::nft::socket::Reply;

const NFULA_PACKET_HDR: u16 = 1;
const NFULA_PAYLOAD: u16 = 9;
const NFULA_PREFIX: u16 = 10;
const NFULA_SEQ: u16 = 12;

const NF_INET_LOCAL_IN: u8 = 1;
const NF_INET_LOCAL_OUT: u8 = 3;

/// Of TCP's flags those of FIN, SYN, RST and ACK, as the rules look at them.
const TCP_FLAGS: u8 = 0x17;
const TCP_SYN: u8 = 0x02;

/// A message: its number, and its packet if it is one of ours that can be read.
pub(super) fn read(message: Reply<'_>) -> (Option<u32>, Option<FirstPacket>) {
    let field = |kind| message.all(kind).next();
    let number = field(NFULA_SEQ).and_then(|bytes| bytes.first_chunk().copied());
    let packet = || {
        let published = match field(NFULA_PREFIX)?.strip_suffix(b"\0")? {
            prefix if prefix == NEW.as_bytes() => false,
            prefix if prefix == PUBLISHED.as_bytes() => true,
            _ => return None,
        };
        let way = match *field(NFULA_PACKET_HDR)?.get(2)? {
            NF_INET_LOCAL_IN => Way::ToHost,
            NF_INET_LOCAL_OUT => Way::FromHost,
            _ => Way::Forwarded,
        };
        parse(field(NFULA_PAYLOAD)?, published, way)
    };
    (number.map(u32::from_be_bytes), packet())
}

/// The headers of a packet, or of its beginning; none if it is of no known kind.
fn parse(bytes: &[u8], published: bool, way: Way) -> Option<FirstPacket> {
    let (ip, _) = LaxIpSlice::from_slice(bytes).ok()?;
    let carried = ip.payload();
    let begins: Option<[u8; 4]> = carried.payload.first_chunk().copied();
    let pair = begins.map(|[a, b, c, d]| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
    let (source_port, number) = match carried.ip_number {
        IpNumber::TCP | IpNumber::UDP | IpNumber::SCTP => (Some(pair?.0), pair?.1),
        // Type and code, in the place of a port.
        IpNumber::ICMP | IpNumber::IPV6_ICMP => (None, pair?.0),
        _ => (None, 0),
    };
    let flags = carried.payload.get(13).map(|flags| flags & TCP_FLAGS);
    Some(FirstPacket {
        from: ip.source_addr(),
        to: ip.destination_addr(),
        source_port,
        what: Selection { protocol: carried.ip_number.0, number },
        published,
        way,
        mid_stream: carried.ip_number == IpNumber::TCP
            && flags.is_some_and(|flags| flags != TCP_SYN),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(prefix: &[u8], hook: u8, payload: &[u8]) -> Vec<u8> {
        [
            attribute(NFULA_PACKET_HDR, &[8, 0, hook, 0]),
            attribute(NFULA_PREFIX, prefix),
            attribute(NFULA_PAYLOAD, payload),
            attribute(NFULA_SEQ, &7u32.to_be_bytes()),
        ]
        .concat()
    }

    fn tcp4(flags: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        packet.extend([10, 0, 0, 2, 10, 0, 0, 3, 0xc0, 0x01, 0x15, 0x38]);
        packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet
    }

    fn ip6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, u8::try_from(rest.len()).unwrap(), next, 64];
        for last in [2, 3] {
            packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        packet.extend(rest);
        packet
    }

    fn read_of(bytes: &[u8]) -> (Option<u32>, Option<FirstPacket>) {
        read(Reply { attributes: bytes, port: 0 })
    }

    #[test]
    fn a_tcp_flow_of_each_way() {
        for (hook, way) in [(1, Way::ToHost), (2, Way::Forwarded), (3, Way::FromHost)] {
            for (prefix, published) in [(NEW, false), (PUBLISHED, true)] {
                let prefix = format!("{prefix}\0");
                let (number, packet) = read_of(&message(prefix.as_bytes(), hook, &tcp4(0x02)));
                assert_eq!(number, Some(7));
                let expected = FirstPacket {
                    from: "10.0.0.2".parse().unwrap(),
                    to: "10.0.0.3".parse().unwrap(),
                    source_port: Some(0xc001),
                    what: Selection { protocol: 6, number: 0x1538 },
                    published,
                    way,
                    mid_stream: false,
                };
                assert_eq!(packet, Some(expected));
            }
        }
    }

    #[test]
    fn tcp_that_begins_in_the_middle_is_told_from_a_beginning() {
        for (flags, mid_stream) in [(0x02, false), (0xc2, false), (0x10, true), (0x12, true)] {
            let packet = parse(&tcp4(flags), false, Way::Forwarded).unwrap();
            assert_eq!(packet.mid_stream, mid_stream, "{flags:#x}");
        }
    }

    #[test]
    fn ipv6_with_and_without_extensions() {
        let ping = [128, 1, 0, 0, 0, 1, 0, 1];
        let packet = parse(&ip6(58, &ping), false, Way::Forwarded).unwrap();
        assert_eq!(packet.what, Selection { protocol: 58, number: 0x8001 });
        assert_eq!((packet.source_port, packet.to), (None, "fd00::3".parse().unwrap()));
        let udp = [0xc0, 0x01, 0, 53, 0, 8, 0, 0];
        let hop_by_hop = [vec![17, 0, 1, 4, 0, 0, 0, 0], udp.to_vec()].concat();
        let packet = parse(&ip6(0, &hop_by_hop), false, Way::Forwarded).unwrap();
        assert_eq!(packet.what, Selection { protocol: 17, number: 53 });
        assert_eq!(packet.source_port, Some(0xc001));
    }

    #[test]
    fn a_protocol_without_ports_is_told_by_its_number() {
        let packet = parse(&ip6(47, &[]), false, Way::Forwarded).unwrap();
        assert_eq!(packet.what, Selection { protocol: 47, number: 0 });
    }

    #[test]
    fn what_others_log_to_the_group_is_not_ours() {
        assert_eq!(read_of(&message(b"other\0", 2, &tcp4(2))).1, None);
        assert_eq!(read_of(&message(NEW.as_bytes(), 2, &tcp4(2))).1, None, "cut off");
        assert_eq!(read_of(&message(b"postern\0", 2, &tcp4(2)[..22])).1, None, "no ports");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_of(&bytes);
            let _ = read_of(&message(b"postern\0", 2, &bytes));
        }

        /// Lengths and kinds of headers that lie.
        #[test]
        fn any_change_of_a_packet_is_answered(
            six: bool, place in 0..60usize, byte: u8, length in 0..60usize,
        ) {
            let mut packet = if six { ip6(6, &tcp4(2)[20..]) } else { tcp4(2) };
            if let Some(at) = packet.get_mut(place) {
                *at = byte;
            }
            packet.truncate(length);
            let _ = parse(&packet, false, Way::Forwarded);
        }
    }
}
