//! Connection tracking: to end the flows that a change forbids.
//!
//! A packet of a known flow is not judged anew. So whoever revokes something removes the
//! elements first and then ends the flows; the other way round, a packet in between would
//! bring its flow back.

mod client;
mod select;
mod wire;

pub use client::{Conntrack, ConntrackError, Tracked};
