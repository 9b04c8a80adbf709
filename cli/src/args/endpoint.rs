//! `postern endpoint`, `connect` and `disconnect`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use postern_proto::v1::{ExposedPort, PublishedPort};

use super::common::{AFTER_UPDATE, Change, LabelChange, ListArgs, Names, UpdateChange};
use crate::parse::pairs::{self, Pair};
use crate::parse::ports;

/// The verbs of an endpoint.
#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Make an endpoint, take its addresses and print its id
    Create(Box<CreateArgs>),
    /// Join an endpoint to a sandbox
    Join(JoinArgs),
    /// Take an endpoint out of its sandbox; it keeps its addresses
    Leave(LeaveArgs),
    /// List endpoints
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Print endpoints in full, as JSON
    Inspect(Names),
    /// Change ports, aliases or labels of a living endpoint
    Update(UpdateArgs),
    /// Delete endpoints that have left
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

/// What an endpoint should be.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// A fixed IPv4 address
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<Ipv4Addr>,
    /// A fixed IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<Ipv6Addr>,
    /// A fixed MAC address, as 02:00:5e:00:53:01
    #[arg(long, value_name = "MAC", default_value = "", hide_default_value = true)]
    pub mac_address: String,
    /// The interface's name in the sandbox [default: the first free eth<n>]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub interface: String,
    /// The endpoint with the highest priority gives the sandbox its default route
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub gw_priority: i32,
    /// A further name on the network; repeatable
    #[arg(long, value_name = "NAME")]
    pub alias: Vec<String>,
    /// A port that the workload serves: PORT[-PORT][/tcp|udp|sctp]; repeatable
    #[arg(long, value_name = "PORT", value_parser = ports::exposed)]
    pub expose: Vec<ExposedPort>,
    /// Publish a port on the host: [[IP]:[PORT[-PORT]]:]PORT[-PORT][/tcp|udp|sctp][@PREFIX,…],
    /// an IPv6 address in brackets, the sandbox's port, and who may come by it; repeatable
    #[arg(short, long, value_name = "PORT", value_parser = ports::published)]
    pub publish: Vec<PublishedPort>,
    /// A label; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub label: Vec<Pair>,
    /// An option of the driver; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub opt: Vec<Pair>,
}

/// `endpoint create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// A name that no other endpoint has
    pub name: String,
    /// Name or id of the network
    pub network: String,
    /// What it should be.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `endpoint join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Name or id of the endpoint
    pub endpoint: String,
    /// Name or id of the sandbox
    pub sandbox: String,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `endpoint leave`.
#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// Name or id of the endpoint
    pub endpoint: String,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `endpoint ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only endpoints of this network
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub network: String,
    /// Only endpoints in this sandbox
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub sandbox: String,
    /// Only what matches: name=, id=, label=KEY[=VALUE]; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub filter: Vec<Pair>,
    /// How to list.
    #[command(flatten)]
    pub list: ListArgs,
}

/// `endpoint update`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_UPDATE)]
// clap would name every flag of the group.
#[command(override_usage = "postern endpoint update [OPTIONS] <NAME>")]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args([
    "alias_add", "alias_rm", "expose_add", "expose_rm", "publish_add", "publish_rm",
    "label_add", "label_rm",
]))]
pub(crate) struct UpdateArgs {
    /// Name or id
    pub name: String,
    /// Add a name; repeatable
    #[arg(long, value_name = "NAME")]
    pub alias_add: Vec<String>,
    /// Remove a name; repeatable
    #[arg(long, value_name = "NAME")]
    pub alias_rm: Vec<String>,
    /// Expose a port, as `connect --expose`; repeatable
    #[arg(long, value_name = "PORT", value_parser = ports::exposed)]
    pub expose_add: Vec<ExposedPort>,
    /// Expose a port no longer: PORT[-PORT][/PROTOCOL]; repeatable
    #[arg(long, value_name = "PORT", value_parser = ports::exposed)]
    pub expose_rm: Vec<ExposedPort>,
    /// Publish a port, as `connect --publish`; repeatable
    #[arg(long, value_name = "PORT", value_parser = ports::published)]
    pub publish_add: Vec<PublishedPort>,
    /// Publish a port of the sandbox no longer: PORT[-PORT][/PROTOCOL]; repeatable
    #[arg(long, value_name = "PORT", value_parser = ports::exposed)]
    pub publish_rm: Vec<ExposedPort>,
    /// Which labels to change.
    #[command(flatten)]
    pub labels: LabelChange,
    /// How to change.
    #[command(flatten)]
    pub change: UpdateChange,
}

/// `endpoint rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// What to delete.
    #[command(flatten)]
    pub names: Names,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Name or id of the network
    pub network: String,
    /// Name or id of the sandbox
    pub sandbox: String,
    /// The endpoint's name [default: <sandbox>.<network>]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub name: String,
    /// What the endpoint should be.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `disconnect`.
#[derive(Debug, Args)]
#[command(override_usage = "postern disconnect [OPTIONS] <NETWORK> <SANDBOX>\n       \
    postern disconnect [OPTIONS] <ENDPOINT>")]
pub(crate) struct DisconnectArgs {
    /// Name or id of the network, with a sandbox; or of the endpoint, alone
    #[arg(value_name = "NETWORK|ENDPOINT")]
    pub network_or_endpoint: String,
    /// Name or id of the sandbox
    pub sandbox: Option<String>,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// What a file for `connect-many` and `disconnect-many` has.
const AFTER_MANY: &str = "\
Each line is a request of the API as JSON (postern.v1.ConnectRequest, DisconnectRequest):
  {\"network\": \"blue\", \"sandbox\": \"web\", \"spec\": {\"publishedPorts\": [{\"hostPort\": 8080, \"containerPort\": 80}]}}
  {\"endpoint\": \"web.blue\"}
They are done in no order, and one that is refused ends nothing but itself. What is done is
printed as it is done; what is not, at the end with its line.";

/// `connect-many` and `disconnect-many`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_MANY)]
pub(crate) struct ManyArgs {
    /// The file, or - for standard input
    pub file: PathBuf,
}
