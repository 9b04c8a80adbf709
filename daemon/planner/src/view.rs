//! The topology as it would be with one record changed.

use postern_model::endpoint::Endpoint;
use postern_model::id::{EndpointId, SandboxId};
use postern_model::network::Network;
use postern_model::sandbox::Sandbox;
use postern_model::topology::Topology;

/// A topology, seen with one endpoint and one sandbox in the place of those of their ids.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    topology: &'a Topology,
    endpoint: Option<(EndpointId, Option<&'a Endpoint>)>,
    sandbox: Option<&'a Sandbox>,
}

impl<'a> View<'a> {
    /// As it is.
    pub const fn of(topology: &'a Topology) -> Self {
        Self { topology, endpoint: None, sandbox: None }
    }

    /// With an endpoint in this form, or without it.
    #[must_use]
    pub const fn with_endpoint(self, id: EndpointId, form: Option<&'a Endpoint>) -> Self {
        Self { endpoint: Some((id, form)), ..self }
    }

    /// With a sandbox in this form, which may be new.
    #[must_use]
    pub const fn with_sandbox(self, form: &'a Sandbox) -> Self {
        Self { sandbox: Some(form), ..self }
    }

    /// The sandbox of a name.
    pub fn sandbox_named(&self, name: &str) -> Option<&'a Sandbox> {
        match self.sandbox {
            Some(form) if form.name.as_str() == name => Some(form),
            // A name is given once.
            _ => self.topology.find_sandbox(name).filter(|found| found.name.as_str() == name),
        }
    }

    /// The endpoints in a sandbox with their networks, in the order in which they were made.
    pub fn joined(&self, sandbox: SandboxId) -> Vec<(&'a Endpoint, &'a Network)> {
        let (replaced, form) = self.endpoint.unzip();
        let others = self.topology.endpoints_of_sandbox(sandbox);
        let others = others.filter(|endpoint| replaced != Some(endpoint.id));
        let form = form.flatten().filter(|endpoint| endpoint.sandbox() == Some(sandbox));
        let all = others.chain(form);
        let mut joined: Vec<_> = all
            .filter_map(|endpoint| Some((endpoint, self.topology.network(endpoint.network)?)))
            .collect();
        joined.sort_by_key(|(endpoint, _)| endpoint.id);
        joined
    }

    /// A sandbox and those that have a link to it: all that a change of its endpoints
    /// is felt by.
    pub fn touched(&self, sandbox: &'a Sandbox) -> Vec<&'a Sandbox> {
        let linkers = self.topology.linkers(sandbox.name.as_str());
        std::iter::once(sandbox).chain(linkers.filter(|other| other.id != sandbox.id)).collect()
    }
}
