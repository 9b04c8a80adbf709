//! The real kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use postern_model::id::SandboxId;
use postern_model::name::IfName;
use postern_model::network::Family;
use postern_model::plan::{NamespaceRef, Plan};
use postern_model::resource::{Element, NamedAddress, Resource, ResourceSet};
use postern_model::sandbox::NamespaceIdentity;
use tokio::task::spawn_blocking;

use crate::apply::{Executor, Means};
use crate::conntrack::{Conntrack, Tracked};
use crate::error::{ApplyError, NamespaceError, ObserveError, OpenError};
use crate::features::Features;
use crate::flow_log::FlowLog;
use crate::kernel::{Applied, Kernel, LinkFacts, LiveFlows};
use crate::leftovers;
use crate::mark::REAP_GROUP;
use crate::names::{NameService, Names};
use crate::namespace::{self, Namespace};
use crate::nft::{Nft, NftError, Submitted};
use crate::ports::Ports;
use crate::reaper::Reaper;
use crate::rtnl::{NamespaceIds, Socket};
use crate::sysctl::Procfs;
use crate::watch::Watch;
use crate::{files, forwarding, mark, observe, prefixes};

/// What the host is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// Turn forwarding on where it is off, and keep shut what was shut.
    pub ip_forward: bool,
    /// Keep others from changing the tables, where the kernel can.
    pub own_tables: bool,
    /// The daemon's run directory; namespaces are pinned in `netns` below it.
    pub run_dir: PathBuf,
}

/// The kernel of the namespace it was opened in. Dropping it changes nothing there.
pub struct Linux(Arc<Open>);

struct Open {
    nft: Nft,
    conntrack: Conntrack,
    reaper: Reaper,
    names: Names,
    procfs: Procfs,
    namespace_ids: NamespaceIds,
    ports: Ports,
    features: Features,
    /// The families whose forwarding it was we who turned on.
    fenced: Vec<Family>,
    run_dir: PathBuf,
}

impl Linux {
    /// Opens the kernel of the thread's namespace: loads the rules, deletes links that an
    /// earlier run had out of service or half-made, and sees to forwarding. What else an
    /// earlier run left stays as it is. Sandboxes are told names by `service`.
    ///
    /// # Errors
    /// The process is short of a privilege, or the kernel of a feature.
    pub async fn open(
        settings: &HostSettings,
        service: Arc<dyn NameService>,
    ) -> Result<Self, OpenError> {
        let settings = settings.clone();
        let opened = spawn_blocking(move || Open::with(&settings, service)).await;
        opened.unwrap_or_else(|error| {
            Err(OpenError::Io { what: "a thread".into(), source: io::Error::other(error) })
        })
    }

    /// Waits until every link that is out of service is deleted.
    pub async fn quiesce(&self) {
        let open = Arc::clone(&self.0);
        if spawn_blocking(move || open.reaper.wait(|_| true)).await.is_err() {
            tracing::warn!("links that are out of service are left for the next run");
        }
    }
}

