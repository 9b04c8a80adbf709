//! Hosts that share networks, and everything that may befall them, in an order that nobody chose:
//! daemons killed in the middle of calls, hosts cut off, etcd killed. In the end every host's
//! kernel is as etcd says.
//!
//! `POSTERN_OVERLAY_EPOCHS` and `POSTERN_OVERLAY_SEED` say how long, and which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postern_proto::v1::{Endpoint, SandboxSpec};
use postern_tests::traffic::{self, Server};
use postern_tests::{Hosts, MIDDLE, Netns, ask, etcd_json, labels};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tonic::{Code, Status};

const HOSTS: usize = 3;
/// Steps between two times that everything is mended and looked at.
const STEPS: usize = 24;
const NETWORKS: [&str; 2] = ["open", "apart"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A sandbox as it should be, and perhaps is not: the answer to its last call was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    host: usize,
    network: &'static str,
    certain: bool,
}

struct Chaos<'a> {
    world: &'a mut Hosts,
    dice: StdRng,
    /// By sandbox.
    placed: BTreeMap<String, Placed>,
    running: [bool; HOSTS],
    cut: [bool; HOSTS],
    etcd: bool,
    counter: usize,
    counts: BTreeMap<&'static str, usize>,
}

/// What a call may say where etcd or a host is away, or somebody was quicker. Whether it was
/// carried out is certain, but where the answer itself was lost.
fn certain(outcome: &Result<(), Status>, what: &str) -> bool {
    let Err(status) = outcome else { return true };
    match status.code() {
        Code::FailedPrecondition
        | Code::NotFound
        | Code::AlreadyExists
        | Code::Aborted
        | Code::ResourceExhausted => true,
        // Of the daemon it has a reason, of the connection it has none.
        Code::Unavailable => !postern_tests::Refusal::of(status).reason.is_empty(),
        Code::Unknown | Code::Cancelled => false,
        _ => panic!("{what}: {status}"),
    }
}

