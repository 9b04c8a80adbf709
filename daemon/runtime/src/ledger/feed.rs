//! Which generations may be told to watchers.
//!
//! The events themselves are in the store; a watcher reads them there at its own pace,
//! so that a slow one costs nothing and holds up nobody. What is kept here is only the
//! mark up to which they are true in the kernel.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

#[derive(Debug)]
struct Marks {
    /// Generations committed and not yet settled.
    pending: BTreeSet<u64>,
    newest: u64,
}

#[derive(Debug)]
pub(crate) struct Feed {
    marks: Mutex<Marks>,
    settled: watch::Sender<u64>,
}

impl Feed {
    pub(crate) fn new(generation: u64) -> Self {
        let marks = Marks { pending: BTreeSet::new(), newest: generation };
        Self { marks: Mutex::new(marks), settled: watch::Sender::new(generation) }
    }

    /// A change is committed; it may still be withdrawn.
    pub(crate) fn begin(&self, generation: u64) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.pending.insert(generation);
        marks.newest = marks.newest.max(generation);
    }

    /// A change is true in the kernel, or withdrawn. Watchers are told once every
    /// earlier one is settled too: they see changes in order.
    pub(crate) fn settle(&self, generation: u64) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.pending.remove(&generation);
        let settled = marks.pending.first().map_or(marks.newest, |first| first - 1);
        self.settled.send_replace(settled);
    }

    /// Follows the generation up to which everything is settled.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsettled_change_holds_back_later_ones() {
        let feed = Feed::new(7);
        let settled = feed.subscribe();
        feed.begin(8);
        feed.begin(9);
        feed.settle(9);
        assert_eq!(*settled.borrow(), 7);
        feed.settle(8);
        assert_eq!(*settled.borrow(), 9);
    }
}
