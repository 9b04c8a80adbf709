//! Servers of others: each is asked in turn until one knows.

mod flights;
mod health;
mod transport;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hickory_proto::op::Query;
use hickory_proto::rr::{Name, RecordType};
use tokio::time::timeout;

pub(crate) use flights::{Boarding, Flights, Landed, Seated, Take};
pub(crate) use health::Health;
use transport::{AskError, ask};

use crate::counters::Tally;
use crate::limits::Limits;
use crate::message::{AnswerError, Relayed};

/// What is asked of servers: all that their answer depends on. Of class IN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// In any letters.
    pub(crate) name: Name,
    /// The type.
    pub(crate) record_type: RecordType,
    /// Whether DNSSEC's records are wanted.
    pub(crate) dnssec_ok: bool,
    /// Whether the server is not to check them.
    pub(crate) checking_disabled: bool,
}

impl Question {
    /// As it stands in a message.
    pub(crate) fn query(&self) -> Query {
        Query::query(self.name.clone(), self.record_type)
    }
}

/// A question and the servers it is put to, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// At least one.
    pub(crate) servers: Arc<[SocketAddr]>,
    /// The question.
    pub(crate) question: Question,
}

/// Asks the servers of a list until one answers finally; those that kept silent once more.
/// None if no server answered.
pub(crate) async fn resolve(
    key: &Key,
    limits: &Limits,
    tally: &Tally,
    health: &Health,
    turn_to: impl Fn(SocketAddr),
) -> Option<(Arc<[u8]>, Relayed)> {
    let rounds = async {
        let mut servers = health.order(&key.servers, Instant::now());
        for _ in 0..2 {
            let mut silent = Vec::new();
            for server in servers {
                turn_to(server);
                match ask(server, &key.question, limits.attempt).await {
                    Ok((bytes, relayed)) => {
                        health.answers(server);
                        return Some((bytes.into(), relayed));
                    }
                    Err(error) => {
                        tracing::debug!(%server, %error, "a name server did not answer");
                        if note(tally, &error) {
                            health.is_silent(server, Instant::now());
                            silent.push(server);
                        }
                    }
                }
            }
            servers = silent;
        }
        None
    };
    timeout(limits.total, rounds).await.ok().flatten()
}

/// Counts a failure; true if the server may answer when it is asked again.
fn note(tally: &Tally, error: &AskError) -> bool {
    match error {
        AskError::Timeout => {
            tally.upstream_timeouts.add();
            true
        }
        AskError::Io(_) => {
            tally.upstream_errors.add();
            true
        }
        AskError::Encode(_) | AskError::Answer(_) => {
            tally.upstream_errors.add();
            false
        }
    }
}

impl From<AnswerError> for AskError {
    fn from(error: AnswerError) -> Self {
        Self::Answer(error)
    }
}
