//! The sockets at which sandboxes are told names, and who answers there.

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use postern_failpoint::point;
use postern_model::dns::RESOLVER;
use postern_model::id::SandboxId;

/// How often another port is tried when the one that is free for UDP is not for TCP.
const ATTEMPTS: usize = 16;

/// Whoever answers a sandbox's questions for names.
pub trait NameService: Send + Sync + 'static {
    /// Answers what comes to these sockets, which are in the sandbox's namespace, until
    /// told otherwise. Earlier sockets of the sandbox are given up. Called from a thread
    /// that may block, inside the async runtime.
    ///
    /// # Errors
    /// The sockets cannot be used.
    fn serve(&self, sandbox: SandboxId, udp: UdpSocket, tcp: TcpListener) -> io::Result<()>;

    /// Gives a sandbox's sockets up; an open socket would keep its namespace.
    fn release(&self, sandbox: SandboxId);
}

/// Answers nobody: for a kernel that is used without a resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNames;

impl NameService for NoNames {
    fn serve(&self, _: SandboxId, _: UdpSocket, _: TcpListener) -> io::Result<()> {
        Ok(())
    }

    fn release(&self, _: SandboxId) {}
}

/// Which sandboxes are answered, and at which ports.
pub(crate) struct Names {
    service: Arc<dyn NameService>,
    ports: Mutex<HashMap<SandboxId, u16>>,
}

impl Names {
    pub(crate) fn new(service: Arc<dyn NameService>) -> Self {
        Self { service, ports: Mutex::default() }
    }

    /// The port at which a sandbox is answered, if it is.
    pub(crate) fn port(&self, sandbox: SandboxId) -> Option<u16> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).get(&sandbox).copied()
    }

    /// Every sandbox that is answered.
    pub(crate) fn sandboxes(&self) -> Vec<SandboxId> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    pub(crate) fn serve(&self, sandbox: SandboxId, sockets: Sockets) -> io::Result<()> {
        let Sockets { port, udp, tcp } = sockets;
        self.service.serve(sandbox, udp, tcp)?;
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).insert(sandbox, port);
        Ok(())
    }

    pub(crate) fn release(&self, sandbox: SandboxId) {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).remove(&sandbox);
        self.service.release(sandbox);
    }
}

/// A sandbox's sockets, of one port.
pub(crate) struct Sockets {
    pub(crate) port: u16,
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    /// Binds both in the thread's namespace, whose loopback is up, at a port that the
    /// kernel chooses.
    pub(crate) fn bind() -> io::Result<Self> {
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..ATTEMPTS {
            match Self::bind_at(0) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => refused = error,
                bound => return bound,
            }
        }
        Err(refused)
    }

    /// Binds both at this port; 0 is one that is free for UDP, and may not be for TCP.
    pub(crate) fn bind_at(port: u16) -> io::Result<Self> {
        point("names.bind")?;
        let udp = UdpSocket::bind((RESOLVER.ip(), port))?;
        let port = udp.local_addr()?.port();
        Ok(Self { port, udp, tcp: TcpListener::bind((RESOLVER.ip(), port))? })
    }
}
