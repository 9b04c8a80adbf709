//! nftables: tables named `postern`, in the host's namespace with constant rules over sets
//! and maps.
//!
//! | table | what its rules do |
//! |---|---|
//! | `inet` | published ports, source addresses, policies, what may be forwarded, what is told of it |
//! | `bridge` | endpoints send from their own addresses only |
//! | `ip`, in each sandbox | the way to its resolver |
//!
//! The rules are loaded once, by `nft`; see [`Nft::load_base`]. Every later change is of
//! elements, over netlink, at a cost that does not depend on how many there are; see
//! [`Nft::commit`]. No other table is touched, and where the kernel can keep tables for one
//! process, nobody else touches these.

mod batch;
mod bytes;
mod chain;
mod client;
mod codec;
mod comment;
mod commit;
mod dump;
mod error;
mod expr;
mod maps;
mod notice;
mod owner;
mod raw;
pub(crate) mod redirect;
mod rules_bridge;
mod rules_flows;
mod rules_inet;
mod rules_policy;
mod schema;
mod script;
pub(crate) mod socket;
mod transact;

pub use client::{Nft, Submitted};
pub use error::{Action, NftError};
pub(crate) use notice::{EVENTS_GROUP, is_about_ours};
pub use schema::TABLE;
