//! Filters and flows as netlink messages.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, NLA_F_NESTED, Nla, NlasIterator, Parseable};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol as Number, Status, Tuple,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use postern_model::network::Family;

use super::select::{Ends, Filter, State};
use crate::nft::socket::Reply;

const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_STATUS_MASK: u16 = 26;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
const CTA_PROTO_ICMP_TYPE: u16 = 5;
const CTA_PROTO_ICMP_CODE: u16 = 6;
const CTA_PROTO_ICMPV6_TYPE: u16 = 8;
const CTA_PROTO_ICMPV6_CODE: u16 = 9;
const CTA_STATS_GLOBAL_ENTRIES: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u8 = 2;
const IPCTNL_MSG_CT_GET_STATS: u8 = 5;

// Which parts of a tuple a filter compares.
const IP_SOURCE: u32 = 1;
const PROTOCOL_NUMBER: u32 = 1 << 3;
const SOURCE_PORT: u32 = 1 << 4;

/// A flow, and what tells the kernel which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) ends: Ends,
    identity: Vec<ConntrackAttribute>,
}

/// Deletes every flow that the filter matches; none if its addresses are of two families,
/// which no flow has.
pub(super) fn delete_matching(filter: &Filter) -> Option<NetfilterMessage> {
    if [filter.client, filter.server]
        .into_iter()
        .flatten()
        .any(|ip| Family::of(ip) != filter.family)
    {
        return None;
    }
    let mut attributes = Vec::new();
    let (mut original, mut reply) = (0, 0);
    if let Some(ip) = filter.client {
        original = IP_SOURCE;
        attributes.push(ConntrackAttribute::CtaTupleOrig(vec![source(ip)]));
    }
    let mut tuple = Vec::new();
    if let Some(ip) = filter.server {
        reply |= IP_SOURCE;
        tuple.push(source(ip));
    }
    if let Some((protocol, port)) = filter.port {
        reply |= PROTOCOL_NUMBER | SOURCE_PORT;
        tuple.push(Tuple::Proto(vec![
            ProtoTuple::Protocol(Number::from(protocol.number())),
            ProtoTuple::SourcePort(port),
        ]));
    }
    if !tuple.is_empty() {
        attributes.push(ConntrackAttribute::CtaTupleReply(tuple));
    }
    let status = match filter.state {
        State::Any => None,
        State::Translated => Some((Status::DstNat, Status::DstNat)),
        State::Unanswered => Some((Status::empty(), Status::DstNat | Status::SeenReply)),
    };
    if let Some((value, mask)) = status {
        attributes.push(ConntrackAttribute::CtaStatus(value));
        attributes.push(other(CTA_STATUS_MASK, mask.bits().to_be_bytes().to_vec()));
    }
    attributes.push(flags(original, reply));
    // The crate drops the nested flag of attributes it does not know, and the kernel then
    // refuses the filter: handed over as bytes, they keep it.
    let attributes = attributes.iter().map(as_bytes).collect();
    let inner = ConntrackMessage::Other { message_type: IPCTNL_MSG_CT_DELETE, attributes };
    Some(message(filter.family, inner))
}

/// Deletes this flow, and no other that has taken its place.
pub(super) fn delete(flow: Flow) -> NetfilterMessage {
    let family = Family::of(flow.ends.client);
    message(family, ConntrackMessage::Delete(flow.identity))
}

/// Asks for every flow of a family.
pub(super) fn list(family: Family) -> NetfilterMessage {
    message(family, ConntrackMessage::Get(Vec::new()))
}

/// Asks how many flows there are.
pub(super) fn count() -> NetfilterMessage {
    let inner =
        ConntrackMessage::Other { message_type: IPCTNL_MSG_CT_GET_STATS, attributes: Vec::new() };
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0), inner)
}

/// The answer to [`count`].
pub(super) fn counted(reply: Reply<'_>) -> Option<u32> {
    let entries = reply.all(CTA_STATS_GLOBAL_ENTRIES).next()?;
    Some(u32::from_be_bytes(*entries.first_chunk()?))
}

