//! The harness of the whole-system tests: the built daemon, started in a network and a
//! mount namespace of its own, with a real kernel under it and real sockets around it.
//!
//! ```no_run
//! use postern_tests::{World, ask};
//!
//! World::run(async |world| {
//!     world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
//!     let web = world.api.create_sandbox("web").await.unwrap();
//!     assert!(web.netns_path.starts_with("/run"));
//! });
//! ```
//!
//! Everything is done on one thread per test, because a namespace belongs to a thread:
//! sockets, files and processes made by the test's thread are in its world. What has to
//! happen elsewhere (in a sandbox, outside) goes through [`Netns::enter`].
//!
//! The daemon and the command line are taken from the folder the tests were built into;
//! `cargo build -p posternd -p postern-cli` puts them there. Root is needed.

pub mod ask;
pub mod command;
pub mod dns;
pub mod driver;
pub mod traffic;

mod api;
mod daemon;
mod dynamic;
mod etcd;
pub mod etcd_json;
mod foreign;
mod hosts;
mod kernel;
mod netns;
mod refusal;
mod world;

pub use api::{Api, EventStream, labels};
pub use command::Finished;
pub use daemon::Daemon;
pub use dynamic::Reflection;
pub use etcd::Etcd;
pub use hosts::{Host, Hosts, LEASE, MIDDLE};
pub use kernel::{OwnLink, Snapshot};
pub use netns::Netns;
pub use refusal::Refusal;
pub use world::{HOST4, HOST6, OUTSIDE4, OUTSIDE6, World};
