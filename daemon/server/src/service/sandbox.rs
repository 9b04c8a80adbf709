//! Sandboxes over gRPC.

use postern_proto::v1;
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::convert;
use crate::status::status;

/// The service over a backend.
#[derive(Debug, Clone)]
pub(crate) struct Sandboxes<B>(pub(crate) B);

#[tonic::async_trait]
impl<B: Backend> v1::sandbox_service_server::SandboxService for Sandboxes<B> {
    async fn create(
        &self,
        request: Request<v1::CreateSandboxRequest>,
    ) -> Result<Response<v1::CreateSandboxResponse>, Status> {
        let intent = convert::create_sandbox(request.into_inner()).map_err(status)?;
        let outcome = self.0.create_sandbox(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::CreateSandboxResponse {
            sandbox: Some(convert::sandbox(object)),
            plan,
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetSandboxRequest>,
    ) -> Result<Response<v1::GetSandboxResponse>, Status> {
        let v1::GetSandboxRequest { sandbox } = request.into_inner();
        let reference = convert::reference("sandbox", &sandbox).map_err(status)?;
        let facts = self.0.get_sandbox(&reference).map_err(status)?;
        Ok(Response::new(v1::GetSandboxResponse { sandbox: Some(convert::sandbox(facts)) }))
    }

    async fn list(
        &self,
        request: Request<v1::ListSandboxesRequest>,
    ) -> Result<Response<v1::ListSandboxesResponse>, Status> {
        let query = convert::list_sandboxes(request.into_inner()).map_err(status)?;
        let (facts, next) = self.0.list_sandboxes(&query).map_err(status)?;
        let sandboxes = facts.into_iter().map(convert::sandbox).collect();
        let next_token = convert::next_token(next);
        Ok(Response::new(v1::ListSandboxesResponse { sandboxes, next_token }))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateSandboxRequest>,
    ) -> Result<Response<v1::UpdateSandboxResponse>, Status> {
        let intent = convert::update_sandbox(request.into_inner()).map_err(status)?;
        let outcome = self.0.update_sandbox(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::UpdateSandboxResponse {
            sandbox: Some(convert::sandbox(object)),
            plan,
        }))
    }

    async fn add_link(
        &self,
        request: Request<v1::AddLinkRequest>,
    ) -> Result<Response<v1::AddLinkResponse>, Status> {
        let intent = convert::add_link(request.into_inner()).map_err(status)?;
        let outcome = self.0.add_link(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        let sandbox = Some(convert::sandbox(object));
        Ok(Response::new(v1::AddLinkResponse { sandbox, plan }))
    }

    async fn remove_link(
        &self,
        request: Request<v1::RemoveLinkRequest>,
    ) -> Result<Response<v1::RemoveLinkResponse>, Status> {
        let intent = convert::remove_link(request.into_inner()).map_err(status)?;
        let outcome = self.0.remove_link(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        let sandbox = Some(convert::sandbox(object));
        Ok(Response::new(v1::RemoveLinkResponse { sandbox, plan }))
    }

    async fn get_environment(
        &self,
        request: Request<v1::GetEnvironmentRequest>,
    ) -> Result<Response<v1::GetEnvironmentResponse>, Status> {
        let v1::GetEnvironmentRequest { sandbox } = request.into_inner();
        let reference = convert::reference("sandbox", &sandbox).map_err(status)?;
        let variables = self.0.environment(&reference).map_err(status)?;
        let variables =
            variables.into_iter().map(|(name, value)| v1::EnvironmentVariable { name, value });
        let variables = variables.collect();
        Ok(Response::new(v1::GetEnvironmentResponse { variables }))
    }

    async fn quarantine(
        &self,
        request: Request<v1::QuarantineSandboxRequest>,
    ) -> Result<Response<v1::QuarantineSandboxResponse>, Status> {
        let intent = convert::quarantine(request.into_inner()).map_err(status)?;
        let outcome = self.0.set_quarantine(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        let sandbox = Some(convert::sandbox(object));
        Ok(Response::new(v1::QuarantineSandboxResponse { sandbox, plan }))
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseSandboxRequest>,
    ) -> Result<Response<v1::ReleaseSandboxResponse>, Status> {
        let intent = convert::release(request.into_inner()).map_err(status)?;
        let outcome = self.0.set_quarantine(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        let sandbox = Some(convert::sandbox(object));
        Ok(Response::new(v1::ReleaseSandboxResponse { sandbox, plan }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteSandboxRequest>,
    ) -> Result<Response<v1::DeleteSandboxResponse>, Status> {
        let intent = convert::delete_sandbox(request.into_inner()).map_err(status)?;
        let outcome = self.0.delete_sandbox(intent).await.map_err(status)?;
        let ((), plan) = convert::outcome(outcome);
        Ok(Response::new(v1::DeleteSandboxResponse { plan }))
    }
}
