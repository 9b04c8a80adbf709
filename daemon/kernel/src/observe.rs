//! What the kernel holds that is ours, as resources.
//!
//! Links are ours by their alias, the sandbox's end of a pair by its place in the pair,
//! macvlan links in sandboxes by alias or group, addresses and routes by their protocol
//! number. Parameters carry no mark, and of bridges that were adopted only the addresses
//! added to them do: neither is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use postern_model::decision::MacvlanMode;
use postern_model::id::SandboxId;
use postern_model::name::IfName;
use postern_model::network::Family;
use postern_model::plan::NamespaceRef;
use postern_model::resource::{Bridge, Macvlan, Owner, Place, Resource, ResourceSet, Veth};

use crate::error::{NamespaceError, ObserveError};
use crate::features::Features;
use crate::mark::{self, LINK_GROUP, REAP_GROUP};
use crate::names::Names;
use crate::namespace::{self, Namespace};
use crate::nft::redirect;
use crate::nft::socket::NetfilterSocket;
use crate::rtnl::{AddressRecord, LinkKind, LinkRecord, Socket};

/// A sandbox's namespace as it was found.
struct Visited {
    sandbox: SandboxId,
    /// The number under which the host's namespace knows it, if it does.
    id: Option<i32>,
    /// The number under which it knows the host's, if it does.
    host: Option<i32>,
    links: BTreeMap<u32, LinkRecord>,
    addresses: Vec<AddressRecord>,
    /// With the index of their link.
    routes: Vec<(u32, Resource)>,
}

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
    let host = File::open(namespace::OWN).map_err(|source| ObserveError::Io { source })?;
    let mut set = ResourceSet::default();
    let mut visited = Vec::new();
    for (sandbox, reference) in with_leftovers(run_dir, known)? {
        let namespace = match Namespace::find(&reference) {
            Err(NamespaceError::NotFound { .. } | NamespaceError::NotANamespace { .. }) => continue,
            Err(source) => return Err(ObserveError::Namespace { path: reference.path, source }),
            Ok(namespace) => namespace,
        };
        visited.push(visit((&mut socket, &host), sandbox, &namespace, &reference.path)?);
        if is_answered(names, sandbox, &namespace) {
            set.insert(Resource::NameServer { sandbox });
        }
        if reference.path.parent() == Some(&namespace::directory(run_dir)) {
            set.insert(Resource::Namespace { sandbox, path: reference.path });
        }
    }
    // Sockets keep a namespace that nobody finds any more; they are all that is seen of it.
    let unfound = |id: &SandboxId| !visited.iter().any(|found| found.sandbox == *id);
    let orphans = names.sandboxes().into_iter().filter(unfound);
    set.extend(orphans.map(|sandbox| Resource::NameServer { sandbox }));
    set.extend(links_of_ours(&links, &visited));
    set.extend(host_addresses(features, &links, &addresses));
    for found in &visited {
        set.extend(sandbox_addresses(features, &links, found));
        set.extend(sandbox_routes(&links, found));
    }
    Ok(set)
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

fn visit(
    (host, host_namespace): (&mut Socket, &File),
    sandbox: SandboxId,
    namespace: &Namespace,
    path: &Path,
) -> Result<Visited, ObserveError> {
    let failed = |source| NamespaceError::Io { path: path.to_owned(), source };
    let mut socket = namespace.socket().map_err(|error| ObserveError::Namespace {
        path: path.to_owned(),
        source: failed(error),
    })?;
    let id = host.namespace_id(namespace.as_fd().as_raw_fd());
    let of_host = socket.namespace_id(host_namespace.as_raw_fd());
    let links = socket.links().map_err(ObserveError::netlink("links of a sandbox"))?;
    let links: BTreeMap<u32, LinkRecord> =
        links.into_iter().map(|link| (link.index, link)).collect();
    let addresses = socket.addresses(None).map_err(ObserveError::netlink("addresses"))?;
    let mut routes = Vec::new();
    for family in Family::ALL {
        let found = socket.routes(family, true).map_err(ObserveError::netlink("routes"))?;
        // Of a family that is off the kernel answers with everything there is.
        let found = found.into_iter().filter(|route| route.marked);
        routes.extend(found.filter_map(|route| {
            let index = route.link?;
            let resource = Resource::Route {
                place: Place::Sandbox(sandbox),
                link: name(&links.get(&index)?.name)?,
                destination: route.destination,
                via: route.via,
            };
            Some((index, resource))
        }));
    }
    let id = id.map_err(ObserveError::netlink("namespaces"))?;
    let host = of_host.map_err(ObserveError::netlink("namespaces"))?;
    Ok(Visited { sandbox, id, host, links, addresses, routes })
}

/// Whether we answer in a sandbox, and its rules lead to where we do.
fn is_answered(names: &Names, sandbox: SandboxId, namespace: &Namespace) -> bool {
    let Some(port) = names.port(sandbox) else { return false };
    let led = namespace.visit(|| redirect::is_installed(&mut NetfilterSocket::open()?, port));
    led.and_then(|led| led).unwrap_or_else(|error| {
        // Whoever has the namespace may have made its rules unreadable: his loss alone.
        tracing::warn!(%sandbox, %error, "the way to a resolver cannot be seen");
        false
    })
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
            veth(link, owner, master, peer(link, visited)).map(Resource::Veth)
        }
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
fn peer<'a>(link: &LinkRecord, visited: &'a [Visited]) -> Option<(SandboxId, &'a LinkRecord)> {
    let LinkKind::Veth { peer, peer_namespace: Some(id) } = link.kind else { return None };
    let found = visited.iter().find(|found| found.id == Some(id))?;
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
    })
}

/// Marked addresses of any link; where the kernel keeps no marks, those of our bridges.
fn host_addresses(
    features: &Features,
    links: &[LinkRecord],
    addresses: &[AddressRecord],
) -> Vec<Resource> {
    let bridges: BTreeSet<u32> = ours(links).map(|(link, _)| link.index).collect();
    let names: BTreeMap<u32, &str> =
        links.iter().map(|link| (link.index, link.name.as_str())).collect();
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

/// The index of a pair's other end, if that is in this sandbox.
fn end_in(link: &LinkRecord, found: &Visited) -> Option<u32> {
    match link.kind {
        LinkKind::Veth { peer, peer_namespace: Some(id) } if found.id == Some(id) => Some(peer),
        _ => None,
    }
}

/// Marked routes in a sandbox, but for those on a link that is out of service: they go
/// with it, in a moment.
fn sandbox_routes(links: &[LinkRecord], found: &Visited) -> Vec<Resource> {
    let retired = links.iter().filter(|link| link.group == REAP_GROUP);
    let retired: BTreeSet<u32> = retired.filter_map(|link| end_in(link, found)).collect();
    let routes = found.routes.iter().filter(|(index, _)| !retired.contains(index));
    routes.map(|(_, resource)| resource.clone()).collect()
}

/// Marked addresses of our interfaces in a sandbox.
fn sandbox_addresses(features: &Features, links: &[LinkRecord], found: &Visited) -> Vec<Resource> {
    let ends = ours(links).filter_map(|(link, _)| end_in(link, found));
    let own = own_macvlans(found).map(|(link, _)| link.index);
    let interfaces: BTreeSet<u32> = ends.chain(own).collect();
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
