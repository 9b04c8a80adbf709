//! The cluster that a host is of, if it is of one.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use postern_model::cluster::Vni;
use postern_model::name::Name;
use serde::Deserialize;

use super::SettingsError;
use super::check::wrong;

const LEASE: std::ops::RangeInclusive<u64> = 3..=3600;

/// As it is given: flags begin with `cluster-`, and the file has a table `cluster`.
#[derive(Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GivenCluster {
    /// etcd's endpoints (3.4 or later), http://HOST:PORT or https://HOST:PORT, with , between; in the file, as every setting of the cluster, in the table `cluster`: cluster.endpoints = ["http://…"] [default: this host is alone]
    #[arg(
        long = "cluster-endpoints",
        env = "POSTERN_CLUSTER_ENDPOINTS",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub endpoints: Vec<String>,
    /// Which cluster of those that share the etcd: its keys begin with /postern/NAME/ [default: postern]
    #[arg(long = "cluster-name", env = "POSTERN_CLUSTER_NAME", value_name = "NAME")]
    pub name: Option<Name>,
    /// What this host is called in it [default: the host's name, up to its first dot]
    #[arg(long = "cluster-node-name", env = "POSTERN_CLUSTER_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<Name>,
    /// The address by which other hosts reach this one [default: the one from which etcd is reached]
    #[arg(long = "cluster-underlay", env = "POSTERN_CLUSTER_UNDERLAY", value_name = "ADDRESS")]
    pub underlay: Option<IpAddr>,
    /// The VXLAN identifiers that networks made here may get, FIRST-LAST; where other software uses some [default: 4096-16777215]
    #[arg(long = "cluster-vnis", env = "POSTERN_CLUSTER_VNIS", value_name = "FIRST-LAST")]
    pub vnis: Option<String>,
    /// Seconds after which others take this host for dead when it is not heard of, 3 to 3600 [default: 30]
    #[arg(long = "cluster-lease", env = "POSTERN_CLUSTER_LEASE", value_name = "SECONDS")]
    pub lease: Option<u64>,
    /// The certificates (PEM) by one of which etcd's must be signed; for https
    #[arg(long = "cluster-ca", env = "POSTERN_CLUSTER_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// This host's certificate (PEM), where etcd asks for one
    #[arg(long = "cluster-certificate", env = "POSTERN_CLUSTER_CERTIFICATE", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long = "cluster-key", env = "POSTERN_CLUSTER_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// etcd's user, where it asks for one
    #[arg(long = "cluster-user", env = "POSTERN_CLUSTER_USER", value_name = "NAME")]
    pub user: Option<String>,
    /// A file with the user's password
    #[arg(
        long = "cluster-password-file",
        env = "POSTERN_CLUSTER_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub password_file: Option<PathBuf>,
}

/// With every default filled in; files are not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// etcd's, at least one.
    pub endpoints: Vec<String>,
    /// Which cluster.
    pub name: Name,
    /// None: the host's name.
    pub node_name: Option<Name>,
    /// None: from where etcd is reached.
    pub underlay: Option<IpAddr>,
    /// After which others take this host for dead.
    pub lease: Duration,
    /// The lowest and the highest VNI that networks made here get.
    pub vnis: (Vni, Vni),
    /// Whose signature etcd's certificate has; with an https endpoint.
    pub ca: Option<PathBuf>,
    /// Certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The user, and the file of the password.
    pub user: Option<(String, PathBuf)>,
}

