//! A member, and what it was told last.

use std::fs;
use std::io;
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use postern_cluster::layout::Layout;
use postern_cluster::mirror::Mirror;
use postern_cluster::session::{Cluster, Notice};
use postern_cluster::settings::{Settings, Tls};
use postern_cluster::{ClusterError, SettingsError};
use postern_model::cluster::{Node, NodeId};
use postern_model::name::Name;
use postern_model::time::Timestamp;
use postern_server::ClusterFacts;
use tokio::sync::mpsc;

use crate::settings::ClusterSettings;

/// Where the kernel has the host's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// A host cannot be of the cluster it is to be of.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// A file of its credentials cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody says by which address others reach it.
    #[error("cluster-underlay: the address from which etcd is reached cannot be found out")]
    Underlay(#[source] io::Error),
    /// The host's name is no name.
    #[error("cluster-node-name: the host's name `{0}` will not do")]
    NodeName(String),
    /// The settings do not go together.
    #[error("cluster-endpoints: etcd cannot be used")]
    Settings(#[source] SettingsError),
    /// It cannot be joined.
    #[error("the cluster cannot be joined")]
    Cluster(#[source] ClusterError),
}

/// This host as one of a cluster.
pub(crate) struct Membership {
    cluster: Cluster,
    name: Name,
    known: Arc<Mutex<Known>>,
}

/// What was told last.
struct Known {
    mirror: Mirror,
    connected: bool,
    /// Why it is not.
    why: String,
    since: Timestamp,
}

impl Membership {
    /// Checks what can be checked before anything is touched.
    pub(crate) fn check(settings: &ClusterSettings) -> Result<(), JoinError> {
        node_name(settings)?;
        etcd(settings).map(drop)
    }

    /// Joins, now or whenever etcd is reached: where it is not, nothing waits for it. Must be
    /// called within a tokio runtime.
    pub(crate) fn join(settings: &ClusterSettings, identity: u64) -> Result<Self, JoinError> {
        let about = Node {
            name: node_name(settings)?,
            underlay: underlay(settings)?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let etcd = etcd(settings)?;
        let (cluster, told) =
            Cluster::join(etcd, NodeId::new(identity), &about).map_err(JoinError::Cluster)?;
        let known = Known {
            mirror: Mirror::new(Layout::of(&settings.name)),
            connected: false,
            why: "not reached yet".to_owned(),
            since: SystemTime::now().into(),
        };
        let known = Arc::new(Mutex::new(known));
        tokio::spawn(follow(told, Arc::clone(&known)));
        Ok(Self { cluster, name: settings.name.clone(), known })
    }

    /// What is known of it.
    pub(crate) fn facts(&self) -> ClusterFacts {
        let known = lock(&self.known);
        let nodes = known.mirror.nodes().iter().map(|(id, node)| (*id, node.clone()));
        ClusterFacts {
            name: self.name.clone(),
            own: self.cluster.node(),
            connected: known.connected,
            why: known.why.clone(),
            since: known.since,
            nodes: nodes.collect(),
            unreadable: known.mirror.unreadable().len(),
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(mut told: mpsc::Receiver<Notice>, known: Arc<Mutex<Known>>) {
    while let Some(notice) = told.recv().await {
        let mut known = lock(&known);
        match notice {
            Notice::Connected(mirror) => {
                known.mirror = *mirror;
                known.connected = true;
                known.why.clear();
                known.since = SystemTime::now().into();
            }
            Notice::Changed(changes) => {
                changes.iter().for_each(|change| known.mirror.follow(change));
            }
            Notice::Away { why } => {
                known.connected = false;
                known.why = why;
                known.since = SystemTime::now().into();
            }
        }
    }
}

fn etcd(settings: &ClusterSettings) -> Result<Settings, JoinError> {
    let etcd = Settings::new(settings.endpoints.clone(), settings.name.clone(), settings.lease);
    let mut etcd = etcd.map_err(JoinError::Settings)?;
    if let Some(ca) = &settings.ca {
        let identity = settings.identity.as_ref();
        let identity =
            identity.map(|(certificate, key)| Ok((read(certificate)?, read(key)?))).transpose()?;
        etcd = etcd.with_tls(Tls { ca: read(ca)?, identity });
    }
    if let Some((user, file)) = &settings.user {
        let password = String::from_utf8_lossy(&read(file)?).trim_end().to_owned();
        etcd = etcd.with_user(user.clone(), password);
    }
    Ok(etcd)
}

fn read(path: &Path) -> Result<Vec<u8>, JoinError> {
    fs::read(path).map_err(|source| JoinError::File { path: path.to_owned(), source })
}

fn node_name(settings: &ClusterSettings) -> Result<Name, JoinError> {
    if let Some(name) = &settings.node_name {
        return Ok(name.clone());
    }
    let host = read(Path::new(HOST_NAME))?;
    let host = String::from_utf8_lossy(&host).trim().to_owned();
    let label = host.split('.').next().unwrap_or_default();
    label.parse().map_err(|_| JoinError::NodeName(host.clone()))
}

/// The address from which etcd is reached, as the kernel's routes have it: nothing is sent.
fn underlay(settings: &ClusterSettings) -> Result<IpAddr, JoinError> {
    if let Some(underlay) = settings.underlay {
        return Ok(underlay);
    }
    let mut refused = io::Error::from(io::ErrorKind::InvalidInput);
    for endpoint in &settings.endpoints {
        let there = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
        match from_where(there) {
            Ok(address) => return Ok(address),
            Err(error) => refused = error,
        }
    }
    Err(JoinError::Underlay(refused))
}

fn from_where(there: &str) -> io::Result<IpAddr> {
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for to in there.to_socket_addrs()? {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let reached = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(to)?;
            socket.local_addr()
        });
        match reached {
            Ok(from) => return Ok(from.ip()),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
