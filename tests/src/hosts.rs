//! Several hosts of a cluster on one machine: each a network namespace with a daemon in it, and
//! between them an underlay, on which the etcd is too.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use postern_proto::v1::{EndpointSpec, Network, NetworkSpec};

use crate::api::Api;
use crate::command::{self, Finished, binary, sh};
use crate::daemon::{self, Daemon};
use crate::etcd::Etcd;
use crate::netns::Netns;
use crate::world::separate;

/// Where etcd is in the underlay.
pub const MIDDLE: &str = "192.0.2.254";
/// After so long without a word a host is taken for dead.
pub const LEASE: Duration = Duration::from_secs(3);

const START_LIMIT: Duration = Duration::from_secs(60);
/// How long what has to come about by itself may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One host of a cluster.
#[derive(Debug)]
pub struct Host {
    /// Its daemon's API.
    pub api: Api,
    /// Its namespace.
    pub netns: Netns,
    /// Its name in the cluster.
    pub name: String,
    /// Its address in the underlay.
    pub underlay: String,
    daemon: Option<Daemon>,
    args: Vec<String>,
    dir: PathBuf,
    /// By whose clock its daemon runs, if not by the machine's.
    clock: Option<PathBuf>,
}

/// The hosts, the underlay and the etcd.
#[derive(Debug)]
pub struct Hosts {
    /// The hosts, called `a`, `b` and so on, at 192.0.2.1, .2 and so on.
    pub hosts: Vec<Host>,
    /// What they agree by; it is in the test's own namespace, as the middle of the underlay.
    pub etcd: Etcd,
}

impl Hosts {
    /// Runs a test with so many hosts, each with a daemon, in a cluster of their own.
    ///
    /// # Panics
    /// Where the test does, or where a daemon does not stop cleanly.
    pub fn run<R: Send>(count: usize, test: impl AsyncFnOnce(&mut Self) -> R + Send) -> R {
        Self::run_with(count, &[], test)
    }

    /// Runs a test with daemons that are given further arguments.
    ///
    /// # Panics
    /// As [`Hosts::run`].
    pub fn run_with<R: Send>(
        count: usize,
        args: &[&str],
        test: impl AsyncFnOnce(&mut Self) -> R + Send,
    ) -> R {
        let done = thread::scope(|scope| scope.spawn(|| Self::live(count, args, test)).join());
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn live<R>(count: usize, args: &[&str], test: impl AsyncFnOnce(&mut Self) -> R) -> R {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("tokio: {error}"));
        separate();
        let _in_runtime = runtime.enter();
        sh("ip link set lo up");
        sh("ip link add under type bridge");
        sh("ip link set under up");
        sh(&format!("ip addr add {MIDDLE}/24 dev under"));
        let etcd = Etcd::start_reachable("/run/etcd");
        let hosts = (1..=count).map(|number| Host::make(number, args)).collect();
        let mut world = Self { hosts, etcd };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                for host in &mut world.hosts {
                    host.start().await;
                }
                world.met().await;
                let answer = test(&mut world).await;
                for host in world.hosts.iter_mut().filter(|host| host.daemon.is_some()) {
                    host.stop().await;
                }
                answer
            })
        }));
        outcome.unwrap_or_else(|panic| {
            for host in &world.hosts {
                eprintln!("--- the last words of {} ---\n{}", host.name, host.log_tail());
            }
            resume_unwind(panic)
        })
    }

    /// Waits until every host knows every other one.
    pub async fn met(&self) {
        let count = self.hosts.len();
        for host in &self.hosts {
            host.until("it knows all hosts", async || {
                let cluster = host.api.facts().await.ok().and_then(|facts| facts.cluster);
                cluster.is_some_and(|cluster| cluster.connected && cluster.nodes.len() == count)
            })
            .await;
        }
    }

    /// Makes a network that the hosts share, at the first one, and waits until all have it.
    ///
    /// # Panics
    /// It is refused.
    pub async fn share(&self, name: &str, spec: NetworkSpec) -> Network {
        let spec = NetworkSpec { driver: "overlay".to_owned(), ..spec };
        let made = self.hosts[0].api.create_network(name, spec).await;
        let made = made.unwrap_or_else(|status| panic!("{name}: {status}"));
        for host in &self.hosts {
            host.until_it_has(name).await;
        }
        made
    }

    /// Waits until every host that runs has every endpoint of the others on a network.
    pub async fn until_all_know(&self, network: &str) {
        for host in self.hosts.iter().filter(|host| host.daemon.is_some()) {
            let uids = async || {
                let mut uids = Vec::new();
                for other in self.hosts.iter().filter(|other| other.name != host.name) {
                    if other.daemon.is_none() {
                        continue;
                    }
                    let there = other.api.list_endpoints().await.unwrap_or_default();
                    let joined = there.into_iter().filter(|e| e.network == network);
                    uids.extend(joined.filter(|e| !e.sandbox.is_empty()).map(|e| e.uid));
                }
                uids.sort();
                uids
            };
            host.until("it knows all endpoints", async || {
                host.peers(network).await == uids().await
            })
            .await;
        }
    }
}

