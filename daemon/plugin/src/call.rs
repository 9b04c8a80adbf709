//! What surrounds one call: what the store holds, how an error is told apart.

use std::any::Any;
use std::fmt;
use std::time::{Duration, Instant};

use wasmtime::{Error, ResourceLimiter, Trap};

use crate::contract::v0_1::{Fault as WitFault, log, types};
use crate::health::Rest;
use crate::limits::{Limit, LimitHit, Limits};

/// Why a driver gave no decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The driver says no; for the client to see. The driver is in order.
    #[error("{0}")]
    Fault(Fault),
    /// It used more than it may.
    #[error("the driver hit its {0}")]
    Limit(LimitHit),
    /// It crashed.
    #[error("the driver crashed: {message}")]
    Trap {
        /// The trap, and the driver's last error line if it left one.
        message: String,
    },
    /// It answered, but not with a decision.
    #[error("the driver's answer is not valid: {path}: {reason}")]
    BadDecision {
        /// Where in the answer, as `resources[3].link.mac`.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// It failed before, and is not asked for a while.
    #[error("the driver is in quarantine for {} s: {}", .0.left.as_secs(), .0.reason)]
    Quarantined(Rest),
    /// The host failed, not the driver.
    #[error("the driver could not be called: {reason}")]
    Host {
        /// How.
        reason: String,
    },
}

/// What a driver itself says against a request. Texts are short and without control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A field of the request is wrong.
    #[error("{field}: {description}")]
    Invalid {
        /// The field as the API names it.
        field: String,
        /// What is wrong.
        description: String,
    },
    /// The driver cannot do what is asked.
    #[error("not supported by the driver: {0}")]
    Unsupported(String),
    /// What is asked contradicts an earlier decision.
    #[error("in conflict with an earlier decision: {0}")]
    Conflict(String),
    /// The driver is at fault.
    #[error("internal error of the driver: {0}")]
    Internal(String),
}

impl Fault {
    pub(crate) fn of(fault: &WitFault, limits: &Limits) -> Self {
        let tidy = |text: &str| tidy(text, limits.string_bytes);
        match fault {
            WitFault::Invalid(violation) => Self::Invalid {
                field: tidy(&violation.field),
                description: tidy(&violation.description),
            },
            WitFault::Unsupported(text) => Self::Unsupported(tidy(text)),
            WitFault::Conflict(text) => Self::Conflict(tidy(text)),
            WitFault::Internal(text) => Self::Internal(tidy(text)),
        }
    }
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For the driver's author.
    Debug,
    /// Ordinary.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// A line that a driver wrote to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How grave it is.
    pub level: LogLevel,
    /// What it says, cut to the limit.
    pub message: String,
}

/// What a call took and left, besides its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Units of fuel, of those that [`Limits::fuel`] allows; the same on every machine.
    pub fuel: u64,
    /// The lines of the driver, as far as it may write some.
    pub lines: Vec<LogLine>,
    /// How many lines were more than it may write.
    pub lines_dropped: usize,
}

/// Cut to so many bytes and without control characters, as a log or a terminal can take it.
pub(crate) fn tidy(text: &str, max: usize) -> String {
    let cut = text.get(..text.floor_char_boundary(max)).unwrap_or_default();
    cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What the store of one call holds.
#[derive(Debug)]
pub(crate) struct CallState {
    driver: String,
    request: String,
    limits: Budget,
    memory_bytes: usize,
    lines_left: usize,
    lines_dropped: usize,
    line_bytes: usize,
    lines: Vec<LogLine>,
}

/// The part of [`Limits`] that the engine asks for.
#[derive(Debug, Clone, Copy)]
struct Budget {
    memory_bytes: usize,
    table_elements: usize,
    instances: usize,
    memories: usize,
    tables: usize,
}

impl CallState {
    pub(crate) fn new(driver: &str, request: &str, limits: &Limits) -> Self {
        Self {
            driver: driver.to_owned(),
            request: request.to_owned(),
            limits: Budget {
                memory_bytes: limits.memory_bytes,
                table_elements: limits.table_elements,
                instances: limits.instances,
                memories: limits.memories,
                tables: limits.tables,
            },
            memory_bytes: 0,
            lines_left: limits.log_lines,
            lines_dropped: 0,
            line_bytes: limits.log_bytes,
            lines: Vec::new(),
        }
    }

    /// The driver's name; empty while it is asked for it.
    pub(crate) fn driver(&self) -> &str {
        &self.driver
    }

    /// The request's id.
    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// How many lines went beyond the limit.
    pub(crate) const fn lines_dropped(&self) -> usize {
        self.lines_dropped
    }

    /// What the driver has written.
    pub(crate) fn into_usage(self, fuel: u64) -> Usage {
        Usage { fuel, lines: self.lines, lines_dropped: self.lines_dropped }
    }

    fn last_error(&self) -> Option<&str> {
        let mut errors = self.lines.iter().rev().filter(|line| line.level == LogLevel::Error);
        errors.next().map(|line| line.message.as_str())
    }

    fn write(&mut self, level: log::Level, message: &str) {
        if self.lines_left == 0 {
            self.lines_dropped += 1;
            return;
        }
        self.lines_left -= 1;
        let (driver, request) = (self.driver.as_str(), self.request.as_str());
        let message = tidy(message, self.line_bytes);
        let level = match level {
            log::Level::Debug => {
                tracing::debug!(driver, request, "{message}");
                LogLevel::Debug
            }
            log::Level::Info => {
                tracing::info!(driver, request, "{message}");
                LogLevel::Info
            }
            log::Level::Warn => {
                tracing::warn!(driver, request, "{message}");
                LogLevel::Warn
            }
            log::Level::Error => {
                tracing::error!(driver, request, "{message}");
                LogLevel::Error
            }
        };
        self.lines.push(LogLine { level, message });
    }
}

impl log::Host for CallState {
    fn write(&mut self, level: log::Level, message: String) {
        Self::write(self, level, &message);
    }
}

impl types::Host for CallState {}

impl ResourceLimiter for CallState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Error> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The engine refuses it, so it is not to be counted.
            return Ok(false);
        }
        let together = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        let allowed = allow(Limit::MemoryBytes, self.limits.memory_bytes, together)?;
        self.memory_bytes = together;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, Error> {
        allow(Limit::TableElements, self.limits.table_elements, desired)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.tables
    }

    fn memories(&self) -> usize {
        self.limits.memories
    }
}

