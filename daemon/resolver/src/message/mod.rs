//! Bytes to questions, and answers to bytes.

mod encode;
mod parse;
mod relay;

pub(crate) use encode::{Reply, refuse};
pub(crate) use parse::{Ask, Client, Parsed, Refusal, parse};
pub(crate) use relay::{AnswerError, Relayed, check, relay};

/// The largest UDP payload that passes every path unfragmented (DNS flag day 2020); what
/// we take, and the most that we send.
pub(crate) const UDP_MAX: u16 = 1232;
/// What a client without EDNS takes (RFC 1035 §2.3.4).
pub(crate) const UDP_PLAIN: u16 = 512;

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// In one datagram; so is the answer.
    Udp,
    /// With its length in front.
    Tcp,
}

#[cfg(test)]
mod tests;
