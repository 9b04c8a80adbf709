//! `postern driver test`.

use std::path::Path;

use postern_workbench::case::{self, Verification};
use serde_json::{Value, json};

use crate::args::Format;
use crate::args::author::TestArgs;
use crate::error::Error;
use crate::output::{self, Printer, author};

use super::load;

/// Runs cases, all of them though some fail.
///
/// # Errors
/// A case cannot be run, or not all are as expected.
pub(super) fn run(args: &TestArgs, out: Printer) -> Result<(), Error> {
    let files = case::files(&args.cases)?;
    let bench = load(&args.file)?;
    let (mut rows, mut failed) = (Vec::new(), 0);
    for path in &files {
        let done = case::run(&bench, path, args.bless)?;
        if matches!(done, Verification::Differs(_) | Verification::Unexpected(_)) {
            failed += 1;
        }
        match out.format {
            Format::Table => output::line(&author::case(path, &done))?,
            Format::Json => rows.push(row(path, &done)),
        }
    }
    if out.format == Format::Json {
        output::line(&format!("{:#}", Value::Array(rows)))?;
    }
    if failed == 0 { Ok(()) } else { Err(Error::CasesFailed { failed, of: files.len() }) }
}

fn row(path: &Path, done: &Verification) -> Value {
    let (result, difference) = match done {
        Verification::Passed => ("passed", None),
        Verification::Blessed(_) => ("blessed", None),
        Verification::Differs(difference) => ("differs", Some(difference)),
        Verification::Unexpected(found) => ("nothing-expected", Some(found)),
    };
    json!({ "case": path, "result": result, "difference": difference })
}
