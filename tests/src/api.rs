//! The daemon's API with the wrapping taken off.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_proto::v1::driver_service_client::DriverServiceClient;
use postern_proto::v1::endpoint_service_client::EndpointServiceClient;
use postern_proto::v1::event_service_client::EventServiceClient;
use postern_proto::v1::flow_service_client::FlowServiceClient;
use postern_proto::v1::network_service_client::NetworkServiceClient;
use postern_proto::v1::policy_service_client::PolicyServiceClient;
use postern_proto::v1::sandbox_service_client::SandboxServiceClient;
use postern_proto::v1::system_service_client::SystemServiceClient;
use postern_proto::v1::watch_events_response::Item;
use postern_proto::v1::{
    AddLinkRequest, ApplyPolicyRequest, ApplyPolicyResponse, ConnectRequest, CreateNetworkRequest,
    CreateSandboxRequest, DeleteNetworkRequest, DeletePolicyRequest, DeleteSandboxRequest,
    Direction, DisconnectRequest, Endpoint, EndpointSpec, Filter, GetDriftRequest,
    GetEndpointRequest, GetInfoRequest, GetInfoResponse, GetNetworkRequest,
    GetPolicyCountersRequest, GetSandboxRequest, Link, ListEndpointsRequest, ListNetworksRequest,
    ListPeersRequest, ListPoliciesRequest, ListSandboxesRequest, Network, NetworkSpec, PageRequest,
    Peer, PlanStep, Policy, PolicySpec, RemoveLinkRequest, RuleCounter, Sandbox, SandboxSpec,
    WatchEventsRequest, WatchEventsResponse,
};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

const RPC_LIMIT: Duration = Duration::from_secs(30);
const EVENT_LIMIT: Duration = Duration::from_secs(5);

/// Labels, options or auxiliary addresses from pairs.
pub fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The clients of every service, and the calls most tests begin with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The connection, for clients of other packages.
    pub channel: Channel,
    /// Networks.
    pub networks: NetworkServiceClient<Channel>,
    /// Sandboxes.
    pub sandboxes: SandboxServiceClient<Channel>,
    /// Endpoints.
    pub endpoints: EndpointServiceClient<Channel>,
    /// Policies.
    pub policies: PolicyServiceClient<Channel>,
    /// Drivers.
    pub drivers: DriverServiceClient<Channel>,
    /// Events.
    pub events: EventServiceClient<Channel>,
    /// Flows.
    pub flows: FlowServiceClient<Channel>,
    /// The daemon itself.
    pub system: SystemServiceClient<Channel>,
}

fn whole<T>(field: Option<T>) -> Result<T, Status> {
    field.ok_or_else(|| Status::internal("the answer lacks its object"))
}

fn named(name: &str) -> Option<Filter> {
    Some(Filter { names: vec![name.to_owned()], ..Default::default() })
}

const ALL: Option<PageRequest> = Some(PageRequest { size: 1000, token: String::new() });

impl Api {
    /// Connects when the first call is made. `address` is `unix:///path` or `http://host:port`.
    ///
    /// # Panics
    /// `address` is neither.
    pub fn new(address: &str) -> Self {
        let endpoint = tonic::transport::Endpoint::from_shared(address.to_owned());
        let endpoint = endpoint.unwrap_or_else(|error| panic!("{address}: {error}"));
        let channel = endpoint.timeout(RPC_LIMIT).connect_lazy();
        Self {
            networks: NetworkServiceClient::new(channel.clone()),
            sandboxes: SandboxServiceClient::new(channel.clone()),
            endpoints: EndpointServiceClient::new(channel.clone()),
            policies: PolicyServiceClient::new(channel.clone()),
            drivers: DriverServiceClient::new(channel.clone()),
            events: EventServiceClient::new(channel.clone()),
            flows: FlowServiceClient::new(channel.clone()),
            system: SystemServiceClient::new(channel.clone()),
            channel,
        }
    }

