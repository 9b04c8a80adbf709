//! The host's resolv.conf(5), followed as it changes.

use std::fs::{self, Metadata};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use resolv_conf::{Config, ScopedIp};

/// How often the file is looked at, at the most.
const EVERY: Duration = Duration::from_secs(1);
const PORT: u16 = 53;

/// The servers that the host asks.
#[derive(Debug)]
pub(crate) struct HostFile {
    path: PathBuf,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    stamp: Option<Stamp>,
    servers: Arc<[SocketAddr]>,
}

/// What differs between two versions of a file, replaced or written over.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl HostFile {
    /// Not read yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: Mutex::new(None) }
    }

    /// The servers as the file names them now or did a second ago; this host where it
    /// names none, as resolv.conf(5) has it.
    pub(crate) fn servers(&self, now: Instant) -> Arc<[SocketAddr]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_ref()
            && now.saturating_duration_since(seen.at) < EVERY
        {
            return Arc::clone(&seen.servers);
        }
        let stamp = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        let servers = match seen.take() {
            Some(old) if old.stamp == stamp => old.servers,
            _ => read(&self.path),
        };
        let shared = Arc::clone(&servers);
        *seen = Some(Seen { at: now, stamp, servers });
        shared
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

fn read(path: &Path) -> Arc<[SocketAddr]> {
    let text = fs::read(path).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "the host's name servers are not known");
        Vec::new()
    });
    // A line that is wrong is no reason to leave the others out.
    let (config, errors) = Config::parse_with_errors(&text);
    for error in errors {
        tracing::debug!(path = %path.display(), %error, "a line is passed over");
    }
    config.get_nameservers_or_local().into_iter().map(address).collect()
}

fn address(server: ScopedIp) -> SocketAddr {
    match server {
        ScopedIp::V6(ip, Some(scope)) => SocketAddrV6::new(ip, PORT, 0, link(&scope)).into(),
        server => (IpAddr::from(server), PORT).into(),
    }
}

/// The number of a link that is given by number or by name; 0, which is none, if there is
/// no such link.
fn link(scope: &str) -> u32 {
    let of_name = || {
        let text = fs::read_to_string(Path::new("/sys/class/net").join(scope).join("ifindex"));
        text.ok()?.trim().parse().ok()
    };
    let plain = !scope.contains('/') && !scope.starts_with('.');
    scope.parse().ok().or_else(|| if plain { of_name() } else { None }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(servers: &[SocketAddr]) -> Vec<String> {
        servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_file_is_followed_once_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        let (file, now) = (HostFile::new(path.clone()), Instant::now());
        assert_eq!(texts(&file.servers(now)), ["192.0.2.1:53"]);

        let new = folder.path().join("new");
        fs::write(&new, "# x\nnonsense\nnameserver 192.0.2.2\nnameserver 2001:db8::1\n").unwrap();
        fs::rename(new, &path).unwrap();
        assert_eq!(texts(&file.servers(now + EVERY / 2)), ["192.0.2.1:53"]);
        assert_eq!(texts(&file.servers(now + EVERY)), ["192.0.2.2:53", "[2001:db8::1]:53"]);
    }

    #[test]
    fn without_a_file_the_host_itself_is_asked() {
        let file = HostFile::new("/nonexistent/resolv.conf".into());
        assert_eq!(texts(&file.servers(Instant::now())), ["127.0.0.1:53", "[::1]:53"]);
    }

    #[test]
    fn a_scope_is_a_number_or_a_link() {
        let scoped = |scope: &str| {
            address(ScopedIp::V6("fe80::1".parse().unwrap(), Some(scope.to_owned()))).to_string()
        };
        assert_eq!(scoped("7"), "[fe80::1%7]:53");
        assert_eq!(scoped("lo"), "[fe80::1%1]:53");
        assert_eq!(scoped("../lo"), "[fe80::1]:53");
    }
}
