//! What people type, read once into what the API takes.
//!
//! Only what the command line adds of its own is judged here: the shorthand of ports,
//! pairs, filters and times, and which gateway belongs to which subnet. Whether a value
//! makes sense is the daemon's to say.

pub(crate) mod filter;
pub(crate) mod flow;
mod kubernetes;
pub(crate) mod messages;
pub(crate) mod names;
pub(crate) mod pairs;
pub(crate) mod policies;
pub(crate) mod ports;
pub(crate) mod subnets;
pub(crate) mod time;
