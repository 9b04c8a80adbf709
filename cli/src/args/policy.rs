//! `postern policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use postern_proto::v1::PolicyPort;

use super::common::{Change, ListArgs, Names};
use crate::parse::flow;
use crate::parse::pairs::{self, Pair};

/// The verbs of a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Make the policies of files, or replace those of their names
    #[command(after_help = FORMS)]
    Apply(ApplyArgs),
    /// List policies
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Print policies in full, as JSON
    Inspect(Names),
    /// Show how many packets each rule has decided
    #[command(after_help = COUNTED)]
    Counters(OneName),
    /// Delete policies; flows that are forbidden without them end
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

/// What is counted.
const COUNTED: &str = "\
Of a flow that passes its first packet is counted, of one that does not every packet. Where no
rule decides, the policy isolates: what nothing accepts, but for links and a port's own list.
The kernel counts; what is made anew, as of an endpoint that joins again, begins at 0.";

/// What the files can say.
const FORMS: &str = "\
A file has one or more documents, YAML or JSON, each in one of two forms:

  name: db                          the form of the API (postern.v1.ApplyPolicyRequest)
  spec:
    subject: {endpoints: {matchLabels: {app: db}}}
    ingress:
      - peers: [{selector: {endpoints: {matchLabels: {app: web}}}}]
        ports: [{port: 5432}]

  apiVersion: networking.k8s.io/v1  a Kubernetes NetworkPolicy as it is: a namespace is the
  kind: NetworkPolicy               network of its name, pods are endpoints by their labels

Documents are applied in their order; the first that is refused ends it.";

/// `policy apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A file, or - for standard input; repeatable
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What every change has.
    #[command(flatten)]
    pub change: Change,
}

/// `policy counters`.
#[derive(Debug, Args)]
pub(crate) struct OneName {
    /// Name, uid or short id
    pub name: String,
}

/// `policy ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only those with this label; an empty value matches any; repeatable
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = pairs::pair)]
    pub label: Vec<Pair>,
    /// What every list has.
    #[command(flatten)]
    pub list: ListArgs,
}

/// `policy rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Which.
    #[command(flatten)]
    pub names: Names,
    /// What every change has.
    #[command(flatten)]
    pub change: Change,
}

/// `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
An end is a sandbox's name, an endpoint's (web.blue, or endpoint/NAME), an address, `host` or
`world`. What is used is tcp/5432, udp/dns (a port by its name), sctp/PORT, icmp or icmpv6/TYPE.
The exit code is 0 whether the flow is allowed or not.")]
pub(crate) struct ExplainArgs {
    /// Who begins the flow
    pub from: String,
    /// Who is to answer
    pub to: String,
    /// Protocol and port
    #[arg(value_name = "WHAT", value_parser = flow::what)]
    pub what: PolicyPort,
    /// The flow comes by a published port
    #[arg(long)]
    pub published: bool,
    /// Judge IPv6; otherwise IPv4 where both ends have it
    #[arg(short = '6', long)]
    pub ipv6: bool,
}
