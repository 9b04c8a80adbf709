//! The resolver as the kernel hands it its sockets.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::thread;

use postern_kernel::NameService;
use postern_model::id::SandboxId;
use postern_resolver::Resolver;
use tokio::runtime::{Builder, Handle};

/// The resolver as the one who answers sandboxes, on a thread of its own: however much they
/// ask, calls of the API do not wait for it, and nor does it for them. One thread, because
/// with several the idle ones are woken by every packet, which costs more than they add.
pub(crate) struct Names {
    resolver: Resolver,
    runtime: Handle,
}

impl Names {
    /// Starts the thread; it goes on for as long as the process.
    pub(crate) fn start(resolver: Resolver) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let answer = move || runtime.block_on(std::future::pending::<()>());
        thread::Builder::new().name("names".into()).spawn(answer)?;
        Ok(Self { resolver, runtime: handle })
    }
}

impl NameService for Names {
    fn serve(&self, sandbox: SandboxId, udp: UdpSocket, tcp: TcpListener) -> io::Result<()> {
        let _on_its_thread = self.runtime.enter();
        self.resolver.serve(sandbox, udp, tcp)
    }

    fn release(&self, sandbox: SandboxId) {
        self.resolver.release(sandbox);
    }
}
