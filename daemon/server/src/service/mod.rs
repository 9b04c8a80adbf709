//! The tonic services: each call is a conversion, a call of the backend, a conversion.

mod endpoint;
mod event;
mod flow;
mod network;
mod policy;
mod sandbox;
mod system;

pub(crate) use endpoint::Endpoints;
pub(crate) use event::Events;
pub(crate) use flow::Flows;
pub(crate) use network::Networks;
pub(crate) use policy::Policies;
pub(crate) use sandbox::Sandboxes;
pub(crate) use system::System;
