//! The connection to etcd: one task, which keeps the lease, says what this host has, and
//! tells what others have.
//!
//! After each gap, however it came about (a restart of etcd, a lost lease, a compaction, a
//! partition), it does the same: it renews or replaces its lease, puts everything of its own
//! again, lists everything there is, and watches from the revision of the listing. What
//! changed meanwhile is the difference, and nobody has to have seen it happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{
    Client, GetOptions, LeaseKeepAliveStream, LeaseKeeper, PutOptions, Txn, TxnOp, WatchOptions,
    WatchStream,
};
use postern_model::cluster::{Node, NodeId, Peer};
use postern_model::id::{EndpointId, NetworkId};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::error::ClusterError;
use crate::layout::{Key, Layout};
use crate::mirror::{Change, Mirror};
use crate::record::encode;
use crate::settings::{RENEWALS, Settings};

/// Of a transaction; etcd's own limit is 128.
const OPERATIONS_MAX: usize = 100;
/// Of a page of a listing.
const PAGE: i64 = 500;
/// The first pause after a failure; each one after it is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Notices that wait to be taken.
const NOTICES: usize = 256;

/// What a listener is told.
#[derive(Debug)]
pub enum Notice {
    /// etcd is reached (again): what it holds is in [`Cluster::mirror`], and anything of it may
    /// be new.
    Connected,
    /// Something changed since.
    Changed(Vec<Change>),
    /// etcd is not reached any more. What is known of others still holds until it is.
    Away {
        /// Why not.
        why: String,
    },
}

/// The cluster, as one host sees it. Clones are of the same.
#[derive(Debug, Clone)]
pub struct Cluster(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) layout: Layout,
    pub(crate) node: NodeId,
    state: Mutex<State>,
    mirror: Mutex<Mirror>,
    /// The revision up to which the mirror has followed.
    followed: watch::Sender<i64>,
    wake: Notify,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    /// What this host has put, or is to put, under its lease.
    own: BTreeMap<String, Vec<u8>>,
    /// Keys of its own that etcd has not been told of yet.
    dirty: BTreeSet<String>,
}

enum Connection {
    There(Box<Client>),
    Away(String),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::There(_) => f.write_str("There"),
            Self::Away(why) => f.debug_tuple("Away").field(why).finish(),
        }
    }
}

impl Cluster {
    /// Joins a cluster as a node that says this of itself, now or whenever etcd is reached.
    /// It leaves when the receiver is dropped; its lease ends by itself then. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// The node's words cannot be encoded.
    pub fn join(
        settings: Settings,
        node: NodeId,
        about: &Node,
    ) -> Result<(Self, mpsc::Receiver<Notice>), ClusterError> {
        let layout = Layout::of(&settings.cluster);
        let own = [(layout.encode(&Key::Node(node)), encode(about)?)].into();
        let connection = Connection::Away("not yet".to_owned());
        let state = Mutex::new(State { connection, own, dirty: BTreeSet::new() });
        let mirror = Mutex::new(Mirror::new(layout.clone()));
        let (followed, wake) = (watch::Sender::new(0), Notify::new());
        let shared = Shared { settings, layout, node, state, mirror, followed, wake };
        let shared = Arc::new(shared);
        let (notices, told) = mpsc::channel(NOTICES);
        tokio::spawn(run(Arc::clone(&shared), notices));
        Ok((Self(shared), told))
    }

    /// This host.
    pub fn node(&self) -> NodeId {
        self.0.node
    }

    /// What etcd held when it was last heard of. Not to be held for long.
    pub fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.0.mirror()
    }

    /// Waits until the mirror has followed a change of this host's own: what is read of it
    /// afterwards is no older. Where etcd is lost meanwhile, the next listing has it.
    pub(crate) async fn follow(&self, header: Option<&etcd_client::ResponseHeader>) {
        let Some(revision) = header.map(etcd_client::ResponseHeader::revision) else { return };
        let mut followed = self.0.followed.subscribe();
        let there = |at: &i64| *at >= revision || self.client().is_err();
        drop(timeout(self.0.settings.patience(), followed.wait_for(there)).await);
    }

    /// Has an endpoint of this host told to the others, now or whenever etcd is reached.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn publish(&self, peer: &Peer) -> Result<(), ClusterError> {
        let key = self.0.layout.encode(&Key::Endpoint(peer.network(), peer.id()));
        let value = encode(peer)?;
        let mut state = self.0.state();
        if state.own.get(&key) != Some(&value) {
            state.own.insert(key.clone(), value);
            state.dirty.insert(key);
            self.0.wake.notify_one();
        }
        Ok(())
    }

    /// Takes an endpoint of this host back.
    pub fn retract(&self, network: NetworkId, endpoint: EndpointId) {
        let key = self.0.layout.encode(&Key::Endpoint(network, endpoint));
        let mut state = self.0.state();
        if state.own.remove(&key).is_some() {
            state.dirty.insert(key);
            self.0.wake.notify_one();
        }
    }

    /// Whether etcd is reached.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self) -> Result<(), ClusterError> {
        self.client().map(drop)
    }

    /// The way to etcd, for a request that needs it.
    pub(crate) fn client(&self) -> Result<Client, ClusterError> {
        match &self.0.state().connection {
            Connection::There(client) => Ok(Client::clone(client)),
            Connection::Away(why) => Err(ClusterError::Away { why: why.clone() }),
        }
    }
}

