//! `postern driver run`.

use std::io::Write;

use postern_workbench::ask::{self, Call};
use postern_workbench::case;

use crate::args::Format;
use crate::args::author::RunArgs;
use crate::error::Error;
use crate::output::{self, Printer, author, json};

use super::load;

/// Asks a driver once. The decision goes to standard output, the driver's log and what the
/// calls took to standard error.
///
/// # Errors
/// There is no decision that is admitted.
pub(super) fn run(args: &RunArgs, out: Printer) -> Result<(), Error> {
    let grants = args.grants.whole()?;
    let file = case::read_request(&args.request)?;
    let bench = load(&args.file)?;
    let request = file.resolve(bench.manifest())?;
    let answer = ask::ask(bench.driver(), &request, &bench.granted(grants.as_ref()));
    log(&answer.calls);
    let verdict = &answer.outcome.verdict;
    if verdict.is_decision() || out.format == Format::Json {
        output::line(&json::plain(&answer.outcome)?)?;
    }
    if verdict.is_decision() {
        return Ok(());
    }
    Err(Error::NoDecision {
        function: answer.outcome.of.as_str(),
        verdict: author::verdict(verdict),
        objections: verdict.objections(),
    })
}

fn log(calls: &[Call]) {
    let mut stderr = std::io::stderr().lock();
    for line in calls.iter().flat_map(author::log) {
        // Where standard error is closed, the outcome still tells.
        let _ = writeln!(stderr, "{line}");
    }
}
