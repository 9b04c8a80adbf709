//! The tonic services: each call is a conversion, a call of the backend, a conversion.

mod driver;
mod endpoint;
mod event;
mod flow;
mod many;
mod network;
mod policy;
mod sandbox;
mod system;

pub(crate) use driver::Drivers;
pub(crate) use endpoint::Endpoints;
pub(crate) use event::Events;
pub(crate) use flow::Flows;
pub(crate) use many::Streams;
pub(crate) use network::Networks;
pub(crate) use policy::Policies;
pub(crate) use sandbox::Sandboxes;
pub(crate) use system::System;

/// Waits until the server is told to stop: then streams end.
async fn until(mut stopping: tokio::sync::watch::Receiver<bool>) {
    // An error means that the server is gone, and so is the need for the stream.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
