//! DNS for sandboxes: what shares a network is known by its names, what a sandbox is linked
//! to by its alias, and everything else is asked of servers outside.
//!
//! Who asks is told by the socket that a question came through, never by what is in it.
//!
//! | module | what it does |
//! |---|---|
//! | `resolver` | [`Resolver`], as the rest of the daemon sees it |
//! | `directory` | names and addresses by network, and each sandbox's view; pure |
//! | `answer` | a question and who asks it, to an answer of our own or none; pure |
//! | `message` | bytes to questions, answers to bytes; sizes, EDNS; pure |
//! | `serve` | the loops over UDP and TCP, and the way of one message |
//! | `gate` | whoever must know what a name resolved to first |
//! | `upstream` | other servers: in turn, once for many, by TCP where an answer is cut |
//! | `cache` | what servers said, while it holds |
//! | `host_file` | the host's servers |
//! | `limits`, `counters` | [`Limits`] and [`Counters`] |

mod answer;
mod cache;
mod counters;
mod directory;
#[cfg(test)]
mod fixture;
mod gate;
mod host_file;
mod limits;
mod message;
mod resolver;
mod serve;
mod upstream;

pub use counters::Counters;
pub use gate::{Admission, NameGate, Withheld};
pub use limits::{Limits, ResolverOptions};
pub use resolver::Resolver;