/// A flow of a listing; none if it lacks what every flow has.
pub(super) fn flow(reply: Reply<'_>) -> Option<Flow> {
    let attributes = NlasIterator::new(reply.attributes)
        .map_while(Result::ok)
        .filter_map(|attribute| ConntrackAttribute::parse(&attribute).ok());
    let (mut client, mut server, mut icmp) = (None, None, None);
    let (mut translated, mut answered) = (false, false);
    let (mut protocol, mut port) = (None, None);
    let mut identity = Vec::new();
    for attribute in attributes {
        match &attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => {
                client = source_of(tuple);
                icmp = type_of(tuple);
                identity.push(attribute);
            }
            ConntrackAttribute::CtaTupleReply(tuple) => {
                server = source_of(tuple);
                (protocol, port) = protocol_of(tuple);
            }
            ConntrackAttribute::CtaStatus(status) => {
                translated = status.contains(Status::DstNat);
                answered = status.contains(Status::SeenReply);
            }
            ConntrackAttribute::Other(nla) if matches!(nla.kind(), CTA_ID | CTA_ZONE) => {
                identity.push(attribute);
            }
            _ => {}
        }
    }
    let (client, server, protocol) = (client?, server?, protocol?);
    let port = port.or(icmp);
    let ends = Ends { client, server, protocol, port, translated, answered };
    Some(Flow { ends, identity })
}

fn message(family: Family, inner: ConntrackMessage) -> NetfilterMessage {
    let family = match family {
        Family::V4 => NetfilterProtoFamily::IPv4,
        Family::V6 => NetfilterProtoFamily::IPv6,
    };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner)
}

fn source(ip: IpAddr) -> Tuple {
    Tuple::Ip(vec![IPTuple::SourceAddress(ip)])
}

/// The nested attribute that says which parts of the two tuples count.
fn flags(original: u32, reply: u32) -> ConntrackAttribute {
    let mut value = Vec::new();
    for (kind, flags) in [(CTA_FILTER_ORIG_FLAGS, original), (CTA_FILTER_REPLY_FLAGS, reply)] {
        value.extend_from_slice(&8u16.to_ne_bytes());
        value.extend_from_slice(&kind.to_ne_bytes());
        value.extend_from_slice(&flags.to_ne_bytes());
    }
    other(CTA_FILTER | NLA_F_NESTED, value)
}

fn as_bytes(attribute: &ConntrackAttribute) -> DefaultNla {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    let nested = if attribute.is_nested() { NLA_F_NESTED } else { 0 };
    DefaultNla::new(attribute.kind() | nested, value)
}

fn other(kind: u16, value: Vec<u8>) -> ConntrackAttribute {
    ConntrackAttribute::Other(DefaultNla::new(kind, value))
}

fn source_of(tuple: &[Tuple]) -> Option<IpAddr> {
    tuple.iter().find_map(|part| match part {
        Tuple::Ip(ips) => ips.iter().find_map(|ip| match ip {
            IPTuple::SourceAddress(ip) => Some(*ip),
            _ => None,
        }),
        _ => None,
    })
}

fn protocol_of(tuple: &[Tuple]) -> (Option<u8>, Option<u16>) {
    let (mut protocol, mut port) = (None, None);
    for part in tuple {
        let Tuple::Proto(parts) = part else { continue };
        for part in parts {
            match part {
                ProtoTuple::Protocol(number) => protocol = Some(u8::from(*number)),
                ProtoTuple::SourcePort(number) => port = Some(*number),
                _ => {}
            }
        }
    }
    (protocol, port)
}

/// An ICMP flow's type and code, in the place of a port.
fn type_of(tuple: &[Tuple]) -> Option<u16> {
    let parts = tuple.iter().filter_map(|part| match part {
        Tuple::Proto(parts) => Some(parts),
        _ => None,
    });
    let of = |wanted: [u16; 2]| {
        parts.clone().flatten().find_map(|part| match part {
            ProtoTuple::Other(nla) if wanted.contains(&nla.kind()) => {
                let mut value = [0];
                (nla.value_len() == 1).then(|| nla.emit_value(&mut value))?;
                let [byte] = value;
                Some(byte)
            }
            _ => None,
        })
    };
    let kind = of([CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMPV6_TYPE])?;
    Some(u16::from_be_bytes([kind, of([CTA_PROTO_ICMP_CODE, CTA_PROTO_ICMPV6_CODE])?]))
}
