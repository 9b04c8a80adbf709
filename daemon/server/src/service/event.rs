//! Events over gRPC.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use postern_proto::v1;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::convert;
use crate::status::status;

/// The service over a backend. Its streams end when the second field turns true: without
/// that, a daemon with watchers would never finish serving.
#[derive(Debug, Clone)]
pub(crate) struct Events<B>(pub(crate) B, pub(crate) watch::Receiver<bool>);

#[tonic::async_trait]
impl<B: Backend> v1::event_service_server::EventService for Events<B> {
    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchEventsResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let query = convert::watch_events(request.into_inner()).map_err(status)?;
        let items = self.0.watch_events(query).map_err(status)?;
        let items = items.map(|item| item.map(convert::event_item).map_err(status));
        Ok(Response::new(Box::pin(items.take_until(super::until(self.1.clone())))))
    }
}
