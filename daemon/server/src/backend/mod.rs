//! What the services need of the daemon, in the model's words.

mod driver;
mod facts;

use std::future::Future;

use futures::Stream;
use postern_model::cluster::Peer;
use postern_model::intent::{
    AddLink, ApplyPolicy, Connect, CreateEndpoint, CreateNetwork, CreateSandbox, DeleteEndpoint,
    DeleteNetwork, DeletePolicy, DeleteSandbox, Disconnect, EnableDriver, ExplainFlow, GrantDriver,
    InstallDriver, JoinEndpoint, LeaveEndpoint, ListEndpoints, ListNetworks, ListPeers,
    ListPolicies, ListSandboxes, Mutation, Outcome, PruneNetworks, RemoveDriver, RemoveLink,
    SetQuarantine, UpdateEndpoint, UpdateNetwork, UpdateSandbox, WatchEvents, WatchFlows,
};
use postern_model::plan::Plan;
use postern_model::refusal::Refusal;

use crate::flow::FlowItem;

pub use driver::{DecisionChange, DriverFacts, DriverOutcome, DriverState};
pub use facts::{
    ClusterFacts, DriftFacts, EndFacts, EndpointFacts, EventItem, ExplanationFacts, ImpactFacts,
    LinkFacts, LintFacts, LookedFacts, NetworkFacts, PageOf, PairFacts, PolicyFacts, Repair,
    RuleCount, SandboxFacts, SideFacts, SystemFacts,
};

