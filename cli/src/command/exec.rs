//! `postern exec`: a command in a sandbox's network namespace, with its names.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use postern_proto::v1::sandbox_spec::Namespace;
use postern_proto::v1::{NamespaceIdentity, Sandbox};

use crate::client::{Address, Client};
use crate::error::Error;

/// What is mounted over its namesake in `/etc`.
const FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// Asks the daemon for the sandbox.
///
/// # Errors
/// No daemon answers, or it knows no such sandbox.
pub(super) async fn sandbox(address: Address, name: String) -> Result<Sandbox, Error> {
    let client = Client::new(address);
    super::sandbox::get(&client, name).await
}

/// Enters the sandbox's network namespace, puts its files where programs look for names,
/// and becomes the command.
///
/// # Errors
/// The namespace cannot be entered, the files not be mounted or the command not be run;
/// otherwise it never returns.
pub(super) fn run(sandbox: &Sandbox, command: &[OsString]) -> Result<(), Error> {
    if let Some(path) = namespace(sandbox)? {
        enter(path, sandbox.netns_identity.as_ref())?;
        if !sandbox.files_path.is_empty() {
            mount_files(Path::new(&sandbox.files_path))?;
        }
    }
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::usage("no command is given"));
    };
    let source = Command::new(program).args(arguments).exec();
    Err(Error::Run { program: program.to_string_lossy().into_owned(), source })
}

/// The namespace to enter; none for the host's, where the caller is taken to be.
fn namespace(sandbox: &Sandbox) -> Result<Option<&Path>, Error> {
    let spec = sandbox.spec.as_ref().and_then(|spec| spec.namespace.as_ref());
    match (sandbox.netns_path.as_str(), spec) {
        ("", Some(Namespace::Host(()))) => Ok(None),
        ("", _) => Err(Error::Reply("a sandbox without a namespace")),
        (path, _) => Ok(Some(Path::new(path))),
    }
}

/// Enters the namespace at a path, if it is still the one that the daemon adopted there.
fn enter(path: &Path, expected: Option<&NamespaceIdentity>) -> Result<(), Error> {
    let opened = |source| Error::OpenNamespace { path: PathBuf::from(path), source };
    let entered = |source| Error::EnterNamespace { path: PathBuf::from(path), source };
    let file = File::open(path).map_err(opened)?;
    let inode = file.metadata().map_err(opened)?.ino();
    // Refuses a file that is no network namespace.
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| entered(errno.into()))?;
    let Some(expected) = expected else { return Ok(()) };
    let found = NamespaceIdentity { cookie: cookie().map_err(entered)?, inode };
    if found == *expected {
        return Ok(());
    }
    Err(Error::NamespaceReplaced { path: PathBuf::from(path) })
}

/// The cookie of the namespace this process is in; 0 where the kernel has none.
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

/// Mounts the sandbox's files over the host's, in a mount namespace that the command alone
/// has. What the host has no file for is left out: there is nothing to mount over.
fn mount_files(folder: &Path) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |errno: Errno| Error::Mount { path, source: errno.into() }
    };
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed(folder))?;
    // What is mounted here stays here; what the host mounts later is seen.
    let slave = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(none, "/", none, slave, none).map_err(failed(Path::new("/")))?;
    for name in FILES {
        let target = Path::new("/etc").join(name);
        if target.exists() {
            let mounted = mount(Some(&folder.join(name)), &target, none, MsFlags::MS_BIND, none);
            mounted.map_err(failed(&target))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::SandboxSpec;

    use super::*;

    #[test]
    fn only_the_hosts_namespace_needs_no_path() {
        let sandbox = |path: &str, namespace| Sandbox {
            netns_path: path.to_owned(),
            spec: Some(SandboxSpec { namespace, ..SandboxSpec::default() }),
            ..Sandbox::default()
        };
        let host = sandbox("", Some(Namespace::Host(())));
        assert!(matches!(namespace(&host), Ok(None)));
        assert!(namespace(&sandbox("", None)).is_err());
        let made = sandbox("/run/x", None);
        assert!(matches!(namespace(&made), Ok(Some(path)) if path == Path::new("/run/x")));
    }
}
