//! A sandbox's sockets, and what is done with what comes there.

mod forward;
mod handle;
mod tcp;
mod udp;

use std::io;
use std::net::{TcpListener as StdTcpListener, UdpSocket};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hickory_proto::rr::Name;
use postern_model::id::SandboxId;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::cache::Cache;
use crate::counters::Tally;
use crate::directory::Directory;
use crate::gate::{self, NameGate};
use crate::host_file::HostFile;
use crate::limits::{Limits, ResolverOptions};
use crate::upstream::{Flights, Health, Key};

/// How often a sandbox's loops are told of in the log, at the most.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What all sandboxes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) directory: RwLock<Directory>,
    pub(crate) cache: Mutex<Cache>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) health: Health,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) host_file: HostFile,
    pub(crate) limits: Limits,
    pub(crate) tally: Tally,
    pub(crate) gate: OnceLock<Arc<dyn NameGate>>,
}

impl Shared {
    pub(crate) fn new(options: ResolverOptions) -> Self {
        let ResolverOptions { host_file, limits } = options;
        Self {
            directory: RwLock::default(),
            cache: Mutex::new(Cache::new(&limits)),
            flights: Arc::default(),
            health: Health::default(),
            permits: Arc::new(Semaphore::new(limits.forwards.min(Semaphore::MAX_PERMITS))),
            host_file: HostFile::new(host_file),
            limits,
            tally: Tally::default(),
            gate: OnceLock::new(),
        }
    }

    /// What a server said before and still holds, and its age.
    fn recall(&self, key: &Key) -> Option<(Arc<[u8]>, Duration)> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(key, Instant::now())
    }
}

/// One sandbox at the door.
#[derive(Debug)]
pub(crate) struct Door {
    shared: Arc<Shared>,
    sandbox: SandboxId,
    /// For questions that wait for servers.
    forwards: Arc<Semaphore>,
    /// For TCP connections.
    connections: Arc<Semaphore>,
    warned: Mutex<Option<Instant>>,
}

impl Door {
    pub(crate) fn new(shared: Arc<Shared>, sandbox: SandboxId) -> Self {
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            forwards: permits(shared.limits.forwards_per_sandbox),
            connections: permits(shared.limits.tcp_per_sandbox),
            shared,
            sandbox,
            warned: Mutex::new(None),
        }
    }

    /// The gate that answers for a name have to go through, and the name as it knows it.
    fn gate_of(&self, name: &Name) -> Option<(&Arc<dyn NameGate>, String)> {
        let gate = self.shared.gate.get()?;
        let name = gate::plain(name)?;
        gate.concerns(self.sandbox, &name).then_some((gate, name))
    }

    /// Counts a loop, and tells of it.
    fn note_loop(&self) {
        self.shared.tally.loops.add();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            let sandbox = self.sandbox;
            tracing::warn!(%sandbox, "a question came back from the name server it was put to");
        }
    }
}

/// The tasks that serve a sandbox, ended when dropped.
#[derive(Debug)]
pub(crate) struct Served([AbortHandle; 2]);

impl Served {
    /// Begins to serve.
    pub(crate) fn begin(door: Door, udp: UdpSocket, tcp: StdTcpListener) -> io::Result<Self> {
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let (udp, tcp) = (udp::watch(udp)?, TcpListener::from_std(tcp)?);
        let door = Arc::new(door);
        let by_udp = tokio::spawn(udp::serve(Arc::clone(&door), udp));
        let by_tcp = tokio::spawn(tcp::serve(door, tcp));
        Ok(Self([by_udp.abort_handle(), by_tcp.abort_handle()]))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests;
