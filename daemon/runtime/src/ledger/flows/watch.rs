//! The flows of one watcher.

use futures::Stream;
use futures::stream::unfold;
use postern_kernel::Kernel;
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::intent::{FlowsOf, WatchFlows};
use postern_model::policy::FlowVerdict;
use postern_model::refusal::{Class, Refusal};
use postern_model::topology::Topology;
use postern_server::FlowItem;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::seen::{Member, Seen};
use super::{Demand, Told};
use crate::ledger::{Ledger, check};

/// Whose flows.
#[derive(Debug, Clone, Copy)]
enum Of {
    Sandbox(SandboxId),
    Endpoint(EndpointId),
    Network(NetworkId),
}

/// Which flows a watcher wants.
#[derive(Debug)]
struct Wanted {
    of: Option<Of>,
    dropped_only: bool,
    audit_only: bool,
}

/// Counts as a watcher for as long as it lives.
struct Watching<K: Kernel>(Ledger<K>);

struct Watcher<K: Kernel> {
    told: Receiver<Told>,
    wanted: Wanted,
    ended: bool,
    _watching: Watching<K>,
}

impl<K: Kernel> Ledger<K> {
    pub(crate) fn flows(
        &self,
        query: &WatchFlows,
    ) -> Result<impl Stream<Item = Result<FlowItem, Refusal>> + Send + 'static + use<K>, Refusal>
    {
        let wanted = Wanted::by(self.0.state().topology(), query)?;
        let told = self.0.flows.told.subscribe();
        let watcher = Watcher { told, wanted, ended: false, _watching: Watching::begin(self)? };
        Ok(unfold(watcher, |mut watcher| async {
            let item = watcher.next().await?;
            Some((item, watcher))
        }))
    }
}

impl<K: Kernel> Watching<K> {
    fn begin(ledger: &Ledger<K>) -> Result<Self, Refusal> {
        let watching = Self(ledger.clone());
        // Where it fails, what was counted is taken back as it is dropped.
        ledger.want_flows(|demand: &mut Demand| demand.watchers += 1)?;
        Ok(watching)
    }
}

impl<K: Kernel> Drop for Watching<K> {
    fn drop(&mut self) {
        let flows = &self.0.0.flows;
        flows.demand().watchers -= 1;
        flows.changed.notify_one();
    }
}

impl<K: Kernel> Watcher<K> {
    async fn next(&mut self) -> Option<Result<FlowItem, Refusal>> {
        while !self.ended {
            match self.told.recv().await {
                Ok(Told::Flow(seen)) if !self.wanted.has(&seen) => {}
                Ok(Told::Flow(seen)) => {
                    return Some(Ok(FlowItem::Flow(Box::new(seen.facts.clone()))));
                }
                Ok(Told::Lost(count)) | Err(RecvError::Lagged(count)) => {
                    return Some(Ok(FlowItem::Lost(count)));
                }
                Ok(Told::Failed) => {
                    self.ended = true;
                    let text = "the kernel's log of new flows failed";
                    return Some(Err(Refusal::new(Class::Unavailable, "FLOW_LOG_FAILED", text)));
                }
                Err(RecvError::Closed) => self.ended = true,
            }
        }
        None
    }
}

impl Wanted {
    fn by(topology: &Topology, query: &WatchFlows) -> Result<Self, Refusal> {
        let WatchFlows { of, dropped_only, audit_only } = query;
        let of = match of {
            None => Ok(None),
            Some(FlowsOf::Sandbox(name)) => check::sandbox(topology, name)
                .map(|found| Some(Of::Sandbox(found.id)))
                .map_err(|refusal| refusal.at("sandbox")),
            Some(FlowsOf::Endpoint(name)) => check::endpoint(topology, name)
                .map(|found| Some(Of::Endpoint(found.id)))
                .map_err(|refusal| refusal.at("endpoint")),
            Some(FlowsOf::Network(name)) => check::network(topology, name)
                .map(|found| Some(Of::Network(found.id)))
                .map_err(|refusal| refusal.at("network")),
        };
        Ok(Self { of: of?, dropped_only: *dropped_only, audit_only: *audit_only })
    }

    fn has(&self, seen: &Seen) -> bool {
        let is = |of: Of| {
            seen.members.iter().any(|member: &Member| match of {
                Of::Sandbox(id) => member.sandbox == Some(id),
                Of::Endpoint(id) => member.endpoint == id,
                Of::Network(id) => member.network == id,
            })
        };
        self.of.is_none_or(is)
            && !(self.dropped_only && seen.facts.verdict == FlowVerdict::Passed)
            && !(self.audit_only && seen.facts.audit.is_none())
    }
}
