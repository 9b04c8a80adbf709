//! The resolver, as the rest of the daemon sees it.

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_model::id::SandboxId;
use postern_model::topology::Put;

use crate::counters::Counters;
use crate::gate::NameGate;
use crate::limits::ResolverOptions;
use crate::serve::{Door, Served, Shared};

/// Answers the sandboxes' questions for names. Clones are the same resolver; the last one
/// to go ends all service.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    served: Mutex<HashMap<SandboxId, Served>>,
}

impl Resolver {
    /// A resolver that knows no names and serves nobody yet.
    pub fn new(options: ResolverOptions) -> Self {
        let shared = Arc::new(Shared::new(options));
        Self(Arc::new(Inner { shared, served: Mutex::default() }))
    }

    /// Has answers of servers let through by a gate, from now on and for ever: another one
    /// later is not taken.
    pub fn guard(&self, gate: Arc<dyn NameGate>) {
        let _ = self.0.shared.gate.set(gate);
    }

    /// Takes over records as they change, at start all of them. Every question that comes
    /// after this has returned is answered by them. Costs as much as the change is large,
    /// whatever else there is.
    pub fn apply(&self, puts: &[Put]) {
        let shared = &self.0.shared;
        let mut directory = shared.directory.write().unwrap_or_else(PoisonError::into_inner);
        puts.iter().for_each(|put| directory.put(put));
    }

    /// Answers a sandbox at these sockets, which are in its namespace, until [`release`] or
    /// another `serve` of the same sandbox. Whoever is at the other end of them is taken for
    /// the sandbox.
    ///
    /// [`release`]: Self::release
    ///
    /// # Errors
    /// The sockets cannot be used. What served the sandbox before goes on then.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve(&self, sandbox: SandboxId, udp: UdpSocket, tcp: TcpListener) -> io::Result<()> {
        let door = Door::new(Arc::clone(&self.0.shared), sandbox);
        let served = Served::begin(door, udp, tcp)?;
        self.served().insert(sandbox, served);
        Ok(())
    }

    /// Gives a sandbox's sockets up. Questions that wait for servers are forgotten.
    pub fn release(&self, sandbox: SandboxId) {
        self.served().remove(&sandbox);
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> Counters {
        self.0.shared.tally.read()
    }

    fn served(&self) -> MutexGuard<'_, HashMap<SandboxId, Served>> {
        // Nothing panics while it is held.
        self.0.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