impl Open {
    /// It blocks.
    fn with(settings: &HostSettings, service: Arc<dyn NameService>) -> Result<Linux, OpenError> {
        let nft = |source| OpenError::Nft { source };
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| OpenError::Io { what, source }
        };
        let directory = namespace::directory(&settings.run_dir);
        fs::create_dir_all(&directory).map_err(failed(&directory.display().to_string()))?;
        let removed = namespace::remove_unpinned(&settings.run_dir);
        removed.map_err(failed(&directory.display().to_string()))?;
        let removed = files::remove_unwritten(&settings.run_dir);
        removed.map_err(failed("a place for the files of sandboxes"))?;
        let tables = Nft::open(settings.own_tables).map_err(nft)?;
        let owned_tables = tables.load_base().map_err(nft)?;
        let features = Features { owned_tables, ..Features::probe() };
        tracing::info!(?features, "kernel");
        if settings.ip_forward {
            let families = if features.ipv6 { &Family::ALL[..] } else { &[Family::V4] };
            forwarding::turn_on(&tables, families)?;
        }
        Ok(Linux(Arc::new(Self {
            fenced: tables.fences().map_err(nft)?,
            conntrack: Conntrack::open().map_err(|source| OpenError::Conntrack { source })?,
            reaper: leftovers::clear()?,
            names: Names::new(service),
            procfs: Procfs::open(),
            namespace_ids: NamespaceIds::open().map_err(failed("a number for namespaces"))?,
            ports: Ports::open(features.sctp),
            nft: tables,
            features,
            run_dir: settings.run_dir.clone(),
        })))
    }

    fn take_steps(&self, plan: &Plan) -> Result<Applied, ApplyError> {
        let flows_ended = match plan.flows.is_empty() {
            true => 0,
            false => {
                let ended = self.conntrack.end(&plan.flows);
                ended.map_err(|source| ApplyError::Conntrack { source })?
            }
        };
        if !plan.steps.is_empty() {
            let means = Means {
                features: &self.features,
                reaper: &self.reaper,
                names: &self.names,
                procfs: &self.procfs,
                namespace_ids: &self.namespace_ids,
                run_dir: &self.run_dir,
            };
            let mut executor = Executor::new(means, &plan.namespaces)?;
            plan.steps.iter().try_for_each(|step| executor.take(step))?;
        }
        Ok(Applied { flows_ended })
    }

    fn observe(
        &self,
        namespaces: &BTreeMap<SandboxId, NamespaceRef>,
    ) -> Result<ResourceSet, ObserveError> {
        let mut set = observe::observe(&self.features, &self.names, &self.run_dir, namespaces)?;
        let files = files::observe(&self.run_dir).map_err(|source| ObserveError::Io { source })?;
        set.extend(files);
        let elements = self.nft.elements().map_err(|source| ObserveError::Nft { source })?;
        set.extend(elements.into_iter().map(Resource::Element));
        Ok(set)
    }

    fn flows(&self, of: &BTreeSet<IpAddr>) -> Result<LiveFlows, ObserveError> {
        let failed = |error| ObserveError::Io { source: io::Error::other(error) };
        let flows = self.conntrack.of(of).map_err(failed)?;
        if flows.is_empty() {
            return Ok(LiveFlows::default());
        }
        let mut socket = Socket::open().map_err(|source| ObserveError::Io { source })?;
        let addresses = socket.addresses(None).map_err(ObserveError::netlink("addresses"))?;
        Ok(LiveFlows { flows, host: addresses.iter().map(|found| found.address.ip()).collect() })
    }

    /// Puts back rules that somebody else changed.
    fn mend(&self) -> Result<(), NftError> {
        tracing::warn!("the ruleset is not what it was; loading it again");
        self.nft.load_base()?;
        self.fenced.iter().try_for_each(|family| self.nft.fence(*family, true))
    }
}

impl Kernel for Linux {
    async fn apply(&self, plan: &Plan) -> Result<Applied, ApplyError> {
        if plan.rules {
            let open = Arc::clone(&self.0);
            let mended = spawn_blocking(move || open.mend()).await;
            let mended = mended.map_err(|e| ApplyError::Io { source: io::Error::other(e) })?;
            mended.map_err(|source| ApplyError::Nft { source })?;
        }
        if !(plan.remove.is_empty() && plan.add.is_empty()) {
            let committed = self.0.nft.commit(&plan.remove, &plan.add).await;
            committed.map_err(|source| ApplyError::Nft { source })?;
        }
        if plan.flows.is_empty() && plan.steps.is_empty() {
            return Ok(Applied::default());
        }
        let (open, plan) = (Arc::clone(&self.0), plan.clone());
        let taken = spawn_blocking(move || open.take_steps(&plan)).await;
        taken.unwrap_or_else(|error| Err(ApplyError::Io { source: io::Error::other(error) }))
    }

    fn submit(&self, remove: &[Element], add: &[Element]) -> Submitted {
        self.0.nft.submit(remove, add)
    }

    async fn holds(&self, elements: Vec<Element>) -> Result<Vec<bool>, ObserveError> {
        let open = Arc::clone(&self.0);
        let held = move || open.nft.holds(&elements).map_err(|source| ObserveError::Nft { source });
        read(held).await
    }

    async fn packets(&self, elements: Vec<Element>) -> Result<Vec<Option<u64>>, ObserveError> {
        let open = Arc::clone(&self.0);
        let counted =
            move || open.nft.packets(&elements).map_err(|source| ObserveError::Nft { source });
        read(counted).await
    }

