//! A sandbox's resolver: its sockets, and the rules that lead to them.

use std::io;

use postern_model::id::SandboxId;
use postern_model::resource::Resource;

use super::place::Site;
use super::{Executor, find};
use crate::error::ApplyError;
use crate::names::Sockets;
use crate::namespace;
use crate::nft::redirect;
use crate::nft::socket::NetfilterSocket;
use crate::rtnl::Socket;

fn failed(sandbox: SandboxId) -> impl Fn(io::Error) -> ApplyError {
    move |source| {
        let object = Resource::NameServer { sandbox }.to_string();
        ApplyError::NameServer { object, source }
    }
}

impl Executor<'_> {
    /// Binds new sockets and leads the rules there; older ones are given up. The loopback
    /// of an adopted namespace is brought up, since it is what the resolver is reached by.
    pub(super) fn create_name_server(&mut self, sandbox: SandboxId) -> Result<(), ApplyError> {
        let failed = failed(sandbox);
        let found;
        let namespace = match self.sandboxes.get(&sandbox).and_then(Site::namespace) {
            Some(namespace) => namespace,
            None => {
                (found, _) = find(self.namespaces, sandbox)?;
                &found
            }
        };
        let sockets = namespace.visit(listen).and_then(|bound| bound).map_err(&failed)?;
        self.means.names.serve(sandbox, sockets).map_err(failed)
    }

    /// Gives the sockets up. The rules in a namespace of ours go with it; in somebody
    /// else's they are removed, if it is still there.
    pub(super) fn delete_name_server(&mut self, sandbox: SandboxId) -> Result<(), ApplyError> {
        self.means.names.release(sandbox);
        let ours = namespace::path_of(self.means.run_dir, sandbox);
        if self.namespaces.get(&sandbox).is_none_or(|found| found.path == ours) {
            return Ok(());
        }
        let site = match self.sandbox(sandbox) {
            Err(ApplyError::NamespaceGone { .. }) => return Ok(()),
            site => site?,
        };
        let Some(namespace) = site.namespace() else { return Ok(()) };
        let removed = namespace
            .visit(|| redirect::remove(&mut NetfilterSocket::open()?).map_err(io::Error::other));
        removed.and_then(|removed| removed).map_err(failed(sandbox))
    }
}

/// Binds sockets in the thread's namespace, and has its rules lead there.
fn listen() -> io::Result<Sockets> {
    Socket::open()?.loopback_up().map_err(io::Error::other)?;
    let mut rules = NetfilterSocket::open()?;
    // Where the rules of an earlier life lead, and nobody listens any more: then nothing is
    // to be changed. A change has the kernel wait some 20 ms when the socket is closed.
    if let Some(port) = redirect::installed(&mut rules)?
        && let Ok(sockets) = Sockets::bind_at(port)
    {
        return Ok(sockets);
    }
    let sockets = Sockets::bind()?;
    redirect::install(&mut rules, sockets.port).map_err(io::Error::other)?;
    Ok(sockets)
}
