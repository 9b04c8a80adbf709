//! An etcd, where the set-up has put one.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::end_with_parent;

const START_LIMIT: Duration = Duration::from_secs(30);
const CLIENTS: &str = "127.0.0.1:2379";
const MEMBERS: &str = "http://127.0.0.1:2380";

/// Where `cargo xtask setup` has unpacked it: in the folder of all that is built.
fn unpacked() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let places = here.ancestors().map(|folder| folder.join("etcd/root/usr/bin/etcd"));
    places.into_iter().find(|path| path.is_file())
}

/// A running etcd of one member, in the network namespace that it was started in; it is
/// killed when dropped.
#[derive(Debug)]
pub struct Etcd {
    folder: PathBuf,
    url: &'static str,
    args: Vec<String>,
    child: Option<Child>,
}

impl Etcd {
    /// What clients in its namespace reach it by.
    pub const URL: &str = "http://127.0.0.1:2379";
    /// The same where it speaks TLS.
    pub const SECURE_URL: &str = "https://127.0.0.1:2379";

    /// Starts one that keeps what it has in a folder, and waits until it listens.
    ///
    /// # Panics
    /// There is none, or it does not start.
    pub fn start(folder: impl Into<PathBuf>) -> Self {
        Self::start_at(Self::URL, folder, Vec::new())
    }

    /// Starts one that speaks TLS, with what further flags say of it.
    ///
    /// # Panics
    /// As of [`Etcd::start`].
    pub fn start_secure(folder: impl Into<PathBuf>, args: Vec<String>) -> Self {
        Self::start_at(Self::SECURE_URL, folder, args)
    }

    /// Starts one that listens on every address of its namespace.
    ///
    /// # Panics
    /// As of [`Etcd::start`].
    pub fn start_reachable(folder: impl Into<PathBuf>) -> Self {
        Self::start_at("http://0.0.0.0:2379", folder, Vec::new())
    }

    fn start_at(url: &'static str, folder: impl Into<PathBuf>, args: Vec<String>) -> Self {
        let mut etcd = Self { folder: folder.into(), url, args, child: None };
        etcd.again();
        etcd
    }

    /// Starts it again, after a kill, with what it had.
    ///
    /// # Panics
    /// As of [`Etcd::start`].
    pub fn again(&mut self) {
        let mut command = Command::new(unpacked().unwrap_or_else(|| "etcd".into()));
        command
            .args(["--name=test", "--log-level=error", "--unsafe-no-fsync"])
            .arg(format!("--data-dir={}", self.folder.display()))
            .args(["listen", "advertise"].map(|what| format!("--{what}-client-urls={}", self.url)))
            .args(&self.args)
            .arg(format!("--listen-peer-urls={MEMBERS}"))
            .arg(format!("--initial-advertise-peer-urls={MEMBERS}"))
            .arg(format!("--initial-cluster=test={MEMBERS}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        end_with_parent(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("etcd: {error}"));
        self.child = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(CLIENTS).is_err() {
            assert!(begun.elapsed() < START_LIMIT, "etcd does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it. That it does not run is no error.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
