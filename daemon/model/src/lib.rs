//! The data of the daemon, and nothing else: no clock, no randomness, no environment,
//! no file and no network.
//!
//! | module | what it holds |
//! |---|---|
//! | [`id`], [`name`], [`mac`], [`port`] | validated scalars |
//! | [`dns`] | names as DNS has them, and what a sandbox is told of them |
//! | [`network`], [`sandbox`], [`endpoint`] | specs (what was asked) and records (what is) |
//! | [`topology`] | all records, their indexes, and the change that moves it on |
//! | [`driver`], [`grant`], [`decision`] | what a driver is, may, sees and answers |
//! | [`policy`] | who may talk to whom |
//! | [`cluster`] | what hosts that share networks know of each other |
//! | [`resource`], [`plan`] | what the kernel should hold, and the steps towards it |
//! | [`intent`], [`refusal`] | what clients ask, and why not |
//! | [`event`] | what watchers are told |
//! | [`versioned`] | how records are kept |

pub mod cluster;
pub mod decision;
pub mod dns;
pub mod driver;
pub mod endpoint;
pub mod event;
pub mod grant;
pub mod id;
pub mod intent;
pub mod mac;
pub mod name;
pub mod network;
pub mod plan;
pub mod policy;
pub mod port;
mod reference;
pub mod refusal;
pub mod resource;
pub mod sandbox;
pub mod time;
pub mod topology;
pub mod versioned;
