//! Networks over gRPC.

use postern_proto::v1;
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::convert;
use crate::status::status;

/// The service over a backend.
#[derive(Debug, Clone)]
pub(crate) struct Networks<B>(pub(crate) B);

#[tonic::async_trait]
impl<B: Backend> v1::network_service_server::NetworkService for Networks<B> {
    async fn create(
        &self,
        request: Request<v1::CreateNetworkRequest>,
    ) -> Result<Response<v1::CreateNetworkResponse>, Status> {
        let intent = convert::create_network(request.into_inner()).map_err(status)?;
        let outcome = self.0.create_network(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::CreateNetworkResponse {
            network: Some(convert::network(object)),
            plan,
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetNetworkRequest>,
    ) -> Result<Response<v1::GetNetworkResponse>, Status> {
        let v1::GetNetworkRequest { network } = request.into_inner();
        let reference = convert::reference("network", &network).map_err(status)?;
        let facts = self.0.get_network(&reference).map_err(status)?;
        Ok(Response::new(v1::GetNetworkResponse { network: Some(convert::network(facts)) }))
    }

    async fn list(
        &self,
        request: Request<v1::ListNetworksRequest>,
    ) -> Result<Response<v1::ListNetworksResponse>, Status> {
        let query = convert::list_networks(request.into_inner()).map_err(status)?;
        let (facts, next) = self.0.list_networks(&query).map_err(status)?;
        let networks = facts.into_iter().map(convert::network).collect();
        let next_token = convert::next_token(next);
        Ok(Response::new(v1::ListNetworksResponse { networks, next_token }))
    }

    async fn update(
        &self,
        request: Request<v1::UpdateNetworkRequest>,
    ) -> Result<Response<v1::UpdateNetworkResponse>, Status> {
        let intent = convert::update_network(request.into_inner()).map_err(status)?;
        let outcome = self.0.update_network(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::UpdateNetworkResponse {
            network: Some(convert::network(object)),
            plan,
        }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteNetworkRequest>,
    ) -> Result<Response<v1::DeleteNetworkResponse>, Status> {
        let intent = convert::delete_network(request.into_inner()).map_err(status)?;
        let outcome = self.0.delete_network(intent).await.map_err(status)?;
        let ((), plan) = convert::outcome(outcome);
        Ok(Response::new(v1::DeleteNetworkResponse { plan }))
    }

    async fn list_peers(
        &self,
        request: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        let query = convert::list_peers(request.into_inner()).map_err(status)?;
        let (peers, next) = self.0.list_peers(&query).map_err(status)?;
        let peers = peers.into_iter().map(convert::peer).collect();
        Ok(Response::new(v1::ListPeersResponse { peers, next_token: convert::next_token(next) }))
    }

    async fn prune(
        &self,
        request: Request<v1::PruneNetworksRequest>,
    ) -> Result<Response<v1::PruneNetworksResponse>, Status> {
        let intent = convert::prune_networks(request.into_inner()).map_err(status)?;
        let names = self.0.prune_networks(intent).await.map_err(status)?;
        Ok(Response::new(v1::PruneNetworksResponse { names }))
    }
}
