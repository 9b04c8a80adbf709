//! A host of its own for each test: new network and mount namespaces on a new thread,
//! whose children inherit them. Nothing outside is touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use postern_kernel::{HostSettings, Kernel, Linux, NoNames, namespace_path};
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::name::IfName;
use postern_model::plan::{NamespaceRef, Plan, Step};
use postern_model::resource::{Bridge, Element, Owner, Place, Resource, ResourceSet, Veth};
use tempfile::TempDir;

const RUN: &str = "/run";

/// How many sandboxes' namespaces every plan knows.
pub(crate) const SANDBOXES: u32 = 32;

/// A kernel in a host of its own, and what a test says to it.
pub(crate) struct Host {
    pub(crate) kernel: Linux,
    pub(crate) run_dir: TempDir,
    pub(crate) namespaces: BTreeMap<SandboxId, NamespaceRef>,
}

/// Runs a test in a host of its own.
pub(crate) fn on_a_host(test: impl AsyncFnOnce(&mut Host) + Send) {
    in_namespaces(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let run_dir = run_dir();
            let kernel = open(run_dir.path()).await;
            let namespaces =
                (0..SANDBOXES).map(|n| (sandbox(n), reference(run_dir.path(), n))).collect();
            let mut host = Host { kernel, run_dir, namespaces };
            test(&mut host).await;
        });
    });
}

/// A run directory.
pub(crate) fn run_dir() -> TempDir {
    TempDir::new_in(RUN).unwrap()
}

/// Opens the kernel as the daemon does.
pub(crate) async fn open(run_dir: &Path) -> Linux {
    let settings =
        HostSettings { ip_forward: true, own_tables: false, run_dir: run_dir.to_owned() };
    Linux::open(&settings, std::sync::Arc::new(NoNames)).await.unwrap()
}

/// Runs a test in namespaces of its own.
pub(crate) fn in_namespaces(test: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let host = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            // Whatever is left in it goes with the namespace.
            mount(Some("tmpfs"), RUN, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
            ip("link set lo up");
            test();
        });
        if let Err(panic) = host.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Runs `ip` with some words, and gives back what it prints.
pub(crate) fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split_whitespace()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "ip {words}: {text}{output:?}");
    text
}

/// Runs `ip` in a namespace at a path.
pub(crate) fn ip_in(path: &Path, words: &str) -> String {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", path.display())).arg("ip").args(words.split_whitespace());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "ip {words}: {text}{output:?}");
    text
}

pub(crate) fn reference(run_dir: &Path, n: u32) -> NamespaceRef {
    NamespaceRef { path: namespace_path(run_dir, sandbox(n)), identity: None }
}

impl Host {
    /// Where the n-th sandbox's namespace is.
    pub(crate) fn path(&self, n: u32) -> PathBuf {
        namespace_path(self.run_dir.path(), sandbox(n))
    }

    /// The n-th sandbox's namespace as a resource.
    pub(crate) fn namespace(&self, n: u32) -> Resource {
        Resource::Namespace { sandbox: sandbox(n), path: self.path(n) }
    }

    /// A plan of some steps.
    pub(crate) fn plan(&self, steps: Vec<Step>) -> Plan {
        Plan { steps, namespaces: self.namespaces.clone(), ..Plan::default() }
    }

    /// Makes everything, in order.
    pub(crate) async fn create(
        &self,
        resources: &[Resource],
    ) -> Result<(), postern_kernel::ApplyError> {
        let mut plan = self.plan(Vec::new());
        for resource in resources {
            match resource {
                Resource::Element(element) => plan.add.push(element.clone()),
                other => plan.steps.push(Step::Create(other.clone())),
            }
        }
        self.kernel.apply(&plan).await.map(drop)
    }

    /// Removes everything, in order.
    pub(crate) async fn delete(
        &self,
        resources: &[Resource],
    ) -> Result<(), postern_kernel::ApplyError> {
        let mut plan = self.plan(Vec::new());
        for resource in resources {
            match resource {
                Resource::Element(element) => plan.remove.push(element.clone()),
                other => plan.steps.push(Step::Delete(other.clone())),
            }
        }
        self.kernel.apply(&plan).await.map(drop)
    }

