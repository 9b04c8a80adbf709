//! The way out: what a client is sent.

use hickory_proto::ProtoError;
use hickory_proto::op::{
    Edns, EmitAndCount, Header, Metadata, OpCode, Query, ResponseCode, emit_message_parts,
};
use hickory_proto::rr::Record;
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::{Client, Refusal, UDP_MAX};

/// Bytes of an OPT record without options.
const OPT_LENGTH: u16 = 11;

/// An answer to be encoded.
pub(crate) struct Reply<'a> {
    /// Who is answered.
    pub(crate) client: &'a Client,
    /// What was asked, in the client's letters.
    pub(crate) query: Option<&'a Query>,
    /// How it went.
    pub(crate) code: ResponseCode,
    /// Whether the records are our own.
    pub(crate) authoritative: bool,
    /// Whether a server vouches for the records.
    pub(crate) authentic: bool,
    /// What was asked for.
    pub(crate) answers: &'a [Record],
    /// Where it comes from, or why there is none.
    pub(crate) authorities: &'a [Record],
    /// What will be asked for next.
    pub(crate) additionals: &'a [Record],
}

impl<'a> Reply<'a> {
    /// No records, only how it went.
    pub(crate) fn bare(client: &'a Client, query: Option<&'a Query>, code: ResponseCode) -> Self {
        Self {
            client,
            query,
            code,
            authoritative: false,
            authentic: false,
            answers: &[],
            authorities: &[],
            additionals: &[],
        }
    }

    /// Writes the message over what is in `out`, in at most `limit` bytes; true if records
    /// had to be left out and the client is told so.
    pub(crate) fn encode(&self, limit: u16, out: &mut Vec<u8>) -> bool {
        let written = self.write(limit, out);
        written.unwrap_or_else(|_| {
            // Records of a server that cannot be written again are as if it had failed.
            let code = ResponseCode::ServFail;
            if Reply::bare(self.client, self.query, code).write(limit, out).is_err() {
                out.clear();
            }
            false
        })
    }

    fn write(&self, limit: u16, out: &mut Vec<u8>) -> Result<bool, ProtoError> {
        out.clear();
        let mut encoder = BinEncoder::new(out);
        let edns = self.client.edns.then(|| self.edns());
        let reserved = if edns.is_some() { OPT_LENGTH } else { 0 };
        encoder.set_max_size(limit.saturating_sub(reserved));
        let header = emit_message_parts(
            &self.metadata(),
            &mut self.query.iter().copied(),
            &mut self.answers.iter(),
            &mut self.authorities.iter(),
            &mut Last { records: self.additionals, limit },
            edns.as_ref(),
            None,
            &mut encoder,
        )?;
        Ok(header.truncation)
    }

    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::response_from_request(&self.client.metadata);
        metadata.recursion_available = true;
        metadata.authoritative = self.authoritative;
        metadata.authentic_data = self.authentic;
        metadata.response_code = self.code;
        metadata
    }

    fn edns(&self) -> Edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_MAX);
        edns.set_dnssec_ok(self.client.dnssec_ok);
        edns
    }
}

/// The additional section, as far as it fits: what is missing there was not asked for, so
/// the answer does not count as cut (RFC 2181 §9). Then the room kept for EDNS is opened.
struct Last<'a> {
    records: &'a [Record],
    limit: u16,
}

impl EmitAndCount for Last<'_> {
    fn emit(&mut self, encoder: &mut BinEncoder<'_>) -> Result<usize, ProtoError> {
        let written = match encoder.emit_all(self.records.iter()) {
            Err(ProtoError::NotAllRecordsWritten { count, .. }) => Ok(count),
            written => written,
        };
        encoder.set_max_size(self.limit);
        written
    }
}

/// Writes the answer to a question that is turned down.
pub(crate) fn refuse(refusal: &Refusal, limit: u16, out: &mut Vec<u8>) {
    let Refusal { client, query, code } = refusal;
    if client.metadata.op_code == OpCode::Query {
        Reply::bare(client, query.as_ref(), *code).encode(limit, out);
        return;
    }
    // An operation we do not know may have any form behind its header.
    let mut metadata = Metadata::response_from_request(&client.metadata);
    metadata.response_code = *code;
    out.clear();
    let header = Header { metadata, counts: Default::default() };
    if header.emit(&mut BinEncoder::new(out)).is_err() {
        out.clear();
    }
}
