//! `postern driver bench`.

use postern_workbench::case;
use postern_workbench::request::RequestFile;
use postern_workbench::timing;

use crate::args::Format;
use crate::args::author::BenchArgs;
use crate::error::Error;
use crate::output::{self, Printer, author, json};

use super::load;

/// Measures calls.
///
/// # Errors
/// A call fails.
pub(super) fn run(args: &BenchArgs, out: Printer) -> Result<(), Error> {
    let file = match &args.request {
        Some(path) => case::read_request(path)?,
        None => RequestFile::of_endpoint(),
    };
    let bench = load(&args.file)?;
    let request = file.resolve(bench.manifest())?;
    let timing = timing::time(bench.driver(), &request, args.calls)?;
    match out.format {
        Format::Json => output::line(&json::plain(&timing)?),
        Format::Table => output::line(&author::timing(&timing)),
    }
}
