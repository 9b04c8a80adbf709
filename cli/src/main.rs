//! The command line of Postern: a plain client of its API.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | the grammar, and its help texts |
//! | `parse` | the shorthand people type, into API messages |
//! | `client` | addresses and the channel to the daemon |
//! | `command` | one function for each verb |
//! | `output` | tables for people, proto3 JSON for programs |
//! | `error` | what went wrong, in words and as an exit code |

mod args;
mod client;
mod command;
mod error;
mod output;
mod parse;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match command::run(args::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
