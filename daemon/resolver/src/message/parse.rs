//! The way in: what a client sent.

use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode,
};
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

use super::{Transport, UDP_MAX, UDP_PLAIN};

/// What some bytes are.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Nothing that can be answered.
    Nothing,
    /// A question that is turned down without a look at its name.
    Refused(Refusal),
    /// A question.
    Ask(Ask),
}

/// A question that is turned down.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) client: Client,
    pub(crate) query: Option<Query>,
    pub(crate) code: ResponseCode,
}

/// A question, and who asks it.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) client: Client,
    pub(crate) query: Query,
}

/// What an answer depends on beside the question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// Of the message that asks.
    pub(crate) metadata: Metadata,
    /// Whether it sent EDNS, and so is sent EDNS.
    pub(crate) edns: bool,
    /// Whether it wants DNSSEC's records.
    pub(crate) dnssec_ok: bool,
    /// The largest datagram it takes, in bytes.
    payload: u16,
}

impl Client {
    /// The most bytes an answer may have.
    pub(crate) fn limit(&self, transport: Transport) -> u16 {
        match transport {
            Transport::Udp => self.payload.clamp(UDP_PLAIN, UDP_MAX),
            Transport::Tcp => u16::MAX,
        }
    }
}

/// Reads a message.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut decoder = BinDecoder::new(bytes);
    let Ok(header) = Header::read(&mut decoder) else { return Parsed::Nothing };
    if header.message_type != MessageType::Query {
        return Parsed::Nothing;
    }
    let mut client =
        Client { metadata: header.metadata, edns: false, dnssec_ok: false, payload: UDP_PLAIN };
    let turn_down = |client, query, code| Parsed::Refused(Refusal { client, query, code });
    if header.op_code != OpCode::Query {
        return turn_down(client, None, ResponseCode::NotImp);
    }
    if header.counts.queries != 1 {
        return turn_down(client, None, ResponseCode::FormErr);
    }
    let Ok(query) = Query::read(&mut decoder) else {
        return turn_down(client, None, ResponseCode::FormErr);
    };
    let Ok(edns) = rest(&header, &mut decoder) else {
        return turn_down(client, Some(query), ResponseCode::FormErr);
    };
    if let Some(edns) = &edns {
        client.edns = true;
        client.dnssec_ok = edns.flags().dnssec_ok;
        client.payload = edns.max_payload();
    }
    match verdict(&query, edns.as_ref()) {
        Some(code) => turn_down(client, Some(query), code),
        None => Parsed::Ask(Ask { client, query }),
    }
}

/// Reads what follows the question, of which only EDNS matters.
fn rest(header: &Header, decoder: &mut BinDecoder<'_>) -> Result<Option<Edns>, DecodeError> {
    let counts = header.counts;
    for count in [counts.answers, counts.authorities] {
        Message::read_records(decoder, count.into(), false, header.op_code)?;
    }
    let (_, edns, _) =
        Message::read_records(decoder, counts.additionals.into(), true, header.op_code)?;
    Ok(edns)
}

/// Why a question is not answered, if it is not.
fn verdict(query: &Query, edns: Option<&Edns>) -> Option<ResponseCode> {
    if edns.is_some_and(|edns| edns.version() > 0) {
        return Some(ResponseCode::BADVERS);
    }
    if query.query_class != DNSClass::IN {
        return Some(ResponseCode::Refused);
    }
    match query.query_type {
        RecordType::AXFR | RecordType::IXFR => Some(ResponseCode::Refused),
        RecordType::OPT | RecordType::ZERO | RecordType::TSIG => Some(ResponseCode::FormErr),
        _ => None,
    }
}
