//! What the resolver counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has been counted since the start, over all sandboxes.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        /// The counters while they are counted.
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: Count,)*
        }

        impl Tally {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Questions that were well formed.
    queries,
    /// Answered from our own records, and there was such a name.
    answered,
    /// Answered from our own records: there is no such name.
    negative,
    /// Answered from what servers said before.
    cached,
    /// Put to servers.
    forwarded,
    /// Waited for a question that was with a server already.
    coalesced,
    /// Answered SERVFAIL: no server, or none that answered.
    failed,
    /// Answered REFUSED because too many questions were waiting.
    refused,
    /// Answers whose addresses rules let be reached by name.
    admitted,
    /// Addresses that had to make room for newer ones of their name.
    evicted,
    /// Answered SERVFAIL because the addresses could not be made reachable.
    withheld,
    /// Neither class nor type nor operation of ours.
    unsupported,
    /// Not a question, or not DNS at all.
    malformed,
    /// Servers that did not answer in time.
    upstream_timeouts,
    /// Servers that could not be reached, or answered with an error or nonsense.
    upstream_errors,
    /// Questions that would have come back to the one who asked.
    loops,
    /// Answers over UDP that were cut.
    truncated,
    /// TCP connections taken.
    tcp_accepted,
    /// TCP connections closed at once because there were too many.
    tcp_rejected,
    /// TCP connections closed for what they sent, or for taking too long.
    tcp_closed,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
