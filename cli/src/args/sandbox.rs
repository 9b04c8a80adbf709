//! `postern sandbox`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use postern_proto::v1::{ExtraHost, Link};

use super::common::{AFTER_UPDATE, Change, LabelChange, ListArgs, Names, UpdateChange};
use crate::parse::names;
use crate::parse::pairs::{self, Pair};

/// The verbs of a sandbox.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Make or adopt a network namespace and print the sandbox's id
    Create(Box<CreateArgs>),
    /// List sandboxes
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Print sandboxes in full, as JSON
    Inspect(Names),
    /// Change the labels of a sandbox
    Update(UpdateArgs),
    /// Cut sandboxes off at once: nothing from them or to them passes, live flows included
    Quarantine(QuarantineArgs),
    /// Undo a quarantine
    Release(QuarantineArgs),
    /// Delete sandboxes; an adopted namespace stays
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

/// `sandbox create`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("namespace").args(["netns", "pid", "host"]))]
pub(crate) struct CreateArgs {
    /// A name that no other sandbox has: 1 to 63 letters, digits, `_`, `.` and `-`
    pub name: String,
    /// Adopt the namespace at this absolute path [default: a new one]
    #[arg(long, value_name = "PATH")]
    pub netns: Option<PathBuf>,
    /// Adopt the namespace of this process
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Share the host's namespace; only endpoints of `host` networks can join
    #[arg(long)]
    pub host: bool,
    /// What it calls itself: one DNS label [default: its name]
    #[arg(long, value_name = "LABEL", default_value = "", hide_default_value = true)]
    pub hostname: String,
    /// What follows the hostname in its fully qualified name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub domainname: String,
    /// A DNS server for names that are not the daemon's: ADDRESS[:PORT]; repeatable
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// A domain that is searched; repeatable
    #[arg(long, value_name = "NAME")]
    pub dns_search: Vec<String>,
    /// An option of resolv.conf, as ndots:2; repeatable
    #[arg(long, value_name = "OPTION", visible_alias = "dns-opt")]
    pub dns_option: Vec<String>,
    /// A further name: NAME:ADDRESS, or NAME:host-gateway for the host; repeatable
    #[arg(long, value_name = "NAME:ADDRESS", value_parser = names::host)]
    pub add_host: Vec<ExtraHost>,
    /// A link to another sandbox, which need not exist yet: SOURCE[:ALIAS]; repeatable
    #[arg(long, value_name = "SOURCE[:ALIAS]", value_parser = names::link)]
    pub link: Vec<Link>,
    /// A variable of its workload that linked sandboxes are told of; repeatable
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = pairs::pair)]
    pub env: Vec<Pair>,
    /// A label; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub label: Vec<Pair>,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `sandbox ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only what matches: name=, id=, label=KEY[=VALUE]; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub filter: Vec<Pair>,
    /// How to list.
    #[command(flatten)]
    pub list: ListArgs,
}

/// `sandbox update`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_UPDATE)]
// clap would name every flag of the group.
#[command(override_usage = "postern sandbox update [OPTIONS] <NAME>")]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(
    ["label_add", "label_rm"]
))]
pub(crate) struct UpdateArgs {
    /// Name or id
    pub name: String,
    /// Which labels to change.
    #[command(flatten)]
    pub labels: LabelChange,
    /// How to change.
    #[command(flatten)]
    pub change: UpdateChange,
}

/// `sandbox rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// What to delete.
    #[command(flatten)]
    pub names: Names,
    /// Disconnect its endpoints first
    #[arg(short, long)]
    pub force: bool,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `sandbox quarantine` and `sandbox release`.
#[derive(Debug, Args)]
pub(crate) struct QuarantineArgs {
    /// Which.
    #[command(flatten)]
    pub names: Names,
    /// What every change has.
    #[command(flatten)]
    pub change: Change,
}
