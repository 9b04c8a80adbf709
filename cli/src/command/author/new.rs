//! `postern driver new`.

use postern_workbench::project;
use serde_json::json;

use crate::args::Format;
use crate::args::author::NewArgs;
use crate::error::Error;
use crate::output::{self, Printer, author};

/// Makes a project.
///
/// # Errors
/// It is not made.
pub(super) fn run(args: &NewArgs, out: Printer) -> Result<(), Error> {
    let made = project::new(&args.name, args.path.as_deref(), args.sdk.as_deref())?;
    match out.format {
        Format::Json => {
            let reply = json!({ "folder": made.folder, "wasm": made.folder.join(&made.wasm) });
            output::line(&format!("{reply:#}"))
        }
        Format::Table => output::line(&author::made(&made)),
    }
}
