//! Elements as the kernel holds them: fields in network order, each padded to four bytes.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::network::Family;
use postern_model::policy::Direction::{Egress, Ingress};
use postern_model::policy::Match;
use postern_model::resource::{Decision, Element, NamedAddress, Verdict};
use postern_model::time::Timestamp;

use super::bytes::{Fields, Reader};
use super::schema::{Field, Kind, SetSpec};

/// The bytes of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) key: Vec<u8>,
    /// Where the key is a range: its other end, which is a part of it.
    pub(super) end: Option<Vec<u8>>,
    pub(super) value: Value,
    /// Of an element that is forgotten.
    pub(super) lasting: Option<Lasting>,
}

/// How long an element stays, and its comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lasting {
    pub(super) until: Timestamp,
    pub(super) names: String,
}

/// What a map has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// The set is no map.
    None,
    Bytes(Vec<u8>),
    Verdict(Verdict),
}

/// The bytes of an element; none if its two addresses are of different families, for
/// which there is no map.
pub(super) fn encode(element: &Element) -> Option<Raw> {
    let key = Fields::default();
    let raw = match element {
        Element::Bridge(name) | Element::Neighbours(name) => key.name(name).name(name).key(),
        Element::Open(name)
        | Element::Internal(name)
        | Element::Direct(name)
        | Element::Masquerade(_, name)
        | Element::Port(name)
        | Element::Quarantine(name) => key.name(name).key(),
        Element::Snat(name, to) => key.name(name).to(Fields::default().ip(*to)),
        Element::PortMac(name, mac) => key.name(name).mac(*mac).key(),
        Element::Guard(name, mac, ip) => key.name(name).mac(*mac).ip(*ip).key(),
        Element::Endpoint(ip, name) | Element::Remote(ip, name) => key.ip(*ip).name(name).key(),
        Element::Tunnel(vni) => key.vni(*vni).key(),
        Element::TunnelFrom(ip, vni) => key.ip(*ip).vni(*vni).key(),
        Element::OffGateway(ip) | Element::Policed(_, ip) | Element::Isolated(_, ip) => {
            key.ip(*ip).key()
        }
        Element::Identity(ip, identity) => key.ip(*ip).to(Fields::default().identity(*identity)),
        Element::PrefixIdentity { first, last, identity } => {
            if first.is_ipv4() != last.is_ipv4() {
                return None;
            }
            let end = Some(Fields::default().ip(*last).0);
            Raw { end, ..key.ip(*first).to(Fields::default().identity(*identity)) }
        }
        Element::Decision(decision) => decide(decision),
        Element::Named(NamedAddress { subject, address, identity, until, names }) => {
            if subject.is_ipv4() != address.is_ipv4() {
                return None;
            }
            let lasting = Some(Lasting { until: *until, names: names.clone() });
            let value = Fields::default().identity(*identity);
            Raw { lasting, ..key.ip(*subject).ip(*address).to(value) }
        }
        Element::Restricted(ip, protocol, port) => {
            key.ip(*ip).protocol(*protocol).port(*port).key()
        }
        Element::AllowFrom(ip, protocol, port, from) => {
            if ip.is_ipv4() != from.is_ipv4() || from.ip() != from.network() {
                return None;
            }
            let with = |from| Fields::default().ip(*ip).protocol(*protocol).port(*port).ip(from);
            let end = Some(with(last_of(*from)).0);
            Raw { end, ..with(from.ip()).key() }
        }
        Element::Link { from, to, protocol, port } => {
            if from.is_ipv4() != to.is_ipv4() {
                return None;
            }
            key.ip(*from).ip(*to).protocol(*protocol).port(*port).key()
        }
        Element::Publish { host, protocol, port, target, target_port } => {
            if host.is_ipv4() != target.is_ipv4() {
                return None;
            }
            let key = if host.is_unspecified() { key } else { key.ip(*host) };
            let value = Fields::default().ip(*target).port(*target_port);
            key.protocol(*protocol).port(*port).to(value)
        }
    };
    Some(raw)
}

