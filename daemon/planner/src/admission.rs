//! Admission: a driver's decision, which nobody has reason to trust, against what it
//! was granted and what the host offered. Either all of it is admitted, or every
//! objection is named.

mod tunnel;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::decision::{
    Desired, EndpointDecision, Handle, Link, LinkKind, NetworkDecision, Side,
};
use postern_model::driver::{EndpointView, NetworkView};
use postern_model::grant::Grants;
use postern_model::mac::MacAddr;
use postern_model::name::IfName;

pub use tunnel::admit_peer;

use crate::parent::{self, Parent};
use crate::prefix::contains;
use tunnel::{is_tunnel, of_bridge};

/// What is wrong with one resource of a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Rejection {
    /// Which one, as `resources[3]`.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A decision that passed; made only here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted<T>(T);

impl<T> Admitted<T> {
    /// The decision.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// What the kernel has under the name that a network's user chose for its bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedLink {
    /// Nothing.
    Absent,
    /// A bridge of somebody else, to be adopted.
    Bridge,
    /// A link that is no bridge.
    Other,
    /// A link of another network of ours.
    Ours,
}

/// Longest value of a kernel parameter.
const SYSCTL_VALUE_MAX: usize = 64;
/// Most resources in one decision. Published ranges count once.
pub const RESOURCES_MAX: usize = 512;

/// Collects rejections while a decision is walked through.
struct Review<'a> {
    granted: &'a Grants,
    rejections: Vec<Rejection>,
}

impl<'a> Review<'a> {
    const fn new(granted: &'a Grants) -> Self {
        Self { granted, rejections: Vec::new() }
    }

    fn reject(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.rejections.push(Rejection { path: path.into(), reason: reason.into() });
    }

    /// Runs `check` over every resource, after its capability was found granted.
    fn walk(&mut self, resources: &[Desired], check: impl Fn(&Desired) -> Result<(), String>) {
        if resources.len() > RESOURCES_MAX {
            let count = resources.len();
            self.reject("resources", format!("{count} of them, at most {RESOURCES_MAX}"));
            return;
        }
        for (index, resource) in resources.iter().enumerate() {
            let path = format!("resources[{index}]");
            if let Err(reason) = self.granted.admit(resource) {
                self.reject(&path, reason);
            }
            if let Err(reason) = check(resource) {
                self.reject(path, reason);
            }
        }
    }

    fn finish<T>(self, decision: T) -> Result<Admitted<T>, Vec<Rejection>> {
        if self.rejections.is_empty() { Ok(Admitted(decision)) } else { Err(self.rejections) }
    }
}

/// Reviews the decision for a network. A bridge by the name of somebody else's bridge
/// becomes an adopted one, whose kernel parameters are left alone.
///
/// # Errors
/// Every resource that asks for more than was granted or offered.
pub fn admit_network(
    mut decision: NetworkDecision,
    granted: &Grants,
    view: &NetworkView,
    named: NamedLink,
) -> Result<Admitted<NetworkDecision>, Vec<Rejection>> {
    let mut review = Review::new(granted);
    pin_mac(&mut decision, view);
    adopt(&mut decision, named, &mut review);
    let links = links(&decision.resources);
    let tunnels = links.iter().filter(|link| is_tunnel(link)).count();
    if links.len() - tunnels > 1 || tunnels > 1 {
        review.reject("resources", "more than one link");
    }
    review.walk(&decision.resources, |resource| network_resource(resource, &links, view));
    review.finish(decision)
}

/// A bridge for which the driver names no MAC gets the offered one: the kernel's own
/// choice would change with its ports.
fn pin_mac(decision: &mut NetworkDecision, view: &NetworkView) {
    for resource in &mut decision.resources {
        if let Desired::Link(link) = resource
            && matches!(link.kind, LinkKind::Bridge { .. })
        {
            link.mac = link.mac.or(Some(view.mac));
        }
    }
}

fn adopt(decision: &mut NetworkDecision, named: NamedLink, review: &mut Review<'_>) {
    for (index, resource) in decision.resources.iter_mut().enumerate() {
        let Desired::Link(link) = resource else { continue };
        let name = match &link.kind {
            LinkKind::Bridge { name: Some(name) } | LinkKind::Adopt { name } => name.clone(),
            _ => continue,
        };
        let refused = match (named, &link.kind) {
            (NamedLink::Bridge, _) => {
                link.kind = LinkKind::Adopt { name };
                continue;
            }
            (NamedLink::Absent, LinkKind::Bridge { .. }) => continue,
            (NamedLink::Absent, _) => format!("there is no bridge {name}"),
            (NamedLink::Other, _) => format!("{name} exists and is no bridge"),
            (NamedLink::Ours, _) => format!("{name} belongs to another network"),
        };
        review.reject(format!("resources[{index}]"), refused);
    }
    if named == NamedLink::Bridge {
        // Its parameters are its owner's; that the driver would set them on a bridge of
        // ours is no reason to refuse.
        decision.resources.retain(|resource| !matches!(resource, Desired::Sysctl { .. }));
    }
}

