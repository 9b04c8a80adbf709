//! An etcd in a namespace of its own, and hosts that use it.

mod relay;

use std::panic::resume_unwind;

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use etcd_client::{Client, CompactionOptions};
use nix::sched::{CloneFlags, unshare};
use postern_cluster::block::Block;
use postern_cluster::mirror::{Change, Mirror};
use postern_cluster::session::{Cluster, Notice};
use postern_cluster::settings::Settings;
use postern_model::cluster::{Node, NodeId, Peer, SharedNetwork};
use postern_model::decision::{EndpointDecision, NetworkDecision};
use postern_model::endpoint::{Attachment, Endpoint, EndpointSpec};
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::network::{Network, NetworkSpec};
use postern_model::sandbox::{NamespaceSpec, Sandbox, SandboxSpec};
use postern_tests::Etcd;
use postern_tests::command::sh;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

pub(crate) use relay::Relay;

pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// More than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    etcd: Etcd,
    _folder: tempfile::TempDir,
}

/// Gives the thread a network namespace of its own, and a runtime.
pub(crate) fn separate() -> tokio::runtime::Runtime {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    sh("ip link set lo up");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

impl Stage {
    pub(crate) fn run(test: impl AsyncFnOnce(&mut Self) + Send) {
        // A thread of its own, as the namespace is the thread's.
        let done = thread::scope(|scope| scope.spawn(|| Self::live(test)).join());
        done.unwrap_or_else(|panic| resume_unwind(panic));
    }

    fn live(test: impl AsyncFnOnce(&mut Self)) {
        let runtime = separate();
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Self { etcd: Etcd::start(folder.path().join("etcd")), _folder: folder };
        runtime.block_on(async {
            stage.until_it_answers().await;
            test(&mut stage).await;
        });
    }

    pub(crate) async fn start_etcd(&mut self) {
        self.etcd.again();
        self.until_it_answers().await;
    }

    async fn until_it_answers(&self) {
        let begun = Instant::now();
        while self.client().await.is_none() {
            assert!(begun.elapsed() < PATIENCE, "etcd does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn kill_etcd(&mut self) {
        self.etcd.kill();
    }

    async fn client(&self) -> Option<Client> {
        let answers = async {
            let mut client = Client::connect([Etcd::URL], None).await.ok()?;
            client.get("any", None).await.ok()?;
            Some(client)
        };
        timeout(Duration::from_secs(1), answers).await.ok()?
    }

    pub(crate) async fn put(&self, key: &str, value: &str) {
        self.client().await.unwrap().put(key, value, None).await.unwrap();
    }

    pub(crate) async fn revoke_leases(&self) {
        let mut client = self.client().await.unwrap();
        for lease in client.leases().await.unwrap().leases() {
            client.lease_revoke(lease.id()).await.unwrap();
        }
    }

    /// Has etcd forget how things came to be.
    pub(crate) async fn compact(&self) {
        let mut client = self.client().await.unwrap();
        let revision = client.get("any", None).await.unwrap().header().unwrap().revision();
        let physical = CompactionOptions::new().with_physical();
        client.compact(revision, Some(physical)).await.unwrap();
    }

    pub(crate) fn join(
        &self,
        cluster: &str,
        id: u64,
        name: &str,
        own: &[&Peer],
    ) -> (Cluster, mpsc::Receiver<Notice>) {
        join(Etcd::URL, cluster, id, name, own)
    }

    pub(crate) async fn host(&self, id: u64, name: &str) -> Host {
        self.host_with(id, name, &[]).await
    }

    /// One that has these endpoints already.
    pub(crate) async fn host_with(&self, id: u64, name: &str, own: &[&Peer]) -> Host {
        Host::of(self.join("test", id, name, own)).await
    }

    pub(crate) async fn host_of(&self, cluster: &str, id: u64, name: &str) -> Host {
        Host::of(self.join(cluster, id, name, &[])).await
    }

    pub(crate) async fn host_behind_a_relay(&self, id: u64, name: &str) -> (Host, Relay) {
        let relay = Relay::start("127.0.0.1:2379").await;
        let url = format!("http://{}", relay.address());
        (Host::of(join(&url, "test", id, name, &[])).await, relay)
    }
}

fn join(
    url: &str,
    cluster: &str,
    id: u64,
    name: &str,
    own: &[&Peer],
) -> (Cluster, mpsc::Receiver<Notice>) {
    let settings = Settings::new(vec![url.to_owned()], cluster.parse().unwrap(), LEASE);
    let joined = join_by(settings.unwrap(), id, name);
    own.iter().for_each(|peer| joined.0.publish(peer).unwrap());
    joined
}

pub(crate) fn join_by(
    settings: Settings,
    id: u64,
    name: &str,
) -> (Cluster, mpsc::Receiver<Notice>) {
    let about = Node {
        name: name.parse().unwrap(),
        underlay: "192.0.2.1".parse().unwrap(),
        mtu: 1500,
        version: "0.1.0".to_owned(),
    };
    Cluster::join(settings, NodeId::new(id), &about).unwrap()
}

/// A host, and what it was told so far.
pub(crate) struct Host {
    pub(crate) cluster: Cluster,
    told: mpsc::Receiver<Notice>,
    seen: Seen,
}

/// What follows from the notices alone.
struct Seen {
    mirror: Mirror,
    away: bool,
    changes: Vec<Change>,
}

impl Host {
    async fn of((cluster, mut told): (Cluster, mpsc::Receiver<Notice>)) -> Self {
        let first = timeout(PATIENCE, told.recv()).await.unwrap();
        let Some(Notice::Connected) = first else { panic!("{first:?}") };
        let mirror = cluster.mirror().clone();
        let seen = Seen { mirror, away: false, changes: Vec::new() };
        Self { cluster, told, seen }
    }

    pub(crate) fn mirror(&self) -> &Mirror {
        &self.seen.mirror
    }

    /// Waits until what it was told adds up to this.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Mirror) -> bool) {
        self.wait(|seen| !seen.away && wanted(&seen.mirror)).await;
    }

    pub(crate) async fn until_away(&mut self) {
        self.wait(|seen| seen.away).await;
    }

    pub(crate) async fn until_told(&mut self, wanted: impl Fn(&Change) -> bool) -> Change {
        self.wait(|seen| seen.changes.iter().any(&wanted)).await;
        let found = self.seen.changes.iter().position(wanted).unwrap();
        self.seen.changes.remove(found)
    }

    async fn wait(&mut self, wanted: impl Fn(&Seen) -> bool) {
        let begun = Instant::now();
        while !wanted(&self.seen) {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let notice = timeout(left, self.told.recv()).await;
            self.seen.take(&self.cluster, notice.expect("nothing more is told").unwrap());
        }
    }

    /// Takes what was told already.
    pub(crate) fn drain(&mut self) {
        while let Ok(notice) = self.told.try_recv() {
            self.seen.take(&self.cluster, notice);
        }
    }
}

impl Seen {
    fn take(&mut self, cluster: &Cluster, notice: Notice) {
        match notice {
            Notice::Connected => (self.mirror, self.away) = (cluster.mirror().clone(), false),
            Notice::Away { .. } => self.away = true,
            Notice::Changed(changes) => {
                changes.iter().for_each(|change| self.mirror.follow(change));
                self.changes.extend(changes);
            }
        }
    }
}

pub(crate) fn block(prefix: &str) -> Block {
    Block::of_prefix(prefix.parse().unwrap()).unwrap()
}

pub(crate) fn network(name: &str) -> Network {
    Network {
        id: NetworkId::new(Uuid::now_v7()),
        name: name.parse().unwrap(),
        revision: 0,
        created: SystemTime::UNIX_EPOCH.into(),
        predefined: false,
        spec: NetworkSpec {
            driver: "overlay".parse().unwrap(),
            subnets: Vec::new(),
            ipv4: true,
            ipv6: false,
            internal: false,
            icc: true,
            mtu: None,
            dns_servers: Vec::new(),
            labels: Default::default(),
            options: Default::default(),
        },
        subnets: Vec::new(),
        decision: NetworkDecision::default(),
        driver_digest: String::new(),
        vni: None,
        blocks: Vec::new(),
    }
}

pub(crate) fn peer(host: &Host, shared: &SharedNetwork, name: &str, address: &str) -> Peer {
    let sandbox = Sandbox {
        id: SandboxId::new(Uuid::now_v7()),
        name: name.parse().unwrap(),
        revision: 0,
        created: SystemTime::UNIX_EPOCH.into(),
        spec: SandboxSpec::of(NamespaceSpec::Create),
        path: Default::default(),
        quarantined: false,
        identity: None,
    };
    let endpoint = Endpoint {
        id: EndpointId::new(Uuid::now_v7()),
        name: name.parse().unwrap(),
        revision: 0,
        created: SystemTime::UNIX_EPOCH.into(),
        network: shared.network.id,
        spec: EndpointSpec::default(),
        mac: "02:00:00:00:00:02".parse().unwrap(),
        addresses: vec![format!("{address}/24").parse().unwrap()],
        attachment: Some(Attachment {
            sandbox: sandbox.id,
            interface: None,
            bindings: Vec::new(),
            decision: EndpointDecision::default(),
        }),
    };
    Peer {
        node: host.cluster.node(),
        host: "host".parse().unwrap(),
        underlay: "192.0.2.1".parse().unwrap(),
        endpoint,
        sandbox,
    }
}
