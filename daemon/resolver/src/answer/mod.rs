//! What a sandbox is told from our own records. Pure: the directory and the order of
//! addresses go in.

use std::net::IpAddr;

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use postern_model::id::SandboxId;
use postern_model::port::Protocol;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::directory::{Directory, Found, Member};

/// Seconds. An address may be another sandbox's a moment later, and to ask again costs
/// little: the resolver is on the same host. Not zero, which some clients take badly.
const TTL: u32 = 1;

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is answered, here and finally.
    Own(Own),
    /// It is a server's to answer.
    Forward,
}

/// An answer of our own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Own {
    /// Whether there is such a name.
    pub(crate) code: ResponseCode,
    /// What was asked for.
    pub(crate) answers: Vec<Record>,
    /// Addresses that will be asked for next.
    pub(crate) additionals: Vec<Record>,
}

impl Own {
    fn answers(answers: Vec<Record>) -> Self {
        Self { code: ResponseCode::NoError, answers, additionals: Vec::new() }
    }

    /// Nothing is told.
    fn refused() -> Verdict {
        let code = ResponseCode::Refused;
        Verdict::Own(Self { code, answers: Vec::new(), additionals: Vec::new() })
    }

    fn none() -> Verdict {
        let code = ResponseCode::NXDomain;
        Verdict::Own(Self { code, answers: Vec::new(), additionals: Vec::new() })
    }
}

/// Answers a question of class IN, or leaves it to a server.
pub(crate) fn answer(
    directory: &Directory,
    asker: SandboxId,
    query: &Query,
    rng: &mut impl Rng,
) -> Verdict {
    if directory.is_quarantined(asker) {
        return Own::refused();
    }
    // A name with other characters is none of ours, and may have a dot within a label.
    let Some(text) = text(&query.name) else { return elsewhere(query) };
    if let Some(address) = reversed(&query.name, &text) {
        return match directory.address(asker, address) {
            Found::Here(members, _) => Verdict::Own(Own::answers(pointers(query, &members))),
            Found::Hidden => Own::none(),
            Found::Elsewhere => Verdict::Forward,
        };
    }
    match directory.name(asker, &text) {
        Found::Here(members, extra) => {
            Verdict::Own(Own::answers(addresses(query, &members, extra, rng)))
        }
        absent => match (Service::of(&text), absent) {
            (Some(service), _) => service.answer(directory, asker, query, rng),
            (None, Found::Hidden) => Own::none(),
            (None, _) => elsewhere(query),
        },
    }
}

/// A name that is not ours: servers are asked, except for single names, which are nobody
/// else's. That leaves what a resolver wants of top-level domains.
fn elsewhere(query: &Query) -> Verdict {
    let below = query.name.iter().skip_while(|label| label.starts_with(b"_"));
    let single = !query.name.is_root() && below.count() <= 1;
    if !single || is_of_zones(query.query_type) { Verdict::Forward } else { Own::none() }
}

const fn is_of_zones(record_type: RecordType) -> bool {
    use RecordType::{DNSKEY, DS, NS, NSEC, NSEC3, NSEC3PARAM, RRSIG, SOA};
    matches!(record_type, NS | SOA | DS | DNSKEY | RRSIG | NSEC | NSEC3 | NSEC3PARAM)
}

/// A service's name: `_name._protocol.owner`.
struct Service<'a> {
    name: &'a str,
    protocol: Protocol,
    owner: &'a str,
}

impl<'a> Service<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (name, rest) = text.strip_prefix('_')?.split_once('.')?;
        let (protocol, owner) = rest.strip_prefix('_')?.split_once('.')?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => return None,
        };
        Some(Self { name, protocol, owner })
    }

    fn answer(
        &self,
        directory: &Directory,
        asker: SandboxId,
        query: &Query,
        rng: &mut impl Rng,
    ) -> Verdict {
        let mut members = match directory.name(asker, self.owner) {
            Found::Here(members, _) => members,
            Found::Hidden => return Own::none(),
            Found::Elsewhere => return elsewhere(query),
        };
        members.retain(|member| self.ports(member).next().is_some());
        if members.is_empty() {
            return Own::none();
        }
        members.shuffle(rng);
        let mut own = Own::answers(Vec::new());
        if matches!(query.query_type, RecordType::SRV | RecordType::ANY) {
            members.iter().for_each(|member| self.tell(query, member, &mut own));
        }
        Verdict::Own(own)
    }

    fn ports<'m>(&'m self, member: &'m Member) -> impl Iterator<Item = u16> + 'm {
        let services = member.services.iter();
        let same =
            |s: &&crate::directory::Service| *s.name == *self.name && s.protocol == self.protocol;
        services.filter(same).map(|service| service.port)
    }

    fn tell(&self, query: &Query, member: &Member, own: &mut Own) {
        let Some(target) = &member.canonical else { return };
        for port in self.ports(member) {
            let data = RData::SRV(SRV::new(0, 0, port, target.clone()));
            let record = Record::from_rdata(query.name.clone(), TTL, data);
            if own.answers.contains(&record) {
                continue;
            }
            own.answers.push(record);
        }
        for address in &member.addresses {
            let record = address_record(target.clone(), *address);
            if !own.additionals.contains(&record) {
                own.additionals.push(record);
            }
        }
    }
}

/// The addresses of a name as far as they are of the type asked for, in any order.
fn addresses(
    query: &Query,
    members: &[&Member],
    extra: Vec<IpAddr>,
    rng: &mut impl Rng,
) -> Vec<Record> {
    let wanted = |address: &IpAddr| match query.query_type {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        // Of what could be said, something is enough (RFC 8482 §4.1).
        RecordType::ANY => true,
        _ => false,
    };
    let all = members.iter().flat_map(|member| member.addresses.iter().copied()).chain(extra);
    let mut addresses: Vec<IpAddr> = all.filter(wanted).collect();
    if addresses.len() > 1 {
        addresses.sort_unstable();
        addresses.dedup();
        addresses.shuffle(rng);
    }
    addresses.into_iter().map(|address| address_record(query.name.clone(), address)).collect()
}

fn address_record(name: Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(name, TTL, data)
}

fn pointers(query: &Query, members: &[&Member]) -> Vec<Record> {
    if !matches!(query.query_type, RecordType::PTR | RecordType::ANY) {
        return Vec::new();
    }
    let mut names: Vec<&Name> = members.iter().filter_map(|m| m.canonical.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    let pointer =
        |name: &Name| Record::from_rdata(query.name.clone(), TTL, RData::PTR(PTR(name.clone())));
    names.into_iter().map(pointer).collect()
}

/// The address that a name of `in-addr.arpa` or `ip6.arpa` stands for, if a whole one.
fn reversed(name: &Name, text: &str) -> Option<IpAddr> {
    if !text.ends_with(".arpa") {
        return None;
    }
    let prefix = name.parse_arpa_name().ok()?;
    (prefix.prefix_len() == prefix.max_prefix_len()).then(|| prefix.addr())
}

/// A name in lower case and without its last dot, if all of its characters are plain.
pub(crate) fn text(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return None;
            }
            text.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests;
