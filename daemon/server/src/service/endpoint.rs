//! Endpoints over gRPC.

use postern_proto::v1;
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::convert;
use crate::status::status;

/// The service over a backend.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints<B>(pub(crate) B);

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
        let intent = convert::connect(request.into_inner()).map_err(status)?;
        let outcome = self.0.connect(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::ConnectResponse { endpoint: Some(convert::endpoint(object)), plan }))
    }

    async fn disconnect(
        &self,
        request: Request<v1::DisconnectRequest>,
    ) -> Result<Response<v1::DisconnectResponse>, Status> {
        let intent = convert::disconnect(request.into_inner()).map_err(status)?;
        let outcome = self.0.disconnect(intent).await.map_err(status)?;
        let ((), plan) = convert::outcome(outcome);
        Ok(Response::new(v1::DisconnectResponse { plan }))
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
