//! A daemon that keeps what it is asked and answers from a script.
//!
//! Objects named `gone` are not there; a network named `bad` is refused; `dry_run` calls
//! get a plan of one step. Everything else succeeds.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use postern_proto::v1::endpoint_service_server::EndpointService;
use postern_proto::v1::event_service_server::EventService;
use postern_proto::v1::flow_service_server::FlowService;
use postern_proto::v1::network_service_server::NetworkService;
use postern_proto::v1::sandbox_service_server::SandboxService;
use postern_proto::v1::system_service_server::SystemService;
use postern_proto::v1::watch_events_response::{Item, Lost};
use postern_proto::v1::{self, plan_step::Action};
use prost::Message;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub(crate) const UID: &str = "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

type Calls = Arc<Mutex<Vec<(&'static str, Vec<u8>)>>>;

/// The script, and what was asked so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    calls: Calls,
    netns_path: String,
}

impl Fake {
    /// One whose sandboxes all have this namespace.
    pub(crate) fn with_namespace(path: &str) -> Self {
        Self { netns_path: path.to_owned(), ..Self::default() }
    }

    /// The names of the calls, in order.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().iter().map(|(name, _)| *name).collect()
    }

    /// The last request of this call.
    pub(crate) fn last<M: Message + Default>(&self, name: &str) -> M {
        let calls = self.calls.lock().unwrap();
        let (_, bytes) = calls.iter().rev().find(|(called, _)| *called == name).unwrap();
        M::decode(bytes.as_slice()).unwrap()
    }

    fn note<M: Message>(&self, name: &'static str, request: Request<M>) -> M {
        let request = request.into_inner();
        self.calls.lock().unwrap().push((name, request.encode_to_vec()));
        request
    }

    /// A sandbox with one link, whose source there is not.
    fn linked(&self, link: Option<v1::Link>) -> v1::Sandbox {
        let status = v1::LinkStatus {
            link,
            state: v1::link_status::State::NoSource.into(),
            reason: "there is no sandbox `db`".into(),
            ..v1::LinkStatus::default()
        };
        v1::Sandbox { links: vec![status], ..self.sandbox("blue") }
    }

    fn sandbox(&self, name: &str) -> v1::Sandbox {
        v1::Sandbox {
            uid: UID.into(),
            name: name.into(),
            revision: 3,
            spec: Some(v1::SandboxSpec {
                labels: [("old".into(), "1".into())].into(),
                ..v1::SandboxSpec::default()
            }),
            netns_path: self.netns_path.clone(),
            ..v1::Sandbox::default()
        }
    }
}

type Reply<T> = Result<Response<T>, Status>;

fn reply<T>(message: T) -> Reply<T> {
    Ok(Response::new(message))
}

fn there(kind: &str, name: &str) -> Result<(), Status> {
    if name != "gone" {
        return Ok(());
    }
    let text = format!("there is no {} `gone`", kind.to_lowercase());
    let mut details = ErrorDetails::new();
    details.set_error_info("NOT_FOUND", "postern.v1", std::collections::HashMap::new());
    details.set_resource_info(format!("postern.v1.{kind}"), name, "", &text);
    Err(Status::with_error_details(Code::NotFound, text, details))
}

fn plan(validate_only: bool) -> Option<v1::Plan> {
    let step = v1::PlanStep {
        action: Action::Create.into(),
        kind: "bridge".into(),
        object: "pst-1".into(),
    };
    validate_only.then(|| v1::Plan { steps: vec![step] })
}

fn network(name: &str) -> v1::Network {
    v1::Network {
        uid: UID.into(),
        name: name.into(),
        revision: 7,
        predefined: name == "bridge",
        scope: "local".into(),
        spec: Some(v1::NetworkSpec {
            driver: "bridge".into(),
            internal: true,
            mtu: 1500,
            labels: [("old".into(), "1".into())].into(),
            ..v1::NetworkSpec::default()
        }),
        ..v1::Network::default()
    }
}

fn endpoint(name: &str, sandbox: &str) -> v1::Endpoint {
    v1::Endpoint {
        uid: UID.into(),
        name: name.into(),
        revision: 5,
        network: "web".into(),
        sandbox: sandbox.into(),
        interface_name: "eth0".into(),
        ipv4_address: "10.0.0.2/24".into(),
        spec: Some(v1::EndpointSpec {
            aliases: vec!["old".into()],
            published_ports: vec![v1::PublishedPort {
                protocol: v1::Protocol::Tcp.into(),
                host_port: 8080,
                container_port: 80,
                ..v1::PublishedPort::default()
            }],
            ..v1::EndpointSpec::default()
        }),
        ..v1::Endpoint::default()
    }
}

