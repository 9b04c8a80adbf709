//! The grammar of the command line.

pub(crate) mod author;
pub(crate) mod common;
pub(crate) mod driver;
pub(crate) mod endpoint;
pub(crate) mod link;
pub(crate) mod network;
pub(crate) mod policy;
pub(crate) mod sandbox;
pub(crate) mod system;

use clap::{Parser, Subcommand, ValueEnum};

use crate::client::Address;

/// Where the daemon listens unless told otherwise.
const DEFAULT_ADDRESS: &str = "unix:///run/postern/postern.sock";

/// Above the flags that every command takes.
const GLOBAL: &str = "Global options";

const AFTER_HELP: &str = "\
Networks, sandboxes and endpoints are given by name or by whole id.

Exit codes:
  0  done
  1  the daemon or the command failed: no daemon answers, an internal error
  2  the command line is wrong
  3  the daemon refused: something is invalid, missing, taken, in use, exhausted,
     changed meanwhile, or not permitted
  `exec` has the exit code of its command; 126 and 127 when it cannot be run or found";

/// The command line of Postern, the network-policy daemon.
#[derive(Debug, Parser)]
#[command(name = "postern", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Where the daemon listens: unix:///PATH or http://HOST:PORT
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "ADDRESS",
        env = "POSTERN_ADDRESS",
        default_value = DEFAULT_ADDRESS
    )]
    pub address: Address,

    /// How to print: tables for people, proto3 JSON for programs
    #[arg(
        short,
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub output: Format,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How replies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns, and for a change the id or name of what was changed
    Table,
    /// The reply message as proto3 JSON; events and flows one to a line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Networks: who shares a segment
    #[command(subcommand, visible_alias = "net")]
    Network(network::NetworkCommand),
    /// Sandboxes: network namespaces, made or adopted
    #[command(subcommand)]
    Sandbox(sandbox::SandboxCommand),
    /// Endpoints: what joins a sandbox to a network
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// Connect a sandbox to a network: endpoint create and join in one
    Connect(endpoint::ConnectArgs),
    /// Disconnect a sandbox from a network: endpoint leave and rm in one
    Disconnect(endpoint::DisconnectArgs),
    /// Connect what the lines of a file say, many at a time
    ConnectMany(endpoint::ManyArgs),
    /// Disconnect what the lines of a file say, many at a time
    DisconnectMany(endpoint::ManyArgs),
    /// Links: what lets one sandbox reach another's exposed ports under an alias
    #[command(subcommand)]
    Link(link::LinkCommand),
    /// Policies: who may talk to whom
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Drivers: who decides what a network needs
    #[command(subcommand)]
    Driver(driver::DriverCommand),
    /// Say whether a flow may begin, and which policy or network decides
    Explain(policy::ExplainArgs),
    /// Run a command in a sandbox, with its names (needs root)
    Exec(system::ExecArgs),
    /// Follow the changes as they happen
    Events(system::EventsArgs),
    /// Follow new flows, what becomes of them, and which policy or network decides
    Flows(system::FlowsArgs),
    /// Show what the daemon is and what this kernel can do
    Status,
    /// Show how the kernel differs from what should be there; change nothing
    Drift,
    /// Repair what differs
    Reconcile,
    /// Print the completion script of a shell
    Completion(system::CompletionArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_anywhere() {
        let cli = Cli::try_parse_from(["postern", "network", "ls", "-o", "json"]).unwrap();
        assert_eq!(cli.output, Format::Json);
        assert!(matches!(cli.command, Command::Network(network::NetworkCommand::Ls(_))));
    }

    #[test]
    fn what_follows_two_dashes_is_the_command() {
        let line = ["postern", "exec", "a", "--", "ls", "-o", "--help"];
        let Ok(Cli { command: Command::Exec(exec), .. }) = Cli::try_parse_from(line) else {
            panic!("not an exec");
        };
        assert_eq!(exec.command, ["ls", "-o", "--help"]);
        assert!(Cli::try_parse_from(["postern", "exec", "a", "ls"]).is_err());
    }

    #[test]
    fn an_update_must_change_something() {
        for noun in ["network", "sandbox", "endpoint"] {
            assert!(Cli::try_parse_from(["postern", noun, "update", "a"]).is_err(), "{noun}");
            let line = ["postern", noun, "update", "a", "--label-rm", "x"];
            assert!(Cli::try_parse_from(line).is_ok(), "{noun}");
        }
    }

    #[test]
    fn a_sandbox_has_one_origin() {
        let line = ["postern", "sandbox", "create", "a", "--host", "--pid", "1"];
        assert!(Cli::try_parse_from(line).is_err());
    }
}