    /// Makes or replaces a policy.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn apply_policy(
        &self,
        name: &str,
        spec: PolicySpec,
    ) -> Result<ApplyPolicyResponse, Status> {
        let request =
            ApplyPolicyRequest { name: name.into(), spec: Some(spec), ..Default::default() };
        Ok(self.policies.clone().apply(request).await?.into_inner())
    }

    /// Deletes a policy; returns how many flows that cut.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn delete_policy(&self, name: &str) -> Result<u64, Status> {
        let request = DeletePolicyRequest { policy: name.into(), ..Default::default() };
        Ok(self.policies.clone().delete(request).await?.into_inner().flows_cut)
    }

    /// How many packets each rule of a policy has decided: direction, index and count.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn counters(&self, policy: &str) -> Result<Vec<(Direction, i32, u64)>, Status> {
        let request = GetPolicyCountersRequest { policy: policy.into() };
        let counters = self.policies.clone().get_counters(request).await?.into_inner().counters;
        let of = |of: &RuleCounter| (of.direction(), of.rule, of.packets);
        Ok(counters.iter().map(of).collect())
    }

    /// Makes a network.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn create_network(&self, name: &str, spec: NetworkSpec) -> Result<Network, Status> {
        let request =
            CreateNetworkRequest { name: name.into(), spec: Some(spec), ..Default::default() };
        whole(self.networks.clone().create(request).await?.into_inner().network)
    }

    /// Reads a network.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn network(&self, name: &str) -> Result<Network, Status> {
        let request = GetNetworkRequest { network: name.into() };
        whole(self.networks.clone().get(request).await?.into_inner().network)
    }

    /// The endpoints of other hosts on a network, every page of them.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn peers(&self, network: &str) -> Result<Vec<Peer>, Status> {
        let mut page = PageRequest { size: 1000, token: String::new() };
        let mut all = Vec::new();
        loop {
            let request = ListPeersRequest { network: network.into(), page: Some(page.clone()) };
            let answer = self.networks.clone().list_peers(request).await?.into_inner();
            all.extend(answer.peers);
            if answer.next_token.is_empty() {
                return Ok(all);
            }
            page.token = answer.next_token;
        }
    }

    /// Deletes a network.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn delete_network(&self, name: &str) -> Result<(), Status> {
        let request = DeleteNetworkRequest { network: name.into(), ..Default::default() };
        self.networks.clone().delete(request).await.map(|_| ())
    }

    /// Makes a sandbox with a namespace of its own.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn create_sandbox(&self, name: &str) -> Result<Sandbox, Status> {
        self.create_sandbox_as(name, SandboxSpec::default()).await
    }

    /// Makes a sandbox.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn create_sandbox_as(
        &self,
        name: &str,
        spec: SandboxSpec,
    ) -> Result<Sandbox, Status> {
        let request =
            CreateSandboxRequest { name: name.into(), spec: Some(spec), ..Default::default() };
        whole(self.sandboxes.clone().create(request).await?.into_inner().sandbox)
    }

    /// Reads a sandbox.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn sandbox(&self, name: &str) -> Result<Sandbox, Status> {
        let request = GetSandboxRequest { sandbox: name.into() };
        whole(self.sandboxes.clone().get(request).await?.into_inner().sandbox)
    }

    /// Adds a link to a sandbox.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn add_link(
        &self,
        sandbox: &str,
        source: &str,
        alias: &str,
    ) -> Result<Sandbox, Status> {
        let link = Link { source: source.into(), alias: alias.into() };
        let request =
            AddLinkRequest { sandbox: sandbox.into(), link: Some(link), ..Default::default() };
        whole(self.sandboxes.clone().add_link(request).await?.into_inner().sandbox)
    }

    /// Removes a link of a sandbox.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn remove_link(&self, sandbox: &str, alias: &str) -> Result<Sandbox, Status> {
        let request = RemoveLinkRequest {
            sandbox: sandbox.into(),
            alias: alias.into(),
            ..Default::default()
        };
        whole(self.sandboxes.clone().remove_link(request).await?.into_inner().sandbox)
    }

    /// Deletes a sandbox, its endpoints first if `force`.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn delete_sandbox(&self, name: &str, force: bool) -> Result<(), Status> {
        let request = DeleteSandboxRequest { sandbox: name.into(), force, ..Default::default() };
        self.sandboxes.clone().delete(request).await.map(|_| ())
    }

    /// Makes an endpoint and joins it.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn connect(
        &self,
        network: &str,
        sandbox: &str,
        spec: EndpointSpec,
    ) -> Result<Endpoint, Status> {
        let request = ConnectRequest {
            network: network.into(),
            sandbox: sandbox.into(),
            spec: Some(spec),
            ..Default::default()
        };
        whole(self.endpoints.clone().connect(request).await?.into_inner().endpoint)
    }

    /// Reads an endpoint.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn endpoint(&self, name: &str) -> Result<Endpoint, Status> {
        let request = GetEndpointRequest { endpoint: name.into() };
        whole(self.endpoints.clone().get(request).await?.into_inner().endpoint)
    }

    /// Takes an endpoint out of its sandbox and deletes it.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn disconnect(&self, network: &str, sandbox: &str) -> Result<(), Status> {
        let request = DisconnectRequest {
            network: network.into(),
            sandbox: sandbox.into(),
            ..Default::default()
        };
        self.endpoints.clone().disconnect(request).await.map(|_| ())
    }

    /// The networks of this name or uid, or all where `name` is empty; at most 1000.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_networks(&self, name: &str) -> Result<Vec<Network>, Status> {
        let filter = if name.is_empty() { None } else { named(name) };
        let request = ListNetworksRequest { page: ALL, filter, ..Default::default() };
        Ok(self.networks.clone().list(request).await?.into_inner().networks)
    }

    /// All sandboxes, at most 1000.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_sandboxes(&self) -> Result<Vec<Sandbox>, Status> {
        let request = ListSandboxesRequest { page: ALL, ..Default::default() };
        Ok(self.sandboxes.clone().list(request).await?.into_inner().sandboxes)
    }

    /// All endpoints.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_endpoints(&self) -> Result<Vec<Endpoint>, Status> {
        let mut all = Vec::new();
        let mut page = PageRequest { size: 1000, ..Default::default() };
        loop {
            let request = ListEndpointsRequest { page: Some(page.clone()), ..Default::default() };
            let answer = self.endpoints.clone().list(request).await?.into_inner();
            all.extend(answer.endpoints);
            if answer.next_token.is_empty() {
                return Ok(all);
            }
            page.token = answer.next_token;
        }
    }

    /// All policies, at most 1000.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_policies(&self) -> Result<Vec<Policy>, Status> {
        let request = ListPoliciesRequest { page: ALL, ..Default::default() };
        Ok(self.policies.clone().list(request).await?.into_inner().policies)
    }

    /// What the daemon says of itself.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn facts(&self) -> Result<GetInfoResponse, Status> {
        Ok(self.system.clone().get_info(GetInfoRequest {}).await?.into_inner())
    }

    /// What the daemon finds amiss in the kernel.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn drift(&self) -> Result<Vec<PlanStep>, Status> {
        Ok(self.system.clone().get_drift(GetDriftRequest {}).await?.into_inner().steps)
    }

    /// Begins to watch events: those after a generation, or only those from now on.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn watch(&self, after_generation: Option<u64>) -> Result<EventStream, Status> {
        let request = WatchEventsRequest { after_generation, ..Default::default() };
        Ok(EventStream(self.events.clone().watch(request).await?.into_inner()))
    }
}

/// A stream of events.
#[derive(Debug)]
pub struct EventStream(Streaming<WatchEventsResponse>);

impl EventStream {
    /// The next item; none if none comes in time.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn next(&mut self) -> Result<Option<Item>, Status> {
        match timeout(EVENT_LIMIT, self.0.message()).await {
            Ok(message) => Ok(message?.and_then(|message| message.item)),
            Err(_) => Ok(None),
        }
    }

    /// The next event in short: kind, action, name.
    ///
    /// # Panics
    /// None comes in time, or something else does.
    pub async fn short(&mut self) -> String {
        match self.next().await {
            Ok(Some(Item::Event(event))) => {
                let kind = event.kind().as_str_name().trim_start_matches("OBJECT_KIND_");
                let action = event.action().as_str_name().trim_start_matches("ACTION_");
                format!("{kind} {action} {}", event.name).to_lowercase()
            }
            other => panic!("no event: {other:?}"),
        }
    }
}
