//! What a client asked for, with every field checked: the form in which requests leave
//! the edge.

use std::net::IpAddr;

use crate::dns::{DnsName, Link};
use crate::endpoint::EndpointSpec;
use crate::event::ObjectKind;
use crate::grant::Grants;
use crate::name::{Labels, Name};
use crate::network::NetworkSpec;
use crate::plan::Plan;
use crate::policy::{PolicyPort, PolicySpec};
use crate::port::{ExposedPort, PublishedPort};
use crate::sandbox::SandboxSpec;
use crate::time::Timestamp;

/// A mutation with what every mutation carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation<T> {
    /// What is asked for.
    pub intent: T,
    /// The client's id for safe retries.
    pub request_id: Option<String>,
    /// A hash of method and request, to tell a retry from a mistake.
    pub digest: u64,
    /// Check everything, return the plan, change nothing.
    pub validate_only: bool,
}

/// A driver is installed, or a new version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallDriver {
    /// The module's bytes.
    pub module: Vec<u8>,
    /// What it may; none leaves what an earlier version may.
    pub grants: Option<Grants>,
    /// The digest that the module must have.
    pub digest: Option<String>,
    /// An Ed25519 signature of the module.
    pub signature: Option<[u8; 64]>,
    /// There may be an earlier version.
    pub upgrade: bool,
    /// Stored decisions may change.
    pub accept_changes: bool,
}

/// A driver is let be asked, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnableDriver {
    /// Its name.
    pub driver: String,
    /// Whether.
    pub enabled: bool,
}

/// A driver gets other grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantDriver {
    /// Its name.
    pub driver: String,
    /// In the place of those it has.
    pub grants: Grants,
}

/// A driver is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveDriver {
    /// Its name.
    pub driver: String,
}

/// What a mutation made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<T> {
    /// The object as it is now, or would be.
    pub object: T,
    /// The plan; only of a request that changes nothing.
    pub plan: Option<Plan>,
}

/// Make a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateNetwork {
    /// Its name.
    pub name: Name,
    /// What it is to be.
    pub spec: NetworkSpec,
}

/// Change a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateNetwork {
    /// Name, uid or short id.
    pub network: String,
    /// What it is to be.
    pub spec: NetworkSpec,
    /// What the new spec is based on.
    pub revision: u64,
}

/// Delete a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteNetwork {
    /// Name, uid or short id.
    pub network: String,
}

/// Delete every unused network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneNetworks {
    /// Only those that match.
    pub filter: Filter,
    /// Only those made before.
    pub created_before: Option<Timestamp>,
    /// Name them only.
    pub validate_only: bool,
}

/// Make a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateSandbox {
    /// Its name.
    pub name: Name,
    /// What it is to be.
    pub spec: SandboxSpec,
}

/// Change a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateSandbox {
    /// Name, uid or short id.
    pub sandbox: String,
    /// The labels.
    pub labels: Labels,
    /// What they are based on.
    pub revision: u64,
}

/// Add a link to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddLink {
    /// Name, uid or short id.
    pub sandbox: String,
    /// The link.
    pub link: Link,
}

/// Remove a link of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveLink {
    /// Name, uid or short id.
    pub sandbox: String,
    /// The link's alias.
    pub alias: DnsName,
}

/// Delete a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteSandbox {
    /// Name, uid or short id.
    pub sandbox: String,
    /// Disconnect its endpoints first.
    pub force: bool,
}

/// Make an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateEndpoint {
    /// Its name.
    pub name: Name,
    /// Name, uid or short id.
    pub network: String,
    /// What it is to be.
    pub spec: EndpointSpec,
}

/// Join an endpoint to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinEndpoint {
    /// Name, uid or short id.
    pub endpoint: String,
    /// Name, uid or short id.
    pub sandbox: String,
}

/// Take an endpoint out of its sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveEndpoint {
    /// Name, uid or short id.
    pub endpoint: String,
}

/// Delete an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteEndpoint {
    /// Name, uid or short id.
    pub endpoint: String,
}

/// Make an endpoint and join it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Name, uid or short id.
    pub network: String,
    /// Name, uid or short id.
    pub sandbox: String,
    /// The endpoint's name; none means `<sandbox>.<network>`.
    pub name: Option<Name>,
    /// What it is to be.
    pub spec: EndpointSpec,
}