/// The highest address of a prefix.
fn last_of(prefix: IpNetwork) -> IpAddr {
    match prefix {
        IpNetwork::V4(prefix) => prefix.broadcast().into(),
        IpNetwork::V6(prefix) => prefix.broadcast().into(),
    }
}

/// The prefix between two addresses; none if they are not its ends.
fn prefix_of(first: IpAddr, last: IpAddr) -> Option<IpNetwork> {
    let bits = match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return None,
    };
    let prefix = IpNetwork::new(first, u8::try_from(bits).ok()?).ok()?;
    (prefix.ip() == prefix.network() && last_of(prefix) == last).then_some(prefix)
}

fn decide(decision: &Decision) -> Raw {
    let Decision { subject, peer, what, verdict, direction: _ } = decision;
    let range = what.filter(|what| what.first != what.last);
    let key = |number: Option<u16>| {
        let key = Fields::default().ip(*subject);
        let key = match peer {
            // Where there are ranges, `nft` has every field in the order of the network.
            Some(peer) if range.is_some() => key.push(&peer.to_be_bytes()),
            Some(peer) => key.identity(*peer),
            None => key,
        };
        match (what, number) {
            (Some(what), Some(number)) => key.push(&[what.protocol]).port(number).0,
            _ => key.0,
        }
    };
    Raw {
        key: key(what.map(|what| what.first)),
        end: range.map(|what| key(Some(what.last))),
        value: Value::Verdict(*verdict),
        lasting: None,
    }
}

/// The strict inverse of [`encode`]; none if the bytes are of no element that we would
/// have put into that set.
pub(super) fn decode(set: &str, raw: &Raw) -> Option<Element> {
    let spec = SetSpec::find(set)?;
    let bytes = match (&raw.value, spec.value) {
        (Value::Verdict(verdict), [Field::Verdict]) => {
            return decision(spec, raw, *verdict).map(Element::Decision);
        }
        (Value::None, []) => &[][..],
        (Value::Bytes(bytes), [_, ..]) => bytes.as_slice(),
        _ => return None,
    };
    let (mut key, mut value) = (Reader(&raw.key), Reader(bytes));
    let family = |four: &str| if set == four { Family::V4 } else { Family::V6 };
    let element = match set {
        "bridges" => Element::Bridge(key.same_name()?),
        "neighbours" => Element::Neighbours(key.same_name()?),
        "open" => Element::Open(key.name()?),
        "internal" => Element::Internal(key.name()?),
        "direct" => Element::Direct(key.name()?),
        "masquerade4" | "masquerade6" => Element::Masquerade(family("masquerade4"), key.name()?),
        "snat4" | "snat6" => Element::Snat(key.name()?, value.ip(family("snat4"))?),
        "port" => Element::Port(key.name()?),
        "quarantine" => Element::Quarantine(key.name()?),
        "port-mac" => Element::PortMac(key.name()?, key.mac()?),
        "guard4" | "guard6" => Element::Guard(key.name()?, key.mac()?, key.ip(family("guard4"))?),
        "endpoint4" | "endpoint6" => Element::Endpoint(key.ip(family("endpoint4"))?, key.name()?),
        "tunnels" => Element::Tunnel(key.vni()?),
        "tunnel-from4" | "tunnel-from6" => {
            Element::TunnelFrom(key.ip(family("tunnel-from4"))?, key.vni()?)
        }
        "remote4" | "remote6" => Element::Remote(key.ip(family("remote4"))?, key.name()?),
        "off-gateway4" | "off-gateway6" => Element::OffGateway(key.ip(family("off-gateway4"))?),
        "link4" | "link6" => link(family("link4"), &mut key)?,
        "publish4" | "publish6" => published(key.host(family("publish4"))?, &mut key, &mut value)?,
        "publish4-any" | "publish6-any" => {
            published(family("publish4-any").unspecified(), &mut key, &mut value)?
        }
        "identity4" | "identity6" => {
            Element::Identity(key.ip(family("identity4"))?, value.identity()?)
        }
        "prefix4" | "prefix6" => {
            let family = family("prefix4");
            let mut end = Reader(raw.end.as_deref()?);
            let (first, last) = (key.ip(family)?, end.ip(family)?);
            let element = Element::PrefixIdentity { first, last, identity: value.identity()? };
            let whole = first <= last && key.0.is_empty() && end.0.is_empty() && value.0.is_empty();
            return whole.then_some(element);
        }
        "named4" | "named6" => {
            let family = family("named4");
            let Lasting { until, names } = raw.lasting.clone()?;
            let (subject, address) = (key.ip(family)?, key.ip(family)?);
            let identity = value.identity()?;
            Element::Named(NamedAddress { subject, address, identity, until, names })
        }
        "restricted4" | "restricted6" => {
            Element::Restricted(key.ip(family("restricted4"))?, key.protocol()?, key.port()?)
        }
        "allow-from4" | "allow-from6" => {
            let family = family("allow-from4");
            let (ip, protocol, port) = (key.ip(family)?, key.protocol()?, key.port()?);
            let first = key.ip(family)?;
            let mut end = Reader(raw.end.as_deref()?);
            let same = (end.ip(family)?, end.protocol()?, end.port()?) == (ip, protocol, port);
            let from = prefix_of(first, end.ip(family)?)?;
            let whole = same && key.0.is_empty() && end.0.is_empty();
            return whole.then_some(Element::AllowFrom(ip, protocol, port, from));
        }
        "policed-in4" | "policed-in6" => Element::Policed(Ingress, key.ip(family("policed-in4"))?),
        "policed-out4" | "policed-out6" => {
            Element::Policed(Egress, key.ip(family("policed-out4"))?)
        }
        "isolated-in4" | "isolated-in6" => {
            Element::Isolated(Ingress, key.ip(family("isolated-in4"))?)
        }
        "isolated-out4" | "isolated-out6" => {
            Element::Isolated(Egress, key.ip(family("isolated-out4"))?)
        }
        _ => return None,
    };
    (raw.end.is_none() && key.0.is_empty() && value.0.is_empty()).then_some(element)
}

