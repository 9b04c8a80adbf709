//! rtnetlink: messages from `rtnetlink`'s builders, sent and read by a blocking socket.
//!
//! A request is answered before `send` returns, so that an asynchronous connection, its
//! task and its channels would cost several times what the request does. The blocking
//! socket also serves a sandbox's namespace, where it is opened by a thread that went
//! there, and it is never left half-way by a future that is dropped.

mod address;
mod link;
mod macvlan;
mod namespace_id;
mod route;
mod socket;
mod vxlan;

pub(crate) use address::AddressRecord;
pub(crate) use link::{LinkKind, LinkRecord};
pub(crate) use namespace_id::NamespaceIds;
pub use socket::NetlinkError;
pub(crate) use socket::{Socket, turn};
pub(crate) use vxlan::{ForwardingRecord, NeighbourRecord};
