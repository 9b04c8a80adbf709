//! What the kernel holds that is ours, as resources.
//!
//! Links are ours by their alias, the sandbox's end of a pair by its place in the pair,
//! macvlan links in sandboxes by alias or group, addresses and routes by their protocol
//! number. Parameters carry no mark, and of bridges that were adopted only the addresses
//! added to them do: neither is reported.

mod visit;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use postern_model::decision::MacvlanMode;
use postern_model::id::SandboxId;
use postern_model::name::IfName;
use postern_model::plan::NamespaceRef;
use postern_model::resource::{Bridge, Macvlan, Owner, Place, Resource, ResourceSet, Veth, Vxlan};

use crate::error::ObserveError;
use crate::features::Features;
use crate::mark::{self, LINK_GROUP, REAP_GROUP};
use crate::names::Names;
use crate::namespace;
use crate::rtnl::{AddressRecord, ForwardingRecord, LinkKind, LinkRecord, NeighbourRecord, Socket};
use visit::Visited;

/// Lists everything but the nftables elements. It blocks.
pub(crate) fn observe(
    features: &Features,
    names: &Names,
    run_dir: &Path,
    known: &BTreeMap<SandboxId, NamespaceRef>,
) -> Result<ResourceSet, ObserveError> {
    let mut socket = Socket::open().map_err(|source| ObserveError::Io { source })?;
    let links = socket.links().map_err(ObserveError::netlink("links"))?;
    let addresses = socket.addresses(None).map_err(ObserveError::netlink("addresses"))?;
    let mut set = ResourceSet::default();
    let visited = visit::all(names, with_leftovers(run_dir, known)?)?;
    for Visited { sandbox, path, answered, .. } in &visited {
        if *answered {
            set.insert(Resource::NameServer { sandbox: *sandbox });
        }
        if path.parent() == Some(&namespace::directory(run_dir)) {
            set.insert(Resource::Namespace { sandbox: *sandbox, path: path.clone() });
        }
    }
    // Sockets keep a namespace that nobody finds any more; they are all that is seen of it.
    // Where it will be made anew they are not: they do not answer in that one.
    let found: BTreeSet<SandboxId> = visited.iter().map(|found| found.sandbox).collect();
    let orphans = names.sandboxes().into_iter().filter(|id| {
        let anew = known.get(id).is_some_and(|of| of.path == namespace::path_of(run_dir, *id));
        !found.contains(id) && !anew
    });
    set.extend(orphans.map(|sandbox| Resource::NameServer { sandbox }));
    set.extend(links_of_ours(&links, &visited));
    set.extend(host_addresses(features, &links, &addresses));
    set.extend(entries(&mut socket, &links)?);
    let ends = Ends::of(&links);
    for found in &visited {
        set.extend(sandbox_addresses(features, &ends, found));
        set.extend(sandbox_routes(&ends, found));
    }
    Ok(set)
}

/// The other ends of pairs by the number of the namespace they are in: a look through all
/// links for each of thousands of sandboxes took longer than asking the kernel for them.
#[derive(Default)]
struct Ends {
    ours: BTreeMap<i32, BTreeSet<u32>>,
    /// Of links that are out of service.
    retired: BTreeMap<i32, BTreeSet<u32>>,
}

impl Ends {
    fn of(links: &[LinkRecord]) -> Self {
        let mut ends = Self::default();
        for link in links {
            let LinkKind::Veth { peer, peer_namespace: Some(id) } = link.kind else { continue };
            if link.group == REAP_GROUP {
                ends.retired.entry(id).or_default().insert(peer);
            } else if mark::owner(link.alias.as_deref()).is_some() {
                ends.ours.entry(id).or_default().insert(peer);
            }
        }
        ends
    }

    fn of_ours_in(&self, found: &Visited) -> impl Iterator<Item = u32> {
        found.id.and_then(|id| self.ours.get(&id)).into_iter().flatten().copied()
    }

    fn is_retired(&self, found: &Visited, index: u32) -> bool {
        found.id.and_then(|id| self.retired.get(&id)).is_some_and(|ends| ends.contains(&index))
    }
}

/// Adds the namespaces of ours that no record speaks of any more.
fn with_leftovers(
    run_dir: &Path,
    known: &BTreeMap<SandboxId, NamespaceRef>,
) -> Result<BTreeMap<SandboxId, NamespaceRef>, ObserveError> {
    let mut all = known.clone();
    let entries = match fs::read_dir(namespace::directory(run_dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
        outcome => outcome.map_err(|source| ObserveError::Io { source })?,
    };
    for entry in entries.flatten() {
        if let Some(sandbox) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            let reference = NamespaceRef { path: entry.path(), identity: None };
            all.entry(sandbox).or_insert(reference);
        }
    }
    Ok(all)
}

