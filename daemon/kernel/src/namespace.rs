//! Network namespaces: made, found at a path, visited.
//!
//! A visit is a thread of its own that goes there, does its work and ends, or goes on to the
//! next namespace. A thread that
//! has to come back might fail to, and would then serve the next sandbox in this one's
//! namespace; a new thread costs some 50 µs and cannot.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::net::if_::if_nameindex;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{NSFS_MAGIC, statfs};
use postern_failpoint::{passage, point};
use postern_model::id::SandboxId;
use postern_model::name::IfName;
use postern_model::plan::NamespaceRef;
use postern_model::sandbox::NamespaceIdentity;

use crate::error::NamespaceError;
use crate::rtnl::Socket;

/// The namespace of the thread that opens it.
pub(crate) const OWN: &str = "/proc/thread-self/ns/net";

/// Where the namespace of a sandbox of ours is pinned below the daemon's run directory.
pub fn path_of(run_dir: &Path, sandbox: SandboxId) -> PathBuf {
    directory(run_dir).join(sandbox.to_string())
}

/// Where the namespaces of our sandboxes are pinned.
pub(crate) fn directory(run_dir: &Path) -> PathBuf {
    run_dir.join("netns")
}

/// A network namespace that is held open, so that it cannot become another one.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    /// Opens the namespace at a path.
    pub(crate) fn open(path: &Path) -> Result<Self, NamespaceError> {
        let not_one = || NamespaceError::NotANamespace { path: path.to_owned() };
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                NamespaceError::NotFound { path: path.to_owned() }
            }
            _ => NamespaceError::Io { path: path.to_owned(), source: error },
        };
        // Asked before it is opened: opening a device may set something off.
        let kind = statfs(path).map_err(|errno| failed(errno.into()))?;
        if kind.filesystem_type() != NSFS_MAGIC {
            return Err(not_one());
        }
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
        if !is_network(&file) {
            return Err(not_one());
        }
        Ok(Self { file })
    }

    /// Opens the namespace a plan speaks of. Another one at its path is as good as none.
    pub(crate) fn find(reference: &NamespaceRef) -> Result<Self, NamespaceError> {
        let found = Self::open(&reference.path)?;
        match reference.identity {
            Some(expected) => match found.identity() {
                Ok(identity) if identity == expected => Ok(found),
                Ok(_) => Err(NamespaceError::NotFound { path: reference.path.clone() }),
                Err(source) => Err(NamespaceError::Io { path: reference.path.clone(), source }),
            },
            None => Ok(found),
        }
    }

    /// What tells it from every other one. Only a socket inside can be asked for it.
    pub(crate) fn identity(&self) -> io::Result<NamespaceIdentity> {
        let inode = self.file.metadata()?.ino();
        let cookie = self.visit(cookie)??;
        Ok(NamespaceIdentity { cookie, inode })
    }

    /// The names of the links inside; one that is not a name as we know them is nobody's
    /// wish either.
    pub(crate) fn interfaces(&self) -> io::Result<BTreeSet<IfName>> {
        self.visit(|| {
            let found = if_nameindex()?;
            let names = found.iter().filter_map(|link| link.name().to_str().ok()?.parse().ok());
            Ok(names.collect())
        })?
    }

    /// Does some work inside.
    pub(crate) fn visit<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_a_thread(|| {
            self.enter()?;
            Ok(work())
        })
    }

    /// Takes the calling thread inside, for the rest of its life.
    pub(crate) fn enter(&self) -> io::Result<()> {
        point("netns.enter")?;
        Ok(setns(&self.file, CloneFlags::CLONE_NEWNET)?)
    }

    /// Opens a socket inside.
    pub(crate) fn socket(&self) -> io::Result<Socket> {
        self.visit(Socket::open)?
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Makes a namespace with its loopback up, pins it at a path and opens a socket inside.
///
/// # Errors
/// `EEXIST` if a namespace is pinned there already.
pub(crate) fn create(path: &Path) -> io::Result<Socket> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match statfs(path) {
        Ok(kind) if kind.filesystem_type() == NSFS_MAGIC => return Err(Errno::EEXIST.into()),
        // A file is what a run that was cut off left behind.
        Ok(_) => {}
        Err(_) => drop(File::create_new(path)?),
    }
    point("netns.create")?;
    on_a_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let mut socket = Socket::open()?;
        socket.loopback_up().map_err(io::Error::other)?;
        // Last, so that a namespace that is there is a whole one.
        mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(socket)
    })
}

/// Unpins the namespace at a path. That it is gone already is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    point("netns.remove")?;
    match umount2(path, MntFlags::MNT_DETACH) {
        // Not mounted: what is left of one that was being made.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    passage("netns.unpinned");
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the files of namespaces that a run was cut off while it made them: nothing is
/// pinned there. Other files in the directory are somebody else's.
pub(crate) fn remove_unpinned(run_dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory(run_dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        let ours = name.is_some_and(|name| name.parse::<SandboxId>().is_ok());
        let pinned = statfs(&path).is_ok_and(|kind| kind.filesystem_type() == NSFS_MAGIC);
        if ours && !pinned {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let visitor = thread::Builder::new().name("netns".into()).spawn_scoped(scope, work)?;
        visitor.join().unwrap_or_else(|_| Err(io::Error::other("the visiting thread panicked")))
    })
}

/// The cookie of the thread's namespace; 0 where the kernel has none.
#[expect(unsafe_code, reason = "no safe wrapper exists for this socket option")]
fn cookie() -> io::Result<u64> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let (mut cookie, mut length) = (0_u64, 8);
    // SAFETY: both pointers are to live values, and `length` is the size of the first.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match failed {
        0 => Ok(cookie),
        _ if Errno::last() == Errno::ENOPROTOOPT => Ok(0),
        _ => Err(io::Error::last_os_error()),
    }
}

#[expect(unsafe_code, reason = "no safe wrapper exists for this ioctl")]
fn is_network(file: &File) -> bool {
    // SAFETY: NS_GET_NSTYPE takes no argument and changes nothing; the descriptor is open.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) };
    kind == libc::CLONE_NEWNET
}