impl Host {
    fn make(number: usize, args: &[&str]) -> Self {
        let name = char::from(b'a' + u8::try_from(number - 1).unwrap_or_default()).to_string();
        let netns = Netns::create();
        let underlay = format!("192.0.2.{number}");
        let test = format!("/proc/{}/ns/net", nix::unistd::gettid());
        netns.enter(|| {
            sh(&format!("ip link add eth0 type veth peer name to-{name} netns {test}"));
            sh(&format!("ip addr add {underlay}/24 dev eth0"));
            sh("ip link set eth0 up");
            sh(&format!("ip route add default via {MIDDLE}"));
        });
        sh(&format!("ip link set to-{name} master under up"));
        let dir = PathBuf::from("/run").join(&name);
        std::fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut all = vec![
            format!("--state-dir={}", dir.join("state").display()),
            format!("--run-dir={}", dir.join("postern").display()),
            format!("--listen={}", address(&dir)),
            format!("--cluster-endpoints=http://{MIDDLE}:2379"),
            format!("--cluster-lease={}", LEASE.as_secs()),
            "--cluster-name=test".to_owned(),
            format!("--cluster-node-name={name}"),
        ];
        all.extend(daemon::with_log_level(args));
        let api = Api::new(&address(&dir));
        Self { api, netns, name, underlay, daemon: None, args: all, dir, clock: None }
    }

    /// Starts the daemon and waits until it serves.
    ///
    /// # Panics
    /// It ends, or does not serve in time.
    pub async fn start(&mut self) {
        let mut daemon = match &self.clock {
            Some(clock) => Daemon::start_by(&self.netns, &self.args, &self.log(), clock),
            None => Daemon::start_in(&self.netns, &self.args, &self.log(), ""),
        };
        let begun = Instant::now();
        loop {
            self.api = Api::new(&address(&self.dir));
            if self.api.facts().await.is_ok() {
                break;
            }
            if let Some(status) = daemon.ended() {
                panic!("{}: posternd ended with {status}", self.name);
            }
            assert!(begun.elapsed() < START_LIMIT, "{}: posternd does not serve", self.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.daemon = Some(daemon);
    }

    /// Sets the clock of the daemon so far off, as `+400d`: of one that runs by a clock that was
    /// set before at once, else of one that is started later.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn set_clock(&mut self, off: &str) {
        let clock = self.dir.join("clock");
        std::fs::write(&clock, format!("{off}\n")).unwrap_or_else(|e| panic!("clock: {e}"));
        self.clock = Some(clock);
    }

    /// Kills the daemon as a crash would.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill9(&mut self) {
        self.daemon.take().unwrap_or_else(|| panic!("{} does not run", self.name)).kill9();
    }

