//! Endpoints over gRPC.

use std::pin::Pin;

use futures::{Stream, TryStreamExt};
use postern_proto::v1;
use postern_proto::v1::{connect_many_response, disconnect_many_response};
use tonic::{Request, Response, Status, Streaming};

use super::many::{Answer, Streams, each};
use crate::backend::Backend;
use crate::convert;
use crate::status::{embedded, status};

/// The service over a backend.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints<B>(pub(crate) B, pub(crate) Streams);

impl<B: Backend> Endpoints<B> {
    async fn connected(&self, request: v1::ConnectRequest) -> Result<v1::ConnectResponse, Status> {
        let intent = convert::connect(request).map_err(status)?;
        let outcome = self.0.connect(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(v1::ConnectResponse { endpoint: Some(convert::endpoint(object)), plan })
    }

    async fn disconnected(
        &self,
        request: v1::DisconnectRequest,
    ) -> Result<v1::DisconnectResponse, Status> {
        let intent = convert::disconnect(request).map_err(status)?;
        let outcome = self.0.disconnect(intent).await.map_err(status)?;
        let ((), plan) = convert::outcome(outcome);
        Ok(v1::DisconnectResponse { plan })
    }
}

fn connected_one(
    Answer { index, outcome }: Answer<v1::ConnectResponse>,
) -> v1::ConnectManyResponse {
    use connect_many_response::Outcome;
    let outcome = match outcome {
        Ok(done) => Outcome::Done(done),
        Err(refused) => Outcome::Refused(embedded(&refused)),
    };
    v1::ConnectManyResponse { index, outcome: Some(outcome) }
}

fn disconnected_one(
    Answer { index, outcome }: Answer<v1::DisconnectResponse>,
) -> v1::DisconnectManyResponse {
    use disconnect_many_response::Outcome;
    let outcome = match outcome {
        Ok(done) => Outcome::Done(done),
        Err(refused) => Outcome::Refused(embedded(&refused)),
    };
    v1::DisconnectManyResponse { index, outcome: Some(outcome) }
}

#[tonic::async_trait]
impl<B: Backend> v1::endpoint_service_server::EndpointService for Endpoints<B> {
    async fn create(
        &self,
        request: Request<v1::CreateEndpointRequest>,
    ) -> Result<Response<v1::CreateEndpointResponse>, Status> {
        let intent = convert::create_endpoint(request.into_inner()).map_err(status)?;
        let outcome = self.0.create_endpoint(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::CreateEndpointResponse {
            endpoint: Some(convert::endpoint(object)),
            plan,
        }))
    }

    async fn join(
        &self,
        request: Request<v1::JoinEndpointRequest>,
    ) -> Result<Response<v1::JoinEndpointResponse>, Status> {
        let intent = convert::join_endpoint(request.into_inner()).map_err(status)?;
        let outcome = self.0.join_endpoint(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::JoinEndpointResponse {
            endpoint: Some(convert::endpoint(object)),
            plan,
        }))
    }

    async fn leave(
        &self,
        request: Request<v1::LeaveEndpointRequest>,
    ) -> Result<Response<v1::LeaveEndpointResponse>, Status> {
        let intent = convert::leave_endpoint(request.into_inner()).map_err(status)?;
        let outcome = self.0.leave_endpoint(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::LeaveEndpointResponse {
            endpoint: Some(convert::endpoint(object)),
            plan,
        }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteEndpointRequest>,
    ) -> Result<Response<v1::DeleteEndpointResponse>, Status> {
        let intent = convert::delete_endpoint(request.into_inner()).map_err(status)?;
        let outcome = self.0.delete_endpoint(intent).await.map_err(status)?;
        let ((), plan) = convert::outcome(outcome);
        Ok(Response::new(v1::DeleteEndpointResponse { plan }))
    }

    async fn connect(
        &self,
        request: Request<v1::ConnectRequest>,
    ) -> Result<Response<v1::ConnectResponse>, Status> {
        self.connected(request.into_inner()).await.map(Response::new)
    }

    async fn disconnect(
        &self,
        request: Request<v1::DisconnectRequest>,
    ) -> Result<Response<v1::DisconnectResponse>, Status> {
        self.disconnected(request.into_inner()).await.map(Response::new)
    }

    type ConnectManyStream =
        Pin<Box<dyn Stream<Item = Result<v1::ConnectManyResponse, Status>> + Send + 'static>>;

    async fn connect_many(
        &self,
        request: Request<Streaming<v1::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectManyStream>, Status> {
        let service = self.clone();
        let one = move |request| {
            let service = service.clone();
            async move { service.connected(request).await }
        };
        let answers = each(request.into_inner(), one, self.1.clone());
        Ok(Response::new(Box::pin(answers.map_ok(connected_one))))
    }

    type DisconnectManyStream =
        Pin<Box<dyn Stream<Item = Result<v1::DisconnectManyResponse, Status>> + Send + 'static>>;

    async fn disconnect_many(
        &self,
        request: Request<Streaming<v1::DisconnectRequest>>,
    ) -> Result<Response<Self::DisconnectManyStream>, Status> {
        let service = self.clone();
        let one = move |request| {
            let service = service.clone();
            async move { service.disconnected(request).await }
        };
        let answers = each(request.into_inner(), one, self.1.clone());
        Ok(Response::new(Box::pin(answers.map_ok(disconnected_one))))
    }

    async fn get(
        &self,
        request: Request<v1::GetEndpointRequest>,
    ) -> Result<Response<v1::GetEndpointResponse>, Status> {
        let v1::GetEndpointRequest { endpoint } = request.into_inner();
        let reference = convert::reference("endpoint", &endpoint).map_err(status)?;
        let facts = self.0.get_endpoint(&reference).map_err(status)?;
        Ok(Response::new(v1::GetEndpointResponse { endpoint: Some(convert::endpoint(facts)) }))
    }

    async fn list(
        &self,
        request: Request<v1::ListEndpointsRequest>,
    ) -> Result<Response<v1::ListEndpointsResponse>, Status> {
        let query = convert::list_endpoints(request.into_inner()).map_err(status)?;
        let (facts, next) = self.0.list_endpoints(&query).map_err(status)?;
        let endpoints = facts.into_iter().map(convert::endpoint).collect();
        let next_token = convert::next_token(next);
        Ok(Response::new(v1::ListEndpointsResponse { endpoints, next_token }))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateEndpointRequest>,
    ) -> Result<Response<v1::UpdateEndpointResponse>, Status> {
        let intent = convert::update_endpoint(request.into_inner()).map_err(status)?;
        let outcome = self.0.update_endpoint(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::UpdateEndpointResponse {
            endpoint: Some(convert::endpoint(object)),
            plan,
        }))
    }
}