impl Shared {
    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a session ended: in words, for people.
#[derive(Debug)]
struct Ended(String);

impl From<etcd_client::Error> for Ended {
    fn from(error: etcd_client::Error) -> Self {
        Self(match error {
            etcd_client::Error::GRpcStatus(status) => status.message().to_owned(),
            other => other.to_string(),
        })
    }
}

async fn run(shared: Arc<Shared>, notices: mpsc::Sender<Notice>) {
    let (mut lease, mut pause) = (None, PAUSE);
    while !notices.is_closed() {
        let begun = Instant::now();
        let session = session(&shared, &mut lease, &notices);
        let Err(Ended(why)) = session.await else { return };
        let before = {
            let mut state = shared.state();
            std::mem::replace(&mut state.connection, Connection::Away(why.clone()))
        };
        if matches!(before, Connection::There(_)) {
            // Nobody waits for what will not come.
            shared.followed.send_modify(|_| {});
            tracing::warn!(why, "etcd is not reached any more");
            if notices.send(Notice::Away { why }).await.is_err() {
                return;
            }
        } else {
            tracing::debug!(why, "etcd is not reached");
        }
        // One that had lasted is no reason to wait long.
        pause = if begun.elapsed() > PAUSE_MAX { PAUSE } else { PAUSE_MAX.min(pause * 2) };
        sleep(pause).await;
    }
}

/// One session, from its connection to its loss. Ends well only when nobody listens.
async fn session(
    shared: &Shared,
    lease: &mut Option<i64>,
    notices: &mpsc::Sender<Notice>,
) -> Result<(), Ended> {
    let patience = shared.settings.patience();
    let silent = |_| Ended("no answer in time".to_owned());
    let mut client = timeout(patience, shared.settings.connect()).await.map_err(silent)??;
    let (mut keeper, mut kept) = hold(&shared.settings, &mut client, lease).await?;
    let id = keeper.id();
    let everything: BTreeSet<String> = {
        let mut state = shared.state();
        state.dirty.clear();
        state.own.keys().cloned().collect()
    };
    put(shared, &mut client, everything, id).await?;
    let (all, revision) = list(&mut client, shared.layout.prefix()).await?;
    shared.mirror().replace(&all);
    drop(all);
    forget_leftovers(shared, &mut client).await?;
    let mut watch = watch(&client, shared.layout.prefix(), revision + 1).await?;
    shared.state().connection = Connection::There(Box::new(client.clone()));
    let (nodes, unreadable) = {
        let mirror = shared.mirror();
        (mirror.nodes().len(), mirror.unreadable().len())
    };
    tracing::info!(revision, nodes, unreadable, "etcd is reached");
    shared.followed.send_replace(revision);
    if notices.send(Notice::Connected).await.is_err() {
        return Ok(());
    }
    let mut renewal = interval(shared.settings.lease / RENEWALS);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            heard = watch.message() => {
                let (changes, revision) = changes(shared, heard?)?;
                shared.followed.send_modify(|at| *at = revision.max(*at));
                if !changes.is_empty() && notices.send(Notice::Changed(changes)).await.is_err() {
                    return Ok(());
                }
            }
            answer = kept.message() => match answer? {
                Some(answer) if answer.ttl() > 0 => renewed = Instant::now(),
                _ => {
                    *lease = None;
                    return Err(Ended("the lease is lost".to_owned()));
                }
            },
            _ = renewal.tick() => {
                if renewed.elapsed() >= shared.settings.lease {
                    return Err(Ended("the lease is not renewed".to_owned()));
                }
                keeper.keep_alive().await?;
            }
            () = shared.wake.notified() => {
                let dirty = std::mem::take(&mut shared.state().dirty);
                put(shared, &mut client, dirty, id).await?;
            }
            () = notices.closed() => return Ok(()),
        }
    }
}

