//! Flags that several commands share.

use clap::Args;

use crate::error::Error;
use crate::parse::pairs::{self, Pair};

/// Flags of every change.
#[derive(Debug, Clone, Args)]
pub(crate) struct Change {
    /// Make a retry safe: the same id with the same request has the first outcome
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub request_id: String,
    /// Check everything and print the plan; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl Change {
    /// Refuses one request id for several requests: the second would not be a retry.
    ///
    /// # Errors
    /// `names` has more than one and an id is given.
    pub(crate) fn for_each_of(&self, names: &[String]) -> Result<(), Error> {
        if names.len() > 1 && !self.request_id.is_empty() {
            return Err(Error::usage("--request-id names one request; give one name with it"));
        }
        Ok(())
    }
}

/// Flags of every update.
///
/// No request id: an update carries the revision it read, so a repeated one is another
/// request. It is safe all the same, because its flags say what shall hold.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpdateChange {
    /// Check everything and print the plan; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What the help of every update says below its flags.
pub(crate) const AFTER_UPDATE: &str = "\
What is to be removed goes first, then what is to be added. The object is read, changed and
written back; where another change came between, the update is refused and can be repeated.";

/// Flags of every list.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Print only the whole ids, one to a line
    #[arg(short, long)]
    pub quiet: bool,
    /// Print ids whole; their last 12 digits otherwise
    #[arg(long)]
    pub no_trunc: bool,
}

/// Flags that change labels.
#[derive(Debug, Clone, Args)]
pub(crate) struct LabelChange {
    /// Add or replace a label; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub label_add: Vec<Pair>,
    /// Remove a label; repeatable
    #[arg(long, value_name = "KEY")]
    pub label_rm: Vec<String>,
}

/// Names or ids, one or more.
#[derive(Debug, Clone, Args)]
pub(crate) struct Names {
    /// Names or ids
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
}
