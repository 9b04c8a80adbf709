//! `postern link`.

use clap::{Args, Subcommand};
use postern_proto::v1::Link;

use super::common::Change;
use crate::parse::names;

/// The verbs of a link.
#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// Let a sandbox reach the exposed ports of another one; print the alias
    Add(AddArgs),
    /// List the links of sandboxes, and why one does not work
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Print the environment variables of a sandbox's links, as Docker names them
    Env(EnvArgs),
    /// Remove a link; its flows end
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

/// `link add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The sandbox that links
    pub sandbox: String,
    /// The other sandbox, which need not exist yet, and what the first one calls it
    #[arg(value_name = "SOURCE[:ALIAS]", value_parser = names::link)]
    pub link: Link,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}

/// `link ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only the links of these sandboxes
    #[arg(value_name = "SANDBOX")]
    pub sandboxes: Vec<String>,
}

/// `link env`.
#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// The sandbox that links
    pub sandbox: String,
}

/// `link rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The sandbox that links
    pub sandbox: String,
    /// What it calls the other one
    pub alias: String,
    /// How to change.
    #[command(flatten)]
    pub change: Change,
}
