//! What the kernel should hold for each object, from its record alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use postern_model::cluster::Remote;
use postern_model::decision::{Desired, Link, LinkKind, MacvlanMode, Reach};
use postern_model::endpoint::{Attachment, Endpoint};
use postern_model::id::EndpointId;
use postern_model::name::IfName;
use postern_model::network::{Family, Network};
use postern_model::port::Protocol;
use postern_model::resource::{
    Bridge, Element, Macvlan, Owner, Place, Resource, ResourceSet, VXLAN_PORT, Veth, Vxlan,
};
use postern_model::sandbox::Sandbox;

use crate::files::files;
use crate::links;
use crate::names;
use crate::view::View;

/// Bytes, where neither the network nor the daemon says otherwise: Ethernet's.
pub const DEFAULT_MTU: u32 = 1500;

/// What a network needs; `policed` if some policy speaks of an endpoint on it, and `underlay`
/// the host's own address there, if it has one.
pub fn network(network: &Network, policed: bool, underlay: Option<IpAddr>) -> ResourceSet {
    let mut set = ResourceSet::default();
    let Some((link, bridge)) = names::bridge_of(network.id, &network.decision) else { return set };
    let mut filtered = true;
    for resource in &network.decision.resources {
        match resource {
            Desired::Address { address, .. } => set.insert(Resource::Address {
                place: Place::Host,
                link: bridge.clone(),
                address: *address,
            }),
            Desired::Sysctl { sysctl, value, .. } => set.insert(Resource::Sysctl {
                place: Place::Host,
                link: bridge.clone(),
                sysctl: sysctl.clone(),
                value: value.clone(),
            }),
            Desired::Filter { neighbours, networks, world, direct, .. } => {
                filtered = policed || !neighbours;
                let said = [
                    (*neighbours, Element::Neighbours(bridge.clone())),
                    (*networks, Element::Open(bridge.clone())),
                    (!world, Element::Internal(bridge.clone())),
                    (*direct, Element::Direct(bridge.clone())),
                ];
                let said = said.into_iter().filter(|(holds, _)| *holds);
                set.extend(said.map(|(_, element)| Resource::Element(element)));
            }
            Desired::Masquerade { family, to, .. } => {
                set.insert(Resource::Element(Element::Masquerade(*family, bridge.clone())));
                let fixed = to.map(|to| Resource::Element(Element::Snat(bridge.clone(), to)));
                set.extend(fixed);
            }
            Desired::Link(own) => set.extend(tunnel(network, own, &bridge, underlay)),
            Desired::Route { .. } | Desired::Publish(_) => {}
        }
    }
    if network.spec.internal {
        // Whatever the driver says of the world, or forgets to say.
        set.insert(Resource::Element(Element::Internal(bridge.clone())));
    }
    set.insert(Resource::Element(Element::Bridge(bridge.clone())));
    set.insert(Resource::Bridge(bridge_resource(network, link, bridge, filtered)));
    set
}

/// The way to other hosts. What comes in by it is guarded as what comes from an endpoint.
fn tunnel(
    network: &Network,
    link: &Link,
    bridge: &IfName,
    underlay: Option<IpAddr>,
) -> Vec<Resource> {
    let (LinkKind::Vxlan { .. }, Some(vni), Some(local)) = (&link.kind, network.vni, underlay)
    else {
        return Vec::new();
    };
    let name = names::tunnel(network.id);
    let vxlan = Vxlan {
        name: name.clone(),
        owner: Owner::Network(network.id),
        master: bridge.clone(),
        vni,
        port: VXLAN_PORT,
        local,
        mtu: link.mtu.unwrap_or(DEFAULT_MTU),
    };
    let elements = [Element::Port(name), Element::Tunnel(vni)];
    elements.map(Resource::Element).into_iter().chain([Resource::Vxlan(vxlan)]).collect()
}