fn name(text: &str) -> Option<IfName> {
    text.parse().ok()
}

/// Links in service that are ours, with their owner.
fn ours(links: &[LinkRecord]) -> impl Iterator<Item = (&LinkRecord, Owner)> {
    let live = links.iter().filter(|link| link.group != REAP_GROUP);
    live.filter_map(|link| Some((link, mark::owner(link.alias.as_deref())?)))
}

fn links_of_ours(links: &[LinkRecord], visited: &[Visited]) -> Vec<Resource> {
    let names: BTreeMap<u32, &str> =
        links.iter().map(|link| (link.index, link.name.as_str())).collect();
    let numbered: BTreeMap<i32, &Visited> =
        visited.iter().filter_map(|found| Some((found.id?, found))).collect();
    let resource = |(link, owner): (&LinkRecord, Owner)| match link.kind {
        LinkKind::Bridge { filtered } => Some(Resource::Bridge(Bridge {
            name: name(&link.name)?,
            owner,
            adopted: false,
            mac: link.mac,
            mtu: Some(link.mtu),
            filtered,
        })),
        LinkKind::Veth { .. } => {
            let master = link.master.and_then(|index| names.get(&index).copied());
            veth(link, owner, master, peer(link, &numbered)).map(Resource::Veth)
        }
        LinkKind::Vxlan { vni, local, port } => Some(Resource::Vxlan(Vxlan {
            name: name(&link.name)?,
            owner,
            master: {
                let master = link.master.and_then(|index| names.get(&index).copied());
                // A port of itself, which it can never be meant to be, where it is nobody's.
                master.and_then(name).or_else(|| name(&link.name))?
            },
            vni,
            port,
            local,
            mtu: if link.up { link.mtu } else { 0 },
        })),
        // Those of ours are in sandboxes.
        LinkKind::Macvlan { .. } | LinkKind::Other => None,
    };
    let in_sandboxes = visited.iter().flat_map(|found| macvlans(&names, found));
    ours(links).filter_map(resource).chain(in_sandboxes).collect()
}

/// The macvlan links of ours in a sandbox, with their owner: that of one which was not
/// marked yet is the sandbox, as it can never be meant to be.
fn own_macvlans(found: &Visited) -> impl Iterator<Item = (&LinkRecord, Owner)> {
    let all = found.links.values();
    let all = all.filter(|link| matches!(link.kind, LinkKind::Macvlan { .. }));
    all.filter_map(|link| match mark::owner(link.alias.as_deref()) {
        None if link.group == LINK_GROUP => Some((link, Owner::Sandbox(found.sandbox))),
        owner => Some((link, owner?)),
    })
}

/// The macvlan links of ours in a sandbox as they are. What cannot be seen or is amiss is
/// reported as it can never be meant to be: on itself where its parent is not the host's,
/// with an MTU of 0 if it is down or of a mode that we never set.
fn macvlans<'a>(
    names: &BTreeMap<u32, &'a str>,
    found: &'a Visited,
) -> impl Iterator<Item = Resource> {
    own_macvlans(found).filter_map(|(link, owner)| {
        let LinkKind::Macvlan { mode, parent, parent_namespace } = link.kind else { return None };
        let parent = names
            .get(&parent)
            .filter(|_| parent_namespace.is_some() && parent_namespace == found.host);
        let interface = name(&link.name)?;
        Some(Resource::Macvlan(Macvlan {
            sandbox: found.sandbox,
            parent: parent.and_then(|parent| name(parent)).unwrap_or_else(|| interface.clone()),
            interface,
            owner,
            mode: mode.unwrap_or(MacvlanMode::Private),
            mac: link.mac.filter(|_| mode != Some(MacvlanMode::Passthru)),
            mtu: if link.up && mode.is_some() { link.mtu } else { 0 },
        }))
    })
}

/// Where the other end of a pair is, and what it is.
fn peer<'a>(
    link: &LinkRecord,
    numbered: &BTreeMap<i32, &'a Visited>,
) -> Option<(SandboxId, &'a LinkRecord)> {
    let LinkKind::Veth { peer, peer_namespace: Some(id) } = link.kind else { return None };
    let found = *numbered.get(&id)?;
    Some((found.sandbox, found.links.get(&peer)?))
}