    /// Stops the daemon.
    ///
    /// # Panics
    /// It does not stop cleanly.
    pub async fn stop(&mut self) {
        let daemon = self.daemon.take().unwrap_or_else(|| panic!("{} does not run", self.name));
        let status = daemon.stop().await;
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// The daemon.
    ///
    /// # Panics
    /// It does not run.
    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    /// Cuts the host off from the underlay, and so from etcd and the other hosts.
    pub fn cut(&self) {
        sh(&format!("ip link set to-{} down", self.name));
    }

    /// Joins it to the underlay again.
    pub fn mend(&self) {
        sh(&format!("ip link set to-{} up", self.name));
    }

    /// Waits for what comes about by itself.
    ///
    /// # Panics
    /// It does not in time.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < PATIENCE, "{}: not in time: {what}", self.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the host has a network.
    pub async fn until_it_has(&self, network: &str) {
        let what = format!("it has network {network}");
        self.until(&what, async || self.api.network(network).await.is_ok()).await;
    }

    /// Waits until etcd is reached, or is not.
    pub async fn until_connected(&self, wanted: bool) {
        self.until(&format!("connected: {wanted}"), async || {
            let cluster = self.api.facts().await.ok().and_then(|facts| facts.cluster);
            cluster.is_some_and(|cluster| cluster.connected == wanted)
        })
        .await;
    }

    /// The uids of the endpoints that it knows on other hosts, in order.
    pub async fn peers(&self, network: &str) -> Vec<String> {
        let peers = self.api.peers(network).await.unwrap_or_default();
        let mut uids: Vec<String> = peers.into_iter().map(|peer| peer.uid).collect();
        uids.sort();
        uids
    }

    /// Makes a sandbox, joins it to a network, and returns its namespace.
    ///
    /// # Panics
    /// The daemon refuses.
    pub async fn place(&self, network: &str, sandbox: &str, spec: EndpointSpec) -> Netns {
        let made = self.api.create_sandbox(sandbox).await;
        let netns = Netns::open(made.unwrap_or_else(|s| panic!("{sandbox}: {s}")).netns_path);
        let joined = self.api.connect(network, sandbox, spec).await;
        joined.unwrap_or_else(|status| panic!("{sandbox} to {network}: {status}"));
        netns
    }

    /// The IPv4 address of a sandbox's endpoint.
    ///
    /// # Panics
    /// There is none.
    pub async fn address_of(&self, sandbox: &str, network: &str) -> String {
        let endpoint = self.api.endpoint(&format!("{sandbox}.{network}")).await;
        let endpoint = endpoint.unwrap_or_else(|status| panic!("{sandbox}: {status}"));
        endpoint.ipv4_address.split('/').next().unwrap_or_default().to_owned()
    }

    /// Asserts that the daemon finds no drift.
    ///
    /// # Panics
    /// It does.
    pub async fn assert_agrees(&self) {
        let drift = self.api.drift().await.unwrap_or_else(|status| panic!("drift: {status}"));
        assert!(drift.is_empty(), "{}: drift: {drift:#?}", self.name);
    }

    /// Asserts that the host tracks no flow in whose description the text is, while it tracks
    /// some.
    ///
    /// # Panics
    /// It does.
    pub fn assert_untracked(&self, text: &str) {
        let flows = self.netns.sh("cat /proc/net/nf_conntrack");
        assert!(!flows.is_empty(), "{}: no flows at all", self.name);
        assert!(!flows.contains(text), "{}: {flows}", self.name);
    }

    /// Runs the command line against the daemon.
    ///
    /// # Panics
    /// It is not built.
    pub fn cli(&self, args: &[&str]) -> Finished {
        let address = address(&self.dir);
        let mut all = vec!["--address", &address];
        all.extend(args);
        command::run(binary("postern"), &all)
    }

    fn log(&self) -> PathBuf {
        self.dir.join("posternd.log")
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }
}

fn address(dir: &Path) -> String {
    format!("unix://{}", dir.join("postern/postern.sock").display())
}
