//! What the flags, the environment and the file give.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use postern_planner::pools::Pool;
use serde::Deserialize;

use super::cluster::GivenCluster;

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
pub struct PoolSetting(pub(super) Pool);

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
            /// What drivers may use, NAME=NUMBER, as fuel=100000000 or call-wall-ms=500; can be given several times, or with ; between in the environment. A wrong name is answered with all of them
            #[arg(long, env = "POSTERN_DRIVER_LIMIT", value_name = "LIMIT", value_delimiter = ';')]
            pub driver_limit: Vec<String>,
            /// The cluster that this host is of.
            #[command(flatten)]
            pub cluster: GivenCluster,
        }

        impl GivenSettings {
            /// These, and where one is not given, the other's.
            pub(super) fn or(self, other: Self) -> Self {
                let pools = self.default_address_pool;
                let limits = self.driver_limit;
                Self {
                    $($name: self.$name.or(other.$name),)*
                    default_address_pool: if pools.is_empty() { other.default_address_pool } else { pools },
                    driver_limit: if limits.is_empty() { other.driver_limit } else { limits },
                    cluster: self.cluster.or(other.cluster),
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
    /// Keep every other program from changing or flushing the daemon's nftables tables while it runs, where the kernel can (Linux 6.9) [default: true]
    own_tables: bool, "POSTERN_OWN_TABLES", "BOOL";
    /// Repair what somebody else changed as soon as the kernel tells of it; otherwise only now and then, and when asked [default: true]
    watch_drift: bool, "POSTERN_WATCH_DRIFT", "BOOL";
    /// Masquerading on the default bridge [default: true]
    ip_masq: bool, "POSTERN_IP_MASQ", "BOOL";
    /// Where ports are published when nobody says [default: every address]
    ip: IpAddr, "POSTERN_IP", "ADDRESS";
    /// Seconds a freed address rests before it is offered again [default: 10]
    address_rest: u64, "POSTERN_ADDRESS_REST", "SECONDS";
    /// A folder of drivers to install when the daemon starts: NAME.wasm, its grants a line each in NAME.grants, its signature in NAME.sig [default: /etc/postern/drivers]
    driver_dir: PathBuf, "POSTERN_DRIVER_DIR", "DIR";
    /// A folder of Ed25519 public keys (*.pem), by one of which every driver that is installed must be signed [default: no signature is asked for]
    driver_keys: PathBuf, "POSTERN_DRIVER_KEYS", "DIR";
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
    /// Seconds that an address may be reached which a policy allows by name, at the least; longer where its TTL is [default: 60]
    name_ttl_min: u64, "POSTERN_NAME_TTL_MIN", "SECONDS";
    /// Most addresses of one name that an endpoint may reach by a policy at a time; new ones take the place of old ones [default: 100]
    name_addresses: usize, "POSTERN_NAME_ADDRESSES", "COUNT";
}
