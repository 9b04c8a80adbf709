//! The ledger: sole owner of the topology.
//!
//! Every mutation goes one way: find and check → offer addresses and ports → ask the
//! driver → admit → commit (memory at once, and on its way to disk) → plan → kernel → reply,
//! which waits for both. One that fails after its commit is withdrawn: the records become
//! what they were, and the same planner finds what to remove.

mod ask;
mod attach;
mod change;
mod check;
mod counters;
mod detach;
mod drafts;
mod drift;
mod drivers;
mod endpoints;
mod explain;
mod feed;
mod flows;
mod folder;
mod gate;
mod holding;
mod install;
mod links;
mod locks;
mod network_forms;
mod networks;
mod outcome;
mod parent;
mod pending;
mod policies;
mod ports;
mod query;
mod reconcile;
mod requests;
mod sandboxes;
mod shared;
mod state;
mod watch;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use postern_kernel::Kernel;
use postern_model::event::{Action, Event, ObjectKind};
use postern_model::id::SandboxId;
use postern_model::name::Labels;
use postern_model::plan::{NamespaceRef, Plan};
use postern_model::refusal::{Class, Refusal};
use postern_model::sandbox::Sandbox;
use postern_model::time::Timestamp;
use postern_model::topology::{Change, Put, RequestRecord, Topology};
use postern_planner::policy::{Delta, NameLimits};
use postern_planner::pools::Pool;
use postern_plugin::DriverHost;
use postern_resolver::Resolver;
use postern_server::Repair;
use postern_store::{Store, Written};
use tokio::sync::{Notify, RwLock};
use uuid::Uuid;

pub(crate) use drivers::Installed;
pub(crate) use flows::LOG_TARGET;
pub(crate) use outcome::chain;
pub(crate) use requests::detached;

use crate::cluster::Membership;
use drafts::Drafts;
use feed::Feed;
use flows::Flows;
use locks::Locks;
use pending::Pending;
use state::State;

/// What the ledger is told by the configuration.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// Default address pools.
    pub pools: Vec<Pool>,
    /// Bytes, where a network says nothing.
    pub mtu: u32,
    /// Whether to repair what others change as soon as the kernel tells of it.
    pub watch_drift: bool,
    /// Where ports are published when a request names no address.
    pub publish_address: Option<IpAddr>,
    /// How what names stand for is kept.
    pub names: NameLimits,
    /// How long a freed address rests.
    pub address_rest: Duration,
    /// Where namespaces are pinned.
    pub namespace_dir: PathBuf,
    /// For `GetInfo`.
    pub state_dir: PathBuf,
    /// For `GetInfo`.
    pub run_dir: PathBuf,
}

/// The ledger; clones share it.
pub struct Ledger<K>(Arc<Core<K>>);

impl<K> Clone for Ledger<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Core<K> {
    state: Mutex<State>,
    /// Whether some policy reaches something by name: asked for every question that goes to
    /// name servers, which must not wait for the state.
    has_names: AtomicBool,
    store: Store,
    kernel: K,
    drivers: DriverHost,
    installed: Installed,
    resolver: Resolver,
    /// None: the host is alone.
    membership: Option<Membership>,
    /// Where addresses are soon used up.
    low: shared::Low,
    options: LedgerOptions,
    locks: Locks,
    /// Read by every mutation, written by what needs all of them to stand still.
    standstill: RwLock<()>,
    /// One network at a time chooses its subnets: it looks at all others.
    choosing_subnets: tokio::sync::Mutex<()>,
    drafts: Drafts,
    /// One namespace is adopted at a time: it must not be another sandbox's.
    adopting: tokio::sync::Mutex<()>,
    feed: Feed,
    flows: Flows,
    /// Wakes the repair when a change failed in the kernel.
    failed: Notify,
    last_repair: Mutex<Option<Repair>>,
    started: Timestamp,
}

/// What a commit needs beside its records.
struct Draft<'a> {
    kind: ObjectKind,
    action: Action,
    uid: String,
    name: String,
    attributes: Labels,
    request: Option<&'a Retry>,
}

/// The id a request came with, and its digest.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    id: String,
    digest: u64,
}

/// A change that is committed and not yet true in the kernel. It is settled by
/// [`Core::settle`]; until then watchers wait.
#[must_use]
struct Committed {
    /// One for each event.
    generations: Vec<u64>,
    request_id: Option<String>,
    /// On its way to disk, and what it still has to do in the kernel.
    under_way: Option<(Written, Pending)>,
    /// What takes it back; none if that is done.
    undo: Option<Vec<Put>>,
    /// What takes the elements of its plan back.
    back: Plan,
}

