//! Kernel parameters: `net.<family>.conf.<link>.<key>`, and a few global ones.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use postern_failpoint::point;
use postern_model::decision::LinkSysctl;
use postern_model::name::IfName;
use postern_model::network::Family;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::rtnl::turn;

/// Everything below it belongs to the namespace of the thread that looks.
const NET: &str = "sys/net";

/// A procfs to look for parameters in.
///
/// In one of them, the kernel keeps what was looked up in every namespace side by side, and
/// goes through it all for each part of a path: in `/proc`, a look takes 1 ms where 3,000
/// namespaces were looked at before. One of its own takes some 50 us, wherever and whenever.
#[derive(Debug)]
pub(crate) struct Procfs {
    root: PathBuf,
    /// Mounted nowhere, and gone with its descriptor.
    _own: Option<OwnedFd>,
}

impl Procfs {
    /// One of its own (Linux 5.8); else the one that everybody has.
    pub(crate) fn open() -> Self {
        let mounted = || {
            let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        };
        match mounted() {
            Ok(own) => {
                let root = PathBuf::from(format!("/proc/self/fd/{}", own.as_raw_fd()));
                Self { root, _own: Some(own) }
            }
            Err(error) => {
                tracing::debug!(%error, "no procfs of our own");
                Self { root: "/proc".into(), _own: None }
            }
        }
    }

    /// Sets a parameter of a link in the thread's namespace. Where IPv6 is off, or the link's
    /// MTU is too small for it, its parameters do not exist, and nothing needs them.
    pub(crate) fn set(&self, link: &IfName, sysctl: &LinkSysctl, value: &str) -> io::Result<()> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if sysctl.key.is_empty() || !sysctl.key.bytes().all(plain) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a parameter"));
        }
        let of = |family| links_in(&self.root, family).join(link.as_str());
        match write(&of(sysctl.family).join(&sysctl.key), value) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && sysctl.family == Family::V6
                    && !of(Family::V6).exists()
                    && of(Family::V4).exists() =>
            {
                Ok(())
            }
            done => done,
        }
    }
}

/// The directory of a family's links, `all` and `default`; absent if the family is off.
pub(crate) fn links(family: Family) -> PathBuf {
    links_in(Path::new("/proc"), family)
}

fn links_in(root: &Path, family: Family) -> PathBuf {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    root.join(NET).join(family).join("conf")
}

/// Reads a parameter, without the white space around it.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// Sets a parameter that exists.
pub(crate) fn write(path: &Path, value: &str) -> io::Result<()> {
    point("sysctl.write")?;
    let _turn = turn();
    // One write, as the kernel wants it, and never a file made by mistake.
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_no_path() {
        let link: IfName = "eth0".parse().unwrap();
        for key in ["", "../eth0/mtu", "a/b", "A"] {
            let sysctl = LinkSysctl { family: Family::V4, key: key.into() };
            let error = Procfs::open().set(&link, &sysctl, "1").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{key}");
        }
    }
}
