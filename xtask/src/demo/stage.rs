//! The host the demo runs on: namespaces, an uplink, the daemon, and programs started here and there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::{Failure, Finished, capture, sh};

/// The host's address on its uplink (RFC 5737).
pub(crate) const HOST: &str = "192.0.2.1";
/// The address of the world outside.
pub(crate) const OUTSIDE: &str = "192.0.2.2";

const ADDRESS: &str = "unix:///run/postern/postern.sock";
const LOG: &str = "/run/posternd.log";
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// A program that is killed when it is no longer needed.
#[derive(Debug)]
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the demo plays.
#[derive(Debug)]
pub(crate) struct Stage {
    /// This program, which is also the demo's HTTP server and client.
    me: PathBuf,
    postern: PathBuf,
    posternd: PathBuf,
    daemon: Option<Running>,
    servers: Vec<Running>,
}

impl Stage {
    /// Leaves the machine's namespaces for new ones and makes a host there.
    pub(crate) fn build() -> Result<Self, Failure> {
        let me = std::env::current_exe().map_err(|error| Failure::during("current_exe", error))?;
        let dir = me.parent().unwrap_or(Path::new("/")).to_owned();
        separate()?;
        for line in [
            "ip link set lo up",
            "ip netns add outside",
            "ip link add uplink0 type veth peer name eth0 netns outside",
            "ip addr add 192.0.2.1/24 dev uplink0",
            "ip link set uplink0 up",
            "ip -n outside link set lo up",
            "ip -n outside addr add 192.0.2.2/24 dev eth0",
            "ip -n outside link set eth0 up",
            "ip route add default via 192.0.2.2",
        ] {
            sh(line)?;
        }
        Ok(Self {
            me,
            postern: dir.join("postern"),
            posternd: dir.join("posternd"),
            daemon: None,
            servers: Vec::new(),
        })
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start_daemon(&mut self) -> Result<(), Failure> {
        let failed = |error| Failure::during("posternd", error);
        let log = File::options().create(true).append(true).open(LOG).map_err(failed)?;
        let mut command = Command::new(&self.posternd);
        command.args(["--state-dir", "/run/state", "--run-dir", "/run/postern"]);
        command.args(["--listen", ADDRESS]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut running = Running(command.spawn().map_err(failed)?);
        let begun = Instant::now();
        while !self.postern(&["status"])?.ok() {
            let ended = running.0.try_wait().map_err(failed)?;
            if ended.is_some() || begun.elapsed() > START_LIMIT {
                let log = std::fs::read_to_string(LOG).unwrap_or_default();
                return Err(Failure::new(format!("posternd does not answer:\n{log}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.daemon = Some(running);
        Ok(())
    }

    /// Ends the daemon as a crash would.
    pub(crate) fn kill_daemon(&mut self) {
        self.daemon = None;
    }

    /// Asks the daemon to stop; whether it did, and cleanly.
    pub(crate) fn stop_daemon(&mut self) -> Result<bool, Failure> {
        let Some(mut running) = self.daemon.take() else { return Ok(false) };
        let failed = |error| Failure::during("posternd", error);
        let pid = i32::try_from(running.0.id()).map_err(|e| Failure::during("posternd", e))?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)
            .map_err(|error| Failure::during("SIGTERM", error))?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_LIMIT {
            if let Some(status) = running.0.try_wait().map_err(failed)? {
                return Ok(status.success());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(false)
    }

    /// Runs the command line.
    pub(crate) fn postern(&self, args: &[&str]) -> Result<Finished, Failure> {
        capture(Command::new(&self.postern).env("POSTERN_ADDRESS", ADDRESS).args(args))
    }

    /// Starts the HTTP server in a sandbox and waits until it listens.
    pub(crate) fn serve(&mut self, sandbox: &str, port: u16) -> Result<(), Failure> {
        let failed = |error| Failure::during("the HTTP server", error);
        let listen = format!("0.0.0.0:{port}");
        let mut command = Command::new(&self.postern);
        command.env("POSTERN_ADDRESS", ADDRESS).args(["exec", sandbox, "--"]).arg(&self.me);
        command.args(["serve-http", "--name", sandbox, "--listen", &listen]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.servers.push(Running(command.spawn().map_err(failed)?));
        let begun = Instant::now();
        while !self.fetch_in(sandbox, &format!("http://127.0.0.1:{port}/"))?.ok() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(Failure::new(format!("nothing listens in sandbox {sandbox}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Fetches a URL from inside a sandbox.
    pub(crate) fn fetch_in(&self, sandbox: &str, url: &str) -> Result<Finished, Failure> {
        let me = self.me.to_string_lossy();
        self.postern(&["exec", sandbox, "--", &me, "fetch", url])
    }

    /// Fetches a URL from the world outside.
    pub(crate) fn fetch_outside(&self, url: &str) -> Result<Finished, Failure> {
        let mut command = Command::new("ip");
        capture(command.args(["netns", "exec", "outside"]).arg(&self.me).args(["fetch", url]))
    }

    /// Fetches a URL from the host.
    pub(crate) fn fetch_here(&self, url: &str) -> Result<Finished, Failure> {
        capture(Command::new(&self.me).args(["fetch", url]))
    }

    /// Ends the HTTP server that was started last.
    pub(crate) fn end_last_server(&mut self) {
        self.servers.pop();
    }

    /// Ends the HTTP servers.
    pub(crate) fn end_servers(&mut self) {
        self.servers.clear();
    }
}

/// New network and mount namespaces, with a `/run` of their own.
pub(super) fn separate() -> Result<(), Failure> {
    let failed = |what: &'static str| move |error| Failure::during(what, error);
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(failed("unshare"))?;
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).map_err(failed("making mounts private"))?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)
        .map_err(failed("mounting /run"))
}
