//! The host of WASM drivers: load, limits, calls, registry.
//!
//! A driver is a WebAssembly component that answers questions about networks and endpoints
//! (the contract is `sdk/wit/driver.wit`). It is given nothing but the question and a log:
//! no WASI, no clock, no randomness. Each call runs in an instance of its own, made for it
//! and dropped after it, so that nothing outlives a call, a crash included.
//!
//! | step | where |
//! |---|---|
//! | size, form, imports and contract version of the bytes | `inspect` |
//! | compiled, in a child process with limits of its own | `compile` |
//! | kept on disk | `cache`, `disk` |
//! | checked against the contract once, and registered | `host` |
//! | kept where it was installed | `modules` |
//! | called, under every limit | `driver`, `call`, `engine` |
//! | not called any more after faults in a row | `health` |
//! | shown the model's views; its answer parsed into the model | `view`, `answer` |
//!
//! What comes back is well-formed, with bounded sizes. Whether it is *admissible* (names of
//! others, capabilities, addresses) is not decided here.

mod answer;
mod built_in;
mod cache;
mod call;
mod compile;
mod configure;
mod contract;
mod digest;
mod disk;
mod driver;
mod engine;
mod gate;
mod health;
mod host;
mod inspect;
mod limits;
mod modules;
mod signature;
mod view;

#[cfg(test)]
mod tests;

pub use cache::CacheError;
pub use call::{CallError, Fault, LogLevel, LogLine, Usage};
pub use compile::{
    COMPILE_ARGUMENT, CompileChildError, CompileError, Compiler, compile_child_main,
};
pub use configure::InvalidLimit;
pub use digest::digest;
pub use driver::{LoadedDriver, Observed};
pub use health::{Counters, Rest};
pub use host::{DriverHost, HostOptions, LoadError, OpenError, Prepared};
pub use inspect::InspectError;
pub use limits::{Limit, LimitHit, Limits, Quarantine};
pub use modules::{ModuleError, Modules};
pub use signature::{KeyError, Keys};
