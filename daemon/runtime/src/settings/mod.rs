//! The configuration: a TOML file, overridden by the environment, overridden by flags.

mod check;
mod cluster;
mod given;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnetwork::{Ipv4Network, Ipv6Network};
use postern_planner::policy::NameLimits;
use postern_planner::pools::Pool;
use postern_plugin::Limits;
use postern_resolver::ResolverOptions;

use check::{
    absolute, check_bridge, driver_limits, limits, names, publish_address, socket_path, wrong,
};
pub(crate) use cluster::ClusterSettings;
pub use given::Arguments;
pub(crate) use given::{GivenSettings, LogFormat};

/// Where the configuration is read when no path is given; it need not exist.
const DEFAULT_FILE: &str = "/etc/postern/posternd.toml";

/// The settings with every default filled in and every one checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the store and compiled drivers are kept.
    pub state_dir: PathBuf,
    /// Where the socket and the namespaces are.
    pub run_dir: PathBuf,
    /// The socket's path.
    pub socket: PathBuf,
    /// What to log.
    pub log_level: String,
    /// How to log.
    pub log_format: LogFormat,
    /// The default bridge.
    pub bridge: BridgeSettings,
    /// Bytes, for networks that do not say.
    pub mtu: u32,
    /// Whether to turn on the kernel's forwarding.
    pub ip_forward: bool,
    /// Whether to keep others from changing the nftables tables, where the kernel can.
    pub own_tables: bool,
    /// Whether to repair what others change as soon as the kernel tells of it.
    pub watch_drift: bool,
    /// Where ports are published when nobody says.
    pub publish_address: Option<IpAddr>,
    /// How long a freed address rests.
    pub address_rest: Duration,
    /// How addresses that policies allow by name are kept.
    pub names: NameLimits,
    /// Default address pools; empty means the built-in ones.
    pub pools: Vec<Pool>,
    /// How sandboxes are told names.
    pub resolver: ResolverOptions,
    /// Where the keys are that drivers must be signed by; none asks for no signature.
    pub driver_keys: Option<PathBuf>,
    /// Drivers that are installed at the start; none if the folder is not there.
    pub driver_dir: PathBuf,
    /// What drivers may use.
    pub driver_limits: Limits,
    /// The cluster that this host is of; none: it is alone.
    pub cluster: Option<ClusterSettings>,
}

