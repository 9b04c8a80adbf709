//! The event stream of one watcher: it reads the store at its own pace.

use std::collections::VecDeque;

use futures::Stream;
use futures::stream::unfold;
use postern_kernel::Kernel;
use postern_model::event::Event;
use postern_model::intent::WatchEvents;
use postern_model::refusal::{Class, Refusal};
use postern_server::EventItem;
use postern_store::EVENTS_KEPT;
use tokio::sync::watch::Receiver;

use super::{Ledger, outcome};

/// Events read from the store at once.
const BATCH: usize = 256;

struct Watcher<K> {
    ledger: Ledger<K>,
    query: WatchEvents,
    settled: Receiver<u64>,
    /// The last generation this watcher has been told of, or was not interested in.
    told: u64,
    ready: VecDeque<Result<EventItem, Refusal>>,
}

impl<K: Kernel> Ledger<K> {
    pub(crate) fn events(
        &self,
        query: WatchEvents,
    ) -> Result<impl Stream<Item = Result<EventItem, Refusal>> + Send + 'static + use<K>, Refusal>
    {
        let settled = self.0.feed.subscribe();
        let newest = *settled.borrow();
        let told = query.after.unwrap_or(newest);
        if told > newest {
            let text = format!("generation {told} lies in the future; the newest is {newest}");
            let refusal = Refusal::new(Class::OutOfRange, "GENERATION_IN_FUTURE", text);
            return Err(refusal.at("after_generation"));
        }
        let ledger = self.clone();
        let watcher = Watcher { ledger, query, settled, told, ready: VecDeque::new() };
        Ok(unfold(watcher, |mut watcher| async {
            let item = watcher.next().await?;
            Some((item, watcher))
        }))
    }
}

impl<K: Kernel> Watcher<K> {
    async fn next(&mut self) -> Option<Result<EventItem, Refusal>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            let settled = *self.settled.borrow_and_update();
            if settled > self.told {
                self.read(settled);
            } else {
                // The sender lives in the ledger; it is gone only with the daemon.
                self.settled.changed().await.ok()?;
            }
        }
    }

    /// Reads the next batch up to what is settled.
    fn read(&mut self, settled: u64) {
        let first_kept = settled.saturating_sub(EVENTS_KEPT - 1);
        let lost = self.told + 1 < first_kept;
        if lost {
            // From the beginning, nothing is missed that a reader could know of.
            if self.told > 0 {
                self.ready.push_back(Ok(EventItem::Lost { first_available: first_kept }));
            }
            self.told = first_kept - 1;
        }
        match self.ledger.0.store.events_after(self.told, BATCH) {
            Ok(events) => self.take(events, settled),
            Err(error) => {
                self.ready.push_back(Err(outcome::internal("STORE_FAILED", &error)));
                self.told = settled;
            }
        }
    }

    fn take(&mut self, events: Vec<Event>, settled: u64) {
        let full = events.len() == BATCH;
        let mut reached = settled;
        for event in events {
            if event.generation > settled {
                break;
            }
            if full {
                reached = event.generation;
            }
            if self.query.kinds.is_empty() || self.query.kinds.contains(&event.kind) {
                self.ready.push_back(Ok(EventItem::Event(event)));
            }
        }
        self.told = reached;
    }
}
