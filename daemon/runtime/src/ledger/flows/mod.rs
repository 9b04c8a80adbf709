//! New flows: who wants to know of them, and the one task that tells.
//!
//! The kernel is listened to only while somebody watches or some policy logs. The task reads,
//! judges and hands on; it waits for nobody. Who watches reads at his own pace from a queue
//! of bounded length, and is told how much he missed.

mod seen;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_kernel::Kernel;
use postern_kernel::flow_log::{Batch, FlowLog};
use postern_model::refusal::Refusal;
use tokio::sync::{Notify, broadcast};

use super::{Ledger, chain, now, outcome};
use seen::Seen;

/// The target of the lines that policies ask for.
pub(crate) const LOG_TARGET: &str = "postern::flow";
/// How far a watcher may be behind before he misses something.
const QUEUE: usize = 4096;

/// What watchers are told.
#[derive(Debug, Clone)]
enum Told {
    Flow(Arc<Seen>),
    /// So many were dropped by the kernel.
    Lost(u64),
    /// Nothing more will come.
    Failed,
}

/// Who wants to know of flows.
pub(super) struct Flows {
    demand: Mutex<Demand>,
    told: broadcast::Sender<Told>,
    /// Wakes the reading task to look at the demand.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Demand {
    watchers: usize,
    /// Some policy logs.
    logging: bool,
    /// The daemon ends.
    closed: bool,
    /// The task runs. It ends, and closes the kernel's log, under the lock.
    reading: bool,
    /// That nothing can be read has been logged.
    warned: bool,
}

impl Demand {
    const fn is_there(&self) -> bool {
        !self.closed && (self.watchers > 0 || self.logging)
    }
}

impl Default for Flows {
    fn default() -> Self {
        let told = broadcast::Sender::new(QUEUE);
        Self { demand: Mutex::default(), told, changed: Notify::new() }
    }
}

impl Flows {
    fn demand(&self) -> MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it all.
    pub(super) fn close(&self) {
        self.demand().closed = true;
        self.changed.notify_one();
    }
}

impl<K: Kernel> Ledger<K> {
    /// Sees to it that flows are read if some policy logs, and only then if nobody watches.
    pub(crate) fn log_flows(&self) {
        let logging = self.0.state().topology().policies().any(|policy| policy.spec.log);
        match self.want_flows(|demand| demand.logging = logging) {
            Ok(()) => self.0.flows.demand().warned = false,
            Err(refusal) => {
                let warned = std::mem::replace(&mut self.0.flows.demand().warned, true);
                if !warned {
                    tracing::warn!(%refusal, "flows cannot be logged as policies ask");
                }
            }
        }
    }

    /// Changes the demand, and begins to read if there is one now. When it returns, every
    /// new flow is seen.
    fn want_flows(&self, change: impl FnOnce(&mut Demand)) -> Result<(), Refusal> {
        let flows = &self.0.flows;
        let mut demand = flows.demand();
        change(&mut demand);
        if demand.is_there() && !demand.reading {
            let log = self.0.kernel.flow_log();
            let log = log.map_err(|error| outcome::of_flow_log(&error))?;
            demand.reading = true;
            tokio::spawn(self.clone().read_flows(log));
        }
        flows.changed.notify_one();
        Ok(())
    }

    /// Reads until nobody wants to know any more.
    async fn read_flows(self, mut log: FlowLog) {
        let flows = &self.0.flows;
        loop {
            let batch = tokio::select! {
                batch = log.next() => batch,
                () = flows.changed.notified() => Ok(Batch::default()),
            };
            let failed = batch.is_err();
            match batch {
                Ok(batch) => self.tell(batch),
                Err(error) => {
                    tracing::error!(error = chain(&error), "new flows cannot be read any more");
                    // An error means that nobody watches.
                    let _ = flows.told.send(Told::Failed);
                }
            }
            let mut demand = flows.demand();
            if failed || !demand.is_there() {
                drop(log);
                demand.reading = false;
                return;
            }
        }
    }

    fn tell(&self, batch: Batch) {
        let Batch { packets, lost } = batch;
        // An error means that nobody watches.
        let tell = |told| drop(self.0.flows.told.send(told));
        if lost > 0 {
            tell(Told::Lost(lost));
        }
        let time = now();
        for packet in packets {
            // Locked for each by itself, so that calls need not wait for all.
            let seen = seen::judge(&self.0.state(), &packet, time);
            let Some(seen) = seen else { continue };
            seen.log();
            tell(Told::Flow(Arc::new(seen)));
        }
    }
}