fn decision(set: &SetSpec, raw: &Raw, verdict: Verdict) -> Option<Decision> {
    let mut key = Reader(&raw.key);
    let family = if set.key.first() == Some(&Field::V4) { Family::V4 } else { Family::V6 };
    let subject = key.ip(family)?;
    let peer = match set.key.contains(&Field::Identity) {
        true if set.kind == Kind::Ranges => Some(u32::from_be_bytes(key.take()?)),
        true => Some(key.identity()?),
        false => None,
    };
    let what = match set.key.contains(&Field::Port) {
        true => {
            let ([protocol], first) = (key.take()?, key.port()?);
            Some(Match { protocol, first, last: last(raw, first)? })
        }
        false => None,
    };
    let direction = if set.name.starts_with("in") { Ingress } else { Egress };
    let decision = Decision { direction, subject, peer, what, verdict };
    // Kept to what is said in one way only.
    let same = decision.set() == set.name && decide(&decision) == *raw;
    (same && key.0.is_empty()).then_some(decision)
}

/// The highest number of a range whose key begins as that of its first one.
fn last(raw: &Raw, first: u16) -> Option<u16> {
    let Some(end) = &raw.end else { return Some(first) };
    let at = raw.key.len().checked_sub(4)?;
    let same = end.get(..at)? == raw.key.get(..at)?;
    let last = Reader(end.get(at..)?).port()?;
    (same && first < last).then_some(last)
}

fn link(family: Family, key: &mut Reader<'_>) -> Option<Element> {
    Some(Element::Link {
        from: key.ip(family)?,
        to: key.ip(family)?,
        protocol: key.protocol()?,
        port: key.port()?,
    })
}

fn published(host: IpAddr, key: &mut Reader<'_>, value: &mut Reader<'_>) -> Option<Element> {
    Some(Element::Publish {
        host,
        protocol: key.protocol()?,
        port: key.port()?,
        target: value.ip(Family::of(host))?,
        target_port: value.port()?,
    })
}

impl Fields {
    fn key(self) -> Raw {
        Raw { key: self.0, end: None, value: Value::None, lasting: None }
    }

    fn to(self, value: Self) -> Raw {
        Raw { key: self.0, end: None, value: Value::Bytes(value.0), lasting: None }
    }
}

#[cfg(test)]
mod tests;
