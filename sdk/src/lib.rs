//! What a Postern network driver is written with.
//!
//! A driver answers one question: what should exist for this network, for this endpoint?
//! It is a library crate of type `cdylib` built for `wasm32-unknown-unknown`; the module
//! that `cargo build` leaves is what the daemon loads.
//!
//! ```
//! use postern_sdk::{
//!     Context, Driver, EndpointDecision, EndpointView, Fault, Manifest, NetworkDecision,
//!     NetworkView,
//! };
//!
//! struct Quiet;
//!
//! impl Driver for Quiet {
//!     fn describe() -> Manifest {
//!         Manifest::new("quiet", env!("CARGO_PKG_VERSION"), "Networks without any link")
//!             .without_addressing()
//!     }
//!
//!     fn network(_: &Context, _: &NetworkView) -> Result<NetworkDecision, Fault> {
//!         Ok(NetworkDecision::default())
//!     }
//!
//!     fn endpoint(
//!         _: &Context,
//!         _: &NetworkView,
//!         _: &EndpointView,
//!     ) -> Result<EndpointDecision, Fault> {
//!         Ok(EndpointDecision::default())
//!     }
//! }
//!
//! postern_sdk::export_driver!(Quiet);
//! # fn main() {}
//! ```
//!
//! The crate builds for the author's own machine too, where the export is left out and
//! the log goes to standard error: a driver's tests are ordinary `cargo test`, and
//! [`testing`] has views for them. `postern driver new` makes a project to start from,
//! `docs/driver-tutorial.md` goes through it.
//!
//! A driver whose networks the hosts of a cluster share implements [`MultiHostDriver`] as well,
//! and is exported with [`export_multi_host_driver!`]: it says what reaches an endpoint on
//! another host. What bridges have in common is in [`bridge`].
//!
//! A driver's memory comes from an arena of the SDK's, as a driver lives for one call; without the feature `arena` the global allocator is
//! the author's to choose.
//!
//! The types are those of the WIT contract, `wit/driver.wit`, which documents every field.
//! What is added to them here only makes them shorter to write.

#[cfg(any(test, all(feature = "arena", target_arch = "wasm32")))]
mod arena;
#[doc(hidden)]
pub mod bindings;
pub mod bridge;
mod decision;
mod driver;
mod fault;
mod manifest;
mod view;

pub mod log;
pub mod testing;

#[cfg(all(feature = "arena", target_arch = "wasm32"))]
#[global_allocator]
static MEMORY: arena::Arena = arena::Arena::new();

pub use bindings::peers::exports::postern::driver::peers::{
    Forwarding, Neighbour, PeerDecision, PeerView, Reach,
};
pub use bindings::postern::driver::types::{
    Address, AdoptLink, Attach, BridgeLink, Capability, Context, Desired, EndpointDecision,
    EndpointView, Entry, Family, Fault, Filter, Link, LinkKind, MacvlanLink, MacvlanMode, Manifest,
    Masquerade, NetworkDecision, NetworkView, OptionScope, OptionSpec, PortBinding, Protocol,
    Route, Side, SubnetView, Sysctl, TunnelView, VethLink, Violation, VxlanLink,
};
pub use driver::{Driver, Exported, MultiHostDriver};