/// A pair as it is. Where something of it cannot be seen, because its other end is in no
/// sandbox we know or it is nobody's port, it is reported as what it can never be meant
/// to be, so that it differs from whatever is desired: of the nil sandbox, a port of
/// itself, with an MTU of 0 if its ends disagree or one is down.
fn veth(
    link: &LinkRecord,
    owner: Owner,
    master: Option<&str>,
    peer: Option<(SandboxId, &LinkRecord)>,
) -> Option<Veth> {
    let own = name(&link.name)?;
    let (sandbox, end) = match peer {
        Some((sandbox, end)) => (sandbox, end),
        None => ("00000000-0000-0000-0000-000000000000".parse().ok()?, link),
    };
    Some(Veth {
        master: master.and_then(name).unwrap_or_else(|| own.clone()),
        name: own,
        owner,
        sandbox,
        interface: name(&end.name)?,
        mac: end.mac?,
        mtu: if end.mtu == link.mtu && end.up && link.up { link.mtu } else { 0 },
        hairpin: link.hairpin,
        quiet: link.quiet,
    })
}

/// Marked addresses of any link; where the kernel keeps no marks, those of our bridges.
fn host_addresses(
    features: &Features,
    links: &[LinkRecord],
    addresses: &[AddressRecord],
) -> Vec<Resource> {
    let bridges: BTreeSet<u32> = ours(links).map(|(link, _)| link.index).collect();
    // Those of a bridge that is out of service go before it does.
    let live = links.iter().filter(|link| link.group != REAP_GROUP);
    let names: BTreeMap<u32, &str> = live.map(|link| (link.index, link.name.as_str())).collect();
    let is_ours = |address: &&AddressRecord| match features.address_protocol {
        true => address.marked,
        false => address.lasting && bridges.contains(&address.link),
    };
    let resource = |address: &AddressRecord| {
        let link = name(names.get(&address.link)?)?;
        Some(Resource::Address { place: Place::Host, link, address: address.address })
    };
    addresses.iter().filter(is_ours).filter_map(resource).collect()
}

/// Where VXLAN links of ours send frames, and the MACs that bridges of ours were told.
fn entries(socket: &mut Socket, links: &[LinkRecord]) -> Result<Vec<Resource>, ObserveError> {
    let live: BTreeMap<u32, IfName> =
        ours(links).filter_map(|(link, _)| Some((link.index, name(&link.name)?))).collect();
    let mut found = Vec::new();
    for (link, _) in ours(links).filter(|(link, _)| matches!(link.kind, LinkKind::Vxlan { .. })) {
        let Some(of) = live.get(&link.index) else { continue };
        let sent = socket.forwardings(link.index);
        let sent = sent.map_err(ObserveError::netlink("forwarding entries"))?;
        found.extend(sent.into_iter().map(|ForwardingRecord { mac, to }| Resource::Forwarding {
            link: of.clone(),
            mac,
            to,
        }));
    }
    let told = socket.neighbours().map_err(ObserveError::netlink("neighbours"))?;
    found.extend(told.into_iter().filter_map(|NeighbourRecord { link, address, mac }| {
        Some(Resource::Neighbour { link: live.get(&link)?.clone(), address, mac })
    }));
    Ok(found)
}

/// Marked routes in a sandbox, but for those on a link that is out of service: they go
/// with it, in a moment.
fn sandbox_routes(ends: &Ends, found: &Visited) -> Vec<Resource> {
    let routes = found.routes.iter().filter(|(index, _)| !ends.is_retired(found, *index));
    routes.map(|(_, resource)| resource.clone()).collect()
}

/// Marked addresses of our interfaces in a sandbox.
fn sandbox_addresses(features: &Features, ends: &Ends, found: &Visited) -> Vec<Resource> {
    let own = own_macvlans(found).map(|(link, _)| link.index);
    let interfaces: BTreeSet<u32> = ends.of_ours_in(found).chain(own).collect();
    let is_ours = |address: &&AddressRecord| {
        let ours = if features.address_protocol { address.marked } else { address.lasting };
        ours && interfaces.contains(&address.link)
    };
    let resource = |address: &AddressRecord| {
        let link = name(&found.links.get(&address.link)?.name)?;
        let place = Place::Sandbox(found.sandbox);
        Some(Resource::Address { place, link, address: address.address })
    };
    found.addresses.iter().filter(is_ours).filter_map(resource).collect()
}