/// The default bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSettings {
    /// Its IPv4 address.
    pub bip: Option<Ipv4Network>,
    /// Its IPv6 address.
    pub bip6: Option<Ipv6Network>,
    /// Where dynamic addresses come from.
    pub fixed_cidr: Option<Ipv4Network>,
    /// Where dynamic addresses come from.
    pub fixed_cidr_v6: Option<Ipv6Network>,
    /// The default route.
    pub gateway: Option<Ipv4Addr>,
    /// The default route.
    pub gateway_v6: Option<Ipv6Addr>,
    /// Inter-container communication.
    pub icc: bool,
    /// Masquerading.
    pub masquerade: bool,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a setting that does not exist.
    #[error("{path} is not a configuration")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A setting has a value it cannot have.
    #[error("{setting}: {reason}")]
    Value {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Settings {
    /// Reads the file and puts it together with flags and environment.
    ///
    /// # Errors
    /// The file cannot be read or understood, or a setting has a value it cannot have.
    pub fn load(config: Option<&Path>, given: GivenSettings) -> Result<Self, SettingsError> {
        let file = match config {
            Some(path) => read(path)?,
            None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
            None => GivenSettings::default(),
        };
        Self::complete(given.or(file))
    }

    fn complete(given: GivenSettings) -> Result<Self, SettingsError> {
        let run_dir = absolute("run-dir", given.run_dir, "/run/postern")?;
        let socket = match given.listen.as_deref() {
            None => run_dir.join("postern.sock"),
            Some(text) => socket_path(text)?,
        };
        let mtu = given.mtu.unwrap_or(1500);
        if !(1280..=65535).contains(&mtu) {
            return Err(wrong("mtu", format!("{mtu} is not from 1280 to 65535")));
        }
        let bridge = BridgeSettings {
            bip: given.bip,
            bip6: given.bip6,
            fixed_cidr: given.fixed_cidr,
            fixed_cidr_v6: given.fixed_cidr_v6,
            gateway: given.default_gateway,
            gateway_v6: given.default_gateway_v6,
            icc: given.icc.unwrap_or(true),
            masquerade: given.ip_masq.unwrap_or(true),
        };
        check_bridge(&bridge)?;
        let resolver = ResolverOptions {
            host_file: absolute("resolv-conf", given.resolv_conf, "/etc/resolv.conf")?,
            limits: limits(&[
                ("dns-forwards", given.dns_forwards, |l| &mut l.forwards),
                ("dns-forwards-per-sandbox", given.dns_forwards_per_sandbox, |l| {
                    &mut l.forwards_per_sandbox
                }),
                ("dns-tcp-per-sandbox", given.dns_tcp_per_sandbox, |l| &mut l.tcp_per_sandbox),
                ("dns-cache", given.dns_cache, |l| &mut l.cache_entries),
            ])?,
        };
        let names = names(given.name_ttl_min, given.name_addresses)?;
        Ok(Self {
            resolver,
            names,
            cluster: given.cluster.complete()?,
            driver_keys: given.driver_keys,
            driver_dir: absolute("driver-dir", given.driver_dir, "/etc/postern/drivers")?,
            driver_limits: driver_limits(&given.driver_limit)?,
            state_dir: absolute("state-dir", given.state_dir, "/var/lib/postern")?,
            run_dir,
            socket,
            log_level: given.log_level.unwrap_or_else(|| "info".to_owned()),
            log_format: given.log_format.unwrap_or_default(),
            bridge,
            mtu,
            ip_forward: given.ip_forward.unwrap_or(true),
            own_tables: given.own_tables.unwrap_or(true),
            watch_drift: given.watch_drift.unwrap_or(true),
            publish_address: given.ip.map(publish_address).transpose()?,
            address_rest: Duration::from_secs(given.address_rest.unwrap_or(10)),
            pools: given.default_address_pool.into_iter().map(|pool| pool.0).collect(),
        })
    }
}

fn read(path: &Path) -> Result<GivenSettings, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| SettingsError::Parse { path: path.to_owned(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn given(arguments: &[&str]) -> GivenSettings {
        let all = std::iter::once(&"posternd").chain(arguments);
        Arguments::try_parse_from(all).unwrap().settings
    }

    fn refused(arguments: &[&str]) -> &'static str {
        match Settings::complete(given(arguments)) {
            Err(SettingsError::Value { setting, .. }) => setting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_win_over_the_file_and_defaults_fill_in() {
        let file: GivenSettings =
            toml::from_str("mtu = 1400\nicc = false\nbip = '10.9.0.1/24'").unwrap();
        let settings = Settings::complete(given(&["--mtu", "9000"]).or(file)).unwrap();
        assert_eq!(settings.mtu, 9000);
        assert!(!settings.bridge.icc && settings.bridge.masquerade);
        assert_eq!(settings.socket, Path::new("/run/postern/postern.sock"));
    }

    #[test]
    fn the_file_takes_pools_in_both_forms_and_no_unknown_setting() {
        let text =
            "default-address-pool = ['base=10.0.0.0/8,size=24', { base = 'fd00::/48', size = 64 }]";
        let file: GivenSettings = toml::from_str(text).unwrap();
        assert_eq!(Settings::complete(file).unwrap().pools.len(), 2);
        assert!(toml::from_str::<GivenSettings>("mtuu = 1").is_err());
    }

    #[test]
    fn wrong_values_are_named() {
        assert_eq!(refused(&["--mtu", "100"]), "mtu");
        assert_eq!(refused(&["--bip", "10.0.0.0/24"]), "bip");
        assert_eq!(refused(&["--bip", "10.0.0.1"]), "bip");
        assert_eq!(refused(&["--bip", "10.0.0.1/24", "--fixed-cidr", "10.0.1.0/24"]), "fixed-cidr");
        assert_eq!(refused(&["--fixed-cidr", "10.0.0.1/24"]), "fixed-cidr");
        assert_eq!(refused(&["--default-gateway", "10.0.0.1"]), "default-gateway");
        assert_eq!(refused(&["--listen", "tcp://0.0.0.0:1"]), "listen");
        assert_eq!(refused(&["--state-dir", "x"]), "state-dir");
        for bip in ["224.0.0.1/24", "127.0.0.1/8", "169.254.0.1/16", "10.0.0.255/24"] {
            assert_eq!(refused(&["--bip", bip]), "bip", "{bip}");
        }
        assert_eq!(refused(&["--bip6", "fe80::1/64"]), "bip6");
        for ip in ["224.0.0.1", "255.255.255.255", "ff02::1", "::1"] {
            assert_eq!(refused(&["--ip", ip]), "ip", "{ip}");
        }
        assert_eq!(refused(&["--name-ttl-min", "86401"]), "name-ttl-min");
        assert_eq!(refused(&["--name-addresses", "0"]), "name-addresses");
        assert_eq!(refused(&["--driver-limit", "fuel=1"]), "driver-limit");
        assert_eq!(refused(&["--driver-limit", "speed=1"]), "driver-limit");
        for bad in ["base=10.0.0.0/8", "base=10.0.0.1/8,size=24", "size=24", "x"] {
            let arguments = ["posternd", "--default-address-pool", bad];
            assert!(Arguments::try_parse_from(arguments).is_err(), "{bad}");
        }
    }
}
