//! What the backend answers with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use postern_model::cluster::{Node, NodeId};
use postern_model::dns::{Link, LinkState};
use postern_model::driver::DriverInfo;
use postern_model::endpoint::Endpoint;
use postern_model::event::Event;
use postern_model::name::{Labels, Name};
use postern_model::network::{Family, Network};
use postern_model::plan::Plan;
use postern_model::policy::{Action, Direction, Policy, PolicySpec, Selection, Tier};
use postern_model::sandbox::Sandbox;
use postern_model::time::Timestamp;

/// A network with what its record does not say.
#[derive(Debug, Clone)]
pub struct NetworkFacts {
    /// The record.
    pub network: Network,
    /// The kernel's name of its bridge.
    pub bridge: Option<String>,
    /// How many endpoints it has on this host.
    pub endpoints: usize,
    /// How many it has on others.
    pub peers: usize,
}

/// A sandbox with what its record does not say.
#[derive(Debug, Clone)]
pub struct SandboxFacts {
    /// The record.
    pub sandbox: Sandbox,
    /// uids of its endpoints in the order of their interfaces.
    pub endpoints: Vec<String>,
    /// Where its files are, if it has any.
    pub files: Option<PathBuf>,
    /// What its links come to.
    pub links: Vec<LinkFacts>,
}

/// A link with what it comes to.
#[derive(Debug, Clone)]
pub struct LinkFacts {
    /// The link.
    pub link: Link,
    /// Whether it works.
    pub state: LinkState,
    /// The addresses of its alias.
    pub addresses: Vec<IpAddr>,
}

/// An endpoint with what its record does not say.
#[derive(Debug, Clone)]
pub struct EndpointFacts {
    /// The record.
    pub endpoint: Endpoint,
    /// The network's name.
    pub network: String,
    /// The sandbox's name, while joined.
    pub sandbox: Option<String>,
}

/// A policy with what its record does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFacts {
    /// The record.
    pub policy: Policy,
    /// The names of the joined endpoints it selects.
    pub subjects: Vec<String>,
    /// How many flows the call cut, or would.
    pub flows_cut: usize,
    /// What is odd about it.
    pub lints: Vec<LintFacts>,
    /// Which pairs it changes; only of a request that changes nothing.
    pub impact: ImpactFacts,
    /// What it takes the place of; only of an application.
    pub previous: Option<PolicySpec>,
}

/// What one rule of a policy decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCount {
    /// At which end.
    pub direction: Direction,
    /// Its index, name and action; none where no rule decides.
    pub rule: Option<(usize, String, Action)>,
    /// How many packets.
    pub packets: u64,
}

/// One thing that is odd about a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintFacts {
    /// What kind of thing, as the API names it.
    pub code: &'static str,
    /// Where, if it is about one rule.
    pub rule: Option<(Direction, usize)>,
    /// In words.
    pub text: String,
}

/// What a change of a policy would come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImpactFacts {
    /// Flows that would be decided otherwise.
    pub changes: Vec<PairFacts>,
    /// There are more of them.
    pub truncated: bool,
    /// Live flows that would be cut, in words.
    pub cut: Vec<String>,
}

/// One kind of flow that would be decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFacts {
    /// Who begins it.
    pub from: String,
    /// Who is to answer.
    pub to: String,
    /// Of which family.
    pub family: Family,
    /// What is used; none for all that no rule names.
    pub what: Option<Selection>,
    /// Whether it may begin afterwards.
    pub allowed: bool,
}

/// Why a flow may begin, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplanationFacts {
    /// Whether it may.
    pub allowed: bool,
    /// In one line.
    pub reason: String,
    /// Its beginner.
    pub from: EndFacts,
    /// Its other end.
    pub to: EndFacts,
    /// What the beginner's policies say.
    pub egress: SideFacts,
    /// What the other end's policies say.
    pub ingress: SideFacts,
    /// What the networks say, and why.
    pub default: (bool, &'static str),
    /// Whether a link opens the port.
    pub linked: bool,
    /// Whether it might, if audited policies were enforced.
    pub allowed_if_audited: bool,
    /// The host's ports that lead there.
    pub published_at: Vec<String>,
    /// The kernel's elements that decide it, and whether they are there.
    pub kernel: Vec<(String, bool)>,
    /// Rules that would allow it.
    pub would_allow: Vec<String>,
}

/// One end of an explained flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndFacts {
    /// An endpoint's name, `host`, `gateway`, `world` or an address.
    pub name: String,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its network's name.
    pub network: String,
    /// Its sandbox's name.
    pub sandbox: String,
    /// Its labels, as rules see them.
    pub labels: Labels,
    /// Its identity in the kernel.
    pub identity: u32,
    /// By which names the other end asked for it.
    pub names: Vec<String>,
}

/// What one end's policies say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SideFacts {
    /// A word for it; empty of what is no endpoint.
    pub outcome: &'static str,
    /// The deciding policy, and its rule.
    pub cause: Option<(String, Option<usize>)>,
    /// Every rule that was looked at.
    pub trail: Vec<LookedFacts>,
}

/// A rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedFacts {
    /// When its policy is judged.
    pub tier: Tier,
    /// Its policy's name.
    pub policy: String,
    /// Its index and name; none of a policy without rules.
    pub rule: Option<(usize, String)>,
    /// What it came to, in a word or two.
    pub came: &'static str,
    /// It came too late.
    pub late: bool,
    /// Its policy is only audited.
    pub audit: bool,
}

/// What was put right without being asked for.
#[derive(Debug, Clone)]
pub struct Repair {
    /// When.
    pub time: Timestamp,
    /// What was done.
    pub plan: Plan,
}

/// How the kernel differs from what should be.
#[derive(Debug, Clone)]
pub struct DriftFacts {
    /// What would bring it back.
    pub plan: Plan,
    /// The last repair since the daemon's start.
    pub last_repair: Option<Repair>,
}

/// The daemon as it is.
#[derive(Debug, Clone)]
pub struct SystemFacts {
    /// The daemon's version.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// The kernel's release.
    pub kernel: String,
    /// Where the store is.
    pub state_dir: PathBuf,
    /// Where socket and namespaces are.
    pub run_dir: PathBuf,
    /// The newest generation.
    pub generation: u64,
    /// How many networks.
    pub networks: usize,
    /// How many sandboxes.
    pub sandboxes: usize,
    /// How many endpoints.
    pub endpoints: usize,
    /// The loaded drivers.
    pub drivers: Vec<DriverInfo>,
    /// What the kernel can do.
    pub features: BTreeMap<String, bool>,
    /// What the resolver has counted.
    pub resolver: BTreeMap<String, u64>,
    /// The cluster; none if the host is alone.
    pub cluster: Option<ClusterFacts>,
}

/// A cluster as one of its hosts knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Its name.
    pub name: Name,
    /// The host.
    pub own: NodeId,
    /// Whether etcd is reached.
    pub connected: bool,
    /// Why it is not.
    pub why: String,
    /// Since when it is, or is not.
    pub since: Timestamp,
    /// The hosts whose leases last, by id.
    pub nodes: Vec<(NodeId, Node)>,
    /// How many keys cannot be read.
    pub unreadable: usize,
    /// What of the cluster this host cannot follow, in words.
    pub unfollowed: Vec<String>,
}

/// One item of an event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventItem {
    /// A change.
    Event(Event),
    /// Changes before this generation are no longer kept and were skipped.
    Lost {
        /// The first that is kept.
        first_available: u64,
    },
}

/// A page: the objects, and the name to continue after if there are more.
pub type PageOf<T> = (Vec<T>, Option<String>);
