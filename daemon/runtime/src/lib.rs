//! The daemon put together: configuration, the ledger, the reconciler, wiring, shutdown.

mod backend;
mod cluster;
mod daemon;
mod ledger;
mod names;
mod notify;
mod predefined;
mod settings;

pub use daemon::main;
pub use ledger::{Ledger, LedgerOptions};
pub use settings::{Arguments, Settings, SettingsError};