/// What the services need of the daemon. Every future of a mutation runs to its end
/// whatever becomes of the connection; the implementation sees to that.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Makes a network.
    fn create_network(
        &self,
        request: Mutation<CreateNetwork>,
    ) -> impl Future<Output = Result<Outcome<NetworkFacts>, Refusal>> + Send;
    /// Returns a network.
    fn get_network(&self, reference: &str) -> Result<NetworkFacts, Refusal>;
    /// Returns networks.
    fn list_networks(&self, query: &ListNetworks) -> Result<PageOf<NetworkFacts>, Refusal>;
    /// Returns endpoints of other hosts on a network.
    fn list_peers(&self, query: &ListPeers) -> Result<PageOf<Peer>, Refusal>;
    /// Changes a network.
    fn update_network(
        &self,
        request: Mutation<UpdateNetwork>,
    ) -> impl Future<Output = Result<Outcome<NetworkFacts>, Refusal>> + Send;
    /// Deletes a network.
    fn delete_network(
        &self,
        request: Mutation<DeleteNetwork>,
    ) -> impl Future<Output = Result<Outcome<()>, Refusal>> + Send;
    /// Deletes unused networks and names them.
    fn prune_networks(
        &self,
        request: PruneNetworks,
    ) -> impl Future<Output = Result<Vec<String>, Refusal>> + Send;

    /// Makes a sandbox.
    fn create_sandbox(
        &self,
        request: Mutation<CreateSandbox>,
    ) -> impl Future<Output = Result<Outcome<SandboxFacts>, Refusal>> + Send;
    /// Returns a sandbox.
    fn get_sandbox(&self, reference: &str) -> Result<SandboxFacts, Refusal>;
    /// Returns sandboxes.
    fn list_sandboxes(&self, query: &ListSandboxes) -> Result<PageOf<SandboxFacts>, Refusal>;
    /// Changes a sandbox.
    fn update_sandbox(
        &self,
        request: Mutation<UpdateSandbox>,
    ) -> impl Future<Output = Result<Outcome<SandboxFacts>, Refusal>> + Send;
    /// Adds a link to a sandbox.
    fn add_link(
        &self,
        request: Mutation<AddLink>,
    ) -> impl Future<Output = Result<Outcome<SandboxFacts>, Refusal>> + Send;
    /// Removes a link of a sandbox.
    fn remove_link(
        &self,
        request: Mutation<RemoveLink>,
    ) -> impl Future<Output = Result<Outcome<SandboxFacts>, Refusal>> + Send;
    /// Cuts a sandbox off, or undoes that.
    fn set_quarantine(
        &self,
        request: Mutation<SetQuarantine>,
    ) -> impl Future<Output = Result<Outcome<SandboxFacts>, Refusal>> + Send;
    /// Returns the environment variables of a sandbox's links, name and value.
    fn environment(&self, reference: &str) -> Result<Vec<(String, String)>, Refusal>;
    /// Deletes a sandbox.
    fn delete_sandbox(
        &self,
        request: Mutation<DeleteSandbox>,
    ) -> impl Future<Output = Result<Outcome<()>, Refusal>> + Send;

    /// Makes an endpoint.
    fn create_endpoint(
        &self,
        request: Mutation<CreateEndpoint>,
    ) -> impl Future<Output = Result<Outcome<EndpointFacts>, Refusal>> + Send;
    /// Joins an endpoint to a sandbox.
    fn join_endpoint(
        &self,
        request: Mutation<JoinEndpoint>,
    ) -> impl Future<Output = Result<Outcome<EndpointFacts>, Refusal>> + Send;
    /// Takes an endpoint out of its sandbox.
    fn leave_endpoint(
        &self,
        request: Mutation<LeaveEndpoint>,
    ) -> impl Future<Output = Result<Outcome<EndpointFacts>, Refusal>> + Send;
    /// Deletes an endpoint.
    fn delete_endpoint(
        &self,
        request: Mutation<DeleteEndpoint>,
    ) -> impl Future<Output = Result<Outcome<()>, Refusal>> + Send;
    /// Makes an endpoint and joins it.
    fn connect(
        &self,
        request: Mutation<Connect>,
    ) -> impl Future<Output = Result<Outcome<EndpointFacts>, Refusal>> + Send;
    /// Takes an endpoint out of its sandbox and deletes it.
    fn disconnect(
        &self,
        request: Mutation<Disconnect>,
    ) -> impl Future<Output = Result<Outcome<()>, Refusal>> + Send;
    /// Returns an endpoint.
    fn get_endpoint(&self, reference: &str) -> Result<EndpointFacts, Refusal>;
    /// Returns endpoints.
    fn list_endpoints(&self, query: &ListEndpoints) -> Result<PageOf<EndpointFacts>, Refusal>;
    /// Changes an endpoint.
    fn update_endpoint(
        &self,
        request: Mutation<UpdateEndpoint>,
    ) -> impl Future<Output = Result<Outcome<EndpointFacts>, Refusal>> + Send;

    /// Makes a policy, or changes the one of that name.
    fn apply_policy(
        &self,
        request: Mutation<ApplyPolicy>,
    ) -> impl Future<Output = Result<Outcome<PolicyFacts>, Refusal>> + Send;
    /// Deletes a policy.
    fn delete_policy(
        &self,
        request: Mutation<DeletePolicy>,
    ) -> impl Future<Output = Result<Outcome<PolicyFacts>, Refusal>> + Send;
    /// Returns a policy.
    fn get_policy(&self, reference: &str) -> Result<PolicyFacts, Refusal>;
    /// Counts what each rule of a policy decided.
    fn policy_counters(
        &self,
        reference: &str,
    ) -> impl Future<Output = Result<Vec<RuleCount>, Refusal>> + Send;
    /// Explains a flow.
    fn explain(
        &self,
        request: ExplainFlow,
    ) -> impl Future<Output = Result<ExplanationFacts, Refusal>> + Send;
    /// Returns policies.
    fn list_policies(&self, query: &ListPolicies) -> Result<PageOf<PolicyFacts>, Refusal>;

    /// Installs a driver, or a new version of it.
    fn install_driver(
        &self,
        request: Mutation<InstallDriver>,
    ) -> impl Future<Output = Result<Outcome<DriverOutcome>, Refusal>> + Send;
    /// Lets a driver be asked, or not.
    fn enable_driver(
        &self,
        request: Mutation<EnableDriver>,
    ) -> impl Future<Output = Result<Outcome<DriverOutcome>, Refusal>> + Send;
    /// Gives a driver other grants.
    fn grant_driver(
        &self,
        request: Mutation<GrantDriver>,
    ) -> impl Future<Output = Result<Outcome<DriverOutcome>, Refusal>> + Send;
    /// Removes a driver.
    fn remove_driver(
        &self,
        request: Mutation<RemoveDriver>,
    ) -> impl Future<Output = Result<Outcome<()>, Refusal>> + Send;
    /// Returns a driver.
    fn get_driver(&self, name: &str) -> Result<DriverFacts, Refusal>;
    /// Returns every driver.
    fn list_drivers(&self) -> Vec<DriverFacts>;

    /// Streams changes.
    fn watch_events(
        &self,
        request: WatchEvents,
    ) -> Result<impl Stream<Item = Result<EventItem, Refusal>> + Send + 'static, Refusal>;

    /// Streams new flows.
    fn watch_flows(
        &self,
        request: WatchFlows,
    ) -> Result<impl Stream<Item = Result<FlowItem, Refusal>> + Send + 'static, Refusal>;

    /// Returns what the daemon is.
    fn system(&self) -> SystemFacts;
    /// Compares the kernel with what should be.
    fn drift(&self) -> impl Future<Output = Result<DriftFacts, Refusal>> + Send;
    /// Compares and repairs.
    fn reconcile(&self) -> impl Future<Output = Result<Plan, Refusal>> + Send;
}
