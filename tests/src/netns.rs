//! Network namespaces as the tests see them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

/// An open network namespace; it lives at least as long as this.
#[derive(Debug)]
pub struct Netns(File);

impl Netns {
    /// A new namespace with its loopback up.
    ///
    /// # Panics
    /// The kernel refuses, as it does where the test is not root.
    pub fn create() -> Self {
        let made = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET)
                    .unwrap_or_else(|error| panic!("unshare of a network namespace: {error}"));
                crate::command::sh("ip link set lo up");
                Self::current()
            });
            thread.join()
        });
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The calling thread's namespace.
    ///
    /// # Panics
    /// `/proc` is not mounted.
    pub fn current() -> Self {
        Self::open("/proc/thread-self/ns/net")
    }

    /// The namespace at a path.
    ///
    /// # Panics
    /// There is none.
    pub fn open(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        Self(File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Does something inside, on a thread of its own.
    ///
    /// # Panics
    /// Where `work` does.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let done = thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&self.0, CloneFlags::CLONE_NEWNET)
                        .unwrap_or_else(|error| panic!("setns: {error}"));
                    work()
                })
                .join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Has a command be run inside, by whichever thread spawns it.
    #[expect(unsafe_code, reason = "`pre_exec` is the only place between fork and exec")]
    pub(crate) fn hold(&self, command: &mut Command) {
        let netns = self.0.try_clone().unwrap_or_else(|error| panic!("a namespace: {error}"));
        // SAFETY: setns(2) is a plain system call, and the closure does nothing else.
        unsafe {
            command.pre_exec(move || setns(&netns, CloneFlags::CLONE_NEWNET).map_err(Into::into));
        }
    }

    /// Does something outside with a path by which the namespace is found meanwhile.
    ///
    /// # Panics
    /// Where `work` does.
    pub fn hold_while<R>(&self, work: impl FnOnce(&str) -> R) -> R {
        work(&format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()))
    }

    /// Runs a command line inside; see [`crate::command::sh`].
    ///
    /// # Panics
    /// It does not end with 0.
    pub fn sh(&self, line: &str) -> String {
        self.enter(|| crate::command::sh(line))
    }

    /// Asserts that a link is gone, or is within a moment: the daemon takes a link out of
    /// service at once and deletes it when that holds nobody up.
    ///
    /// # Panics
    /// The link stays.
    pub fn assert_without(&self, link: &str) {
        let begun = Instant::now();
        let prefix = format!(": {link}@");
        while self.sh("ip -o link show").contains(&prefix) {
            assert!(begun.elapsed() < Duration::from_secs(5), "{link} stays");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
