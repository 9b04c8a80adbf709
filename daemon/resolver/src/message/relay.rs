//! What a server said, checked, and passed on to a client.

use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

use super::{Ask, Reply, Transport};

/// Why a server's message is not an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// It is to another question: perhaps somebody's forgery, so the right one may follow.
    #[error("it answers another question")]
    Other,
    /// It is to this question, and cannot be read.
    #[error("it cannot be read")]
    Unreadable,
    /// The server does not know, and another one may.
    #[error("the server says {0}")]
    Refused(ResponseCode),
    /// It was cut, and comes whole by TCP.
    #[error("it is cut")]
    Truncated,
}

/// A server's final word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// How long it holds; none if it is not to be kept.
    pub(crate) ttl: Option<Duration>,
    /// Whether it says that there is nothing.
    pub(crate) negative: bool,
}

/// Whether a server's message answers the question of this id.
pub(crate) fn check(bytes: &[u8], id: u16, query: &Query) -> Result<Relayed, AnswerError> {
    if bytes.get(..2) != Some(&id.to_be_bytes()) {
        return Err(AnswerError::Other);
    }
    let message = Message::from_vec(bytes).map_err(|_| AnswerError::Unreadable)?;
    if message.message_type != MessageType::Response {
        return Err(AnswerError::Other);
    }
    let failed = !matches!(message.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    // Who cannot read a question may leave it out.
    let same = match message.queries.as_slice() {
        [] => failed,
        [asked] => asked == query,
        _ => false,
    };
    match message.response_code {
        _ if !same => Err(AnswerError::Other),
        code if failed => Err(AnswerError::Refused(code)),
        _ if message.truncation => Err(AnswerError::Truncated),
        _ => Ok(relayed(&message)),
    }
}

fn relayed(message: &Message) -> Relayed {
    let wanted = message.queries.first().map(|query| query.query_type);
    let has = message
        .answers
        .iter()
        .any(|record| wanted == Some(RecordType::ANY) || wanted == Some(record.record_type()));
    let negative = !has || message.response_code == ResponseCode::NXDomain;
    let of = |record: &Record| record.ttl;
    let records = message.answers.iter().chain(&message.authorities);
    let shortest = records.chain(&message.additionals).map(of).min();
    let seconds = if negative { negative_ttl(message).min(shortest) } else { shortest };
    Relayed { ttl: seconds.map(|s| Duration::from_secs(s.into())), negative }
}

/// How long nothing holds (RFC 2308 §5).
fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    })
}

/// Writes a server's answer, as old as it is, for a client; true if it was cut.
pub(crate) fn relay(
    ask: &Ask,
    bytes: &[u8],
    age: Duration,
    transport: Transport,
    out: &mut Vec<u8>,
) -> bool {
    let limit = ask.client.limit(transport);
    let Ok(mut message) = Message::from_vec(bytes) else {
        let code = ResponseCode::ServFail;
        return Reply::bare(&ask.client, Some(&ask.query), code).encode(limit, out);
    };
    let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
    let Message { answers, authorities, additionals, .. } = &mut message;
    for record in answers.iter_mut().chain(authorities).chain(additionals) {
        record.decrement_ttl(age);
        // The client's letters, which also makes the name a mere pointer to the question.
        if record.name == ask.query.name {
            record.name.clone_from(&ask.query.name);
        }
    }
    let asked = &ask.client.metadata;
    let reply = Reply {
        client: &ask.client,
        query: Some(&ask.query),
        code: message.response_code,
        authoritative: false,
        authentic: message.authentic_data && (asked.authentic_data || ask.client.dnssec_ok),
        answers: &message.answers,
        authorities: &message.authorities,
        additionals: &message.additionals,
    };
    reply.encode(limit, out)
}