/// Renews the lease, or takes a new one where it is gone.
async fn hold(
    settings: &Settings,
    client: &mut Client,
    lease: &mut Option<i64>,
) -> Result<(LeaseKeeper, LeaseKeepAliveStream), Ended> {
    if let Some(id) = *lease {
        match client.lease_keep_alive(id).await {
            Ok(kept) => return Ok(kept),
            // etcd says so too where the lease is over.
            Err(error) => tracing::debug!(%error, "a lease is not renewed"),
        }
    }
    let granted = client.lease_grant(settings.lease_seconds(), None).await?;
    *lease = Some(granted.id());
    Ok(client.lease_keep_alive(granted.id()).await?)
}

/// Tells etcd of keys of this host as they are now: there or gone.
async fn put(
    shared: &Shared,
    client: &mut Client,
    keys: BTreeSet<String>,
    lease: i64,
) -> Result<(), Ended> {
    let keys: Vec<String> = keys.into_iter().collect();
    for keys in keys.chunks(OPERATIONS_MAX) {
        let operations: Vec<TxnOp> = {
            let state = shared.state();
            let operation = |key: &String| match state.own.get(key) {
                Some(value) => {
                    let options = PutOptions::new().with_lease(lease);
                    TxnOp::put(key.as_str(), value.clone(), Some(options))
                }
                None => TxnOp::delete(key.as_str(), None),
            };
            keys.iter().map(operation).collect()
        };
        client.txn(Txn::new().and_then(operations)).await?;
    }
    Ok(())
}

type Listing = (Vec<(Vec<u8>, Vec<u8>)>, i64);

/// Everything there is, as of one revision, page by page: an answer has a limit.
async fn list(client: &mut Client, prefix: &str) -> Result<Listing, Ended> {
    let mut end = prefix.as_bytes().to_vec();
    // It ends with a slash, which is not the last character there is.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    let (mut from, mut all, mut revision) = (prefix.as_bytes().to_vec(), Vec::new(), 0);
    loop {
        let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE);
        let page = client.get(from, Some(options.with_revision(revision))).await?;
        if revision == 0 {
            revision = page.header().map_or(0, etcd_client::ResponseHeader::revision);
        }
        let found = page.kvs().iter().map(|kv| (kv.key().to_vec(), kv.value().to_vec()));
        all.extend(found);
        match page.kvs().last() {
            Some(last) if page.more() => {
                from = last.key().to_vec();
                from.push(0);
            }
            _ => return Ok((all, revision)),
        }
    }
}

/// Deletes endpoints that an earlier life of this host has left.
async fn forget_leftovers(shared: &Shared, client: &mut Client) -> Result<(), Ended> {
    let keys: Vec<String> = {
        let mirror = shared.mirror();
        let own = mirror.endpoints().filter(|peer| peer.node == shared.node);
        own.map(|peer| shared.layout.encode(&Key::Endpoint(peer.network(), peer.id()))).collect()
    };
    let left: BTreeSet<String> = {
        let state = shared.state();
        keys.into_iter().filter(|key| !state.own.contains_key(key)).collect()
    };
    put(shared, client, left, 0).await
}

async fn watch(client: &Client, prefix: &str, from: i64) -> Result<WatchStream, Ended> {
    let options = WatchOptions::new().with_prefix().with_start_revision(from);
    let mut client = client.watch_client().max_decoding_message_size(usize::MAX);
    Ok(client.watch(prefix, Some(options)).await?)
}

/// What a message of the watch changes, and the revision of its last event.
fn changes(
    shared: &Shared,
    heard: Option<etcd_client::WatchResponse>,
) -> Result<(Vec<Change>, i64), Ended> {
    let Some(heard) = heard else { return Err(Ended("the watch ended".to_owned())) };
    if heard.canceled() {
        let why = match heard.compact_revision() {
            0 => heard.cancel_reason().to_owned(),
            revision => format!("what happened before revision {revision} is forgotten"),
        };
        return Err(Ended(why));
    }
    let (mut mirror, mut revision) = (shared.mirror(), 0);
    let changed = heard.events().iter().filter_map(|event| {
        let kv = event.kv()?;
        revision = revision.max(kv.mod_revision());
        // Of one that is gone, etcd gives no version. The crate's own way to tell them apart
        // panics over a third kind.
        match kv.version() {
            0 => mirror.delete(kv.key()),
            _ => mirror.put(kv.key(), kv.value()),
        }
    });
    let changed = changed.collect();
    Ok((changed, revision))
}