/// Ends the call rather than refuse the growth: a driver that goes on without the memory it
/// wanted ends in its allocator, and then nobody knows why.
fn allow(which: Limit, limit: usize, desired: usize) -> Result<bool, Error> {
    if desired <= limit {
        return Ok(true);
    }
    Err(Error::new(LimitHit::new(which, limit, Some(desired))))
}

/// Which part of a call went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Making the instance, which may run code of the driver.
    Instantiate,
    /// The call itself.
    Call,
}

impl Phase {
    /// The time it may take.
    pub(crate) const fn wall(self, limits: &Limits) -> Duration {
        match self {
            Self::Instantiate => limits.instantiate_wall,
            Self::Call => limits.call_wall,
        }
    }

    const fn limit(self) -> Limit {
        match self {
            Self::Instantiate => Limit::InstantiateWall,
            Self::Call => Limit::CallWall,
        }
    }
}

/// Sorts an error of the engine.
pub(crate) fn classify(
    error: &Error,
    phase: Phase,
    began: Instant,
    state: &CallState,
    limits: &Limits,
) -> CallError {
    if let Some(hit) = error.downcast_ref::<LimitHit>() {
        return CallError::Limit(hit.clone());
    }
    let unmeasured = |which, limit| CallError::Limit(LimitHit::new(which, limit, None));
    let message = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            let fuel = Some(limits.fuel);
            return CallError::Limit(LimitHit {
                which: Limit::Fuel,
                limit: limits.fuel,
                measured: fuel,
            });
        }
        Some(Trap::Interrupt) => {
            let hit = LimitHit::of_time(phase.limit(), phase.wall(limits), began.elapsed());
            return CallError::Limit(hit);
        }
        Some(Trap::StackOverflow) => return unmeasured(Limit::StackBytes, limits.stack_bytes),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    // None of the three has a type of its own in wasmtime's interface.
    if message.contains("too much data is being copied between the host and the guest") {
        return unmeasured(Limit::ResultBytes, limits.result_bytes);
    }
    if message.contains("store handle limit exceeded") {
        return unmeasured(Limit::Handles, limits.handles);
    }
    if let Some(count) =
        message.strip_prefix("resource limit exceeded: instance count too high at ")
    {
        let hit = LimitHit::new(Limit::Instances, limits.instances, count.parse().ok());
        return CallError::Limit(hit);
    }
    if phase == Phase::Instantiate && !error.is::<Trap>() {
        return CallError::Host { reason: format!("{error:#}") };
    }
    CallError::Trap {
        message: match state.last_error() {
            Some(line) => format!("{message}: {line}"),
            None => message,
        },
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the host panicked: {}", text.unwrap_or("without a text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(tidy("aä", 2), "a");
        assert_eq!(tidy("a\nb\u{1b}[0m", 16), "a b [0m");
    }

    #[test]
    fn lines_beyond_the_limit_are_counted() {
        let limits = Limits { log_lines: 2, ..Limits::default() };
        let mut state = CallState::new("d", "r", &limits);
        for _ in 0..5 {
            state.write(log::Level::Error, "x");
        }
        assert_eq!(state.lines_dropped(), 3);
    }
}
