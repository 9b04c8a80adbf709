//! `postern driver check`.

use crate::args::Format;
use crate::args::author::CheckArgs;
use crate::error::Error;
use crate::output::{self, Printer, author, json};

use super::load;

/// Says what a driver is.
///
/// # Errors
/// The daemon would not load it.
pub(super) fn run(args: &CheckArgs, out: Printer) -> Result<(), Error> {
    let bench = load(&args.file)?;
    match out.format {
        Format::Json => output::line(&json::plain(bench.report())?),
        Format::Table => output::line(&author::report(bench.report())),
    }
}