/// What an endpoint on another host needs on this one: the way to it, and that what comes from
/// it by that way is let in, with the addresses that it has by the cluster's word.
pub fn peer(remote: &Remote, network: &Network) -> ResourceSet {
    let mut set = ResourceSet::default();
    let Some((_, bridge)) = names::bridge_of(network.id, &network.decision) else { return set };
    let tunnel = names::tunnel(network.id);
    for reach in &remote.decision.resources {
        set.insert(match reach {
            Reach::Forwarding { mac, to, .. } => {
                Resource::Forwarding { link: tunnel.clone(), mac: *mac, to: *to }
            }
            Reach::Neighbour { address, mac, .. } => {
                Resource::Neighbour { link: bridge.clone(), address: *address, mac: *mac }
            }
        });
    }
    let endpoint = &remote.peer.endpoint;
    set.extend(guards(endpoint, &tunnel).map(Resource::Element));
    let addresses = endpoint.addresses.iter().map(IpNetwork::ip);
    set.extend(addresses.map(|ip| Resource::Element(Element::Remote(ip, bridge.clone()))));
    set
}

/// Who in the underlay may send frames of a network: a host that has an endpoint on it.
pub fn sender(view: &View<'_>, network: &Network, host: IpAddr) -> Option<Resource> {
    let vni = network.vni.filter(|_| view.has_on(network.id, host))?;
    Some(Resource::Element(Element::TunnelFrom(host, vni)))
}

/// What a link of a sandbox on another host opens on this one.
pub fn remote_links<'a>(view: &View<'a>, sandbox: &'a Sandbox) -> ResourceSet {
    let links = links::resolve(view, sandbox).into_iter();
    links.flat_map(|link| link.elements_here(view)).map(Resource::Element).collect()
}

fn bridge_resource(network: &Network, link: &Link, name: IfName, filtered: bool) -> Bridge {
    let adopted = matches!(link.kind, LinkKind::Adopt { .. });
    Bridge {
        name,
        owner: Owner::Network(network.id),
        adopted,
        mac: link.mac.filter(|_| !adopted),
        mtu: (!adopted).then(|| link.mtu.unwrap_or(DEFAULT_MTU)),
        filtered,
    }
}

/// What an endpoint needs while it is joined; nothing before and after.
pub fn endpoint(endpoint: &Endpoint, network: &Network, sandbox: &Sandbox) -> ResourceSet {
    let mut set = ResourceSet::default();
    let Some(attachment) = &endpoint.attachment else { return set };
    if is_cut_off(endpoint, sandbox) {
        return set;
    }
    let place = Place::Sandbox(attachment.sandbox);
    let Some(link) = &attachment.interface else { return set };
    set.extend(restrictions(endpoint).map(Resource::Element));
    for resource in &attachment.decision.resources {
        match resource {
            Desired::Link(own) => {
                set.extend(pair(endpoint, attachment, own, network));
                set.extend(macvlan(endpoint, attachment, own).map(Resource::Macvlan));
            }
            Desired::Address { address, .. } => {
                set.insert(Resource::Address { place, link: link.clone(), address: *address });
            }
            Desired::Route { destination, via, .. } => set.insert(Resource::Route {
                place,
                link: link.clone(),
                destination: *destination,
                via: *via,
            }),
            Desired::Sysctl { sysctl, value, .. } => set.insert(Resource::Sysctl {
                place,
                link: link.clone(),
                sysctl: sysctl.clone(),
                value: value.clone(),
            }),
            Desired::Publish(binding) => {
                set.extend(binding.pairs().map(|(port, target_port)| {
                    Resource::Element(Element::Publish {
                        host: binding.host_ip,
                        protocol: binding.protocol,
                        port,
                        target: binding.target,
                        target_port,
                    })
                }));
            }
            Desired::Filter { .. } | Desired::Masquerade { .. } => {}
        }
    }
    set
}

