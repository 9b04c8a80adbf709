//! The kernel names the host chooses for drivers' links.

use postern_model::decision::{Desired, Link, LinkKind, NetworkDecision};
use postern_model::id::{EndpointId, NetworkId};
use postern_model::name::IfName;

/// The name of the predefined network's bridge.
pub const DEFAULT_BRIDGE: &str = "postern0";

/// The name of the bridge a network gets when its user chose none: `br-` and the
/// network's short id, as people know it from Docker.
pub fn bridge(id: NetworkId) -> IfName {
    made(format!("br-{}", id.short()))
}

/// The name of a network's VXLAN link.
pub fn tunnel(id: NetworkId) -> IfName {
    made(format!("vx-{}", id.short()))
}

/// The name of the host's end of an endpoint's pair.
pub fn port(id: EndpointId) -> IfName {
    made(format!("pv-{}", id.short()))
}

#[expect(clippy::expect_used, reason = "three letters and twelve digits are a name")]
fn made(text: String) -> IfName {
    IfName::try_from(text).expect("fifteen plain bytes")
}

/// The link of a network's decision that is its bridge, with its kernel name.
pub fn bridge_of(id: NetworkId, decision: &NetworkDecision) -> Option<(&Link, IfName)> {
    decision.resources.iter().find_map(|resource| match resource {
        Desired::Link(link) => match &link.kind {
            LinkKind::Bridge { name } => Some((link, name.clone().unwrap_or_else(|| bridge(id)))),
            LinkKind::Adopt { name } => Some((link, name.clone())),
            LinkKind::Veth { .. } | LinkKind::Macvlan { .. } | LinkKind::Vxlan { .. } => None,
        },
        _ => None,
    })
}
