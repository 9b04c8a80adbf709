//! `postern driver`: what a driver's author does without a daemon.

mod bench;
mod check;
mod new;
mod run;
mod test;

use std::path::Path;

use postern_workbench::Compiler;
use postern_workbench::load::{LoadError, Workbench};

use crate::args::author::AuthorCommand;
use crate::error::Error;
use crate::output::Printer;

/// Runs one verb.
///
/// # Errors
/// It could not be done, or the driver is not as it should be.
pub(super) fn run(command: AuthorCommand, out: Printer) -> Result<(), Error> {
    match command {
        AuthorCommand::New(args) => new::run(&args, out),
        AuthorCommand::Check(args) => check::run(&args, out),
        AuthorCommand::Run(args) => run::run(&args, out),
        AuthorCommand::Test(args) => test::run(&args, out),
        AuthorCommand::Bench(args) => bench::run(&args, out),
    }
}

/// Loads a driver as the daemon does, compiled in a child of this program.
fn load(file: &Path) -> Result<Workbench, LoadError> {
    Workbench::load(file, Compiler::default())
}