impl GivenCluster {
    /// These, and where one is not given, the other's.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            endpoints: if self.endpoints.is_empty() { other.endpoints } else { self.endpoints },
            name: self.name.or(other.name),
            node_name: self.node_name.or(other.node_name),
            underlay: self.underlay.or(other.underlay),
            vnis: self.vnis.or(other.vnis),
            lease: self.lease.or(other.lease),
            ca: self.ca.or(other.ca),
            certificate: self.certificate.or(other.certificate),
            key: self.key.or(other.key),
            user: self.user.or(other.user),
            password_file: self.password_file.or(other.password_file),
        }
    }

    /// None: the host is alone, and nothing else of it means anything.
    pub(super) fn complete(self) -> Result<Option<ClusterSettings>, SettingsError> {
        if self.endpoints.is_empty() {
            return Ok(None);
        }
        let secure = self.endpoints.iter().any(|endpoint| endpoint.starts_with("https://"));
        if secure && self.ca.is_none() {
            return Err(wrong("cluster-ca", "is needed for an endpoint that is https"));
        }
        if !secure && self.ca.is_some() {
            return Err(wrong("cluster-ca", "is given, and no endpoint is https"));
        }
        let identity = match (self.certificate, self.key) {
            (None, None) => None,
            (Some(_), Some(_)) if !secure => {
                return Err(wrong("cluster-certificate", "is given, and no endpoint is https"));
            }
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return Err(wrong("cluster-key", "is needed with a certificate")),
            (None, Some(_)) => {
                return Err(wrong("cluster-certificate", "is needed with a key"));
            }
        };
        let user = match (self.user, self.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => Some((user, file)),
            (Some(_), None) => {
                return Err(wrong("cluster-password-file", "is needed with a user"));
            }
            (None, Some(_)) => return Err(wrong("cluster-user", "is needed with a password")),
        };
        let lease = self.lease.unwrap_or(30);
        if !LEASE.contains(&lease) {
            return Err(wrong("cluster-lease", format!("{lease} is not from 3 to 3600")));
        }
        if let Some(ip) = self.underlay.filter(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(wrong("cluster-underlay", format!("{ip} is not the address of a host")));
        }
        let name = match self.name {
            Some(name) => name,
            None => "postern".parse().map_err(|error| wrong("cluster-name", format!("{error}")))?,
        };
        Ok(Some(ClusterSettings {
            endpoints: self.endpoints,
            name,
            node_name: self.node_name,
            underlay: self.underlay,
            lease: Duration::from_secs(lease),
            vnis: vnis(self.vnis.as_deref())?,
            ca: self.ca,
            identity,
            user,
        }))
    }
}

/// Docker's lowest too: those below are easily somebody else's.
const VNIS: &str = "4096-16777215";

fn vnis(given: Option<&str>) -> Result<(Vni, Vni), SettingsError> {
    let text = given.unwrap_or(VNIS);
    let read = |text: &str| Vni::try_from(text.trim().parse::<u32>().ok()?).ok();
    let ends = text.split_once('-').and_then(|(first, last)| read(first).zip(read(last)));
    ends.filter(|(first, last)| first <= last)
        .ok_or_else(|| wrong("cluster-vnis", format!("`{text}` is not FIRST-LAST of 1-16777215")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<ClusterSettings>, SettingsError> {
        toml::from_str::<GivenCluster>(text).unwrap().complete()
    }

    #[test]
    fn one_option_joins_a_cluster_and_none_is_alone() {
        assert_eq!(of("name = 'x'").unwrap(), None);
        let settings = of("endpoints = ['http://127.0.0.1:2379']").unwrap().unwrap();
        assert_eq!((settings.name.as_str(), settings.lease.as_secs()), ("postern", 30));
        assert_eq!((settings.underlay, settings.user, settings.identity), (None, None, None));
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        for (rest, expected) in [
            ("endpoints = ['https://a:1']", "cluster-ca"),
            ("endpoints = ['http://a:1']\nca = '/ca'", "cluster-ca"),
            ("endpoints = ['https://a:1']\nca = '/ca'\ncertificate = '/c'", "cluster-key"),
            ("endpoints = ['https://a:1']\nca = '/ca'\nkey = '/k'", "cluster-certificate"),
            ("endpoints = ['http://a:1']\ncertificate = '/c'\nkey = '/k'", "cluster-certificate"),
            ("endpoints = ['http://a:1']\nuser = 'root'", "cluster-password-file"),
            ("endpoints = ['http://a:1']\npassword-file = '/p'", "cluster-user"),
            ("endpoints = ['http://a:1']\nlease = 2", "cluster-lease"),
            ("endpoints = ['http://a:1']\nvnis = '9-8'", "cluster-vnis"),
            ("endpoints = ['http://a:1']\nvnis = '0-8'", "cluster-vnis"),
            ("endpoints = ['http://a:1']\nunderlay = '0.0.0.0'", "cluster-underlay"),
        ] {
            match of(rest) {
                Err(SettingsError::Value { setting, .. }) => {
                    assert_eq!(setting, expected, "{rest}");
                }
                other => panic!("{rest}: {other:?}"),
            }
        }
    }
}
