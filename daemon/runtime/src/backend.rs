//! The ledger as the server's backend.

use futures::Stream;
use postern_kernel::Kernel;
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
use postern_server::{
    Backend, DriftFacts, DriverFacts, DriverOutcome, EndpointFacts, EventItem, ExplanationFacts,
    FlowItem, NetworkFacts, PageOf, PolicyFacts, RuleCount, SandboxFacts, SystemFacts,
};

use crate::ledger::{Ledger, detached};

/// A mutation that answers with its object.
macro_rules! mutation {
    ($name:ident, $now:ident, $intent:ty => $facts:ty, $again:ident, $of:ident) => {
        async fn $name(&self, request: Mutation<$intent>) -> Result<Outcome<$facts>, Refusal> {
            let run = |ledger: Self, intent, (retry, only): (Option<_>, bool)| async move {
                let outcome = ledger.$now(intent, (retry.as_ref(), only)).await?;
                Ok(Outcome { object: ledger.$of(&outcome.object), plan: outcome.plan })
            };
            self.once(request, run, |ledger, uid| ledger.$again(uid)).await
        }
    };
}

/// A mutation that leaves nothing to answer with.
macro_rules! deletion {
    ($name:ident, $now:ident, $intent:ty) => {
        async fn $name(&self, request: Mutation<$intent>) -> Result<Outcome<()>, Refusal> {
            let run = |ledger: Self, intent, (retry, only): (Option<_>, bool)| async move {
                let outcome = ledger.$now(&intent, (retry.as_ref(), only)).await?;
                Ok(Outcome { object: (), plan: outcome.plan })
            };
            self.once(request, run, |_, _| Ok(())).await
        }
    };
}

impl<K: Kernel> Backend for Ledger<K> {
    mutation!(create_network, make_network, CreateNetwork => NetworkFacts, network, facts_of_network);
    mutation!(update_network, update_network_now, UpdateNetwork => NetworkFacts, network, facts_of_network);
    deletion!(delete_network, delete_network_now, DeleteNetwork);
    mutation!(create_sandbox, create_sandbox_now, CreateSandbox => SandboxFacts, sandbox, facts_of_sandbox);
    mutation!(update_sandbox, update_sandbox_now, UpdateSandbox => SandboxFacts, sandbox, facts_of_sandbox);
    mutation!(add_link, add_link_now, AddLink => SandboxFacts, sandbox, facts_of_sandbox);
    mutation!(remove_link, remove_link_now, RemoveLink => SandboxFacts, sandbox, facts_of_sandbox);
    mutation!(set_quarantine, set_quarantine_now, SetQuarantine => SandboxFacts, sandbox, facts_of_sandbox);
    deletion!(delete_sandbox, delete_sandbox_now, DeleteSandbox);
    mutation!(create_endpoint, create_endpoint_now, CreateEndpoint => EndpointFacts, endpoint, facts_of_endpoint);
    mutation!(connect, connect_now, Connect => EndpointFacts, endpoint, facts_of_endpoint);
    mutation!(update_endpoint, update_endpoint_now, UpdateEndpoint => EndpointFacts, endpoint, facts_of_endpoint);
    mutation!(join_endpoint, join_endpoint_now, JoinEndpoint => EndpointFacts, endpoint, facts_of_endpoint);
    mutation!(leave_endpoint, leave_endpoint_now, LeaveEndpoint => EndpointFacts, endpoint, facts_of_endpoint);
    deletion!(delete_endpoint, delete_endpoint_now, DeleteEndpoint);
    deletion!(disconnect, disconnect_now, Disconnect);
    mutation!(apply_policy, apply_policy_now, ApplyPolicy => PolicyFacts, policy, same);
    mutation!(delete_policy, delete_policy_now, DeletePolicy => PolicyFacts, policy, same);

    mutation!(install_driver, install_driver_now, InstallDriver => DriverOutcome, driver_outcome, same);
    mutation!(enable_driver, enable_driver_now, EnableDriver => DriverOutcome, driver_outcome, same);
    mutation!(grant_driver, grant_driver_now, GrantDriver => DriverOutcome, driver_outcome, same);
    deletion!(remove_driver, remove_driver_now, RemoveDriver);

    fn get_driver(&self, name: &str) -> Result<DriverFacts, Refusal> {
        self.driver_now(name)
    }

    fn list_drivers(&self) -> Vec<DriverFacts> {
        self.drivers_now()
    }

    async fn explain(&self, request: ExplainFlow) -> Result<ExplanationFacts, Refusal> {
        self.explain_now(request).await
    }

    fn get_policy(&self, reference: &str) -> Result<PolicyFacts, Refusal> {
        self.policy(reference)
    }

    async fn policy_counters(&self, reference: &str) -> Result<Vec<RuleCount>, Refusal> {
        self.policy_counters_now(reference).await
    }

    fn list_policies(&self, query: &ListPolicies) -> Result<PageOf<PolicyFacts>, Refusal> {
        Ok(self.policies(query))
    }

    async fn prune_networks(&self, request: PruneNetworks) -> Result<Vec<String>, Refusal> {
        let ledger = self.clone();
        detached(async move { ledger.prune_networks_now(request).await }).await
    }

    fn get_network(&self, reference: &str) -> Result<NetworkFacts, Refusal> {
        self.network(reference)
    }

    fn list_networks(&self, query: &ListNetworks) -> Result<PageOf<NetworkFacts>, Refusal> {
        Ok(self.networks(query))
    }

    fn list_peers(&self, query: &ListPeers) -> Result<PageOf<Peer>, Refusal> {
        self.peers(query)
    }

    fn get_sandbox(&self, reference: &str) -> Result<SandboxFacts, Refusal> {
        self.sandbox(reference)
    }

    fn list_sandboxes(&self, query: &ListSandboxes) -> Result<PageOf<SandboxFacts>, Refusal> {
        Ok(self.sandboxes(query))
    }

    fn environment(&self, reference: &str) -> Result<Vec<(String, String)>, Refusal> {
        self.variables(reference)
    }

    fn get_endpoint(&self, reference: &str) -> Result<EndpointFacts, Refusal> {
        self.endpoint(reference)
    }

    fn list_endpoints(&self, query: &ListEndpoints) -> Result<PageOf<EndpointFacts>, Refusal> {
        self.endpoints(query)
    }

    fn watch_events(
        &self,
        request: WatchEvents,
    ) -> Result<impl Stream<Item = Result<EventItem, Refusal>> + Send + 'static, Refusal> {
        self.events(request)
    }

    fn watch_flows(
        &self,
        request: WatchFlows,
    ) -> Result<impl Stream<Item = Result<FlowItem, Refusal>> + Send + 'static, Refusal> {
        self.flows(&request)
    }

    fn system(&self) -> SystemFacts {
        self.system_facts()
    }

    async fn drift(&self) -> Result<DriftFacts, Refusal> {
        self.drift_now().await
    }

    async fn reconcile(&self) -> Result<Plan, Refusal> {
        let ledger = self.clone();
        detached(async move { ledger.reconcile_now().await }).await
    }
}