    async fn named(&self) -> Result<Vec<NamedAddress>, ObserveError> {
        let open = Arc::clone(&self.0);
        read(move || open.nft.named().map_err(|source| ObserveError::Nft { source })).await
    }

    async fn flows(&self, of: BTreeSet<IpAddr>) -> Result<LiveFlows, ObserveError> {
        let open = Arc::clone(&self.0);
        read(move || open.flows(&of)).await
    }

    async fn end(&self, flows: Vec<Tracked>) -> Result<(), ApplyError> {
        let open = Arc::clone(&self.0);
        let ended = spawn_blocking(move || open.conntrack.end_tracked(flows)).await;
        let ended = ended.map_err(|error| ApplyError::Io { source: io::Error::other(error) })?;
        ended.map_err(|source| ApplyError::Conntrack { source })
    }

    fn flow_log(&self) -> Result<FlowLog, ObserveError> {
        FlowLog::open().map_err(|source| ObserveError::FlowLog { source })
    }

    async fn rules_are_intact(&self) -> Result<bool, ObserveError> {
        let open = Arc::clone(&self.0);
        read(move || open.nft.base_is_intact().map_err(|source| ObserveError::Nft { source })).await
    }

    fn watch(&self) -> Result<Watch, ObserveError> {
        let pins = namespace::directory(&self.0.run_dir);
        let opened = Watch::open(!self.0.features.owned_tables, &pins);
        opened.map_err(|source| ObserveError::Io { source })
    }

    async fn observe(
        &self,
        namespaces: &BTreeMap<SandboxId, NamespaceRef>,
    ) -> Result<ResourceSet, ObserveError> {
        let (open, namespaces) = (Arc::clone(&self.0), namespaces.clone());
        read(move || open.observe(&namespaces)).await
    }

    fn identify(&self, path: &Path) -> Result<NamespaceIdentity, NamespaceError> {
        let failed = |source| NamespaceError::Io { path: path.to_owned(), source };
        Namespace::open(path)?.identity().map_err(failed)
    }

    fn interfaces(&self, path: &Path) -> Result<BTreeSet<IfName>, NamespaceError> {
        let failed = |source| NamespaceError::Io { path: path.to_owned(), source };
        Namespace::open(path)?.interfaces().map_err(failed)
    }

    async fn host_prefixes(&self) -> Result<Vec<IpNetwork>, ObserveError> {
        let marked = self.0.features.address_protocol;
        read(move || prefixes::of_the_host(marked)).await
    }

    async fn mtu_at(&self, address: IpAddr) -> Result<Option<u32>, ObserveError> {
        read(move || prefixes::mtu_at(address)).await
    }

    async fn link(&self, name: &IfName) -> Result<Option<LinkFacts>, ObserveError> {
        let name = name.clone();
        read(move || facts(&name)).await
    }

    fn ports(&self) -> &Ports {
        &self.0.ports
    }

    fn features(&self) -> &Features {
        &self.0.features
    }
}

async fn read<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ObserveError> + Send + 'static,
) -> Result<T, ObserveError> {
    let read = spawn_blocking(work).await;
    read.unwrap_or_else(|error| Err(ObserveError::Io { source: io::Error::other(error) }))
}

fn facts(name: &IfName) -> Result<Option<LinkFacts>, ObserveError> {
    let mut socket = Socket::open().map_err(|source| ObserveError::Io { source })?;
    let found = socket.link(name.as_str()).map_err(ObserveError::netlink("link"))?;
    // What is out of service has its name for a moment only; who wants that waits for it.
    let Some(link) = found.filter(|link| link.group != REAP_GROUP) else { return Ok(None) };
    let addresses =
        socket.addresses(Some(link.index)).map_err(ObserveError::netlink("addresses"))?;
    Ok(Some(LinkFacts {
        is_bridge: link.is_bridge(),
        is_ethernet: link.ethernet,
        is_port: link.master.is_some(),
        mac: link.mac,
        ours: mark::owner(link.alias.as_deref()),
        mtu: link.mtu,
        addresses: addresses.into_iter().map(|found| found.address).collect(),
    }))
}
