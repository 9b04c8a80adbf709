//! The configuration: a TOML file, overridden by the environment, overridden by flags.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use postern_planner::pools::Pool;
use postern_resolver::{Limits, ResolverOptions};
use serde::Deserialize;

/// Where the configuration is read when no path is given; it need not exist.
const DEFAULT_FILE: &str = "/etc/postern/posternd.toml";

/// The daemon of Postern, a network policy gateway.
///
/// Every setting can be given as a flag, as an environment variable (shown beside the
/// flag) or in the TOML file, under the flag's name without its dashes. A flag wins over
/// the environment, the environment over the file.
#[derive(Debug, Parser)]
#[command(name = "posternd", version, max_term_width = 100)]
pub struct Arguments {
    /// The TOML file. When not given, /etc/postern/posternd.toml is read if it exists
    #[arg(long, env = "POSTERN_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    pub check_config: bool,
    /// Compile a driver from standard input to standard output; the daemon runs itself so
    #[arg(long, hide = true)]
    pub compile_driver: bool,
    /// The settings themselves.
    #[command(flatten)]
    pub settings: GivenSettings,
}

/// An address pool, `base=10.20.0.0/16,size=24`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PoolForm")]
pub struct PoolSetting(Pool);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text `base=PREFIX,size=LENGTH` or a table with base and size")]
enum PoolForm {
    Text(String),
    Table { base: IpNetwork, size: u8 },
}

impl TryFrom<PoolForm> for PoolSetting {
    type Error = String;

    fn try_from(form: PoolForm) -> Result<Self, String> {
        match form {
            PoolForm::Text(text) => text.parse(),
            PoolForm::Table { base, size } => {
                Pool::new(base, size).map(Self).map_err(|error| error.to_string())
            }
        }
    }
}

impl FromStr for PoolSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut base, mut size) = (None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("base", value)) => {
                    base = Some(value.parse().map_err(|error| format!("base {value}: {error}"))?);
                }
                Some(("size", value)) => {
                    size = Some(value.parse().map_err(|error| format!("size {value}: {error}"))?);
                }
                _ => return Err(format!("`{part}` is neither base=PREFIX nor size=LENGTH")),
            }
        }
        let (Some(base), Some(size)) = (base, size) else {
            return Err("needs both base=PREFIX and size=LENGTH".to_owned());
        };
        Pool::new(base, size).map(Self).map_err(|error| error.to_string())
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// No limit of the resolver is higher.
const LIMIT_MAX: usize = 1 << 20;

/// Defines the settings once, for the file, the environment and the flags.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $env:literal, $value:literal;)*) => {
        /// Settings as they are given, by one source or another.
        #[derive(Debug, Default, clap::Args, Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub struct GivenSettings {
            $(
                $(#[$doc])*
                #[arg(long, env = $env, value_name = $value)]
                pub $name: Option<$type>,
            )*
            /// A default address pool, base=PREFIX,size=LENGTH; can be given several times, or with ; between in the environment
            #[arg(long, env = "POSTERN_DEFAULT_ADDRESS_POOL", value_name = "POOL", value_delimiter = ';')]
            pub default_address_pool: Vec<PoolSetting>,
        }

        impl GivenSettings {
            /// These, and where one is not given, the other's.
            fn or(self, other: Self) -> Self {
                let pools = self.default_address_pool;
                Self {
                    $($name: self.$name.or(other.$name),)*
                    default_address_pool: if pools.is_empty() { other.default_address_pool } else { pools },
                }
            }
        }
    };
}