fn links(resources: &[Desired]) -> Vec<&Link> {
    let links = resources.iter().filter_map(|resource| match resource {
        Desired::Link(link) => Some(link),
        _ => None,
    });
    links.collect()
}

fn known(links: &[&Link], handle: &Handle) -> Result<(), String> {
    match links.iter().filter(|link| link.handle == *handle).count() {
        1 => Ok(()),
        0 => Err(format!("no link has the handle `{handle}`")),
        _ => Err(format!("more than one link has the handle `{handle}`")),
    }
}

fn network_resource(resource: &Desired, links: &[&Link], view: &NetworkView) -> Result<(), String> {
    match resource {
        Desired::Link(Link { kind: LinkKind::Veth { .. }, .. }) => {
            Err("a network has no pair of links; an endpoint has".to_owned())
        }
        Desired::Link(Link { kind: LinkKind::Macvlan { .. }, .. }) => {
            Err("a network has no link in a sandbox; an endpoint has".to_owned())
        }
        Desired::Link(link) => {
            known(links, &link.handle)?;
            if let LinkKind::Vxlan { master } = &link.kind {
                tunnel::check(link, master, links, view)?;
            }
            check_mtu(link, view.mtu)
        }
        Desired::Address { link, address, side } => {
            of_bridge(links, link)?;
            host_side(*side)?;
            let offered = view.subnets.iter().any(|subnet| {
                subnet.gateway == Some(address.ip()) && subnet.subnet.prefix() == address.prefix()
            });
            if offered { Ok(()) } else { Err(format!("{address} is not a gateway of the network")) }
        }
        Desired::Filter { link, neighbours, world, .. } => {
            of_bridge(links, link)?;
            if *neighbours && !view.icc {
                return Err("lets neighbours pass, but icc is off".to_owned());
            }
            if *world && view.internal {
                return Err("lets the world in, but the network is internal".to_owned());
            }
            Ok(())
        }
        Desired::Masquerade { link, family, to } => {
            of_bridge(links, link)?;
            let of = |ip: IpAddr| postern_model::network::Family::of(ip);
            if to.is_some_and(|to| of(to) != *family) {
                return Err("the fixed address is of another family".to_owned());
            }
            if !view.subnets.iter().any(|subnet| of(subnet.subnet.ip()) == *family) {
                return Err("the network has no subnet of this family".to_owned());
            }
            Ok(())
        }
        Desired::Sysctl { link, side, sysctl, value } => {
            of_bridge(links, link)?;
            host_side(*side)?;
            check_sysctl(&sysctl.key, value)
        }
        Desired::Route { .. } => Err("a network has no routes; an endpoint has".to_owned()),
        Desired::Publish(_) => Err("a network publishes no ports; an endpoint does".to_owned()),
    }
}

fn host_side(side: Side) -> Result<(), String> {
    match side {
        Side::Host => Ok(()),
        Side::Sandbox => Err("a network has no sandbox side".to_owned()),
    }
}

fn sandbox_side(side: Side) -> Result<(), String> {
    match side {
        Side::Sandbox => Ok(()),
        Side::Host => Err("the host's end of a pair gets nothing".to_owned()),
    }
}

fn check_mtu(link: &Link, most: u32) -> Result<(), String> {
    match link.mtu {
        Some(mtu) if mtu > most => Err(format!("mtu {mtu} is over the network's {most}")),
        _ => Ok(()),
    }
}

fn check_sysctl(key: &str, value: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if key.is_empty() || !key.bytes().all(plain) {
        return Err("the key is not a kernel parameter of a link".to_owned());
    }
    // `forwarding` would make the sandbox, or a link of the host, a router.
    if key.contains("forwarding") {
        return Err(format!("`{key}` is the host's to decide"));
    }
    if value.len() > SYSCTL_VALUE_MAX || value.bytes().any(|b| !(b.is_ascii_graphic() || b == b' '))
    {
        return Err(format!("the value of `{key}` is not a kernel parameter's"));
    }
    Ok(())
}

