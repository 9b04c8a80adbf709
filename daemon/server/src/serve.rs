//! The server: every service, health and reflection on a unix socket.

use std::future::Future;
use std::time::Duration;

use futures::Stream;
use postern_proto::v1::driver_service_server::DriverServiceServer;
use postern_proto::v1::endpoint_service_server::EndpointServiceServer;
use postern_proto::v1::event_service_server::EventServiceServer;
use postern_proto::v1::flow_service_server::FlowServiceServer;
use postern_proto::v1::network_service_server::NetworkServiceServer;
use postern_proto::v1::policy_service_server::PolicyServiceServer;
use postern_proto::v1::sandbox_service_server::SandboxServiceServer;
use postern_proto::v1::system_service_server::SystemServiceServer;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tonic::transport::Server;

use crate::backend::Backend;
use crate::service::{
    Drivers, Endpoints, Events, Flows, Networks, Policies, Sandboxes, Streams, System,
};

/// Largest request, bytes; larger ones get OUT_OF_RANGE from tonic before they are read.
pub const MESSAGE_MAX: usize = 1 << 20;
/// Requests of one connection that are worked on at once; further ones wait.
const CONCURRENCY_MAX: usize = 64;
/// Streams of one connection (RFC 9113 §5.1.2).
const STREAMS_MAX: u32 = 256;

/// How long calls have to end when the daemon is told to.
pub const GRACE: Duration = Duration::from_secs(3);

/// The server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The reflection service cannot read the API's descriptors.
    #[error("the API's descriptors cannot be read")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the transport failed")]
    Transport(#[source] tonic::transport::Error),
}

/// Serves the API on accepted connections until `shutdown` ends. Watches end then, and
/// calls under way have [`GRACE`] to; connections that stay open are dropped after it.
///
/// # Errors
/// Reflection cannot be set up, or the transport fails.
pub async fn serve<B: Backend>(
    backend: B,
    connections: impl Stream<Item = std::io::Result<UnixStream>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (stop, mut stopping) = watch::channel(false);
    let shutdown = async {
        shutdown.await;
        stop.send_replace(true);
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    macro_rules! served {
        ($server:ty, $service:expr) => {{
            health.set_serving::<$server>().await;
            <$server>::new($service).max_decoding_message_size(MESSAGE_MAX)
        }};
    }
    let networks = served!(NetworkServiceServer<Networks<B>>, Networks(backend.clone()));
    let sandboxes = served!(SandboxServiceServer<Sandboxes<B>>, Sandboxes(backend.clone()));
    let streams = Streams::new(stopping.clone());
    let endpoints =
        served!(EndpointServiceServer<Endpoints<B>>, Endpoints(backend.clone(), streams));
    let policies = served!(PolicyServiceServer<Policies<B>>, Policies(backend.clone()));
    let drivers = served!(DriverServiceServer<Drivers<B>>, Drivers(backend.clone()));
    let events = served!(EventServiceServer<Events<B>>, Events(backend.clone(), stopping.clone()));
    let flows = served!(FlowServiceServer<Flows<B>>, Flows(backend.clone(), stopping.clone()));
    let system = served!(SystemServiceServer<System<B>>, System(backend));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(postern_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What the details of an error are, for whoever prints one.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let server = Server::builder()
        .concurrency_limit_per_connection(CONCURRENCY_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(health_service)
        .add_service(reflection().build_v1().map_err(ServeError::Reflection)?)
        .add_service(reflection().build_v1alpha().map_err(ServeError::Reflection)?)
        .add_service(networks)
        .add_service(sandboxes)
        .add_service(endpoints)
        .add_service(policies)
        .add_service(drivers)
        .add_service(events)
        .add_service(flows)
        .add_service(system)
        .serve_with_incoming_shutdown(connections, shutdown);
    let patience = async {
        // An error means that the server has ended, and the other branch has it.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server => served.map_err(ServeError::Transport),
        () = patience => Ok(()),
    }
}
