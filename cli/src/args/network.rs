//! `postern network`.

use std::net::IpAddr;

use clap::{ArgGroup, Args, Subcommand};
use ipnetwork::IpNetwork;

use super::common::{AFTER_UPDATE, Change, LabelChange, ListArgs, Names, UpdateChange};
use crate::parse::pairs::{self, Pair};
use crate::parse::subnets;

/// The verbs of a network.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Create a network and print its id
    Create(Box<CreateArgs>),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Print networks in full, as JSON, with their endpoints on other hosts
    Inspect(Names),
    /// Change labels, options or `icc` of a living network
    Update(UpdateArgs),
    /// Delete networks
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
    /// Delete every network without endpoints, the predefined ones excepted
    Prune(PruneArgs),
}

/// `network create`.
#[derive(Debug, Args)]
#[command(after_help = "\
--subnet, --ip-range, --gateway and --aux-address repeat, once for each family; each range,
gateway and auxiliary address goes to the subnet that contains it. Without a subnet the
daemon takes one from its pools; `--subnet 0.0.0.0/24` asks for one of that length.")]
pub(crate) struct CreateArgs {
    /// A name that no other network has: 1 to 63 letters, digits, `_`, `.` and `-`
    pub name: String,
    /// The driver: bridge, host, null or an installed one [default: bridge]
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub driver: String,
    /// A prefix of the network
    #[arg(long, value_name = "PREFIX", value_delimiter = ',', value_parser = subnets::prefix)]
    pub subnet: Vec<IpNetwork>,
    /// Take dynamic addresses only from this part of a subnet
    #[arg(long, value_name = "PREFIX", value_delimiter = ',', value_parser = subnets::prefix)]
    pub ip_range: Vec<IpNetwork>,
    /// The gateway of a subnet [default: its first usable address]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub gateway: Vec<IpAddr>,
    /// An address that no endpoint gets
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = pairs::address)]
    pub aux_address: Vec<(String, IpAddr)>,
    /// IPv4 addresses on the network [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ipv4: Option<bool>,
    /// IPv6 addresses on the network [default: true if an IPv6 subnet is given]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ipv6: Option<bool>,
    /// No way out to the world and none in
    #[arg(long)]
    pub internal: bool,
    /// Let endpoints of the network reach each other on every port [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub icc: Option<bool>,
    /// Bytes [default: the daemon's setting]
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    pub mtu: u32,
    /// A DNS server that its sandboxes ask for names that are not the daemon's:
    /// ADDRESS[:PORT]; repeatable [default: the host's]
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// A label; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub label: Vec<Pair>,
    /// An option of the driver; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub opt: Vec<Pair>,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `network ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only what matches: name=, id=, label=KEY[=VALUE], driver=, type=builtin|custom,
    /// dangling=true|false; repeatable
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub filter: Vec<Pair>,
    /// How to list.
    #[command(flatten)]
    pub list: ListArgs,
}

/// `network update`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_UPDATE)]
// clap would name every flag of the group.
#[command(override_usage = "postern network update [OPTIONS] <NAME>")]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(
    ["icc", "label_add", "label_rm", "opt_add", "opt_rm"]
))]
pub(crate) struct UpdateArgs {
    /// Name or id
    pub name: String,
    /// Whether endpoints of the network reach each other on every port
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub icc: Option<bool>,
    /// Add or replace an option of the driver; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub opt_add: Vec<Pair>,
    /// Remove an option of the driver; repeatable
    #[arg(long, value_name = "KEY")]
    pub opt_rm: Vec<String>,
    /// Which labels to change.
    #[command(flatten)]
    pub labels: LabelChange,
    /// How to change.
    #[command(flatten)]
    pub change: UpdateChange,
}

/// `network rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// What to delete.
    #[command(flatten)]
    pub names: Names,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `network prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Only networks that match: label=KEY[=VALUE], until=TIME (24h, an RFC 3339 time or
    /// Unix seconds); repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub filter: Vec<Pair>,
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Name what would be deleted; delete nothing
    #[arg(long)]
    pub dry_run: bool,
}
