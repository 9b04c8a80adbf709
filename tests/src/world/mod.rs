//! A test's world: namespaces, an uplink, somebody else's things, and the daemon.

mod assertions;
mod host;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use host::separate;

use crate::api::Api;
use crate::command::{self, Finished, binary, sh};
use crate::daemon::{self, Daemon};
use crate::foreign::Foreign;
use crate::kernel::{self, OwnLink};
use crate::netns::Netns;

/// The host's address on its uplink.
pub const HOST4: &str = "192.0.2.1";
/// The host's address on its uplink.
pub const HOST6: &str = "2001:db8::1";
/// The address of the world outside.
pub const OUTSIDE4: &str = "192.0.2.2";
/// The address of the world outside.
pub const OUTSIDE6: &str = "2001:db8::2";

const START_LIMIT: Duration = Duration::from_secs(60);

/// One host, with the daemon on it, and the outside that its uplink leads to.
#[derive(Debug)]
pub struct World {
    /// The daemon's API.
    pub api: Api,
    /// The host's namespace, which is the test's own.
    pub host: Netns,
    /// The world outside: another namespace at the other end of the uplink.
    pub outside: Netns,
    daemon: Option<Daemon>,
    args: Vec<String>,
    dir: PathBuf,
    foreign: Foreign,
}

impl World {
    /// Runs a test in a world of its own, with a daemon as it comes.
    ///
    /// # Panics
    /// Where the test does, or where the daemon does not stop cleanly or has touched
    /// what is not its own.
    pub fn run<R: Send>(test: impl AsyncFnOnce(&mut Self) -> R + Send) -> R {
        Self::run_with(&[], test)
    }

    /// Runs a test with a daemon that is given further arguments.
    ///
    /// # Panics
    /// As [`World::run`].
    pub fn run_with<R: Send>(args: &[&str], test: impl AsyncFnOnce(&mut Self) -> R + Send) -> R {
        // A thread of its own: with one test thread, cargo's is the process's main
        // thread, which would keep the namespaces for the next test.
        let done = thread::scope(|scope| scope.spawn(|| Self::live(args, test)).join());
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn live<R>(args: &[&str], test: impl AsyncFnOnce(&mut Self) -> R) -> R {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("tokio: {error}"));
        separate();
        let _in_runtime = runtime.enter();
        let mut world = Self::make(args);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                world.start().await;
                let answer = test(&mut world).await;
                world.foreign.assert_untouched();
                if world.daemon.is_some() {
                    world.stop().await;
                }
                world.foreign.assert_untouched();
                answer
            })
        }));
        outcome.unwrap_or_else(|panic| {
            eprintln!("--- the daemon's last words ---\n{}", world.log_tail());
            resume_unwind(panic)
        })
    }

    fn make(args: &[&str]) -> Self {
        sh("ip link set lo up");
        let outside = Netns::create();
        host::join_uplink(&outside);
        let dir = PathBuf::from("/run");
        let mut all = vec![
            format!("--state-dir={}", dir.join("state").display()),
            format!("--run-dir={}", dir.join("postern").display()),
            format!("--listen={}", address(&dir)),
        ];
        all.extend(daemon::with_log_level(args));
        let foreign = Foreign::make();
        Self {
            api: Api::new(&address(&dir)),
            host: Netns::current(),
            outside,
            daemon: None,
            args: all,
            dir,
            foreign,
        }
    }

    /// Starts the daemon and waits until it serves.
    ///
    /// # Panics
    /// It ends, or does not serve in time.
    pub async fn start(&mut self) {
        if let Err(status) = self.try_start("").await {
            panic!("posternd ended with {status}:\n{}", self.log_tail());
        }
    }

    /// Starts the daemon with faults on its way, as the crate `fail` describes them, and
    /// waits until it serves.
    ///
    /// # Errors
    /// How it ended instead.
    ///
    /// # Panics
    /// It does not serve in time.
    pub async fn try_start(&mut self, failpoints: &str) -> Result<(), ExitStatus> {
        let mut daemon = Daemon::start(&self.args, &self.log(), failpoints);
        let begun = Instant::now();
        loop {
            // A channel anew, because one that was refused waits before it tries again.
            self.api = Api::new(&self.address());
            match self.api.facts().await {
                Ok(_) => break,
                Err(status) if begun.elapsed() > START_LIMIT => panic!("posternd: {status}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            if let Some(status) = daemon.ended() {
                return Err(status);
            }
        }
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Whether the daemon that was started does not run any more.
    pub fn has_ended(&mut self) -> bool {
        self.daemon.as_mut().is_none_or(|daemon| daemon.ended().is_some())
    }

    /// Kills the daemon as a crash would.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill9(&mut self) {
        self.taken().kill9();
    }

    /// Kills the daemon and starts it again.
    ///
    /// # Panics
    /// It does not come back.
    pub async fn restart(&mut self) {
        self.kill9();
        self.start().await;
    }

    /// Stops the daemon as an operator would.
    ///
    /// # Panics
    /// It does not stop cleanly in time.
    pub async fn stop(&mut self) {
        let status = self.taken().stop().await;
        assert!(status.success(), "posternd ended with {status}");
    }

    fn taken(&mut self) -> Daemon {
        self.daemon.take().unwrap_or_else(|| panic!("posternd does not run"))
    }

    /// The running daemon.
    ///
    /// # Panics
    /// It does not run.
    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap_or_else(|| panic!("posternd does not run"))
    }

    /// Where the daemon listens.
    pub fn address(&self) -> String {
        address(&self.dir)
    }

    /// The daemon's run directory.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("postern")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("posternd.log")
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Runs the command line against the daemon.
    ///
    /// # Panics
    /// It is not built.
    pub fn cli(&self, args: &[&str]) -> Finished {
        let address = self.address();
        let mut all = vec!["--address", &address];
        all.extend(args);
        command::run(binary("postern"), &all)
    }

    /// The namespace of a sandbox.
    ///
    /// # Panics
    /// There is no such sandbox, or its namespace is gone.
    pub async fn sandbox(&self, name: &str) -> Netns {
        let sandbox = self.api.sandbox(name).await;
        let sandbox = sandbox.unwrap_or_else(|status| panic!("sandbox {name}: {status}"));
        Netns::open(sandbox.netns_path)
    }

    /// Makes a sandbox, joins it to a network, and returns its namespace.
    ///
    /// # Panics
    /// The daemon refuses.
    pub async fn place(
        &self,
        network: &str,
        sandbox: &str,
        spec: postern_proto::v1::EndpointSpec,
    ) -> Netns {
        let made = self.api.create_sandbox(sandbox).await;
        let netns = Netns::open(made.unwrap_or_else(|s| panic!("{sandbox}: {s}")).netns_path);
        let joined = self.api.connect(network, sandbox, spec).await;
        joined.unwrap_or_else(|status| panic!("{sandbox} to {network}: {status}"));
        netns
    }

    /// The daemon's links on the host.
    pub fn own_links(&self) -> BTreeSet<OwnLink> {
        kernel::own_links()
    }

    /// The daemon's two tables, without counters.
    pub fn own_tables(&self) -> String {
        kernel::own_tables()
    }

    /// The elements of one of the daemon's sets or maps (`kind`) in its table of `family`.
    pub fn own_elements(&self, family: &str, kind: &str, name: &str) -> BTreeSet<String> {
        kernel::own_elements(family, kind, name)
    }
}

