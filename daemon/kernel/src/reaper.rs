//! The deletion of links that are out of service, off the request path.
//!
//! Deleting one link waits for the kernel some 20 ms; deleting a group of 200 hardly
//! longer. A bridge takes it 40 ms (`rcu_barrier`), in which nobody else can change a link.
//! So a link is retired at once,
//! and a thread deletes the whole group when some have piled up. What needs a retired link
//! to be gone makes it hurry, and waits for it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use postern_model::id::SandboxId;
use postern_model::name::IfName;

use crate::rtnl::{NetlinkError, Socket};

/// How long the removal of a link is waited for. The kernel may hold on to a link for as
/// long as somebody refers to it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long links may pile up.
const LINGER: Duration = Duration::from_millis(5);

/// A bridge or a pair of links that is out of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retired {
    /// Its index, or that of the host's end.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: IfName,
    /// Where the other end is; none if there is none or that is not known.
    pub(crate) sandbox: Option<SandboxId>,
    /// The name that the other end keeps from others.
    pub(crate) interface: Option<IfName>,
}

impl Retired {
    /// Whether it keeps a name of a sandbox's interface from others.
    pub(crate) fn occupies(&self, sandbox: SandboxId, interface: &IfName) -> bool {
        self.sandbox == Some(sandbox) && self.interface.as_ref() == Some(interface)
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Retired>,
    going: Vec<Retired>,
    /// Somebody waits.
    hurry: bool,
    /// No more will come.
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a single assignment or push.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that deletes retired links, until it is dropped and all are gone.
#[derive(Debug)]
pub(crate) struct Reaper(Arc<Shared>);

impl Reaper {
    /// Starts the thread in the caller's namespace. With `singly`, links are deleted one
    /// by one: the group has links in it that are not ours.
    pub(crate) fn start(singly: bool) -> io::Result<Self> {
        let mut socket = Socket::open()?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("reaper".into()).spawn(move || {
            while let Some(links) = next(&theirs) {
                reap(&mut socket, &links, singly);
                theirs.lock().going.clear();
                theirs.changed.notify_all();
            }
        })?;
        Ok(Self(shared))
    }

    /// Hands over a link that is out of service.
    pub(crate) fn add(&self, link: Retired) {
        self.0.lock().waiting.push(link);
        self.0.changed.notify_all();
    }

    /// Blocks until no retired link is left that `concerns` the caller, or for as long as
    /// patience lasts: the kernel will then say for itself what is in the way.
    pub(crate) fn wait(&self, concerns: impl Fn(&Retired) -> bool) {
        let left = |state: &mut State| {
            let waiting = state.waiting.iter().any(&concerns);
            state.hurry |= waiting;
            waiting || state.going.iter().any(&concerns)
        };
        let mut state = self.0.lock();
        if !left(&mut state) {
            return;
        }
        // The thread may be lingering.
        self.0.changed.notify_all();
        let waited = self.0.changed.wait_timeout_while(state, PATIENCE, left);
        let (_state, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() {
            tracing::warn!("the kernel holds on to links that were deleted");
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// The links to delete next; none when no more will come.
fn next(shared: &Shared) -> Option<Vec<Retired>> {
    let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
    let more = |state: &mut State| !state.hurry && !state.closed;
    let waited = shared.changed.wait_while(shared.lock(), idle);
    let state = waited.unwrap_or_else(PoisonError::into_inner);
    let waited = shared.changed.wait_timeout_while(state, LINGER, more);
    let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
    if state.waiting.is_empty() {
        return None;
    }
    state.hurry = false;
    state.going = std::mem::take(&mut state.waiting);
    Some(state.going.clone())
}

fn reap(socket: &mut Socket, links: &[Retired], singly: bool) {
    if !singly {
        match socket.delete_retired() {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "retired links cannot be deleted as one"),
        }
    }
    for link in links {
        if let Err(error) = delete(socket, link) {
            tracing::error!(link = %link.name, %error, "a retired link cannot be deleted");
        }
    }
}

/// Indexes are used again: another link may have it by now.
fn delete(socket: &mut Socket, link: &Retired) -> Result<(), NetlinkError> {
    match socket.link(link.name.as_str())? {
        Some(found) if found.index == link.index => socket.delete_link(link.index),
        _ => Ok(()),
    }
}
