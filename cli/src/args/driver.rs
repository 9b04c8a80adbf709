//! `postern driver`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use postern_workbench::Grants;

use super::author::AuthorCommand;
use super::common::{Change, Names};

/// The verbs of a driver.
#[derive(Debug, Subcommand)]
pub(crate) enum DriverCommand {
    /// What its author does.
    #[command(flatten)]
    Author(AuthorCommand),
    /// Check a driver, show what it asks for, and install it
    #[command(after_help = GRANTS)]
    Install(InstallArgs),
    /// List drivers
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Print drivers in full, as JSON: what they ask for, what they may, how they fare
    Inspect(Names),
    /// Let drivers be asked again; ends their quarantine
    Enable(Names),
    /// Let drivers not be asked any more; their networks stay as they are
    Disable(Names),
    /// Give a driver other grants, in the place of those it has
    #[command(after_help = GRANTS)]
    Grant(GrantArgs),
    /// Remove drivers that no network uses
    #[command(visible_alias = "remove")]
    Rm(Names),
}

/// What a grant is.
const GRANTS: &str = "\
A grant is a capability, alone or with a scope:

  bridge, veth, macvlan, vxlan, filter, address, route, masquerade, publish, sysctl, adopt-link
  adopt-link=br-*,lan0   links by name; likewise bridge=NAME and sysctl=KEY
  macvlan=eth1,eth1.*    links of the host that endpoints may be on, past its rules
  address=10.0.0.0/8     prefixes; likewise route and masquerade (of a fixed source address)
  publish=8000-8999      host ports

Together: --grant bridge,veth,address=10.0.0.0/8,fd00::/8,publish=80

A driver that is granted less than it asks for is installed and not enabled.";

/// `driver install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// The module, or - for standard input
    pub file: PathBuf,
    /// What it may decide about, with commas between; repeatable
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
    /// The digest it must have, as sha256:…
    #[arg(long, value_name = "DIGEST", default_value = "", hide_default_value = true)]
    pub digest: String,
    /// A file with its Ed25519 signature: 64 bytes, as `openssl pkeyutl -sign -rawin` makes them
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,
    /// Take the place of the version that is installed; its networks move over
    #[arg(long)]
    pub upgrade: bool,
    /// On an upgrade: also where the new version decides otherwise
    #[arg(long, requires = "upgrade")]
    pub accept_changes: bool,
    /// What every change has.
    #[command(flatten)]
    pub change: Change,
}

/// `driver ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Print only the names, one to a line
    #[arg(short, long)]
    pub quiet: bool,
}

/// `driver grant`.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Name
    pub name: String,
    /// What it may decide about, with commas between; repeatable; none takes everything away
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
}

impl InstallArgs {
    /// Each grant.
    pub(crate) fn grants(&self) -> Vec<String> {
        each(&self.grants)
    }
}

impl GrantArgs {
    /// Each grant.
    pub(crate) fn grants(&self) -> Vec<String> {
        each(&self.grants)
    }
}

/// Each grant of lists.
pub(super) fn each(lists: &[String]) -> Vec<String> {
    lists.iter().flat_map(|list| Grants::split(list)).collect()
}
