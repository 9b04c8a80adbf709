//! A sandbox's resolver: its sockets are reached at the well-known port, though the
//! application has that port for itself.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use postern_kernel::{HostSettings, Kernel, Linux, NameService};
use postern_model::dns::RESOLVER;
use postern_model::id::SandboxId;
use postern_model::plan::{NamespaceRef, Plan, Step};
use postern_model::resource::{Resource, ResourceSet};

use crate::host::{in_namespaces, ip, reference, run_dir, sandbox, set};

/// Keeps the sockets and answers each question, one at a time, when the test says so.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<SandboxId, (UdpSocket, TcpListener)>>);

impl NameService for Kept {
    fn serve(&self, sandbox: SandboxId, udp: UdpSocket, tcp: TcpListener) -> io::Result<()> {
        udp.set_nonblocking(false)?;
        tcp.set_nonblocking(false)?;
        udp.set_read_timeout(Some(Duration::from_secs(5)))?;
        self.0.lock().unwrap().insert(sandbox, (udp, tcp));
        Ok(())
    }

    fn release(&self, sandbox: SandboxId) {
        self.0.lock().unwrap().remove(&sandbox);
    }
}

impl Kept {
    fn answer_udp(&self, sandbox: SandboxId) {
        let kept = self.0.lock().unwrap();
        let (udp, _) = &kept[&sandbox];
        let mut buffer = [0; 512];
        let (length, from) = udp.recv_from(&mut buffer).unwrap();
        udp.send_to(&[&buffer[..length], b" answered"].concat(), from).unwrap();
    }

    fn answer_tcp(&self, sandbox: SandboxId) {
        let kept = self.0.lock().unwrap();
        let (mut stream, _) = kept[&sandbox].1.accept().unwrap();
        let mut buffer = [0; 8];
        stream.read_exact(&mut buffer).unwrap();
        // Several segments, so that more than the handshake is rewritten.
        stream.write_all(&buffer.repeat(40_000)).unwrap();
    }
}

/// Runs some work in a namespace.
fn inside<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> T {
    let file = std::fs::File::open(path).unwrap();
    thread::scope(|scope| {
        let visitor = scope.spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        visitor.join().unwrap()
    })
}

fn ask_udp(path: &Path, service: &Kept, sandbox: SandboxId) -> (String, SocketAddr) {
    let client = inside(path, || UdpSocket::bind("127.0.0.1:0").unwrap());
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.send_to(b"name?", RESOLVER).unwrap();
    service.answer_udp(sandbox);
    let mut buffer = [0; 512];
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

struct World {
    kernel: Linux,
    service: Arc<Kept>,
    namespaces: BTreeMap<SandboxId, NamespaceRef>,
    run_dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let (run_dir, service) = (run_dir(), Arc::new(Kept::default()));
        let settings = HostSettings {
            ip_forward: true,
            own_tables: false,
            run_dir: run_dir.path().to_owned(),
        };
        let kernel =
            Linux::open(&settings, Arc::clone(&service) as Arc<dyn NameService>).await.unwrap();
        let namespaces = (0..3).map(|n| (sandbox(n), reference(run_dir.path(), n))).collect();
        Self { kernel, service, namespaces, run_dir }
    }

    async fn take(&self, steps: Vec<Step>) {
        let namespaces = self.namespaces.clone();
        self.kernel.apply(&Plan { steps, namespaces, ..Plan::default() }).await.unwrap();
    }

    async fn observe(&self) -> ResourceSet {
        self.kernel.observe(&self.namespaces).await.unwrap()
    }
}

fn with_a_world(test: impl AsyncFnOnce(&mut World) + Send) {
    in_namespaces(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            test(&mut world).await;
        });
    });
}

const fn server(sandbox: SandboxId) -> Resource {
    Resource::NameServer { sandbox }
}

