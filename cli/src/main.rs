//! The command line of Postern: a plain client of its API, and the tools of a driver's author,
//! which need no daemon.
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

use std::io::{stdin, stdout};
use std::process::ExitCode;

use clap::Parser;
use postern_workbench::{COMPILE_ARGUMENT, compile_child_main};

fn main() -> ExitCode {
    // First of all, while there is one thread: the compiling child limits itself.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == COMPILE_ARGUMENT) {
        return match compile_child_main(&mut stdin().lock(), &mut stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("postern: {error}");
                ExitCode::FAILURE
            }
        };
    }
    match command::run(args::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
