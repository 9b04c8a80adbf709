//! Three hosts, the underlay between them, and the etcd they agree by.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::demo::stage::{Running, separate};
use crate::process::{Failure, Finished, capture, sh};

/// Where etcd is in the underlay (RFC 5737).
pub(super) const ETCD: &str = "192.0.2.254";
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];

const START_LIMIT: Duration = Duration::from_secs(60);
/// How long what comes about by itself may take: a lease of three seconds, and then some.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the demo plays.
#[derive(Debug)]
pub(super) struct Hosts {
    /// This program, which is also the demo's HTTP server and client.
    me: PathBuf,
    postern: PathBuf,
    posternd: PathBuf,
    etcd_program: PathBuf,
    etcd: Option<Running>,
    daemons: Vec<Running>,
    servers: Vec<Running>,
}

impl Hosts {
    /// Leaves the machine's namespaces for new ones and makes the hosts there.
    pub(super) fn build(etcd_program: PathBuf) -> Result<Self, Failure> {
        let me = std::env::current_exe().map_err(|error| Failure::during("current_exe", error))?;
        let dir = me.parent().unwrap_or(Path::new("/")).to_owned();
        separate()?;
        sh("ip link set lo up")?;
        sh("ip link add underlay type bridge")?;
        sh("ip link set underlay up")?;
        sh(&format!("ip addr add {ETCD}/24 dev underlay"))?;
        for (name, number) in NAMES.into_iter().zip(1..) {
            for line in [
                format!("ip netns add {name}"),
                format!("ip link add to-{name} type veth peer name eth0 netns {name}"),
                format!("ip link set to-{name} master underlay up"),
                format!("ip -n {name} link set lo up"),
                format!("ip -n {name} addr add 192.0.2.{number}/24 dev eth0"),
                format!("ip -n {name} link set eth0 up"),
            ] {
                sh(&line)?;
            }
        }
        Ok(Self {
            me,
            postern: dir.join("postern"),
            posternd: dir.join("posternd"),
            etcd_program,
            etcd: None,
            daemons: Vec::new(),
            servers: Vec::new(),
        })
    }

    /// Starts etcd, with what it had if it has run before.
    pub(super) fn start_etcd(&mut self) -> Result<(), Failure> {
        let failed = |error| Failure::during("etcd", error);
        let log =
            File::options().create(true).append(true).open("/run/etcd.log").map_err(failed)?;
        let url = format!("http://{ETCD}:2379");
        let mut command = Command::new(&self.etcd_program);
        command.args(["--name=demo", "--log-level=error", "--data-dir=/run/etcd"]);
        command.arg(format!("--listen-client-urls={url}"));
        command.arg(format!("--advertise-client-urls={url}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.etcd = Some(Running(command.spawn().map_err(failed)?));
        let begun = Instant::now();
        while std::net::TcpStream::connect((ETCD, 2379)).is_err() {
            if begun.elapsed() > START_LIMIT {
                return Err(Failure::new("etcd does not listen"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends etcd as a crash would.
    pub(super) fn kill_etcd(&mut self) {
        self.etcd = None;
    }

    /// Starts a host's daemon and waits until it answers.
    pub(super) fn start_daemon(&mut self, host: &str) -> Result<(), Failure> {
        let failed = |error| Failure::during("posternd", error);
        let path = format!("/run/{host}.log");
        let log = File::options().create(true).append(true).open(&path).map_err(failed)?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{host}")).arg(&self.posternd);
        command.arg(format!("--state-dir=/run/{host}/state"));
        command.arg(format!("--run-dir=/run/{host}/postern"));
        command.arg(format!("--listen={}", address(host)));
        command.arg(format!("--cluster-endpoints=http://{ETCD}:2379"));
        command.arg(format!("--cluster-node-name={host}")).arg("--cluster-lease=3");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemons.push(Running(command.spawn().map_err(failed)?));
        let begun = Instant::now();
        while !self.postern(host, &["status"])?.ok() {
            if begun.elapsed() > START_LIMIT {
                let log = std::fs::read_to_string(&path).unwrap_or_default();
                return Err(Failure::new(format!("posternd of {host} does not answer:\n{log}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Runs the command line against a host's daemon.
    pub(super) fn postern(&self, host: &str, args: &[&str]) -> Result<Finished, Failure> {
        capture(Command::new(&self.postern).env("POSTERN_ADDRESS", address(host)).args(args))
    }

    /// Starts the HTTP server in a sandbox and waits until it listens.
    pub(super) fn serve(&mut self, host: &str, sandbox: &str, port: u16) -> Result<(), Failure> {
        let failed = |error| Failure::during("the HTTP server", error);
        let listen = format!("0.0.0.0:{port}");
        let mut command = Command::new(&self.postern);
        command.env("POSTERN_ADDRESS", address(host)).args(["exec", sandbox, "--"]).arg(&self.me);
        command.args(["serve-http", "--name", sandbox, "--listen", &listen]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.servers.push(Running(command.spawn().map_err(failed)?));
        let url = format!("http://127.0.0.1:{port}/");
        match self.until(|hosts| Ok(hosts.fetch(host, sandbox, &url)?.ok()))? {
            true => Ok(()),
            false => Err(Failure::new(format!("nothing listens in sandbox {sandbox}"))),
        }
    }

    /// Fetches a URL from inside a sandbox.
    pub(super) fn fetch(&self, host: &str, sandbox: &str, url: &str) -> Result<Finished, Failure> {
        let me = self.me.to_string_lossy();
        self.postern(host, &["exec", sandbox, "--", &me, "fetch", url])
    }

    /// Waits for what comes about by itself; whether it did in time.
    pub(super) fn until(
        &self,
        holds: impl Fn(&Self) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        let begun = Instant::now();
        while !holds(self)? {
            if begun.elapsed() > PATIENCE {
                return Ok(false);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(true)
    }

    /// Ends the HTTP servers.
    pub(super) fn end_servers(&mut self) {
        self.servers.clear();
    }
}

fn address(host: &str) -> String {
    format!("unix:///run/{host}/postern/postern.sock")
}
