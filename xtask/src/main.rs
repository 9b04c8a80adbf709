//! `cargo xtask`: what is done with the workspace, each with its own set-up.

mod bench;
mod checks;
mod demo;
mod http;
mod process;
mod report;
mod setup;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Set-up, demo, tests and benchmarks of Postern.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and running need: Debian packages and the wasm32 target
    Setup,
    /// Show on this machine what the daemon does, in namespaces of its own
    Demo(Demo),
    /// Run everything that must pass; needs root
    Test,
    /// Kill the daemon at every place it can fail, again and again; needs root
    Crash(Crash),
    /// Run format, lint and documentation checks, then `test`
    Ci,
    /// Run clients at full speed for a while, and look whether anything grows; needs root
    Soak(Soak),
    /// Measure a release build
    Bench(bench::Bench),
    /// Serve a line over HTTP (used by the demo)
    #[command(hide = true)]
    ServeHttp {
        /// Who answers.
        #[arg(long)]
        name: String,
        /// Where.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Fetch a URL and print the body (used by the demo)
    #[command(hide = true)]
    Fetch {
        /// `http://address:port/`.
        url: String,
    },
}

#[derive(Debug, Args)]
struct Demo {
    /// Show one network over three hosts instead, with an etcd between them
    #[arg(long)]
    overlay: bool,
}

#[derive(Debug, Args)]
struct Crash {
    /// How many lives of a daemon; each comes to some ten operations and two kills
    #[arg(long, default_value_t = 100)]
    lives: u64,
    /// What befalls them: the same for the same number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of three hosts that share networks instead, with partitions and an etcd that is killed:
    /// each life comes to some twenty steps and a look at everything
    #[arg(long)]
    overlay: bool,
}

#[derive(Debug, Args)]
struct Soak {
    /// For how many seconds; CI has a minute
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

fn main() -> ExitCode {
    let done = match Xtask::parse().task {
        Task::Setup => setup::everything(),
        Task::Demo(Demo { overlay: false }) => demo::run(),
        Task::Demo(Demo { overlay: true }) => demo::overlay::run(),
        Task::Test => checks::test(),
        Task::Crash(Crash { lives, seed, overlay: false }) => checks::crash(lives, seed),
        Task::Crash(Crash { lives, seed, overlay: true }) => checks::overlay(lives, seed),
        Task::Ci => checks::ci(),
        Task::Soak(Soak { seconds }) => checks::soak(seconds),
        Task::Bench(wanted) => bench::bench(&wanted),
        Task::ServeHttp { name, listen } => http::serve(&name, listen),
        Task::Fetch { url } => http::fetch(&url).map(|body| print!("{body}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
