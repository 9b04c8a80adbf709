//! Endpoints of this host, told to the others.

use std::path::PathBuf;

use postern_kernel::Kernel;
use postern_model::decision::EndpointDecision;
use postern_model::endpoint::{Attachment, Endpoint};
use postern_model::sandbox::Sandbox;
use postern_model::topology::{Put, Topology};

use crate::ledger::Core;

impl<K: Kernel> Core<K> {
    /// Tells others of what a change of the records, which are as after it, means for them.
    /// Whoever leaves is taken back at once, and nobody waits for etcd.
    pub(in crate::ledger) fn announce(&self, topology: &Topology, puts: &[Put]) {
        let Some(membership) = &self.membership else { return };
        for put in puts {
            match put {
                Put::Endpoint(endpoint) => match told(topology, endpoint) {
                    Some((endpoint, sandbox)) => membership.publish(endpoint, sandbox),
                    None => membership.retract(endpoint.id),
                },
                Put::EndpointGone(id) => membership.retract(*id),
                Put::Sandbox(sandbox) => {
                    let joined = topology.endpoints_of_sandbox(sandbox.id);
                    for (endpoint, sandbox) in joined.filter_map(|e| told(topology, e)) {
                        membership.publish(endpoint, sandbox);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What others are told of an endpoint that is joined and on a network that hosts share:
/// nothing that is this host's affair alone.
fn told(topology: &Topology, endpoint: &Endpoint) -> Option<(Endpoint, Sandbox)> {
    topology.network(endpoint.network).filter(|network| network.is_shared())?;
    let sandbox = topology.sandbox(endpoint.sandbox()?)?;
    let attachment = Attachment {
        sandbox: sandbox.id,
        interface: None,
        bindings: Vec::new(),
        decision: EndpointDecision::default(),
    };
    let endpoint = Endpoint { attachment: Some(attachment), ..endpoint.clone() };
    let sandbox = Sandbox { path: PathBuf::new(), identity: None, ..sandbox.clone() };
    Some((endpoint, sandbox))
}
