//! What hosts that share networks agree on, kept in etcd (3.4 or later): there is no
//! consensus of our own.
//!
//! Every key begins with `/postern/<cluster>/v1/`, so that several clusters can share one
//! etcd, and a layout that this one could not read would have a prefix of its own.
//!
//! | key | value | for how long |
//! |---|---|---|
//! | `nodes/<node>` | a host: its name, its address in the underlay | its lease |
//! | `networks/<network>` | a network with its subnets and its VNI | until it is deleted |
//! | `names/<name>` | the uid of the network that has the name | as the network |
//! | `vnis/<number>` | the uid of the network that has the VNI | as the network |
//! | `blocks/<network>/<prefix>` | the host that gives addresses from the block | as the network |
//! | `endpoints/<network>/<endpoint>` | an endpoint with its sandbox and its host | its host's lease |
//! | `policies/<name>` | a policy | until it is deleted |
//!
//! A value is JSON, `{"v": 1, "d": …}`: `v` is the version that wrote it, and `r`, where it
//! is there, the oldest that can read it. What cannot be read, and keys of no known form,
//! are left alone, and counted.
//!
//! A block of addresses belongs to a host for as long as the network is there, not for its
//! lease: a host that is cut off goes on giving addresses from it, and nobody else may.
//!
//! | module | |
//! |---|---|
//! | [`layout`], [`record`] | keys and values as bytes |
//! | [`block`] | how a subnet is cut into blocks |
//! | [`mirror`] | what is there, and what changes |
//! | [`settings`], [`session`] | the connection: the lease, the watch, what is told |
//! | `claim`, `policies` | what is agreed on before it is done: networks, blocks, policies |

pub mod block;
mod claim;
mod error;
pub mod layout;
pub mod mirror;
mod policies;
pub mod record;
pub mod session;
pub mod settings;

pub use error::{ClusterError, SettingsError};
