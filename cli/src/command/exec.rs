//! `postern exec`: a command in a sandbox's network namespace.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use postern_proto::v1::Sandbox;
use postern_proto::v1::sandbox_spec::Namespace;

use crate::client::{Address, Client};
use crate::error::Error;

/// Asks the daemon for the sandbox.
///
/// # Errors
/// No daemon answers, or it knows no such sandbox.
pub(super) async fn sandbox(address: Address, name: String) -> Result<Sandbox, Error> {
    let client = Client::new(address);
    super::sandbox::get(&client, name).await
}

/// Enters the sandbox's network namespace and becomes the command.
///
/// # Errors
/// The namespace cannot be entered or the command not be run; otherwise it never returns.
pub(super) fn run(sandbox: &Sandbox, command: &[OsString]) -> Result<(), Error> {
    if let Some(path) = namespace(sandbox)? {
        enter(path)?;
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

fn enter(path: &Path) -> Result<(), Error> {
    let file = File::open(path)
        .map_err(|source| Error::OpenNamespace { path: PathBuf::from(path), source })?;
    // Refuses a file that is no network namespace.
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| Error::EnterNamespace {
        path: PathBuf::from(path),
        source: io::Error::from(errno),
    })
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
