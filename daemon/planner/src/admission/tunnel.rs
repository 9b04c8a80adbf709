//! The way to other hosts: the tunnel of a network, and what reaches an endpoint there.

use postern_model::decision::{Handle, Link, LinkKind, NetworkDecision, PeerDecision, Reach};
use postern_model::driver::{Capability, NetworkView, PeerView};
use postern_model::grant::Grants;

use super::{Admitted, RESOURCES_MAX, Rejection, Review, known, links};

pub(super) const fn is_tunnel(link: &Link) -> bool {
    matches!(link.kind, LinkKind::Vxlan { .. })
}

/// A handle of a link that is no tunnel: these carry frames, and have nothing of their own.
pub(super) fn of_bridge(links: &[&Link], handle: &Handle) -> Result<(), String> {
    known(links, handle)?;
    match links.iter().any(|link| link.handle == *handle && is_tunnel(link)) {
        true => Err(format!("`{handle}` leads to other hosts and has nothing of its own")),
        false => Ok(()),
    }
}

pub(super) fn check(
    link: &Link,
    master: &Handle,
    links: &[&Link],
    view: &NetworkView,
) -> Result<(), String> {
    if view.tunnel.is_none() {
        return Err("the network is of this host alone".to_owned());
    }
    let adopted =
        |link: &&&Link| link.handle == *master && matches!(link.kind, LinkKind::Adopt { .. });
    if links.iter().any(|link| adopted(&link)) {
        return Err(format!("`{master}` is somebody else's bridge"));
    }
    if link.mac.is_some() {
        return Err("it has no MAC of its own to choose".to_owned());
    }
    of_bridge(links, master)
}

/// Reviews the decision for an endpoint on another host.
///
/// # Errors
/// Every resource that asks for more than was granted or offered.
pub fn admit_peer(
    decision: PeerDecision,
    granted: &Grants,
    network: &NetworkDecision,
    view: &PeerView,
) -> Result<Admitted<PeerDecision>, Vec<Rejection>> {
    let mut review = Review::new(granted);
    let links = links(&network.resources);
    let count = decision.resources.len();
    if count > RESOURCES_MAX {
        review.reject("resources", format!("{count} of them, at most {RESOURCES_MAX}"));
    }
    if count > 0 && !granted.has(Capability::Vxlan) {
        let reason = format!("capability `{}` is not granted", Capability::Vxlan);
        review.reject("resources", reason);
    }
    for (index, resource) in decision.resources.iter().enumerate().take(RESOURCES_MAX) {
        if let Err(reason) = check_reach(resource, &links, view) {
            review.reject(format!("resources[{index}]"), reason);
        }
    }
    review.finish(decision)
}

fn check_reach(resource: &Reach, links: &[&Link], view: &PeerView) -> Result<(), String> {
    let (Reach::Forwarding { mac, .. } | Reach::Neighbour { mac, .. }) = resource;
    if *mac != view.mac {
        return Err(format!("{mac} is not the endpoint's MAC, {}", view.mac));
    }
    match resource {
        Reach::Forwarding { link, to, .. } => {
            known(links, link)?;
            if !links.iter().any(|of| of.handle == *link && is_tunnel(of)) {
                return Err(format!("`{link}` does not lead to other hosts"));
            }
            if *to == view.host {
                Ok(())
            } else {
                Err(format!("{to} is not its host, {}", view.host))
            }
        }
        Reach::Neighbour { link, address, .. } => {
            of_bridge(links, link)?;
            let own = view.addresses.iter().any(|of| of.ip() == *address);
            if own { Ok(()) } else { Err(format!("{address} is not an address of the endpoint")) }
        }
    }
}
