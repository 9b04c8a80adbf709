//! From two sets of resources to the ordered plan between them.
//!
//! Total: every difference becomes a step. Ordered: what is needed comes first, what is
//! removed goes in the opposite order, and what falls with something else is left to
//! fall with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use postern_model::decision::MacvlanMode;
use postern_model::id::SandboxId;
use postern_model::name::IfName;
use postern_model::plan::{Flows, NamespaceRef, Plan, Step};
use postern_model::port::{PortRange, Protocol};
use postern_model::resource::{Content, Element, Macvlan, Place, Resource, ResourceSet, Vxlan};

/// Compares what should be with what is.
pub fn plan(
    desired: &ResourceSet,
    observed: &ResourceSet,
    namespaces: BTreeMap<SandboxId, NamespaceRef>,
) -> Plan {
    let mut plan = Plan { namespaces, ..Plan::default() };
    let (mut deletes, mut creates) = (Vec::new(), Vec::new());
    for (key, is) in observed.iter() {
        match desired.get(key) {
            None => deletes.push(is.clone()),
            Some(should) if should == is => {}
            // Somebody made it his own: it is as he wants it.
            Some(_) if is_edited(is) => {}
            Some(should) => change(is, should, &mut deletes, &mut creates),
        }
    }
    let fallen = Fallen::with(&deletes);
    for (key, should) in desired.iter() {
        // What is as it should be, but falls with a link that is made anew, is lost too.
        if observed.get(key).is_none_or(|is| is == should && fallen.carries(should)) {
            creates.push(Step::Create(should.clone()));
        }
    }
    deletes.sort_by_key(|resource| std::cmp::Reverse(rank(resource)));
    creates.sort_by_key(|step| match step {
        Step::Create(resource) | Step::Delete(resource) | Step::Update { to: resource, .. } => {
            rank(resource)
        }
    });
    for resource in deletes {
        match resource {
            Resource::Element(element) => plan.remove.push(element),
            other if fallen.takes(&other) => {}
            other => plan.steps.push(Step::Delete(other)),
        }
    }
    for step in creates {
        match step {
            Step::Create(Resource::Element(element)) => plan.add.push(element),
            other => plan.steps.push(other),
        }
    }
    plan.flows = flows_to_end(&plan.remove, &plan.add);
    plan
}

const fn is_edited(resource: &Resource) -> bool {
    matches!(resource, Resource::File { content: Content::Edited, .. })
}

/// A resource that differs: changed in place where the kernel can, else made anew.
fn change(is: &Resource, should: &Resource, deletes: &mut Vec<Resource>, creates: &mut Vec<Step>) {
    let in_place = match (is, should) {
        (Resource::Bridge(a), Resource::Bridge(b)) => a.owner == b.owner && a.adopted == b.adopted,
        (Resource::Veth(a), Resource::Veth(b)) => {
            let mut like = a.clone();
            (like.hairpin, like.quiet, like.mtu) = (b.hairpin, b.quiet, b.mtu);
            like == *b
        }
        (Resource::Macvlan(a), Resource::Macvlan(b)) => is_adjusted(a, b),
        (Resource::Vxlan(a), Resource::Vxlan(b)) => Vxlan { mtu: b.mtu, ..a.clone() } == *b,
        (Resource::Forwarding { .. }, Resource::Forwarding { .. })
        | (Resource::Neighbour { .. }, Resource::Neighbour { .. })
        | (Resource::Route { .. }, Resource::Route { .. })
        | (Resource::Sysctl { .. }, Resource::Sysctl { .. })
        | (Resource::File { .. }, Resource::File { .. }) => true,
        _ => false,
    };
    if in_place {
        creates.push(Step::Update { from: is.clone(), to: should.clone() });
    } else {
        deletes.push(is.clone());
        creates.push(Step::Create(should.clone()));
    }
}

/// Whether a macvlan becomes another one in place: with another MTU, or with another mode
/// of those that share the parent.
fn is_adjusted(is: &Macvlan, should: &Macvlan) -> bool {
    let mut like = is.clone();
    like.mtu = should.mtu;
    if is.mode != MacvlanMode::Passthru && should.mode != MacvlanMode::Passthru {
        like.mode = should.mode;
    }
    like == *should
}

/// What must be there first has the lower rank.
fn rank(resource: &Resource) -> u8 {
    match resource {
        Resource::Element(_) => 0,
        Resource::Namespace { .. } | Resource::File { .. } => 1,
        Resource::NameServer { .. } | Resource::Bridge(_) => 2,
        Resource::Sysctl { place: Place::Host, .. } => 3,
        Resource::Address { place: Place::Host, .. } => 4,
        Resource::Vxlan(_) => 4,
        // Before an endpoint is there that would ask for it.
        Resource::Forwarding { .. } => 5,
        Resource::Neighbour { .. } => 6,
        Resource::Veth(_) | Resource::Macvlan(_) => 7,
        Resource::Sysctl { place: Place::Sandbox(_), .. } => 8,
        Resource::Address { place: Place::Sandbox(_), .. } => 9,
        // A gateway is found only by the routes that lead to it.
        Resource::Route { via: None, .. } => 10,
        Resource::Route { destination, .. } if destination.prefix() > 0 => 11,
        Resource::Route { .. } => 12,
    }
}

/// Links and namespaces that go, and everything on them with them.
struct Fallen {
    links: BTreeSet<(Place, IfName)>,
    namespaces: BTreeSet<SandboxId>,
}

