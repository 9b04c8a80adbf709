//! Where this host is in its cluster: how etcd is reached, and by what name and address others
//! know the host.

use std::fs;
use std::io;
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};

use postern_cluster::settings::{Settings, Tls};
use postern_cluster::{ClusterError, SettingsError};
use postern_model::name::Name;

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
    /// Nobody reaches it by that address.
    #[error("cluster-underlay: no link of this host has the address {0}")]
    NoLink(IpAddr),
    /// The settings do not go together.
    #[error("cluster-endpoints: etcd cannot be used")]
    Settings(#[source] SettingsError),
    /// It cannot be joined.
    #[error("the cluster cannot be joined")]
    Cluster(#[source] ClusterError),
}

pub(super) fn etcd(settings: &ClusterSettings) -> Result<Settings, JoinError> {
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

pub(super) fn node_name(settings: &ClusterSettings) -> Result<Name, JoinError> {
    if let Some(name) = &settings.node_name {
        return Ok(name.clone());
    }
    let host = read(Path::new(HOST_NAME))?;
    let host = String::from_utf8_lossy(&host).trim().to_owned();
    let label = host.split('.').next().unwrap_or_default();
    label.parse().map_err(|_| JoinError::NodeName(host.clone()))
}

/// The address from which etcd is reached, as the kernel's routes have it: nothing is sent.
pub(super) fn underlay(settings: &ClusterSettings) -> Result<IpAddr, JoinError> {
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
