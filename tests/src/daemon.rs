//! The daemon's process.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::command::binary;
use crate::netns::Netns;

const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the daemon in the calling thread's namespaces. What it says on standard
    /// error is added to the file `log`. It comes upon the faults of `failpoints`, which may
    /// be none.
    ///
    /// # Panics
    /// It is not built or cannot be started.
    pub fn start(args: &[String], log: &Path, failpoints: &str) -> Self {
        Self::spawn(Self::command(args, log, failpoints), log)
    }

    /// Starts the daemon in a network namespace.
    ///
    /// # Panics
    /// As [`Daemon::start`].
    pub fn start_in(netns: &Netns, args: &[String], log: &Path, failpoints: &str) -> Self {
        let mut command = Self::command(args, log, failpoints);
        netns.hold(&mut command);
        Self::spawn(command, log)
    }

    /// Starts the daemon in a network namespace, by the clock that the file `clock` sets: as
    /// `+400d`, and changed while it runs. What measures time goes on as it is.
    ///
    /// # Panics
    /// As [`Daemon::start`].
    pub fn start_by(netns: &Netns, args: &[String], log: &Path, clock: &Path) -> Self {
        let mut command = Self::command(args, log, "");
        // The loader knows the architecture's folder.
        command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1");
        command.env("FAKETIME_TIMESTAMP_FILE", clock);
        command
            .envs(["NO_CACHE", "DONT_FAKE_MONOTONIC"].map(|key| (format!("FAKETIME_{key}"), "1")));
        command.env("NO_FAKE_STAT", "1");
        netns.hold(&mut command);
        Self::spawn(command, log)
    }

    fn spawn(mut command: Command, log: &Path) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("posternd: {error}"));
        Self { child, log: log.to_owned() }
    }

    fn command(args: &[String], log: &Path, failpoints: &str) -> Command {
        let stderr = File::options().create(true).append(true).open(log);
        let stderr = stderr.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let mut command = Command::new(binary("posternd"));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("POSTERN_") {
                command.env_remove(key);
            }
        }
        command.env("FAILPOINTS", failpoints);
        end_with_parent(&mut command);
        command
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    ///
    /// # Panics
    /// The kernel does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or_else(|error| panic!("wait for posternd: {error}"))
    }

    /// Ends it at once, as a crash would.
    pub fn kill9(mut self) {
        self.end();
    }

    /// Asks it to stop, and waits until it has. Clients on this thread go on meanwhile,
    /// and so see that they are told.
    ///
    /// # Panics
    /// It does not stop in time.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < STOP_LIMIT {
            if let Some(status) = self.ended() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("posternd did not stop within {STOP_LIMIT:?} of SIGTERM");
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // One that has just ended needs no signal any more.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn end(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// How many descriptors it has open.
    ///
    /// # Panics
    /// The process is gone.
    pub fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        open.unwrap_or_else(|error| panic!("posternd is gone: {error}")).count()
    }

    /// Resident memory in KiB.
    ///
    /// # Panics
    /// The process is gone.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_else(|error| panic!("posternd is gone: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no VmRSS in /proc/{}/status", self.child.id()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// A daemon's arguments, and a log level if they name none: it may be given only once.
pub(crate) fn with_log_level(args: &[&str]) -> Vec<String> {
    let named = args.iter().any(|arg| arg.starts_with("--log-level"));
    let level = (!named).then_some("--log-level=info");
    args.iter().copied().chain(level).map(str::to_owned).collect()
}

/// A test that is itself killed leaves no daemon behind.
#[expect(unsafe_code, reason = "`pre_exec` is the only place between fork and exec")]
pub(crate) fn end_with_parent(command: &mut Command) {
    // SAFETY: prctl(2) is async-signal-safe, and the closure does nothing else.
    unsafe {
        command.pre_exec(|| set_pdeathsig(Signal::SIGKILL).map_err(Into::into));
    }
}
