//! The link of the host that an endpoint's macvlan is on.

use ipnetwork::IpNetwork;
use postern_kernel::{Kernel, LinkFacts};
use postern_model::decision::{EndpointDecision, MacvlanMode};
use postern_model::driver::EndpointView;
use postern_model::endpoint::Endpoint;
use postern_model::name::IfName;
use postern_model::refusal::Refusal;
use postern_planner::names;
use postern_planner::parent::{Others, Parent, ParentLink};

use super::{Core, outcome};

impl<K: Kernel> Core<K> {
    /// Looks up the parent that a decision for an endpoint names.
    pub(super) async fn parent(
        &self,
        view: &EndpointView,
        decision: &EndpointDecision,
    ) -> Result<Parent, Refusal> {
        let Some((_, name, _)) = decision.macvlan() else { return Ok(Parent::Absent) };
        let facts = self.kernel.link(name).await.map_err(|e| outcome::of_observe(&e))?;
        Ok(match facts {
            None => Parent::Absent,
            Some(facts) if facts.ours.is_some() => Parent::Ours,
            // On it, the endpoint would be past the rules of those who have adopted it.
            Some(facts) if facts.is_bridge && self.has_bridge(name) => Parent::Ours,
            Some(LinkFacts {
                is_ethernet: true,
                is_port: false,
                mac: Some(mac),
                mtu,
                addresses,
                ..
            }) => {
                check_addresses(view, name, &addresses)?;
                Parent::Fit(ParentLink { mac, mtu, others: self.others_on(name, &view.id) })
            }
            Some(_) => Parent::Unfit,
        })
    }

    fn has_bridge(&self, name: &IfName) -> bool {
        let state = self.state();
        let mut networks = state.topology().networks();
        networks.any(|network| {
            names::bridge_of(network.id, &network.decision)
                .is_some_and(|(_, bridge)| bridge == *name)
        })
    }

    fn others_on(&self, parent: &IfName, endpoint: &str) -> Others {
        let state = self.state();
        let others = state.topology().endpoints_on(parent);
        let mut others = others.filter(|other| other.id.to_string() != endpoint);
        match others.next() {
            None => Others::Nothing,
            Some(other) if has_for_itself(other) => Others::Alone,
            Some(_) => Others::Sharing,
        }
    }
}

/// What the host has on the parent no endpoint there can have.
fn check_addresses(
    view: &EndpointView,
    parent: &IfName,
    hosts: &[IpNetwork],
) -> Result<(), Refusal> {
    let taken = |of: &&IpNetwork| hosts.iter().any(|own| own.ip() == of.ip());
    let Some(address) = view.addresses.iter().find(taken) else { return Ok(()) };
    let text = format!(
        "{} is the host's own on {parent}; keep it out of the network's range, or choose another",
        address.ip()
    );
    let field = if address.is_ipv4() { "spec.ipv4_address" } else { "spec.ipv6_address" };
    Err(outcome::precondition("ADDRESS_OF_HOST", text).at(field))
}

fn has_for_itself(endpoint: &Endpoint) -> bool {
    let decision = endpoint.attachment.as_ref().map(|attachment| &attachment.decision);
    let macvlan = decision.and_then(EndpointDecision::macvlan);
    macvlan.is_some_and(|(.., mode)| mode == MacvlanMode::Passthru)
}

/// Gives an endpoint that has its parent for itself the parent's MAC.
pub(super) fn take_mac(
    endpoint: &mut Endpoint,
    decision: &EndpointDecision,
) -> Result<(), Refusal> {
    let Some((link, parent, MacvlanMode::Passthru)) = decision.macvlan() else { return Ok(()) };
    let Some(mac) = link.mac else { return Ok(()) };
    if endpoint.spec.mac.is_some_and(|wanted| wanted != mac) {
        let text = format!("cannot be chosen: the endpoint has the MAC of {parent}, {mac}");
        return Err(Refusal::field("spec.mac_address", text));
    }
    endpoint.mac = mac;
    Ok(())
}
