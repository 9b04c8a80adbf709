//! Networks, sandboxes and endpoints, as the script has them.

use postern_proto::v1;
use postern_proto::v1::endpoint_service_server::EndpointService;
use postern_proto::v1::network_service_server::NetworkService;
use postern_proto::v1::sandbox_service_server::SandboxService;
use prost::Message;
use tokio_stream::StreamExt;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt, pb};

use super::{Fake, Reply, endpoint, network, plan, reply, there};

type Answers<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

async fn all<M>(request: Request<Streaming<M>>) -> Result<Vec<M>, Status> {
    request.into_inner().collect::<Result<_, _>>().await
}

fn embedded(status: &Status) -> pb::Status {
    pb::Status::decode(status.details()).unwrap()
}

#[tonic::async_trait]
impl NetworkService for Fake {
    async fn list_peers(&self, _: Request<v1::ListPeersRequest>) -> Reply<v1::ListPeersResponse> {
        let peer = v1::Peer { name: "db.blue".into(), host: "b".into(), ..v1::Peer::default() };
        reply(v1::ListPeersResponse { peers: vec![peer], next_token: String::new() })
    }

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

    async fn add_link(&self, request: Request<v1::AddLinkRequest>) -> Reply<v1::AddLinkResponse> {
        let request = self.note("sandbox.add_link", request);
        let plan = plan(request.validate_only);
        reply(v1::AddLinkResponse { sandbox: Some(self.linked(request.link)), plan })
    }

    async fn remove_link(
        &self,
        request: Request<v1::RemoveLinkRequest>,
    ) -> Reply<v1::RemoveLinkResponse> {
        let request = self.note("sandbox.remove_link", request);
        let plan = plan(request.validate_only);
        reply(v1::RemoveLinkResponse { sandbox: Some(self.sandbox("blue")), plan })
    }

    async fn get_environment(
        &self,
        request: Request<v1::GetEnvironmentRequest>,
    ) -> Reply<v1::GetEnvironmentResponse> {
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
    type ConnectManyStream = Answers<v1::ConnectManyResponse>;

    async fn connect_many(
        &self,
        request: Request<Streaming<v1::ConnectRequest>>,
    ) -> Reply<Self::ConnectManyStream> {
        use v1::connect_many_response::Outcome;
        let mut answers = Vec::new();
        for (index, request) in (0..).zip(all(request).await?) {
            let outcome = match self.connect(Request::new(request)).await {
                Ok(done) => Outcome::Done(done.into_inner()),
                Err(status) => Outcome::Refused(embedded(&status)),
            };
            answers.push(Ok(v1::ConnectManyResponse { index, outcome: Some(outcome) }));
        }
        // In any order.
        answers.reverse();
        reply(tokio_stream::iter(answers))
    }

    type DisconnectManyStream = Answers<v1::DisconnectManyResponse>;

    async fn disconnect_many(
        &self,
        request: Request<Streaming<v1::DisconnectRequest>>,
    ) -> Reply<Self::DisconnectManyStream> {
        use v1::disconnect_many_response::Outcome;
        let mut answers = Vec::new();
        for (index, request) in (0..).zip(all(request).await?) {
            let done = self.disconnect(Request::new(request)).await?.into_inner();
            let outcome = Some(Outcome::Done(done));
            answers.push(Ok(v1::DisconnectManyResponse { index, outcome }));
        }
        // And then it dies.
        answers.push(Err(Status::unavailable("the daemon stops")));
        reply(tokio_stream::iter(answers))
    }

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
        there("Sandbox", &request.sandbox)?;
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
