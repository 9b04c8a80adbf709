//! What a driver's author uses without a daemon.
//!
//! A driver goes the way it goes in the daemon: the same inspection, compiler, limits and
//! calls of `postern-plugin`, the same admission of `postern-planner`. Only the views that
//! the daemon would make of its records come from a file.
//!
//! | module | what it does |
//! |---|---|
//! | [`project`] | makes the project of a new driver |
//! | [`load`] | loads a driver, and says what it is or why it is none |
//! | [`request`] | a request as a file has it, with what is left out filled in |
//! | [`ask`] | asks a driver, and admits its decision |
//! | [`outcome`] | what came of it, as JSON |
//! | [`case`] | requests with what is expected of them |
//! | [`timing`] | how long calls take |

pub mod ask;
pub mod case;
pub mod load;
pub mod outcome;
pub mod project;
pub mod request;
pub mod timing;

#[cfg(test)]
mod fixture;

pub use postern_model::driver::{Attach, Manifest, OptionScope};
pub use postern_model::grant::Grants;
pub use postern_plugin::{
    COMPILE_ARGUMENT, CompileChildError, Compiler, LogLine, compile_child_main,
};