#[tonic::async_trait]
impl NetworkService for Fake {
    async fn create(
        &self,
        request: Request<v1::CreateNetworkRequest>,
    ) -> Reply<v1::CreateNetworkResponse> {
        let request = self.note("network.create", request);
        if request.name == "bad" {
            let mut details = ErrorDetails::new();
            details.add_bad_request_violation("spec.subnets[0].gateway", "is the broadcast");
            details.add_bad_request_violation("spec.mtu", "is below 576");
            let text = "the request is invalid";
            return Err(Status::with_error_details(Code::InvalidArgument, text, details));
        }
        let plan = plan(request.validate_only);
        reply(v1::CreateNetworkResponse { network: Some(network(&request.name)), plan })
    }

    async fn get(&self, request: Request<v1::GetNetworkRequest>) -> Reply<v1::GetNetworkResponse> {
        let request = self.note("network.get", request);
        there("Network", &request.network)?;
        reply(v1::GetNetworkResponse { network: Some(network(&request.network)) })
    }

    async fn list(
        &self,
        request: Request<v1::ListNetworksRequest>,
    ) -> Reply<v1::ListNetworksResponse> {
        let request = self.note("network.list", request);
        let (name, next) = match request.page.unwrap_or_default().token.as_str() {
            "" => ("bridge", "after:bridge"),
            _ => ("web", ""),
        };
        reply(v1::ListNetworksResponse { networks: vec![network(name)], next_token: next.into() })
    }

    async fn update(
        &self,
        request: Request<v1::UpdateNetworkRequest>,
    ) -> Reply<v1::UpdateNetworkResponse> {
        let request = self.note("network.update", request);
        let plan = plan(request.validate_only);
        reply(v1::UpdateNetworkResponse { network: Some(network("web")), plan })
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteNetworkRequest>,
    ) -> Reply<v1::DeleteNetworkResponse> {
        let request = self.note("network.delete", request);
        there("Network", &request.network)?;
        reply(v1::DeleteNetworkResponse { plan: plan(request.validate_only) })
    }

    async fn prune(
        &self,
        request: Request<v1::PruneNetworksRequest>,
    ) -> Reply<v1::PruneNetworksResponse> {
        self.note("network.prune", request);
        reply(v1::PruneNetworksResponse { names: vec!["web".into(), "old".into()] })
    }
}

#[tonic::async_trait]
impl SandboxService for Fake {
    async fn create(
        &self,
        request: Request<v1::CreateSandboxRequest>,
    ) -> Reply<v1::CreateSandboxResponse> {
        let request = self.note("sandbox.create", request);
        let plan = plan(request.validate_only);
        reply(v1::CreateSandboxResponse { sandbox: Some(self.sandbox(&request.name)), plan })
    }

    async fn get(&self, request: Request<v1::GetSandboxRequest>) -> Reply<v1::GetSandboxResponse> {
        let request = self.note("sandbox.get", request);
        there("Sandbox", &request.sandbox)?;
        reply(v1::GetSandboxResponse { sandbox: Some(self.sandbox(&request.sandbox)) })
    }

    async fn list(
        &self,
        request: Request<v1::ListSandboxesRequest>,
    ) -> Reply<v1::ListSandboxesResponse> {
        self.note("sandbox.list", request);
        let sandboxes = vec![self.sandbox("blue")];
        reply(v1::ListSandboxesResponse { sandboxes, ..v1::ListSandboxesResponse::default() })
    }

    async fn update(
        &self,
        request: Request<v1::UpdateSandboxRequest>,
    ) -> Reply<v1::UpdateSandboxResponse> {
        let request = self.note("sandbox.update", request);
        let plan = plan(request.validate_only);
        reply(v1::UpdateSandboxResponse { sandbox: Some(self.sandbox("blue")), plan })
    }

    async fn add_link(
        &self,
        request: Request<v1::AddLinkRequest>,
    ) -> Result<Response<v1::AddLinkResponse>, Status> {
        let request = self.note("sandbox.add_link", request);
        let plan = plan(request.validate_only);
        reply(v1::AddLinkResponse { sandbox: Some(self.linked(request.link)), plan })
    }