settings! {
    /// Where the store and compiled drivers are kept [default: /var/lib/postern]
    state_dir: PathBuf, "POSTERN_STATE_DIR", "DIR";
    /// Where the socket and the namespaces are [default: /run/postern]
    run_dir: PathBuf, "POSTERN_RUN_DIR", "DIR";
    /// Where to listen: unix:///path [default: unix://<run-dir>/postern.sock]
    listen: String, "POSTERN_LISTEN", "ADDRESS";
    /// What to log, as tracing's filters: info, debug, postern_kernel=trace [default: info]
    log_level: String, "POSTERN_LOG_LEVEL", "FILTER";
    /// How to log [default: text]
    log_format: LogFormat, "POSTERN_LOG_FORMAT", "FORMAT";
    /// The default bridge's IPv4 address with its prefix length, as 172.17.0.1/16
    bip: Ipv4Network, "POSTERN_BIP", "CIDR";
    /// The default bridge's IPv6 address with its prefix length; it has IPv6 only if this or fixed-cidr-v6 is given
    bip6: Ipv6Network, "POSTERN_BIP6", "CIDR";
    /// Where the default bridge's dynamic IPv4 addresses come from; inside bip
    fixed_cidr: Ipv4Network, "POSTERN_FIXED_CIDR", "CIDR";
    /// Where the default bridge's dynamic IPv6 addresses come from; inside bip6
    fixed_cidr_v6: Ipv6Network, "POSTERN_FIXED_CIDR_V6", "CIDR";
    /// The default bridge's IPv4 default route, if it is not the bridge itself
    default_gateway: Ipv4Addr, "POSTERN_DEFAULT_GATEWAY", "ADDRESS";
    /// The default bridge's IPv6 default route, if it is not the bridge itself
    default_gateway_v6: Ipv6Addr, "POSTERN_DEFAULT_GATEWAY_V6", "ADDRESS";
    /// Bytes, for networks that do not say [default: 1500]
    mtu: u32, "POSTERN_MTU", "BYTES";
    /// Inter-container communication on the default bridge [default: true]
    icc: bool, "POSTERN_ICC", "BOOL";
    /// Turn on the kernel's forwarding; what the daemon does not own is then not forwarded because of it [default: true]
    ip_forward: bool, "POSTERN_IP_FORWARD", "BOOL";
    /// Masquerading on the default bridge [default: true]
    ip_masq: bool, "POSTERN_IP_MASQ", "BOOL";
    /// Where ports are published when nobody says [default: every address]
    ip: IpAddr, "POSTERN_IP", "ADDRESS";
    /// Seconds a freed address rests before it is offered again [default: 10]
    address_rest: u64, "POSTERN_ADDRESS_REST", "SECONDS";
    /// The file that names the host's DNS servers; it is followed when it changes [default: /etc/resolv.conf]
    resolv_conf: PathBuf, "POSTERN_RESOLV_CONF", "FILE";
    /// Most questions of all sandboxes that are forwarded at a time; more are refused [default: 1024]
    dns_forwards: usize, "POSTERN_DNS_FORWARDS", "COUNT";
    /// Most questions of one sandbox that are forwarded at a time; more are refused [default: 64]
    dns_forwards_per_sandbox: usize, "POSTERN_DNS_FORWARDS_PER_SANDBOX", "COUNT";
    /// Most DNS connections over TCP of one sandbox at a time; more are closed [default: 32]
    dns_tcp_per_sandbox: usize, "POSTERN_DNS_TCP_PER_SANDBOX", "COUNT";
    /// Most answers of DNS servers that are kept for their lifetime, for all sandboxes together; 0 keeps none [default: 4096]
    dns_cache: usize, "POSTERN_DNS_CACHE", "COUNT";
}

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
    /// Where ports are published when nobody says.
    pub publish_address: Option<IpAddr>,
    /// How long a freed address rests.
    pub address_rest: Duration,
    /// Default address pools; empty means the built-in ones.
    pub pools: Vec<Pool>,
    /// How sandboxes are told names.
    pub resolver: ResolverOptions,
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

fn wrong(setting: &'static str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Value { setting, reason: reason.into() }
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
        Ok(Self {
            resolver,
            state_dir: absolute("state-dir", given.state_dir, "/var/lib/postern")?,
            run_dir,
            socket,
            log_level: given.log_level.unwrap_or_else(|| "info".to_owned()),
            log_format: given.log_format.unwrap_or_default(),
            bridge,
            mtu,
            ip_forward: given.ip_forward.unwrap_or(true),
            publish_address: given.ip,
            address_rest: Duration::from_secs(given.address_rest.unwrap_or(10)),
            pools: given.default_address_pool.into_iter().map(|pool| pool.0).collect(),
        })
    }
}

