//! `cargo xtask`: what is done with the workspace, each with its own set-up.

mod bench;
mod checks;
mod demo;
mod http;
mod process;
mod report;
mod setup;

use std::net::SocketAddr;
use std::path::PathBuf;
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
    Demo,
    /// Run everything that must pass; needs root
    Test,
    /// Kill the daemon at every place it can fail, again and again; needs root
    Crash(Crash),
    /// Run format, lint and documentation checks, then `test`
    Ci,
    /// Measure a release build
    Bench {
        #[command(subcommand)]
        bench: Bench,
    },
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

#[derive(Debug, Subcommand)]
enum Bench {
    /// What it costs to connect, disconnect, make and delete
    Attach(Attach),
    /// What it costs to ask for a name, and how soon a change is told
    Dns(Dns),
    /// What it costs to change a policy, and what policies cost a packet
    Policy(Policy),
    /// What a driver's decision costs, beside a remote driver of Docker's kind
    Driver(Driver),
}

#[derive(Debug, Args)]
struct Crash {
    /// How many lives of a daemon; each comes to some ten operations and two kills
    #[arg(long, default_value_t = 100)]
    lives: u64,
    /// What befalls them: the same for the same number
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct Driver {
    /// Also write the rows to this file, as an array of objects
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Policy {
    /// Also write the rows to this file, as an array of objects
    #[arg(long)]
    json: Option<PathBuf>,
    /// How many endpoints are there already, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "100,1000,5000")]
    endpoints: Vec<u32>,
}

#[derive(Debug, Args)]
struct Dns {
    /// Also write the rows to this file, as an array of objects
    #[arg(long)]
    json: Option<PathBuf>,
    /// How many names are there already, one measurement of changes each
    #[arg(long, value_delimiter = ',', default_value = "10,5000")]
    names: Vec<u32>,
}

#[derive(Debug, Args)]
struct Attach {
    /// Also write the rows to this file, as an array of objects
    #[arg(long)]
    json: Option<PathBuf>,
    /// How many endpoints are there already, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "10,1000")]
    endpoints: Vec<u32>,
}

fn main() -> ExitCode {
    let done = match Xtask::parse().task {
        Task::Setup => setup::everything(),
        Task::Demo => demo::run(),
        Task::Test => checks::test(),
        Task::Crash(Crash { lives, seed }) => checks::crash(lives, seed),
        Task::Ci => checks::ci(),
        Task::Bench { bench: Bench::Attach(attach) } => {
            bench::attach(attach.json.as_deref(), &attach.endpoints)
        }
        Task::Bench { bench: Bench::Policy(policy) } => {
            bench::policy(policy.json.as_deref(), &policy.endpoints)
        }
        Task::Bench { bench: Bench::Driver(driver) } => bench::driver(driver.json.as_deref()),
        Task::Bench { bench: Bench::Dns(dns) } => bench::dns(dns.json.as_deref(), &dns.names),
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