    async fn remove_link(
        &self,
        request: Request<v1::RemoveLinkRequest>,
    ) -> Result<Response<v1::RemoveLinkResponse>, Status> {
        let request = self.note("sandbox.remove_link", request);
        let plan = plan(request.validate_only);
        reply(v1::RemoveLinkResponse { sandbox: Some(self.sandbox("blue")), plan })
    }

    async fn get_environment(
        &self,
        request: Request<v1::GetEnvironmentRequest>,
    ) -> Result<Response<v1::GetEnvironmentResponse>, Status> {
        self.note("sandbox.environment", request);
        let variable = |name: &str, value: &str| v1::EnvironmentVariable {
            name: name.into(),
            value: value.into(),
        };
        let variables =
            vec![variable("DB_PORT", "tcp://10.0.0.2:5432"), variable("DB_NAME", "/web/db")];
        reply(v1::GetEnvironmentResponse { variables })
    }

    async fn quarantine(
        &self,
        request: Request<v1::QuarantineSandboxRequest>,
    ) -> Reply<v1::QuarantineSandboxResponse> {
        let request = self.note("sandbox.quarantine", request);
        there("Sandbox", &request.sandbox)?;
        let plan = plan(request.validate_only);
        reply(v1::QuarantineSandboxResponse { sandbox: Some(self.sandbox("blue")), plan })
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseSandboxRequest>,
    ) -> Reply<v1::ReleaseSandboxResponse> {
        let request = self.note("sandbox.release", request);
        there("Sandbox", &request.sandbox)?;
        let plan = plan(request.validate_only);
        reply(v1::ReleaseSandboxResponse { sandbox: Some(self.sandbox("blue")), plan })
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteSandboxRequest>,
    ) -> Reply<v1::DeleteSandboxResponse> {
        let request = self.note("sandbox.delete", request);
        there("Sandbox", &request.sandbox)?;
        reply(v1::DeleteSandboxResponse { plan: plan(request.validate_only) })
    }
}

#[tonic::async_trait]
impl EndpointService for Fake {
    async fn create(
        &self,
        request: Request<v1::CreateEndpointRequest>,
    ) -> Reply<v1::CreateEndpointResponse> {
        let request = self.note("endpoint.create", request);
        let plan = plan(request.validate_only);
        reply(v1::CreateEndpointResponse { endpoint: Some(endpoint(&request.name, "")), plan })
    }

    async fn join(
        &self,
        request: Request<v1::JoinEndpointRequest>,
    ) -> Reply<v1::JoinEndpointResponse> {
        let request = self.note("endpoint.join", request);
        let endpoint = Some(endpoint(&request.endpoint, &request.sandbox));
        reply(v1::JoinEndpointResponse { endpoint, plan: plan(request.validate_only) })
    }

    async fn leave(
        &self,
        request: Request<v1::LeaveEndpointRequest>,
    ) -> Reply<v1::LeaveEndpointResponse> {
        let request = self.note("endpoint.leave", request);
        let plan = plan(request.validate_only);
        reply(v1::LeaveEndpointResponse { endpoint: Some(endpoint(&request.endpoint, "")), plan })
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteEndpointRequest>,
    ) -> Reply<v1::DeleteEndpointResponse> {
        let request = self.note("endpoint.delete", request);
        there("Endpoint", &request.endpoint)?;
        reply(v1::DeleteEndpointResponse { plan: plan(request.validate_only) })
    }

    async fn connect(&self, request: Request<v1::ConnectRequest>) -> Reply<v1::ConnectResponse> {
        let request = self.note("endpoint.connect", request);
        let endpoint = Some(endpoint("blue.web", &request.sandbox));
        reply(v1::ConnectResponse { endpoint, plan: plan(request.validate_only) })
    }

    async fn disconnect(
        &self,
        request: Request<v1::DisconnectRequest>,
    ) -> Reply<v1::DisconnectResponse> {
        let request = self.note("endpoint.disconnect", request);
        reply(v1::DisconnectResponse { plan: plan(request.validate_only) })
    }

