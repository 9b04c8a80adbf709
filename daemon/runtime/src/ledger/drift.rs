//! What should be and what is drift apart: it is noticed, repaired and told.

use std::future::pending;
use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use postern_kernel::{Kernel, Suspicion, Watch};
use postern_model::event::{Action, ObjectKind};
use postern_model::name::Labels;
use postern_model::plan::Plan;
use postern_model::resource::Owner;
use postern_server::Repair;
use tokio::time::{Instant, sleep, sleep_until};

use super::reconcile::Repairs;
use super::{Draft, Ledger, now};

/// How often everything is compared when nothing seems to be wrong. It costs a listing of
/// all that is ours, and calls wait meanwhile.
const FULL_CHECK: Duration = Duration::from_secs(300);
/// After a repair that failed, another one; then each time after twice as long.
const RETRY: Duration = Duration::from_millis(250);
/// Who deletes one thing deletes another: what comes within this time is repaired at once.
const GATHER: Duration = Duration::from_millis(10);
/// So many times as long as the last repair took, notices alone cause no other: somebody
/// who goes on deleting must not have calls wait all the time.
const REST: u32 = 4;

/// Why everything is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A change of ours failed in the kernel.
    Failure,
    /// The kernel told of somebody else's.
    Notice,
    /// It is time.
    Check,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Notice => "notice",
            Self::Check => "check",
        }
    }
}

impl<K: Kernel> Ledger<K> {
    /// Repairs whenever a change failed in the kernel or somebody else changed something of
    /// ours, soon again where that did not go well, and now and then in any case. Ends only
    /// with the task it runs in.
    pub(crate) async fn keep_repaired(self, mut watch: Option<Watch>) {
        let mut pause = FULL_CHECK;
        let mut rested = Instant::now();
        loop {
            let cause = self.cause(&mut watch, Instant::now() + pause).await;
            if cause == Cause::Notice {
                sleep_until(rested.max(Instant::now() + GATHER)).await;
                while let Some(Ok(_)) = next(&mut watch).now_or_never() {}
            }
            let begun = Instant::now();
            let whole = self.repair_because(cause).await;
            rested = Instant::now() + begun.elapsed() * REST;
            pause = match whole {
                true => FULL_CHECK,
                false if pause == FULL_CHECK => RETRY,
                false => FULL_CHECK.min(pause * 2),
            };
        }
    }

    /// Begins to hear what others do. To be called before what is in the kernel is taken
    /// over: from then on nothing that is deleted goes unheard.
    pub(crate) fn watch(&self) -> Option<Watch> {
        if !self.0.options.watch_drift {
            return None;
        }
        let opened = self.0.kernel.watch();
        opened
            .inspect_err(|error| tracing::error!(%error, "drift is not noticed, only looked for"))
            .ok()
    }

    async fn cause(&self, watch: &mut Option<Watch>, deadline: Instant) -> Cause {
        loop {
            tokio::select! {
                () = self.0.failed.notified() => return Cause::Failure,
                () = sleep_until(deadline) => return Cause::Check,
                found = next(watch) => match found {
                    Ok(Suspicion::Gone(owner)) if !self.has(owner) => {}
                    Ok(Suspicion::AddressGone(ip)) if !self.has_address(ip) => {}
                    Ok(_) => return Cause::Notice,
                    Err(error) => {
                        tracing::error!(%error, "drift is not noticed any more");
                        sleep(RETRY).await;
                        *watch = self.watch();
                        // What happened meanwhile nobody knows.
                        return Cause::Notice;
                    }
                },
            }
        }
    }

    /// Whether something of this owner's should be there.
    fn has(&self, owner: Owner) -> bool {
        let state = self.0.state();
        let topology = state.topology();
        match owner {
            Owner::Network(id) => topology.network(id).is_some(),
            Owner::Endpoint(id) => topology.endpoint(id).is_some_and(|e| e.attachment.is_some()),
            Owner::Sandbox(id) => topology.sandbox(id).is_some(),
        }
    }

    /// Whether some link should have this address.
    fn has_address(&self, ip: IpAddr) -> bool {
        let state = self.0.state();
        state.policies().endpoint_at(ip).is_some() || state.topology().is_gateway(ip)
    }

    /// Compares and repairs; false if something is left to be done.
    async fn repair_because(&self, cause: Cause) -> bool {
        match self.repair().await {
            Ok(Repairs { done, failed }) => {
                if !done.is_empty() {
                    self.tell_of_repair(cause, done).await;
                }
                failed.is_empty()
            }
            Err(refusal) => {
                tracing::error!(%refusal, "the kernel cannot be compared");
                false
            }
        }
    }

    /// Logs a repair, keeps it for `GetDrift`, and tells watchers.
    async fn tell_of_repair(&self, cause: Cause, done: Plan) {
        let core = &*self.0;
        let (steps, cause) = (done.changes(), cause.as_str());
        tracing::warn!(steps, cause, "drift repaired");
        *core.last_repair() = Some(Repair { time: now(), plan: done });
        let _moving = core.standstill.read().await;
        let draft = Draft {
            kind: ObjectKind::Kernel,
            action: Action::Repaired,
            uid: String::new(),
            name: "kernel".to_owned(),
            attributes: Labels::from([
                ("cause".to_owned(), cause.to_owned()),
                ("steps".to_owned(), steps.to_string()),
            ]),
            request: None,
        };
        match core.commit(vec![draft], &Plan::default(), |_| Vec::new()) {
            Ok(mut committed) => {
                let told = core.realize(&mut committed).await;
                core.settle(committed);
                told.map(drop)
            }
            Err(refusal) => Err(refusal),
        }
        .unwrap_or_else(|refusal| tracing::error!(%refusal, "a repair is not told"));
    }
}

async fn next(watch: &mut Option<Watch>) -> std::io::Result<Suspicion> {
    match watch {
        Some(watch) => watch.next().await,
        None => pending().await,
    }
}