/// Which endpoint to disconnect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disconnect {
    /// This one, by name, uid or short id.
    Endpoint(String),
    /// The only one of this sandbox on this network.
    Pair {
        /// Name, uid or short id.
        network: String,
        /// Name, uid or short id.
        sandbox: String,
    },
}

/// Change an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateEndpoint {
    /// Name, uid or short id.
    pub endpoint: String,
    /// Further names.
    pub aliases: Vec<DnsName>,
    /// Ports the workload serves.
    pub exposed: Vec<ExposedPort>,
    /// Ports published on the host.
    pub published: Vec<PublishedPort>,
    /// Free labels.
    pub labels: Labels,
    /// What the change is based on.
    pub revision: u64,
}

/// Which objects to return.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these names or uids; empty means all.
    pub names: Vec<String>,
    /// With all of these labels; an empty value matches any.
    pub labels: Labels,
}

impl Filter {
    /// Whether an object is to be returned.
    pub fn matches(&self, name: &str, uid: &str, labels: &Labels) -> bool {
        let named = self.names.is_empty() || self.names.iter().any(|n| n == name || n == uid);
        named
            && self.labels.iter().all(|(key, wanted)| {
                labels.get(key).is_some_and(|value| wanted.is_empty() || value == wanted)
            })
    }
}

/// One page of a list, in the order of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Most objects.
    pub size: usize,
    /// Only names after this one.
    pub after: Option<String>,
}

/// Which networks to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListNetworks {
    /// Which page.
    pub page: Page,
    /// Which ones.
    pub filter: Filter,
    /// Only of this driver.
    pub driver: Option<String>,
}

/// Which endpoints of other hosts to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPeers {
    /// Which page.
    pub page: Page,
    /// On which network, by name, uid or short id.
    pub network: String,
}

/// Which sandboxes to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSandboxes {
    /// Which page.
    pub page: Page,
    /// Which ones.
    pub filter: Filter,
}

/// Which endpoints to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEndpoints {
    /// Which page.
    pub page: Page,
    /// Which ones.
    pub filter: Filter,
    /// Only of this network, by name, uid or short id.
    pub network: Option<String>,
    /// Only in this sandbox, by name, uid or short id.
    pub sandbox: Option<String>,
}

/// Which events to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvents {
    /// What came after this generation; none means only what comes from now on.
    pub after: Option<u64>,
    /// Only about these kinds; empty means all.
    pub kinds: Vec<ObjectKind>,
}

/// Which flows to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchFlows {
    /// Only those with an end that is this, or on it.
    pub of: Option<FlowsOf>,
    /// Only those that do not pass.
    pub dropped_only: bool,
    /// Only those that audited policies would decide otherwise.
    pub audit_only: bool,
}

/// Whose flows, by name, uid or short id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowsOf {
    /// A sandbox's.
    Sandbox(String),
    /// An endpoint's.
    Endpoint(String),
    /// Those on a network.
    Network(String),
}

/// Make a policy, or change the one of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyPolicy {
    /// Its name.
    pub name: Name,
    /// What it is to be.
    pub spec: PolicySpec,
    /// What the new spec is based on; none means whatever there is.
    pub revision: Option<u64>,
}

/// Delete a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletePolicy {
    /// Name, uid or short id.
    pub policy: String,
}

/// List policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPolicies {
    /// Which page.
    pub page: Page,
    /// Which of them.
    pub filter: Filter,
}

/// Cut a sandbox off, or undo that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetQuarantine {
    /// Name, uid or short id.
    pub sandbox: String,
    /// Whether it is to be cut off.
    pub on: bool,
}

/// Explain a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainFlow {
    /// Who begins it.
    pub from: FlowEnd,
    /// Who is to answer.
    pub to: FlowEnd,
    /// What is used; of ports the first one counts.
    pub what: PolicyPort,
    /// Whether it comes by a published port.
    pub published: bool,
    /// Whether IPv6 is meant; otherwise IPv4 where both ends have it.
    pub ipv6: bool,
}

/// One end of a flow, as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowEnd {
    /// An endpoint, by name, uid or short id.
    Endpoint(String),
    /// A sandbox, by name, uid or short id.
    Sandbox(String),
    /// Whoever has the address.
    Address(IpAddr),
    /// The host, by an address that is no gateway's.
    Host,
    /// The world, by an address that no policy names.
    World,
}
