//! One function for each verb: build the request, call, print.

mod author;
mod driver;
mod endpoint;
mod events;
mod exec;
mod flows;
mod link;
mod many;
mod network;
mod policy;
mod sandbox;
mod spec;
mod system;

use std::future::Future;
use std::io::{self, Read};
use std::path::Path;

use clap::CommandFactory;
use postern_proto::v1::Plan;

use crate::args::common::Names;
use crate::args::driver::DriverCommand;
use crate::args::{Cli, Command};
use crate::client::Client;
use crate::error::Error;
use crate::output::json::{self, Named};
use crate::output::{self, Printer};

/// Runs what the command line says.
///
/// # Errors
/// It could not be done, or not all of it.
pub(crate) fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Completion(args) => completion(args.shell),
        // Namespaces belong to threads: nothing asynchronous may be left when one is entered.
        Command::Exec(args) => {
            let sandbox = wait(exec::sandbox(cli.address, args.sandbox))??;
            exec::run(&sandbox, &args.command)
        }
        // An author's tools need no daemon.
        Command::Driver(DriverCommand::Author(command)) => {
            author::run(command, Printer { format: cli.output })
        }
        command => wait(async {
            let client = Client::new(cli.address);
            call(command, &client, Printer { format: cli.output }).await
        })?,
    }
}

async fn call(command: Command, client: &Client, out: Printer) -> Result<(), Error> {
    match command {
        Command::Network(command) => network::run(command, client, out).await,
        Command::Sandbox(command) => sandbox::run(command, client, out).await,
        Command::Endpoint(command) => endpoint::run(command, client, out).await,
        Command::Connect(args) => endpoint::connect(args, client, out).await,
        Command::Disconnect(args) => endpoint::disconnect(args, client, out).await,
        Command::ConnectMany(args) => many::connect(args, client, out).await,
        Command::DisconnectMany(args) => many::disconnect(args, client, out).await,
        Command::Link(command) => link::run(command, client, out).await,
        Command::Policy(command) => policy::run(command, client, out).await,
        Command::Driver(command) => driver::run(command, client, out).await,
        Command::Explain(args) => policy::explain(args, client, out).await,
        Command::Events(args) => events::run(args, client, out).await,
        Command::Flows(args) => flows::run(args, client, out).await,
        Command::Status => system::status(client, out).await,
        Command::Drift => system::drift(client, out).await,
        Command::Reconcile => system::reconcile(client, out).await,
        // They need no connection here and are done by now.
        Command::Exec(_) | Command::Completion(_) => Ok(()),
    }
}

fn wait<F: Future>(future: F) -> Result<F::Output, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(Error::Runtime)?.block_on(future))
}

fn completion(shell: clap_complete::Shell) -> Result<(), Error> {
    // Into memory first: the generator panics where standard output is closed.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "postern", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}

/// A file's bytes, or those of standard input for `-`.
///
/// # Errors
/// It cannot be read.
fn read(file: &Path) -> Result<Vec<u8>, Error> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|source| Error::Stdio { stream: "input", source })?;
        return Ok(bytes);
    }
    std::fs::read(file).map_err(|source| Error::ReadFile { path: file.to_owned(), source })
}

/// As [`read`], of a file that is text.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
fn read_text(file: &Path) -> Result<String, Error> {
    String::from_utf8(read(file)?).map_err(|why| {
        let source = io::Error::new(io::ErrorKind::InvalidData, why);
        Error::ReadFile { path: file.to_owned(), source }
    })
}

/// Does `each` for every name, and goes on where one fails.
///
/// # Errors
/// Every failure, after the last name.
async fn for_each(
    names: &Names,
    mut each: impl AsyncFnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut errors = Vec::new();
    for name in &names.names {
        match each(name).await {
            Ok(()) => {}
            // The other names would fail alike.
            Err(error @ Error::Unreachable { .. }) => return Err(error),
            Err(error) => errors.push(error),
        }
    }
    all_of(errors)
}

/// Prints what `get` returns for every name as one JSON array, also where some fail.
///
/// # Errors
/// Every failure, after the array is printed.
async fn inspect<M: Named>(
    names: &Names,
    mut get: impl AsyncFnMut(String) -> Result<M, Error>,
) -> Result<(), Error> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in &names.names {
        match get(name.clone()).await {
            Ok(object) => found.push(object),
            Err(error @ Error::Unreachable { .. }) => return Err(error),
            Err(error) => errors.push(error),
        }
    }
    output::line(&json::array(&found)?)?;
    all_of(errors)
}

fn all_of(errors: Vec<Error>) -> Result<(), Error> {
    if errors.is_empty() { Ok(()) } else { Err(Error::Several(errors)) }
}

/// The plan to print, on a dry run.
///
/// # Errors
/// The reply to a dry run has none.
fn dry(dry_run: bool, plan: &Option<Plan>) -> Result<Option<&Plan>, Error> {
    match (dry_run, plan) {
        (false, _) => Ok(None),
        (true, Some(plan)) => Ok(Some(plan)),
        (true, None) => Err(Error::Reply("no plan for a dry run")),
    }
}