impl Committed {
    /// Whether the records are as they were before, since the disk refused it.
    const fn is_taken_back(&self) -> bool {
        self.undo.is_none()
    }
}

impl<K: Kernel> Ledger<K> {
    /// A ledger over a loaded topology. Nothing is compared with the kernel yet; see
    /// [`Ledger::adopt`].
    pub(crate) fn new(
        topology: Topology,
        store: Store,
        kernel: K,
        (drivers, installed, resolver): (DriverHost, Installed, Resolver),
        membership: Option<Membership>,
        options: LedgerOptions,
    ) -> Self {
        resolver.apply(&topology.puts());
        let feed = Feed::new(topology.generation());
        let state = State::new(topology);
        let ledger = Self(Arc::new(Core {
            has_names: AtomicBool::new(state.policies().has_names()),
            state: Mutex::new(state),
            store,
            kernel,
            drivers,
            installed,
            resolver,
            membership,
            low: shared::Low::default(),
            options,
            locks: Locks::default(),
            standstill: RwLock::default(),
            choosing_subnets: tokio::sync::Mutex::default(),
            drafts: Drafts::default(),
            adopting: tokio::sync::Mutex::default(),
            feed,
            flows: Flows::default(),
            failed: Notify::new(),
            last_repair: Mutex::default(),
            started: now(),
        }));
        ledger.0.note_namespaces();
        {
            let state = ledger.0.state();
            ledger.0.announce(state.topology(), &state.topology().puts());
        }
        ledger.guard_names();
        ledger
    }
}

impl<K: Kernel> Ledger<K> {
    /// The kernel that the ledger works on.
    pub(crate) fn kernel(&self) -> &K {
        &self.0.kernel
    }

    /// Stops following flows, and waits until everything committed is on disk.
    pub(crate) async fn close(&self) {
        self.0.flows.close();
        if let Err(error) = self.0.store.durable().await {
            tracing::error!(error = chain(&error), "the last changes may not be on disk");
        }
    }
}

/// The clock, read in the shell and handed on as data.
fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Randomness, drawn in the shell and handed on as data.
fn seed() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

fn new_id() -> Uuid {
    Uuid::now_v7()
}

fn namespace_ref(sandbox: &Sandbox) -> (SandboxId, NamespaceRef) {
    let reference = NamespaceRef { path: sandbox.path.clone(), identity: sandbox.identity };
    (sandbox.id, reference)
}