fn address(dir: &Path) -> String {
    format!("unix://{}", dir.join("postern/postern.sock").display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{self, Conversation, Server};

    /// A world without a daemon.
    fn alone(test: impl FnOnce(&World) + Send) {
        let done = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let _in_runtime = runtime.enter();
                separate();
                test(&World::make(&[]));
            });
            thread.join()
        });
        done.unwrap_or_else(|panic| resume_unwind(panic));
    }

    #[test]
    fn probes_tell_an_answer_from_none() {
        alone(|world| {
            let here = format!("{OUTSIDE4}:80");
            assert_eq!(traffic::tcp(&world.host, &here), None, "nobody serves");
            let _tcp = Server::tcp(&world.outside, "[::]:80", "outside");
            let _udp = Server::udp(&world.outside, "[::]:80", "outside-udp");
            let answer = traffic::tcp(&world.host, &here).unwrap();
            assert_eq!(
                (answer.server.as_str(), answer.seen_from.to_string().as_str()),
                ("outside", HOST4)
            );
            let six = traffic::tcp(&world.host, &format!("[{OUTSIDE6}]:80")).unwrap();
            assert_eq!(six.seen_from.to_string(), HOST6);
            assert_eq!(traffic::udp(&world.host, &here).unwrap().server, "outside-udp");
            let mut talk = Conversation::begin(&world.host, &here).unwrap();
            assert!(talk.goes_on());
            world.outside.sh("ip link set eth0 down");
            assert!(!talk.goes_on());
            assert_eq!(traffic::tcp(&world.host, &here), None, "the uplink is down");
        });
    }

    #[test]
    fn a_touch_of_somebody_elses_things_is_noticed() {
        for touch in [
            "ip link set foreign0 alias ours",
            "ip addr del 198.51.100.1/24 dev foreign0",
            "nft delete element inet foreign friends { 198.51.100.7 }",
            "nft flush ruleset",
        ] {
            alone(|world| {
                world.assert_foreign_untouched();
                // The listing itself fails where the whole table is gone.
                sh(touch);
                let noticed = catch_unwind(AssertUnwindSafe(|| world.assert_foreign_untouched()));
                assert!(noticed.is_err(), "{touch}");
            });
        }
    }
}
