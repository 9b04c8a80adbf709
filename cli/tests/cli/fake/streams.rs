//! What is told as it happens, and the daemon itself, as the script has them.

use std::pin::Pin;

use postern_proto::v1;
use postern_proto::v1::event_service_server::EventService;
use postern_proto::v1::flow_service_server::FlowService;
use postern_proto::v1::system_service_server::SystemService;
use postern_proto::v1::watch_events_response::{Item, Lost};
use tonic::{Request, Status};

use super::{Fake, Reply, UID, plan, reply, there};

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
