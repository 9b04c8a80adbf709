//! `exec`, `events`, `flows` and `completion`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use clap_complete::Shell;
use postern_proto::v1::ObjectKind;

/// `exec`.
#[derive(Debug, Args)]
#[command(after_help = "\
Only the network namespace is entered: the command keeps the caller's files, users and
processes, so /sys/class/net still shows the host's. Entering a namespace needs root
(CAP_SYS_ADMIN), and the daemon must run on this machine.
The exit code is the command's; 126 when it cannot be run, 127 when it is not found.")]
pub(crate) struct ExecArgs {
    /// Name or id of the sandbox
    pub sandbox: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `events`.
#[derive(Debug, Args)]
#[command(after_help = "\
Ends only when interrupted or when the daemon goes. When events were lost, because this
reader was too slow or began too long ago, a line says so; the lists then show the state.")]
pub(crate) struct EventsArgs {
    /// Begin after this generation; 0 begins with the oldest still kept [default: only new ones]
    #[arg(long, value_name = "GENERATION")]
    pub since: Option<u64>,
    /// Only these kinds; repeatable
    #[arg(long, value_delimiter = ',')]
    pub kind: Vec<Kind>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Networks
    Network,
    /// Sandboxes
    Sandbox,
    /// Endpoints
    Endpoint,
    /// Policies
    Policy,
    /// Drivers
    Driver,
}

impl From<Kind> for ObjectKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Network => Self::Network,
            Kind::Sandbox => Self::Sandbox,
            Kind::Endpoint => Self::Endpoint,
            Kind::Policy => Self::Policy,
            Kind::Driver => Self::Driver,
        }
    }
}

/// `flows`.
#[derive(Debug, Args)]
#[command(after_help = "\
A line has the time, the verdict, both ends, what is used and why; AUDIT says what would become
of the flow if policies in mode AUDIT were enforced. Flows between neighbours are seen where a
policy selects an endpoint of their network, or icc is off. Where there is much it is a sample.
Ends only when interrupted or when the daemon goes.")]
pub(crate) struct FlowsArgs {
    /// Whose flows.
    #[command(flatten)]
    pub of: FlowsOf,
    /// Only flows that do not pass
    #[arg(long)]
    pub dropped: bool,
    /// Only flows that policies in mode AUDIT would decide otherwise
    #[arg(long)]
    pub audit: bool,
}

/// Whose flows: at most one.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct FlowsOf {
    /// Only those of this sandbox
    #[arg(long, value_name = "SANDBOX")]
    pub sandbox: Option<String>,
    /// Only those of this endpoint
    #[arg(long, value_name = "ENDPOINT")]
    pub endpoint: Option<String>,
    /// Only those with an end on this network
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<String>,
}

/// `completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    pub shell: Shell,
}
