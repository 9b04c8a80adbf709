//! Who has to know what a name resolved to before the one who asked does.

use std::fmt::Debug;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData};
use postern_model::id::SandboxId;

/// What becomes of an answer: how many older addresses had to make room for it, or that it
/// must not be given.
pub type Admission<'a> = Pin<Box<dyn Future<Output = Result<usize, Withheld>> + Send + 'a>>;

/// The addresses of an answer could not be made reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withheld;

/// Lets answers of servers through, once their addresses may be reached. Our own names are
/// none of its business.
pub trait NameGate: Debug + Send + Sync {
    /// Whether answers to a sandbox for this name, in lower case and without a dot at its
    /// end, have to be let through. Asked for every question that goes to servers.
    fn concerns(&self, sandbox: SandboxId, name: &str) -> bool;

    /// Makes the addresses of an answer, each with its TTL, reachable for a sandbox. The
    /// answer waits for it, and is not given if that fails.
    fn admit(
        &self,
        sandbox: SandboxId,
        name: String,
        addresses: Vec<(IpAddr, Duration)>,
    ) -> Admission<'_>;
}

/// A name as rules have it: in lower case and without a dot at its end; none if it has
/// characters that no rule can.
pub(crate) fn plain(name: &Name) -> Option<String> {
    crate::answer::text(name)
}

/// The addresses that a message answers with, as old as it is. Aliases on the way to them
/// have no part in it: it is the name which was asked for that they answer.
pub(crate) fn addresses(bytes: &[u8], age: Duration) -> Vec<(IpAddr, Duration)> {
    let Ok(message) = Message::from_vec(bytes) else { return Vec::new() };
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    let left = |ttl: u32| Duration::from_secs(ttl.into()).saturating_sub(age);
    let records = message.answers.iter();
    records.filter_map(|record| Some((address(&record.data)?, left(record.ttl)))).collect()
}
