//! Policies: who may talk to whom.
//!
//! A policy speaks for the endpoints its [`Subject`] selects, in one or both
//! [`Direction`]s. Tiers are judged one after the other, the first decision wins, and a
//! flow needs the consent of both its ends.

mod peer;
mod ports;
mod selector;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::PolicyId;
use crate::name::{Labels, Name};
use crate::time::Timestamp;

pub use peer::{Cidr, CidrError, DomainPattern, DomainPatternError, Entity, Peer, SelectorPeer};
pub use ports::{IcmpType, Match, PolicyPort, Selection, TransportProtocol};
pub use selector::{Operator, Requirement, Selector};

/// Highest priority number, which is judged last.
pub const PRIORITY_MAX: u32 = 1000;
/// Most rules of one policy and direction.
pub const RULES_MAX: usize = 64;
/// Most peers of one rule.
pub const PEERS_MAX: usize = 64;
/// Most ports of one rule.
pub const PORTS_MAX: usize = 64;

/// In which order policies are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Before all others, by priority: may accept, deny, reject and pass.
    Admin,
    /// Isolates: a selected endpoint accepts only what a rule of some policy accepts, in
    /// whatever order. As a Kubernetes `NetworkPolicy`.
    App,
    /// After all others, for endpoints that no policy of tier [`Tier::App`] isolates.
    Baseline,
}

/// A flow as its subject sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Begun by a peer, to the subject.
    Ingress,
    /// Begun by the subject, to a peer.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Let it through.
    Accept,
    /// Drop it without a word.
    Deny,
    /// Leave it to the next tier.
    Pass,
    /// Drop it and say so: a TCP reset, or an ICMP error.
    Reject,
}

/// Whether a policy is carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// It is judged and reported, and changes nothing.
    Audit,
}

/// What became of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowVerdict {
    /// It may begin.
    Passed,
    /// It may not, and its beginner is not told.
    Dropped,
    /// It may not, and its beginner is told: by a TCP reset, or an ICMP error.
    Rejected,
}

/// Whom a policy speaks for: endpoints on selected networks that are selected themselves,
/// and those that are named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Endpoints whose network and whose own labels match; none selects nothing.
    pub selected: Option<SelectorPeer>,
    /// Endpoints by name.
    pub named: Vec<Name>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name within the policy and direction, for people; may be empty.
    pub id: String,
    /// What it does.
    pub action: Action,
    /// Who the other end is: any of these; nobody in particular if there are none.
    pub peers: Vec<Peer>,
    /// What is used: any of these; everything if there are none.
    pub ports: Vec<PolicyPort>,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySpec {
    /// When it is judged.
    pub tier: Tier,
    /// Within its tier, lower first; equal ones by name.
    pub priority: u32,
    /// Whom it speaks for.
    pub subject: Subject,
    /// Which of the subject's flows it is about.
    pub directions: Vec<Direction>,
    /// Rules for flows to the subject, in order.
    pub ingress: Vec<Rule>,
    /// Rules for flows from the subject, in order.
    pub egress: Vec<Rule>,
    /// Whether it is carried out.
    pub mode: Mode,
    /// Whether its verdicts are logged.
    pub log: bool,
    /// When it ends; none of one that stays.
    pub expires: Option<Timestamp>,
    /// Free labels.
    pub labels: Labels,
}

impl PolicySpec {
    /// The rules of a direction; none if the policy is not about it.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        self.directions.contains(&direction).then_some(match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        })
    }
}

/// A policy as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its uid.
    pub id: PolicyId,
    /// Its unique name.
    pub name: Name,
    /// The generation of its last change.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// What was asked for.
    pub spec: PolicySpec,
    /// The hosts of a cluster have it in common.
    #[serde(default)]
    pub shared: bool,
}

/// The place of a policy in the order in which policies are judged.
pub type Rank<'a> = (Tier, u32, &'a str);

impl Policy {
    /// See [`Rank`].
    pub fn rank(&self) -> Rank<'_> {
        (self.spec.tier, self.spec.priority, self.name.as_str())
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::App => "app",
            Self::Baseline => "baseline",
        })
    }
}

impl fmt::Display for FlowVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
        })
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}
