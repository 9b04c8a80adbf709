//! New flows as the rules tell of them: the first packet of each, before anything was decided
//! about it.
//!
//! The rules hand the beginnings of such packets to one of the kernel's log groups
//! (`nflog`), so many in a second and no more. A [`FlowLog`] listens to it. What is not read
//! in time the kernel drops, and counts; no packet waits.

mod client;
mod packet;

use std::net::IpAddr;

use postern_model::policy::Selection;
use tokio::sync::mpsc;

pub use client::FlowLog;

/// The group that the rules log to.
pub const GROUP: u16 = 20561;
/// How much of a packet is logged, bytes: the longest headers of IPv4, or those of IPv6 with
/// some extensions, and the first bytes of what they carry.
pub(crate) const SNAPLEN: u32 = 128;
/// Most flows a second, of those by published ports and of the others.
pub(crate) const RATE: u32 = 1000;
/// How many may come at once.
pub(crate) const BURST: u32 = 2000;
/// The prefix of a flow that asks for the address it goes to.
pub(crate) const NEW: &str = "postern";
/// The prefix of one whose destination was translated.
pub(crate) const PUBLISHED: &str = "postern-published";

/// Where rules met a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the host itself.
    ToHost,
    /// From the host itself.
    FromHost,
    /// Through the host.
    Forwarded,
}

/// The first packet of a flow: its destination is translated already, its source is not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstPacket {
    /// Who sent it.
    pub from: IpAddr,
    /// Who is to have it.
    pub to: IpAddr,
    /// The sender's port; none where the protocol has no ports.
    pub source_port: Option<u16>,
    /// The protocol, and the port or ICMP type that is asked for; 0 where it has neither.
    pub what: Selection,
    /// It asked for a published port.
    pub published: bool,
    /// Where it was met.
    pub way: Way,
    /// Of TCP, and not what a connection begins with: its beginning was not tracked.
    pub mid_stream: bool,
}

/// What was logged since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In order.
    pub packets: Vec<FirstPacket>,
    /// How many more the kernel had, but dropped: nobody had read those before in time.
    pub lost: u64,
}

/// Who may say what a [`FlowLog`] of no kernel has.
pub(crate) type Teller = mpsc::UnboundedSender<Batch>;