/// The ports that are published to some alone. Of several entries for one port of the
/// sandbox the lists add up, and one without a list opens it to all.
fn restrictions(endpoint: &Endpoint) -> impl Iterator<Item = Element> {
    let published = &endpoint.spec.published;
    let open = |protocol: Protocol, port: u16| {
        published.iter().any(|entry| {
            entry.allow_from.is_empty()
                && entry.protocol == protocol
                && entry.container.iter().any(|one| one == port)
        })
    };
    published.iter().filter(|entry| !entry.allow_from.is_empty()).flat_map(move |entry| {
        let ports = entry.container.iter().filter(move |port| !open(entry.protocol, *port));
        ports.flat_map(move |port| {
            endpoint.addresses.iter().flat_map(move |address| {
                let ip = address.ip();
                let of_port = published.iter().filter(move |other| {
                    other.protocol == entry.protocol && other.container.iter().any(|p| p == port)
                });
                let all: Vec<IpNetwork> =
                    of_port.flat_map(|entry| &entry.allow_from).copied().collect();
                let from =
                    outermost(&all).into_iter().filter(move |of| of.is_ipv4() == ip.is_ipv4());
                let from = from.map(move |of| Element::AllowFrom(ip, entry.protocol, port, of));
                std::iter::once(Element::Restricted(ip, entry.protocol, port)).chain(from)
            })
        })
    })
}

/// Prefixes without those that lie in another one.
fn outermost(prefixes: &[IpNetwork]) -> Vec<IpNetwork> {
    let mut all = prefixes.to_vec();
    all.sort();
    all.dedup();
    let inner = |one: &IpNetwork| {
        all.iter().any(|other| other != one && crate::prefix::contains(*other, *one))
    };
    all.iter().filter(|one| !inner(one)).copied().collect()
}

/// Whether an endpoint has no link because its sandbox is in quarantine. A port is shut by
/// the host's rules, but these have no hold on a macvlan: it is removed, and made anew when
/// the quarantine ends.
fn is_cut_off(endpoint: &Endpoint, sandbox: &Sandbox) -> bool {
    sandbox.quarantined && endpoint.is_macvlan()
}

/// A pair, and what its port may send.
fn pair(
    endpoint: &Endpoint,
    attachment: &Attachment,
    pair: &Link,
    network: &Network,
) -> Vec<Resource> {
    let LinkKind::Veth { interface, hairpin, .. } = &pair.kind else { return Vec::new() };
    let Some((_, bridge)) = names::bridge_of(network.id, &network.decision) else {
        return Vec::new();
    };
    let name = names::port(endpoint.id);
    let mut resources = identity(endpoint, &name, &bridge);
    resources.push(Resource::Veth(Veth {
        name,
        owner: Owner::Endpoint(endpoint.id),
        master: bridge,
        sandbox: attachment.sandbox,
        interface: interface.clone(),
        mac: endpoint.mac,
        mtu: pair.mtu.unwrap_or(DEFAULT_MTU),
        hairpin: *hairpin,
        // What a question costs is not to grow with the endpoints of the bridge.
        quiet: network.is_shared(),
    }));
    resources
}

fn macvlan(endpoint: &Endpoint, attachment: &Attachment, link: &Link) -> Option<Macvlan> {
    let LinkKind::Macvlan { parent, interface, mode } = &link.kind else { return None };
    Some(Macvlan {
        sandbox: attachment.sandbox,
        interface: interface.clone(),
        owner: Owner::Endpoint(endpoint.id),
        parent: parent.clone(),
        mode: *mode,
        mac: (*mode != MacvlanMode::Passthru).then_some(endpoint.mac),
        mtu: link.mtu.unwrap_or(DEFAULT_MTU),
    })
}

/// The elements that bind a port, a MAC and addresses together. They follow from what
/// the host offered, not from the decision: a driver cannot forget or widen them.
fn identity(endpoint: &Endpoint, port: &IfName, bridge: &IfName) -> Vec<Resource> {
    let addresses = endpoint.addresses.iter().map(IpNetwork::ip);
    let own = addresses.map(|ip| Element::Endpoint(ip, bridge.clone()));
    let elements = std::iter::once(Element::Port(port.clone()));
    elements.chain(guards(endpoint, port)).chain(own).map(Resource::Element).collect()
}