#[test]
fn questions_reach_it_and_the_port_is_the_applications_own() {
    with_a_world(async |world| {
        let (id, path) = (sandbox(1), world.namespaces[&sandbox(1)].path.clone());
        let namespace = Resource::Namespace { sandbox: id, path: path.clone() };
        world.take(vec![Step::Create(namespace.clone()), Step::Create(server(id))]).await;
        assert_eq!(world.observe().await, set(&[namespace.clone(), server(id)]));
        let (udp, tcp) = inside(&path, || {
            (UdpSocket::bind("0.0.0.0:53").unwrap(), TcpListener::bind("0.0.0.0:53").unwrap())
        });
        let answer = ask_udp(&path, &world.service, id);
        assert_eq!(answer, ("name? answered".to_owned(), RESOLVER));
        let mut stream = inside(&path, || TcpStream::connect(RESOLVER).unwrap());
        stream.write_all(b"12345678").unwrap();
        world.service.answer_tcp(id);
        let mut read = Vec::new();
        stream.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"12345678".repeat(40_000));
        // The application is still the one who is asked at every other address.
        let client = inside(&path, || UdpSocket::bind("127.0.0.1:0").unwrap());
        client.send_to(b"yours", "127.0.0.1:53").unwrap();
        udp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(udp.recv(&mut buffer).unwrap(), 5);
        drop(tcp);
        let count = "/proc/sys/net/netfilter/nf_conntrack_count";
        let tracked = inside(&path, || std::fs::read_to_string(count).unwrap());
        assert_eq!(tracked.trim(), "0", "the sandbox's packets are tracked");
        world.take(vec![Step::Delete(server(id)), Step::Delete(namespace)]).await;
        assert!(world.observe().await.is_empty());
        assert!(world.service.0.lock().unwrap().is_empty(), "the sockets are kept");
    });
}

#[test]
fn what_is_flushed_is_noticed_and_made_again() {
    with_a_world(async |world| {
        let (id, path) = (sandbox(1), world.namespaces[&sandbox(1)].path.clone());
        let namespace = Resource::Namespace { sandbox: id, path: path.clone() };
        world.take(vec![Step::Create(namespace.clone()), Step::Create(server(id))]).await;
        for damage in ["flush ruleset", "flush chain ip postern resolver"] {
            inside(&path, || nft(damage));
            assert_eq!(world.observe().await, set(std::slice::from_ref(&namespace)), "{damage}");
            world.take(vec![Step::Create(server(id))]).await;
            assert_eq!(ask_udp(&path, &world.service, id).0, "name? answered");
        }
        // Twice over is as good as once.
        world.take(vec![Step::Create(server(id))]).await;
        assert_eq!(ask_udp(&path, &world.service, id).0, "name? answered");
        assert_eq!(world.observe().await, set(&[namespace, server(id)]));
    });
}

#[test]
fn somebody_elses_namespace_is_left_as_it_was() {
    with_a_world(async |world| {
        let id = sandbox(2);
        ip("netns add theirs");
        let path = Path::new("/run/netns/theirs").to_owned();
        inside(&path, || nft("add table ip theirs"));
        world.namespaces.insert(id, NamespaceRef { path: path.clone(), identity: None });
        // Its loopback is down still.
        world.take(vec![Step::Create(server(id))]).await;
        assert_eq!(ask_udp(&path, &world.service, id).1, RESOLVER);
        world.take(vec![Step::Delete(server(id))]).await;
        let left = inside(&path, || nft("list tables"));
        assert_eq!(left.trim(), "table ip theirs");
        world.take(vec![Step::Create(server(id))]).await;
        ip("netns del theirs");
        // Nobody finds the namespace any more; its sockets are seen, and can be given up.
        assert_eq!(world.observe().await, set(&[server(id)]));
        world.take(vec![Step::Delete(server(id))]).await;
        assert!(world.service.0.lock().unwrap().is_empty());
        assert!(world.observe().await.is_empty());
        assert!(world.run_dir.path().exists());
    });
}

fn nft(words: &str) -> String {
    let output = std::process::Command::new("nft").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "nft {words}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
