//! A tour of the sandboxes' namespaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::thread;

use postern_model::id::SandboxId;
use postern_model::network::Family;
use postern_model::plan::NamespaceRef;
use postern_model::resource::{Place, Resource};

use super::name;
use crate::error::{NamespaceError, ObserveError};
use crate::names::Names;
use crate::namespace::{self, Namespace};
use crate::nft::redirect;
use crate::nft::socket::NetfilterSocket;
use crate::rtnl::{AddressRecord, LinkRecord, Socket};

/// So many namespaces are worth a thread.
const WORTH_A_THREAD: usize = 32;

/// A sandbox's namespace as it was found.
pub(super) struct Visited {
    pub(super) sandbox: SandboxId,
    pub(super) path: PathBuf,
    /// The number under which the host's namespace knows it, if it does.
    pub(super) id: Option<i32>,
    /// The number under which it knows the host's, if it does.
    pub(super) host: Option<i32>,
    pub(super) links: BTreeMap<u32, LinkRecord>,
    pub(super) addresses: Vec<AddressRecord>,
    /// With the index of their link.
    pub(super) routes: Vec<(u32, Resource)>,
    /// Whether we answer there, and its rules lead to where we do.
    pub(super) answered: bool,
}

/// Visits all that are there, by as many threads as there are processors. They go from one
/// to the next and end where they are, so that none has to find its way back.
pub(super) fn all(
    names: &Names,
    references: BTreeMap<SandboxId, NamespaceRef>,
) -> Result<Vec<Visited>, ObserveError> {
    let host = File::open(namespace::OWN).map_err(|source| ObserveError::Io { source })?;
    let all: Vec<_> = references.into_iter().collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = all.len().div_ceil(threads).max(WORTH_A_THREAD);
    thread::scope(|scope| {
        let tours: io::Result<Vec<_>> = all
            .chunks(share)
            .map(|share| {
                let tour = || tour(names, &host, share);
                thread::Builder::new().name("netns".into()).spawn_scoped(scope, tour)
            })
            .collect();
        let tours = tours.map_err(|source| ObserveError::Io { source })?;
        let mut visited = Vec::with_capacity(all.len());
        for tour in tours {
            let panicked = |_| io::Error::other("the visiting thread panicked");
            let found = tour.join().map_err(|e| ObserveError::Io { source: panicked(e) })?;
            visited.extend(found?);
        }
        Ok(visited)
    })
}

fn tour(
    names: &Names,
    host: &File,
    references: &[(SandboxId, NamespaceRef)],
) -> Result<Vec<Visited>, ObserveError> {
    // While the thread is still at home.
    let mut home = Socket::open().map_err(|source| ObserveError::Io { source })?;
    let mut visited = Vec::with_capacity(references.len());
    for (sandbox, reference) in references {
        let namespace = match Namespace::find(reference) {
            Err(NamespaceError::NotFound { .. } | NamespaceError::NotANamespace { .. }) => continue,
            Err(source) => {
                let path = reference.path.clone();
                return Err(ObserveError::Namespace { path, source });
            }
            Ok(namespace) => namespace,
        };
        let failed = |source| {
            let path = reference.path.clone();
            let source = NamespaceError::Io { path: path.clone(), source };
            ObserveError::Namespace { path, source }
        };
        namespace.enter().map_err(failed)?;
        let mut socket = Socket::open().map_err(failed)?;
        let numbers = (
            home.namespace_id(namespace.as_fd().as_raw_fd()),
            socket.namespace_id(host.as_raw_fd()),
        );
        let (id, host) = match numbers {
            (Ok(id), Ok(host)) => (id, host),
            (Err(error), _) | (_, Err(error)) => {
                return Err(ObserveError::netlink("namespaces")(error));
            }
        };
        let (links, addresses, routes) = look(&mut socket, *sandbox)?;
        let answered = is_answered(names, *sandbox);
        let (sandbox, path) = (*sandbox, reference.path.clone());
        visited.push(Visited { sandbox, path, id, host, links, addresses, routes, answered });
    }
    Ok(visited)
}

type Found = (BTreeMap<u32, LinkRecord>, Vec<AddressRecord>, Vec<(u32, Resource)>);

/// The links, the addresses and our routes of the socket's namespace.
fn look(socket: &mut Socket, sandbox: SandboxId) -> Result<Found, ObserveError> {
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
    Ok((links, addresses, routes))
}

/// Whether we answer in a sandbox, and the rules in the thread's namespace, which is its
/// own, lead to where we do.
fn is_answered(names: &Names, sandbox: SandboxId) -> bool {
    let Some(port) = names.port(sandbox) else { return false };
    let led =
        NetfilterSocket::open().and_then(|mut rules| redirect::is_installed(&mut rules, port));
    led.unwrap_or_else(|error| {
        // Whoever has the namespace may have made its rules unreadable: his loss alone.
        tracing::warn!(%sandbox, %error, "the way to a resolver cannot be seen");
        false
    })
}