    /// Changes one thing.
    pub(crate) async fn update(
        &self,
        from: Resource,
        to: Resource,
    ) -> Result<(), postern_kernel::ApplyError> {
        let plan = self.plan(vec![Step::Update { from, to }]);
        self.kernel.apply(&plan).await.map(drop)
    }

    /// What there is.
    pub(crate) async fn observe(&self) -> ResourceSet {
        self.kernel.observe(&self.namespaces).await.unwrap()
    }
}

pub(crate) fn sandbox(n: u32) -> SandboxId {
    format!("01932c07-a9d0-7000-8abc-0000{n:08x}").parse().unwrap()
}

pub(crate) fn network(n: u32) -> Owner {
    let id: NetworkId = format!("01932c07-a9d0-7000-8abd-0000{n:08x}").parse().unwrap();
    Owner::Network(id)
}

pub(crate) fn endpoint(n: u32) -> Owner {
    let id: EndpointId = format!("01932c07-a9d0-7000-8abe-0000{n:08x}").parse().unwrap();
    Owner::Endpoint(id)
}

pub(crate) fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

pub(crate) fn bridge(n: u32) -> Bridge {
    Bridge {
        name: name(&format!("br-{n}")),
        owner: network(n),
        adopted: false,
        mac: Some(format!("02:00:00:00:01:{n:02x}").parse().unwrap()),
        mtu: Some(1450),
        filtered: true,
    }
}

pub(crate) fn veth(n: u32, master: &str, sandbox: SandboxId, interface: &str) -> Veth {
    let [_, _, _, _, high, low] = [0, 0, 0, 0, (n >> 8) as u8, n as u8];
    Veth {
        name: name(&format!("pv-{n}")),
        owner: endpoint(n),
        master: name(master),
        sandbox,
        interface: name(interface),
        mac: format!("02:00:00:00:{high:02x}:{low:02x}").parse().unwrap(),
        mtu: 1450,
        hairpin: false,
        quiet: false,
    }
}

pub(crate) fn address(place: Place, link: &str, address: &str) -> Resource {
    Resource::Address { place, link: name(link), address: address.parse().unwrap() }
}

pub(crate) fn route(
    sandbox: SandboxId,
    link: &str,
    destination: &str,
    via: Option<&str>,
) -> Resource {
    Resource::Route {
        place: Place::Sandbox(sandbox),
        link: name(link),
        destination: destination.parse().unwrap(),
        via: via.map(|via| via.parse().unwrap()),
    }
}

/// A network's and an endpoint's resources, of every kind that can be observed, in the
/// order in which they are made.
pub(crate) fn everything(host: &Host) -> Vec<Resource> {
    let sandbox = sandbox(1);
    let place = Place::Sandbox(sandbox);
    let pair = Veth { hairpin: true, quiet: true, ..veth(1, "br-1", sandbox, "eth0") };
    vec![
        Resource::Element(Element::Bridge(name("br-1"))),
        Resource::Element(Element::Port(pair.name.clone())),
        Resource::Element(Element::Guard(pair.name.clone(), pair.mac, "10.1.0.2".parse().unwrap())),
        host.namespace(1),
        Resource::Bridge(bridge(1)),
        address(Place::Host, "br-1", "10.1.0.1/24"),
        address(Place::Host, "br-1", "fd01::1/64"),
        Resource::Veth(pair),
        address(place, "eth0", "10.1.0.2/24"),
        address(place, "eth0", "fd01::2/64"),
        route(sandbox, "eth0", "192.0.2.0/24", None),
        route(sandbox, "eth0", "198.51.100.0/24", Some("10.1.0.9")),
        route(sandbox, "eth0", "2001:db8::/32", None),
        route(sandbox, "eth0", "0.0.0.0/0", Some("10.1.0.1")),
        route(sandbox, "eth0", "::/0", Some("fd01::1")),
    ]
}

/// Resources as a set.
pub(crate) fn set(resources: &[Resource]) -> ResourceSet {
    resources.iter().cloned().collect()
}

/// The names of the host's links, in order.
pub(crate) fn links() -> Vec<String> {
    let list = ip("-br link");
    let name = |line: &str| line.split(['@', ' ']).next().map(str::to_owned);
    let mut names: Vec<String> = list.lines().filter_map(name).collect();
    names.sort();
    names
}
