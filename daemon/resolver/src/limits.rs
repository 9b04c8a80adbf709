//! What the resolver allows itself and its clients.

use std::path::PathBuf;
use std::time::Duration;

/// Bounds on work, time and memory. Each is a number a flood runs into before it harms
/// anybody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Questions of one sandbox that wait for servers at a time.
    pub forwards_per_sandbox: usize,
    /// Questions that are put to servers at a time, of all sandboxes.
    pub forwards: usize,
    /// TCP connections of one sandbox at a time.
    pub tcp_per_sandbox: usize,
    /// How long a TCP connection may take for its next question, to the last byte, and for
    /// taking an answer.
    pub tcp_idle: Duration,
    /// One try of one server.
    pub attempt: Duration,
    /// All tries of all servers for one question.
    pub total: Duration,
    /// Answers of servers that are kept, for all sandboxes.
    pub cache_entries: usize,
    /// The largest answer that is kept, in bytes on the wire.
    pub cache_answer_max: usize,
    /// The longest an answer is kept, whatever its TTL.
    pub cache_ttl_max: Duration,
    /// The longest the answer that there is nothing is kept.
    pub cache_negative_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            forwards_per_sandbox: 64,
            forwards: 1024,
            tcp_per_sandbox: 32,
            tcp_idle: Duration::from_secs(10),
            attempt: Duration::from_secs(2),
            total: Duration::from_secs(8),
            cache_entries: 4096,
            cache_answer_max: 8192,
            // RFC 8767 §4 and RFC 2308 §5: a day at most, three hours for what is not there.
            cache_ttl_max: Duration::from_secs(24 * 60 * 60),
            cache_negative_max: Duration::from_secs(3 * 60 * 60),
        }
    }
}

/// How a resolver is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverOptions {
    /// The host's resolv.conf(5), followed when it changes.
    pub host_file: PathBuf,
    /// The bounds.
    pub limits: Limits,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self { host_file: PathBuf::from("/etc/resolv.conf"), limits: Limits::default() }
    }
}