impl<K: Kernel> Core<K> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For `GetDrift`; never held for long.
    fn last_repair(&self) -> MutexGuard<'_, Option<Repair>> {
        self.last_repair.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a change into memory and hands it to the disk, with an event for each draft. `puts`
    /// gets the last generation, which is the revision of the records it makes. The
    /// elements of its plan and of policies are on their way when it returns.
    fn commit(
        &self,
        drafts: Vec<Draft<'_>>,
        plan: &Plan,
        puts: impl FnOnce(u64) -> Vec<Put>,
    ) -> Result<Committed, Refusal> {
        // Before anything is touched: what would only have to be taken back is not begun.
        self.store.check().map_err(|error| outcome::internal("STORE_FAILED", &error))?;
        let mut state = self.state();
        let request = drafts.iter().find_map(|draft| {
            let retry = draft.request?;
            Some((retry.clone(), draft.uid.clone()))
        });
        let first = state.topology().generation() + 1;
        let events: Vec<Event> = (first..)
            .zip(drafts)
            .map(|(generation, draft)| {
                let Draft { kind, action, uid, name, attributes, request: _ } = draft;
                Event { generation, time: now(), kind, action, uid, name, attributes }
            })
            .collect();
        let generations: Vec<u64> = events.iter().map(|event| event.generation).collect();
        let generation = generations.last().copied().unwrap_or(first);
        let request_id = request.as_ref().map(|(retry, _)| retry.id.clone());
        let request = request.map(|(Retry { id, digest }, uid)| RequestRecord {
            id,
            digest,
            generation,
            uid,
        });
        let mut records = state.rested();
        records.extend(puts(generation));
        let change = Change { generation, puts: records, events, request };
        let undo = state.topology().inverse(&change.puts, now());
        let compiled = state.compile(&change.puts);
        if let Err(refusal) = compiled.as_ref().map_or(Ok(()), policies::check_size) {
            compiled.into_iter().for_each(|delta| state.revert(&undo, delta));
            return Err(refusal);
        }
        generations.iter().for_each(|generation| self.feed.begin(*generation));
        let under_way = Some(self.take(&mut state, change, (plan, compiled)));
        let back = Plan { remove: plan.add.clone(), add: plan.remove.clone(), ..Plan::default() };
        Ok(Committed { generations, request_id, under_way, undo: Some(undo), back })
    }

    /// Takes a change over, in the order of changes: to disk, in memory, in the names that
    /// sandboxes are told, and in the kernel's elements.
    fn take(
        &self,
        state: &mut State,
        change: Change,
        (plan, compiled): (&Plan, Option<Delta>),
    ) -> (Written, Pending) {
        let change = Arc::new(change);
        let written = self.store.commit(Arc::clone(&change));
        let delta = state.apply(&change, compiled);
        self.has_names.store(state.policies().has_names(), Ordering::Release);
        self.resolver.apply(&change.puts);
        self.announce(state.topology(), &change.puts);
        (written, Pending::begin(&self.kernel, state, &change.puts, plan.clone(), delta))
    }

    /// Makes a committed change true: durable on disk and applied to the kernel, the two
    /// at the same time. If the daemon dies between them, its next start finds on disk
    /// what to finish, or in the kernel what to remove. Returns how many flows were cut
    /// because policies forbid them now.
    async fn realize(&self, committed: &mut Committed) -> Result<usize, Refusal> {
        let Some((written, pending)) = committed.under_way.take() else { return Ok(0) };
        let (durable, applied) = tokio::join!(written.done(), self.apply(pending));
        if let Err(error) = durable {
            self.take_back(committed).await;
            return Err(outcome::internal("STORE_FAILED", &error));
        }
        applied.inspect_err(|refusal| {
            if refusal.class == Class::Internal {
                self.failed.notify_one();
            }
        })
    }

    /// Takes back a change that the disk refused, or which may be gone from it after a
    /// crash: the records are as they were, and a repair has the kernel follow.
    async fn take_back(&self, committed: &mut Committed) {
        let Some(undo) = committed.undo.take() else { return };
        let (written, pending) = self.put_back(committed, undo, &committed.back);
        self.note_namespaces();
        // At once, as flows that the change let begin have to end; a repair does the rest.
        if let Err(refusal) = self.apply(pending).await {
            tracing::error!(%refusal, "elements are not as they were");
        }
        self.failed.notify_one();
        if let Err(error) = written.done().await {
            tracing::error!(error = chain(&error), "the disk refuses changes");
        }
    }

    /// Puts records back, as a change that nobody is told of.
    fn put_back(
        &self,
        committed: &Committed,
        mut puts: Vec<Put>,
        cleanup: &Plan,
    ) -> (Written, Pending) {
        puts.extend(committed.generations.iter().copied().map(Put::EventGone));
        puts.extend(committed.request_id.clone().map(Put::RequestGone));
        let mut state = self.state();
        let generation = state.topology().generation() + 1;
        let change = Change { generation, puts, events: Vec::new(), request: None };
        self.feed.begin(generation);
        let under_way = self.take(&mut state, change, (cleanup, None));
        drop(state);
        self.feed.settle(generation);
        under_way
    }

    /// Notes which namespace each sandbox has now: an adopted one the one that was
    /// adopted, one of ours the one at its path.
    fn note_namespaces(&self) {
        let sandboxes: Vec<Sandbox> = self.state().topology().sandboxes().cloned().collect();
        let own = sandboxes.iter().filter(|sandbox| !sandbox.is_host());
        let noted = own.filter_map(|sandbox| {
            let identity = sandbox.identity.or_else(|| self.kernel.identify(&sandbox.path).ok())?;
            Some((identity, sandbox.id))
        });
        let noted = noted.collect();
        self.state().namespaces = noted;
    }

    /// Tells watchers of a change that is true now.
    fn settle(&self, committed: Committed) {
        for generation in committed.generations {
            self.feed.settle(generation);
        }
    }

    /// Takes a committed change back that could not be made true: the records as they
    /// were, and what was begun in the kernel removed. Nobody was told of it.
    async fn withdraw(&self, mut committed: Committed, cleanup: &Plan) {
        let under_way = committed.undo.take().map(|undo| self.put_back(&committed, undo, cleanup));
        let (generations, request_id, undo) = (Vec::new(), None, None);
        let back = Plan::default();
        let mut withdrawn = Committed { generations, request_id, under_way, undo, back };
        if let Err(refusal) = self.realize(&mut withdrawn).await {
            tracing::error!(%refusal, "a change is not withdrawn in full, on disk or in the kernel; a repair removes what is left there");
        }
        self.settle(committed);
    }

    /// The namespaces of these sandboxes, for a plan that speaks of them.
    fn namespaces<'a>(
        sandboxes: impl IntoIterator<Item = &'a Sandbox>,
    ) -> BTreeMap<SandboxId, NamespaceRef> {
        sandboxes.into_iter().map(namespace_ref).collect()
    }
}
