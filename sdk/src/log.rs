//! Lines for the daemon's log; natively, for standard error.
//!
//! A call has 64 lines of up to 1 KiB; what exceeds that is cut or dropped.

pub use crate::bindings::postern::driver::log::Level;

/// Writes one line.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::postern::driver::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Writes a line for the driver's author.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes an ordinary line.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes a line about something odd.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes a line about something that failed.
pub fn error(message: &str) {
    write(Level::Error, message);
}