impl Chaos<'_> {
    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.choose(&mut self.dice).copied()
    }

    fn up(&self) -> Vec<usize> {
        (0..HOSTS).filter(|host| self.running[*host]).collect()
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    async fn step(&mut self) {
        match self.dice.random_range(0..100) {
            0..34 => self.connect().await,
            34..50 => self.disconnect().await,
            50..58 => self.relabel(),
            58..66 => self.link().await,
            66..74 => self.policy().await,
            74..78 => self.network().await,
            78..86 => self.kill().await,
            86..94 => self.cut(),
            _ => self.etcd(),
        }
        let pause = self.dice.random_range(0..60);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    async fn connect(&mut self) {
        let up = self.up();
        let Some(host) = self.pick(&up) else { return };
        let network = self.pick(&NETWORKS).unwrap();
        self.counter += 1;
        let name = format!("s{}", self.counter);
        let role = if self.dice.random() { "a" } else { "b" };
        let spec = ask::expose(&[80]);
        let sandbox = SandboxSpec { labels: labels(&[("role", role)]), ..SandboxSpec::default() };
        let dies = self.dice.random_ratio(1, 10).then(|| self.dice.random_range(0..15));
        let api = self.world.hosts[host].api.clone();
        let call = async {
            api.create_sandbox_as(&name, sandbox).await?;
            api.connect(network, &name, spec).await.map(drop)
        };
        let outcome = match dies {
            None => call.await,
            Some(millis) => {
                self.running[host] = false;
                self.note("kill in a call");
                let host = &mut self.world.hosts[host];
                let kill = async {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    host.kill9();
                };
                tokio::join!(call, kill).0
            }
        };
        let certain = certain(&outcome, "connect");
        if outcome.is_ok() || !certain {
            self.note("connect");
            self.placed.insert(name, Placed { host, network, certain });
        }
    }

    async fn disconnect(&mut self) {
        let there: Vec<String> = self.placed.keys().cloned().collect();
        let Some(name) = there.choose(&mut self.dice).cloned() else { return };
        let placed = self.placed[&name].clone();
        if !self.running[placed.host] {
            return;
        }
        let outcome = self.world.hosts[placed.host].api.disconnect(placed.network, &name).await;
        match (certain(&outcome, "disconnect"), outcome) {
            (true, Ok(())) => {
                self.note("disconnect");
                self.placed.remove(&name);
            }
            // One of which nobody knew whether it was there.
            (true, Err(_)) => assert!(!placed.certain, "{name} was not there"),
            (false, _) => self.placed.get_mut(&name).unwrap().certain = false,
        }
    }

    fn relabel(&mut self) {
        let there: Vec<String> = self.placed.keys().cloned().collect();
        let Some(name) = there.choose(&mut self.dice).cloned() else { return };
        let host = self.placed[&name].host;
        if self.running[host] {
            self.note("relabel");
            let label = format!("role={}", if self.dice.random() { "a" } else { "b" });
            let done =
                self.world.hosts[host].cli(&["sandbox", "update", &name, "--label-add", &label]);
            assert!(done.code != Some(4), "{}", done.stderr);
        }
    }

    async fn link(&mut self) {
        let there: Vec<String> = self.placed.keys().cloned().collect();
        let (Some(one), Some(other)) =
            (there.choose(&mut self.dice).cloned(), there.choose(&mut self.dice).cloned())
        else {
            return;
        };
        let host = self.placed[&one].host;
        if !self.running[host] || one == other {
            return;
        }
        let api = self.world.hosts[host].api.clone();
        let outcome = match self.dice.random_ratio(2, 3) {
            true => api.add_link(&one, &other, "other").await.map(drop),
            false => api.remove_link(&one, "other").await.map(drop),
        };
        certain(&outcome, "link");
        self.note("link");
    }

    async fn policy(&mut self) {
        let up = self.up();
        let Some(host) = self.pick(&up) else { return };
        let name = self.pick(&["p", "q"]).unwrap();
        let api = self.world.hosts[host].api.clone();
        let outcome = match self.dice.random_ratio(2, 3) {
            true => {
                let from = self.pick(&["a", "b"]).unwrap();
                let rule = ask::accept(vec![ask::peer(&[("role", from)])], 80);
                let spec = ask::app(&[("role", "b")], vec![rule]);
                api.apply_policy(name, spec).await.map(drop)
            }
            false => api.delete_policy(name).await.map(drop),
        };
        certain(&outcome, "policy");
        self.note("policy");
    }

    async fn network(&mut self) {
        let up = self.up();
        let Some(host) = self.pick(&up) else { return };
        let api = self.world.hosts[host].api.clone();
        let outcome = match self.dice.random() {
            true => api.create_network("extra", ask::overlay(&["10.3.0.0/24"])).await.map(drop),
            false => api.delete_network("extra").await,
        };
        certain(&outcome, "network");
        self.note("network");
    }

    async fn kill(&mut self) {
        let host = self.dice.random_range(0..HOSTS);
        if self.running[host] {
            self.note("kill");
            self.world.hosts[host].kill9();
            self.running[host] = false;
        } else {
            self.world.hosts[host].start().await;
            self.running[host] = true;
        }
    }

    fn cut(&mut self) {
        let host = self.dice.random_range(0..HOSTS);
        if self.cut[host] {
            self.world.hosts[host].mend();
        } else {
            self.note("cut");
            self.world.hosts[host].cut();
        }
        self.cut[host] = !self.cut[host];
    }

    fn etcd(&mut self) {
        if self.etcd {
            self.note("etcd killed");
            self.world.etcd.kill();
        } else {
            self.world.etcd.again();
        }
        self.etcd = !self.etcd;
    }

    async fn mend(&mut self) {
        if !self.etcd {
            self.etcd();
        }
        for host in 0..HOSTS {
            if self.cut[host] {
                self.world.hosts[host].mend();
                self.cut[host] = false;
            }
            if !self.running[host] {
                self.world.hosts[host].start().await;
                self.running[host] = true;
            }
        }
        self.world.met().await;
    }

    /// Everything is mended: what holds then?
    async fn look(&mut self) {
        self.mend().await;
        self.same_networks_and_policies().await;
        for network in NETWORKS {
            self.world.until_all_know(network).await;
        }
        let all = self.endpoints().await;
        self.assert_acknowledged(&all);
        self.assert_unique(&all);
        self.until_etcd_says(&all).await;
        for host in &self.world.hosts {
            host.until("nothing is left to follow", async || {
                let cluster = host.api.facts().await.unwrap().cluster.unwrap();
                cluster.unfollowed.is_empty()
            })
            .await;
            host.assert_agrees().await;
        }
        self.packets(&all).await;
    }

    async fn endpoints(&self) -> Vec<(usize, Endpoint)> {
        let mut all = Vec::new();
        for (index, host) in self.world.hosts.iter().enumerate() {
            let there = host.api.list_endpoints().await.unwrap();
            all.extend(there.into_iter().map(|endpoint| (index, endpoint)));
        }
        all
    }

    /// What was acknowledged is there, and nothing that nobody asked for.
    fn assert_acknowledged(&mut self, all: &[(usize, Endpoint)]) {
        let found: BTreeSet<(String, usize)> =
            all.iter().map(|(host, endpoint)| (endpoint.sandbox.clone(), *host)).collect();
        for (name, placed) in &self.placed {
            let there = found.contains(&(name.clone(), placed.host));
            assert!(there || !placed.certain, "{name} is lost: {placed:?}");
        }
        for (name, host) in &found {
            let known = self.placed.get(name).is_some_and(|placed| placed.host == *host);
            assert!(known, "{name} on host {host} was never asked for, or is deleted");
        }
        self.placed.retain(|name, placed| found.contains(&(name.clone(), placed.host)));
        self.placed.values_mut().for_each(|placed| placed.certain = true);
    }

    fn assert_unique(&self, all: &[(usize, Endpoint)]) {
        let mut seen = BTreeMap::new();
        for (host, endpoint) in all {
            let key = (endpoint.network.clone(), endpoint.ipv4_address.clone());
            let other = seen.insert(key.clone(), (*host, endpoint.name.clone()));
            assert!(other.is_none(), "{key:?} is given twice: {other:?}, {}", endpoint.name);
        }
    }

    async fn until_etcd_says(&self, all: &[(usize, Endpoint)]) {
        let wanted: BTreeSet<&str> =
            all.iter().map(|(_, endpoint)| endpoint.uid.as_str()).collect();
        let host = &self.world.hosts[0];
        host.until("etcd has every endpoint and no other", async || {
            let found = etcd_json::list(&format!("{MIDDLE}:2379"), "/postern/test/v1/endpoints/");
            let found: BTreeSet<String> = found
                .iter()
                .filter_map(|(key, _)| Some(key.rsplit_once('/')?.1.to_owned()))
                .collect();
            found.iter().map(String::as_str).eq(wanted.iter().copied())
        })
        .await;
    }

    async fn same_networks_and_policies(&self) {
        let [a, others @ ..] = self.world.hosts.as_slice() else { panic!("hosts") };
        for host in others {
            host.until("it has the networks and policies of `a`", async || {
                let of = async |api: &postern_tests::Api| {
                    let networks = api.list_networks("").await.unwrap().into_iter();
                    let shared = networks.filter(|network| network.scope == "global");
                    let mut shared: Vec<_> = shared.map(|n| (n.uid, n.vni)).collect();
                    shared.sort();
                    let policies = api.list_policies().await.unwrap().into_iter();
                    let policies: Vec<_> = policies.map(|p| (p.uid, p.spec)).collect();
                    (shared, policies)
                };
                of(&a.api).await == of(&host.api).await
            })
            .await;
        }
    }

    /// Some pairs, whatever host they are on, with what `explain` says of them.
    async fn packets(&mut self, all: &[(usize, Endpoint)]) {
        for _ in 0..6 {
            let (Some(from), Some(to)) = (all.choose(&mut self.dice), all.choose(&mut self.dice))
            else {
                return;
            };
            if from.1.network != to.1.network || from.1.uid == to.1.uid {
                continue;
            }
            let namespace = async |(host, endpoint): &(usize, Endpoint)| {
                let api = &self.world.hosts[*host].api;
                Netns::open(api.sandbox(&endpoint.sandbox).await.unwrap().netns_path)
            };
            let (near, far) = (namespace(from).await, namespace(to).await);
            let server = Server::tcp(&far, "0.0.0.0:80", "far");
            let address = to.1.ipv4_address.split('/').next().unwrap().to_owned();
            let host = &self.world.hosts[from.0];
            let said = host.cli(&["explain", &from.1.sandbox, &to.1.sandbox, "tcp/80"]).stdout;
            let allowed = said.starts_with("ALLOWED");
            assert!(allowed || said.starts_with("DENIED"), "{said}");
            let what = format!("{} to {}: {said}", from.1.name, to.1.name);
            host.until(&what, async || {
                traffic::tcp(&near, &format!("{address}:80")).is_some() == allowed
            })
            .await;
            drop(server);
            self.note(if allowed { "allowed pair" } else { "denied pair" });
        }
    }
}

#[test]
fn whatever_befalls_them_hosts_end_as_etcd_says() {
    let seed = setting("POSTERN_OVERLAY_SEED", 1);
    let epochs = setting("POSTERN_OVERLAY_EPOCHS", 3);
    let counts = Hosts::run_with(HOSTS, &["--address-rest=1"], async |world| {
        world.share("open", ask::network(&["10.1.0.0/24"])).await;
        world.share("apart", ask::apart(ask::network(&["10.2.0.0/24"]))).await;
        let mut chaos = Chaos {
            world,
            dice: StdRng::seed_from_u64(seed),
            placed: BTreeMap::new(),
            running: [true; HOSTS],
            cut: [false; HOSTS],
            etcd: true,
            counter: 0,
            counts: BTreeMap::new(),
        };
        for epoch in 0..epochs {
            for _ in 0..STEPS {
                chaos.step().await;
            }
            chaos.look().await;
            println!("seed {seed}, epoch {epoch}: {:?}", chaos.counts);
        }
        chaos.counts
    });
    assert!(counts.contains_key("connect"), "{counts:?}");
}