/// A setting's name, its value, and the limit it is.
type LimitSetting = (&'static str, Option<usize>, fn(&mut Limits) -> &mut usize);

/// The limits with those that are given; each is a number of things kept in memory.
fn limits(given: &[LimitSetting]) -> Result<Limits, SettingsError> {
    let mut limits = Limits::default();
    for (setting, value, limit) in given {
        match value {
            None => {}
            Some(value) if *value <= LIMIT_MAX => *limit(&mut limits) = *value,
            Some(value) => return Err(wrong(setting, format!("{value} is over {LIMIT_MAX}"))),
        }
    }
    Ok(limits)
}

fn read(path: &Path) -> Result<GivenSettings, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| SettingsError::Parse { path: path.to_owned(), source: Box::new(source) })
}

fn absolute(
    setting: &'static str,
    given: Option<PathBuf>,
    default: &str,
) -> Result<PathBuf, SettingsError> {
    let path = given.unwrap_or_else(|| PathBuf::from(default));
    if path.is_absolute() {
        return Ok(path);
    }
    Err(wrong(setting, format!("{} is not an absolute path", path.display())))
}

fn socket_path(text: &str) -> Result<PathBuf, SettingsError> {
    let path = text.strip_prefix("unix://").map(PathBuf::from).filter(|path| path.is_absolute());
    path.ok_or_else(|| {
        // Over TCP anybody who reaches the port would own the host's network.
        wrong("listen", format!("`{text}` is not of the form unix:///path; other transports need authentication, which is not there yet"))
    })
}

fn check_bridge(bridge: &BridgeSettings) -> Result<(), SettingsError> {
    check_family(
        ("bip", bridge.bip.map(IpNetwork::V4)),
        ("fixed-cidr", bridge.fixed_cidr.map(IpNetwork::V4)),
        ("default-gateway", bridge.gateway.map(IpAddr::V4)),
    )?;
    check_family(
        ("bip6", bridge.bip6.map(IpNetwork::V6)),
        ("fixed-cidr-v6", bridge.fixed_cidr_v6.map(IpNetwork::V6)),
        ("default-gateway-v6", bridge.gateway_v6.map(IpAddr::V6)),
    )
}

fn check_family(
    (bip_setting, bip): (&'static str, Option<IpNetwork>),
    (fixed_setting, fixed): (&'static str, Option<IpNetwork>),
    (gateway_setting, gateway): (&'static str, Option<IpAddr>),
) -> Result<(), SettingsError> {
    let bits = |prefix: &IpNetwork| if prefix.is_ipv4() { 32 } else { 128 };
    if let Some(bip) = bip.filter(|bip| bip.prefix() == bits(bip)) {
        return Err(wrong(bip_setting, format!("{bip} has no room for anybody but the bridge")));
    }
    if let Some(bip) = bip.filter(|bip| bip.ip() == bip.network() && bip.prefix() < 31) {
        return Err(wrong(
            bip_setting,
            format!("{bip} is a network, not the bridge's address in it"),
        ));
    }
    if let Some(fixed) = fixed {
        if postern_planner::prefix::has_host_bits(fixed) {
            return Err(wrong(fixed_setting, format!("{fixed} has host bits set")));
        }
        if let Some(bip) = bip.filter(|bip| !postern_planner::prefix::contains(*bip, fixed)) {
            return Err(wrong(fixed_setting, format!("{fixed} is not inside {bip_setting} {bip}")));
        }
    }
    if let Some(gateway) = gateway {
        let subnet = bip.or(fixed);
        if !subnet.is_some_and(|subnet| subnet.contains(gateway)) {
            return Err(wrong(gateway_setting, format!("{gateway} is not inside {bip_setting}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        for bad in ["base=10.0.0.0/8", "base=10.0.0.1/8,size=24", "size=24", "x"] {
            let arguments = ["posternd", "--default-address-pool", bad];
            assert!(Arguments::try_parse_from(arguments).is_err(), "{bad}");
        }
    }
}