/// What may come in by a port from an endpoint.
fn guards<'a>(endpoint: &'a Endpoint, port: &'a IfName) -> impl Iterator<Item = Element> + 'a {
    let addresses = endpoint.addresses.iter().map(IpNetwork::ip);
    let link_local = IpAddr::V6(endpoint.mac.link_local());
    let link_local = endpoint.address(Family::V6).map(|_| link_local);
    let guard = |ip: IpAddr| Element::Guard(port.clone(), endpoint.mac, ip);
    let mac = Element::PortMac(port.clone(), endpoint.mac);
    std::iter::once(mac).chain(addresses.chain(link_local).map(guard))
}

/// What a sandbox needs: its namespace, if it is ours, its resolver and its files, its
/// default routes, which depend on all of its endpoints together, and what its links open.
pub fn sandbox<'a>(view: &View<'a>, sandbox: &'a Sandbox) -> ResourceSet {
    let mut set = ResourceSet::default();
    if sandbox.is_host() {
        // The host has its own names, and whatever shares its namespace uses them.
        return set;
    }
    if sandbox.is_ours() {
        set.insert(Resource::Namespace { sandbox: sandbox.id, path: sandbox.path.clone() });
    }
    set.insert(Resource::NameServer { sandbox: sandbox.id });
    let mut joined = view.joined(sandbox.id);
    let links = links::resolve(view, sandbox);
    set.extend(files(sandbox, &joined, &links));
    joined.retain(|(endpoint, _)| !is_cut_off(endpoint, sandbox));
    if sandbox.quarantined {
        let ports = joined.iter().map(|(endpoint, _)| names::port(endpoint.id));
        set.extend(ports.map(|port| Resource::Element(Element::Quarantine(port))));
    }
    // Those to other hosts as well, though they open nothing here: with them go their flows.
    set.extend(links.iter().flat_map(links::Resolved::elements).map(Resource::Element));
    for family in Family::ALL {
        let gateway = default_gateway(&joined, family);
        set.extend(off_gateway(&joined, family, gateway.as_ref()).map(Resource::Element));
        let Some((gateway, destination)) = gateway.zip(everything(family)) else { continue };
        set.insert(Resource::Route {
            place: Place::Sandbox(sandbox.id),
            link: gateway.link,
            destination,
            via: Some(gateway.via),
        });
    }
    set
}

/// Where a sandbox's default route goes.
pub(crate) struct Gateway {
    endpoint: EndpointId,
    link: IfName,
    pub(crate) via: IpAddr,
}

/// The addresses with published ports whose answers the default route would lead astray.
fn off_gateway(
    joined: &[(&Endpoint, &Network)],
    family: Family,
    gateway: Option<&Gateway>,
) -> impl Iterator<Item = Element> {
    joined.iter().filter_map(move |(endpoint, _)| {
        let address = endpoint.address(family)?;
        let bindings = &endpoint.attachment.as_ref()?.bindings;
        let published = bindings.iter().any(|binding| binding.target == address);
        let astray = gateway.is_none_or(|gateway| gateway.endpoint != endpoint.id);
        (published && astray).then_some(Element::OffGateway(address))
    })
}

/// The gateway of the endpoint that ranks first of those that offer one of the family.
pub(crate) fn default_gateway(joined: &[(&Endpoint, &Network)], family: Family) -> Option<Gateway> {
    let candidates = joined.iter().filter_map(|(endpoint, network)| {
        let attachment = endpoint.attachment.as_ref()?;
        let offered = &attachment.decision.gateways;
        let via = offered.iter().copied().find(|g| Family::of(*g) == family)?;
        let priority = endpoint.spec.gateway_priority;
        let rank = Endpoint::gateway_rank(priority, network.name.as_str(), endpoint.id);
        let link = attachment.interface.clone()?;
        Some((rank, Gateway { endpoint: endpoint.id, link, via }))
    });
    candidates.min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, gateway)| gateway)
}

const ALL_V4: Option<Ipv4Network> = Ipv4Network::new_checked(Ipv4Addr::UNSPECIFIED, 0);
const ALL_V6: Option<Ipv6Network> = Ipv6Network::new_checked(Ipv6Addr::UNSPECIFIED, 0);

fn everything(family: Family) -> Option<IpNetwork> {
    match family {
        Family::V4 => ALL_V4.map(IpNetwork::V4),
        Family::V6 => ALL_V6.map(IpNetwork::V6),
    }
}