/// Reviews the decision for an endpoint that joins a sandbox. A macvlan gets the MTU, and
/// in the mode `passthru` the MAC, that follow from its parent.
///
/// # Errors
/// Every resource that asks for more than was granted or offered.
pub fn admit_endpoint(
    mut decision: EndpointDecision,
    granted: &Grants,
    network: &NetworkDecision,
    network_view: &NetworkView,
    view: &EndpointView,
    parent: Parent,
) -> Result<Admitted<EndpointDecision>, Vec<Rejection>> {
    let mut review = Review::new(granted);
    parent::complete(&mut decision, parent, network_view);
    let offer = Offer {
        network: links(&network.resources),
        own: links(&decision.resources),
        network_view,
        view,
        parent,
    };
    if offer.own.len() > 1 {
        review.reject("resources", "more than one link");
    }
    review.walk(&decision.resources, |resource| offer.check(resource));
    for (index, gateway) in decision.gateways.iter().enumerate() {
        if !offer.on_network(*gateway) {
            let reason = format!("{gateway} is not on the network");
            review.reject(format!("gateways[{index}]"), reason);
        }
        if decision.gateways[..index].iter().any(|g| g.is_ipv4() == gateway.is_ipv4()) {
            review.reject(format!("gateways[{index}]"), "a second one of its family");
        }
    }
    review.finish(decision)
}

/// What an endpoint's decision may draw on.
struct Offer<'a> {
    network: Vec<&'a Link>,
    own: Vec<&'a Link>,
    network_view: &'a NetworkView,
    view: &'a EndpointView,
    parent: Parent,
}

impl Offer<'_> {
    fn on_network(&self, address: IpAddr) -> bool {
        self.network_view.subnets.iter().any(|subnet| subnet.subnet.contains(address))
    }

    fn check(&self, resource: &Desired) -> Result<(), String> {
        match resource {
            Desired::Link(link) => self.check_link(link),
            Desired::Address { link, address, side } => {
                known(&self.own, link)?;
                sandbox_side(*side)?;
                if self.view.addresses.contains(address) {
                    Ok(())
                } else {
                    Err(format!("{address} was not offered"))
                }
            }
            Desired::Route { link, destination, via } => {
                known(&self.own, link)?;
                self.check_route(*destination, *via)
            }
            Desired::Publish(_) if self.has_macvlan() => {
                Err("nothing leads from a port of the host to a macvlan".to_owned())
            }
            Desired::Publish(binding) if self.view.bindings.contains(binding) => Ok(()),
            Desired::Publish(binding) => {
                Err(format!("{} port {} was not offered", binding.protocol, binding.host))
            }
            Desired::Sysctl { link, side, sysctl, value } => {
                known(&self.own, link)?;
                sandbox_side(*side)?;
                check_sysctl(&sysctl.key, value)
            }
            Desired::Filter { .. } | Desired::Masquerade { .. } => {
                Err("belongs to a network, not to an endpoint".to_owned())
            }
        }
    }

    fn check_link(&self, link: &Link) -> Result<(), String> {
        known(&self.own, &link.handle)?;
        check_mtu(link, self.network_view.mtu)?;
        match &link.kind {
            LinkKind::Veth { master, interface, .. } => {
                of_bridge(&self.network, master)?;
                check_interface(interface, &self.view.interface)?;
                check_mac(link, self.view.mac)
            }
            LinkKind::Macvlan { parent, interface, mode } => {
                if !self.network.is_empty() {
                    return Err("the network has a link of its own to be a port of".to_owned());
                }
                check_interface(interface, &self.view.interface)?;
                let mac = parent::check(link, (parent, *mode), self.parent, self.network_view)?;
                check_mac(link, mac.unwrap_or(self.view.mac))
            }
            LinkKind::Bridge { .. } | LinkKind::Adopt { .. } | LinkKind::Vxlan { .. } => {
                Err("an endpoint's link is a pair or a macvlan".to_owned())
            }
        }
    }

    fn has_macvlan(&self) -> bool {
        self.own.iter().any(|link| matches!(link.kind, LinkKind::Macvlan { .. }))
    }

    fn check_route(&self, destination: IpNetwork, via: Option<IpAddr>) -> Result<(), String> {
        if destination.prefix() == 0 {
            return Err("a default route is offered as a gateway".to_owned());
        }
        match via {
            Some(via) if !self.on_network(via) => Err(format!("{via} is not on the network")),
            Some(via) if via.is_ipv4() != destination.is_ipv4() => {
                Err(format!("{via} and {destination} are of two families"))
            }
            None if !self.network_view.subnets.iter().any(|s| contains(s.subnet, destination)) => {
                Err(format!("{destination} is not on the network"))
            }
            _ => Ok(()),
        }
    }
}

fn check_mac(link: &Link, wanted: MacAddr) -> Result<(), String> {
    if link.mac == Some(wanted) { Ok(()) } else { Err(format!("the MAC is not {wanted}")) }
}

fn check_interface(named: &IfName, offered: &IfName) -> Result<(), String> {
    if named == offered { Ok(()) } else { Err(format!("{named} is not the offered {offered}")) }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