impl Fallen {
    fn with(deletes: &[Resource]) -> Self {
        let mut fallen = Self { links: BTreeSet::new(), namespaces: BTreeSet::new() };
        for resource in deletes {
            match resource {
                Resource::Veth(veth) => {
                    let place = Place::Sandbox(veth.sandbox);
                    fallen.links.insert((place, veth.interface.clone()));
                }
                Resource::Macvlan(Macvlan { sandbox, interface, .. }) => {
                    fallen.links.insert((Place::Sandbox(*sandbox), interface.clone()));
                }
                Resource::Vxlan(vxlan) => {
                    fallen.links.insert((Place::Host, vxlan.name.clone()));
                }
                Resource::Bridge(bridge) if !bridge.adopted => {
                    fallen.links.insert((Place::Host, bridge.name.clone()));
                }
                Resource::Namespace { sandbox, .. } => {
                    fallen.namespaces.insert(*sandbox);
                }
                _ => {}
            }
        }
        fallen
    }

    /// Whether deleting the resource needs no step of its own.
    fn takes(&self, resource: &Resource) -> bool {
        match resource {
            // A parameter has no absence, and an adopted bridge stays.
            Resource::Sysctl { .. } => true,
            Resource::Bridge(bridge) => bridge.adopted,
            other => self.carries(other),
        }
    }

    /// Whether the resource is on a link or in a namespace that goes.
    fn carries(&self, resource: &Resource) -> bool {
        let (place, link) = match resource {
            Resource::Address { place, link, .. }
            | Resource::Route { place, link, .. }
            | Resource::Sysctl { place, link, .. } => (*place, link),
            Resource::Forwarding { link, .. } | Resource::Neighbour { link, .. } => {
                (Place::Host, link)
            }
            _ => return false,
        };
        let in_namespace = matches!(place, Place::Sandbox(id) if self.namespaces.contains(&id));
        in_namespace || self.links.contains(&(place, link.clone()))
    }
}

/// The flows that the removed elements let through, and those that were begun without the
/// added ones and would go on without them.
fn flows_to_end(removed: &[Element], added: &[Element]) -> Vec<Flows> {
    let (gone, come) = (endpoints(removed), endpoints(added));
    let mut ports: BTreeSet<(IpAddr, Protocol, u16)> = BTreeSet::new();
    let mut linked: BTreeSet<(Pair, Protocol, u16)> = BTreeSet::new();
    for element in removed {
        match element {
            Element::Publish { target, protocol, target_port, .. } if !gone.contains(target) => {
                ports.insert((*target, *protocol, *target_port));
            }
            Element::Link { from, to, protocol, port }
                if !gone.contains(from) && !gone.contains(to) =>
            {
                linked.insert(((*from, *to), *protocol, *port));
            }
            _ => {}
        }
    }
    let fresh = added.iter().filter_map(|element| match element {
        // A client of UDP that sends on and on is one flow, however long nobody listened.
        Element::Publish { host, protocol: protocol @ Protocol::Udp, port, .. } => {
            Some((*host, *protocol, *port))
        }
        _ => None,
    });
    let turned = removed.iter().chain(added).filter_map(|element| match element {
        Element::OffGateway(ip) if !gone.contains(ip) && !come.contains(ip) => Some(*ip),
        _ => None,
    });
    let to = |target, protocol, ports| Flows::To { target, protocol, ports };
    let mut flows: Vec<Flows> = gone.iter().copied().map(Flows::Of).collect();
    flows.extend(consecutive(ports, to));
    flows.extend(consecutive(linked, |(from, to), protocol, ports| Flows::Link {
        from,
        to,
        protocol,
        ports,
    }));
    flows.extend(consecutive(fresh.collect(), |host, protocol, ports| Flows::Unanswered {
        host,
        protocol,
        ports,
    }));
    flows.extend(turned.flat_map(|target| {
        Protocol::ALL.into_iter().map(move |protocol| to(target, protocol, PortRange::ALL))
    }));
    flows
}

fn endpoints(elements: &[Element]) -> BTreeSet<IpAddr> {
    let endpoint = |element: &Element| match element {
        Element::Endpoint(address, _) => Some(*address),
        _ => None,
    };
    elements.iter().filter_map(endpoint).collect()
}

/// Who begins a flow, and whose port it is to.
type Pair = (IpAddr, IpAddr);

/// One description for each run of consecutive ports.
fn consecutive<T: Copy + PartialEq>(
    ports: BTreeSet<(T, Protocol, u16)>,
    flows: impl Fn(T, Protocol, PortRange) -> Flows,
) -> Vec<Flows> {
    let mut runs: Vec<(T, Protocol, u16, u16)> = Vec::new();
    for (ends, protocol, port) in ports {
        match runs.last_mut() {
            Some((e, p, _, last)) if (*e, *p) == (ends, protocol) && *last + 1 == port => {
                *last = port;
            }
            _ => runs.push((ends, protocol, port, port)),
        }
    }
    let flows = runs.into_iter().filter_map(|(ends, protocol, first, last)| {
        Some(flows(ends, protocol, PortRange::new(first.into(), last.into()).ok()?))
    });
    flows.collect()
}

/// Takes what an observation cannot see as being what it should be: kernel parameters
/// (nothing marks them as ours) and adopted bridges (which carry no mark of ours).
pub fn assume_unobservable(desired: &ResourceSet, observed: &mut ResourceSet) {
    let adopted: BTreeSet<&IfName> = desired
        .iter()
        .filter_map(|(_, resource)| match resource {
            Resource::Bridge(bridge) if bridge.adopted => Some(&bridge.name),
            _ => None,
        })
        .collect();
    let unseen = desired.iter().filter(|(_, resource)| match resource {
        Resource::Sysctl { .. } => true,
        Resource::Bridge(bridge) => bridge.adopted,
        Resource::Address { place: Place::Host, link, .. } => adopted.contains(link),
        _ => false,
    });
    observed.extend(unseen.map(|(_, resource)| resource.clone()));
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
