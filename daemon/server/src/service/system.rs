//! The daemon itself over gRPC.

use postern_proto::v1;
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::convert;
use crate::status::status;

/// The service over a backend.
#[derive(Debug, Clone)]
pub(crate) struct System<B>(pub(crate) B);

#[tonic::async_trait]
impl<B: Backend> v1::system_service_server::SystemService for System<B> {
    async fn get_info(
        &self,
        _: Request<v1::GetInfoRequest>,
    ) -> Result<Response<v1::GetInfoResponse>, Status> {
        Ok(Response::new(convert::info(self.0.system())))
    }

    async fn get_drift(
        &self,
        _: Request<v1::GetDriftRequest>,
    ) -> Result<Response<v1::GetDriftResponse>, Status> {
        Ok(Response::new(convert::drift(self.0.drift().await.map_err(status)?)))
    }

    async fn reconcile(
        &self,
        _: Request<v1::ReconcileRequest>,
    ) -> Result<Response<v1::ReconcileResponse>, Status> {
        let plan = self.0.reconcile().await.map_err(status)?;
        Ok(Response::new(v1::ReconcileResponse { steps: convert::plan_steps(&plan) }))
    }
}