    async fn get(
        &self,
        request: Request<v1::GetEndpointRequest>,
    ) -> Reply<v1::GetEndpointResponse> {
        let request = self.note("endpoint.get", request);
        there("Endpoint", &request.endpoint)?;
        reply(v1::GetEndpointResponse { endpoint: Some(endpoint(&request.endpoint, "blue")) })
    }

    async fn list(
        &self,
        request: Request<v1::ListEndpointsRequest>,
    ) -> Reply<v1::ListEndpointsResponse> {
        self.note("endpoint.list", request);
        let endpoints = vec![endpoint("blue.web", "blue")];
        reply(v1::ListEndpointsResponse { endpoints, ..v1::ListEndpointsResponse::default() })
    }

    async fn update(
        &self,
        request: Request<v1::UpdateEndpointRequest>,
    ) -> Reply<v1::UpdateEndpointResponse> {
        let request = self.note("endpoint.update", request);
        let plan = plan(request.validate_only);
        reply(v1::UpdateEndpointResponse { endpoint: Some(endpoint("blue.web", "blue")), plan })
    }
}

type Events = Vec<Result<v1::WatchEventsResponse, Status>>;

#[tonic::async_trait]
impl EventService for Fake {
    type WatchStream = Pin<Box<tokio_stream::Iter<<Events as IntoIterator>::IntoIter>>>;

    /// A gap, an event, and the end that a real daemon's stream has only when it stops.
    async fn watch(&self, request: Request<v1::WatchEventsRequest>) -> Reply<Self::WatchStream> {
        self.note("event.watch", request);
        let event = v1::Event {
            generation: 9,
            time: Some(prost_types::Timestamp::default()),
            kind: v1::ObjectKind::Network.into(),
            action: v1::event::Action::Created.into(),
            uid: UID.into(),
            name: "web".into(),
            attributes: [("driver".into(), "bridge".into())].into(),
        };
        let items = [Item::Lost(Lost { first_available: 9 }), Item::Event(event)];
        let events: Events =
            items.map(|item| Ok(v1::WatchEventsResponse { item: Some(item) })).into();
        reply(Box::pin(tokio_stream::iter(events)))
    }
}

type Flows = Vec<Result<v1::WatchFlowsResponse, Status>>;

#[tonic::async_trait]
impl FlowService for Fake {
    type WatchStream = Pin<Box<tokio_stream::Iter<<Flows as IntoIterator>::IntoIter>>>;

    /// A gap, a flow, and the end that a real daemon's stream has only when it stops.
    async fn watch(&self, request: Request<v1::WatchFlowsRequest>) -> Reply<Self::WatchStream> {
        use v1::watch_flows_request::Of;
        use v1::watch_flows_response::Item;
        let request = self.note("flow.watch", request);
        if let Some(Of::Sandbox(name)) = &request.of {
            there("Sandbox", name)?;
        }
        let end = |name: &str| v1::ExplainedEnd { name: name.into(), ..Default::default() };
        let flow = v1::Flow {
            time: Some(prost_types::Timestamp::default()),
            from: Some(end("web.blue")),
            to: Some(end("db.blue")),
            protocol: 6,
            port: 5432,
            verdict: v1::FlowVerdict::Passed.into(),
            reason: "accepted by policy `db`, ingress rule 0".into(),
            ..Default::default()
        };
        let flows: Flows = [Item::Lost(7), Item::Flow(flow)]
            .map(|item| Ok(v1::WatchFlowsResponse { item: Some(item) }))
            .into();
        reply(Box::pin(tokio_stream::iter(flows)))
    }
}

#[tonic::async_trait]
impl SystemService for Fake {
    async fn get_info(&self, request: Request<v1::GetInfoRequest>) -> Reply<v1::GetInfoResponse> {
        self.note("system.info", request);
        let version = "0.1.0".into();
        reply(v1::GetInfoResponse { version, generation: 9, ..v1::GetInfoResponse::default() })
    }

    async fn get_drift(
        &self,
        request: Request<v1::GetDriftRequest>,
    ) -> Reply<v1::GetDriftResponse> {
        self.note("system.drift", request);
        reply(v1::GetDriftResponse { steps: plan(true).unwrap().steps, last_repair: None })
    }

    async fn reconcile(
        &self,
        request: Request<v1::ReconcileRequest>,
    ) -> Reply<v1::ReconcileResponse> {
        self.note("system.reconcile", request);
        reply(v1::ReconcileResponse { steps: vec![] })
    }
}
