//! Flows over gRPC.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use postern_proto::v1;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::convert;
use crate::status::status;

/// The service over a backend. Its streams end when the second field turns true, as those
/// of events do.
#[derive(Debug, Clone)]
pub(crate) struct Flows<B>(pub(crate) B, pub(crate) watch::Receiver<bool>);

#[tonic::async_trait]
impl<B: Backend> v1::flow_service_server::FlowService for Flows<B> {
    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchFlowsResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<v1::WatchFlowsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let query = convert::watch_flows(request.into_inner()).map_err(status)?;
        let items = self.0.watch_flows(query).map_err(status)?;
        let items = items.map(|item| item.map(convert::flow_item).map_err(status));
        Ok(Response::new(Box::pin(items.take_until(super::until(self.1.clone())))))
    }
}
