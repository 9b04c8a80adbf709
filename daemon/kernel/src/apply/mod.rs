//! The steps of a plan, taken one after the other with no choice left to make.
//!
//! Everything here blocks; a plan is carried out on one thread from its first step to
//! its last, whatever becomes of the request it came from.

mod bridge;
mod macvlan;
mod name_server;
mod place;
mod veth;
mod vxlan;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;

use ipnetwork::IpNetwork;
use nix::errno::Errno;
use postern_model::decision::LinkSysctl;
use postern_model::id::SandboxId;
use postern_model::name::IfName;
use postern_model::network::Family;
use postern_model::plan::{NamespaceRef, Step};
use postern_model::resource::{Content, Place, Resource};

use crate::error::{ApplyError, NamespaceError};
use crate::features::Features;
use crate::files;
use crate::mark;
use crate::names::Names;
use crate::namespace::{self, Namespace};
use crate::reaper::Reaper;
use crate::rtnl::{NamespaceIds, Socket};
use crate::sysctl::Procfs;
use place::Site;

/// What the steps of every plan share.
pub(crate) struct Means<'a> {
    pub(crate) features: &'a Features,
    pub(crate) reaper: &'a Reaper,
    pub(crate) names: &'a Names,
    /// For the host's parameters.
    pub(crate) procfs: &'a Procfs,
    pub(crate) namespace_ids: &'a NamespaceIds,
    pub(crate) run_dir: &'a Path,
}

/// Takes the steps of one plan.
pub(crate) struct Executor<'a> {
    means: Means<'a>,
    namespaces: &'a BTreeMap<SandboxId, NamespaceRef>,
    host: Site,
    sandboxes: BTreeMap<SandboxId, Site>,
}

impl<'a> Executor<'a> {
    /// Starts with a socket in the thread's namespace, which is the host's.
    pub(crate) fn new(
        means: Means<'a>,
        namespaces: &'a BTreeMap<SandboxId, NamespaceRef>,
    ) -> Result<Self, ApplyError> {
        let socket = Socket::open().map_err(|source| ApplyError::Io { source })?;
        Ok(Self { means, namespaces, host: Site::host(socket), sandboxes: BTreeMap::new() })
    }

    /// Takes one step.
    pub(crate) fn take(&mut self, step: &Step) -> Result<(), ApplyError> {
        match step {
            Step::Create(resource) => self.create(resource),
            Step::Update { from, to } => self.update(from, to),
            Step::Delete(resource) => self.delete(resource),
        }
    }

    fn create(&mut self, resource: &Resource) -> Result<(), ApplyError> {
        match resource {
            Resource::Namespace { sandbox, path } => self.create_namespace(*sandbox, path),
            Resource::Bridge(bridge) if bridge.adopted => self.adopt_bridge(bridge),
            Resource::Bridge(bridge) => self.create_bridge(bridge),
            Resource::Veth(veth) => self.create_veth(veth),
            Resource::Macvlan(macvlan) => self.create_macvlan(macvlan),
            Resource::Vxlan(vxlan) => self.create_vxlan(vxlan),
            Resource::Forwarding { .. } | Resource::Neighbour { .. } => self.create_entry(resource),
            Resource::Sysctl { place, link, sysctl, value } => {
                self.set_sysctl(resource, *place, link, sysctl, value)
            }
            Resource::Address { place, link, address } => {
                self.create_address(resource, *place, link, *address)
            }
            Resource::Route { .. } => self.create_route(resource, false),
            Resource::NameServer { sandbox } => self.create_name_server(*sandbox),
            Resource::File { sandbox, file, content: Content::Written(text) } => {
                let written = files::write(self.means.run_dir, *sandbox, *file, text);
                written.map_err(ApplyError::file(resource))
            }
            // Nobody can desire what somebody else wrote.
            Resource::File { .. } | Resource::Element(_) => Err(not_a_step(resource)),
        }
    }

    fn update(&mut self, from: &Resource, to: &Resource) -> Result<(), ApplyError> {
        match to {
            Resource::Bridge(bridge) if bridge.adopted => self.adopt_bridge(bridge),
            Resource::Bridge(bridge) => self.update_bridge(bridge),
            Resource::Veth(veth) => self.update_veth(veth),
            Resource::Macvlan(macvlan) => self.update_macvlan(macvlan),
            Resource::Vxlan(vxlan) => self.update_vxlan(vxlan),
            Resource::Forwarding { .. } | Resource::Neighbour { .. } => self.create_entry(to),
            Resource::Route { .. } => self.create_route(to, true),
            Resource::Sysctl { .. } | Resource::Address { .. } | Resource::File { .. } => {
                self.create(to)
            }
            Resource::Namespace { .. } | Resource::NameServer { .. } | Resource::Element(_) => {
                Err(not_a_step(from))
            }
        }
    }

    fn delete(&mut self, resource: &Resource) -> Result<(), ApplyError> {
        match resource {
            Resource::Namespace { sandbox, path } => self.delete_namespace(*sandbox, path),
            Resource::Bridge(bridge) if bridge.adopted => Ok(()),
            Resource::Bridge(bridge) => self.delete_bridge(bridge),
            Resource::Veth(veth) => self.delete_veth(veth),
            Resource::Macvlan(macvlan) => self.delete_macvlan(macvlan),
            Resource::Vxlan(vxlan) => self.delete_vxlan(vxlan),
            Resource::Forwarding { .. } | Resource::Neighbour { .. } => self.delete_entry(resource),
            // A parameter has no absence.
            Resource::Sysctl { .. } => Ok(()),
            Resource::Address { place, link, address } => {
                self.delete_address(resource, *place, link, *address)
            }
            Resource::Route { place, link, destination, via } => {
                let Some((site, index)) = self.link_if_there(*place, link)? else { return Ok(()) };
                let gone = site.socket.delete_route(index, *destination, *via);
                gone.map_err(ApplyError::netlink(resource))
            }
            Resource::NameServer { sandbox } => self.delete_name_server(*sandbox),
            Resource::File { sandbox, file, .. } => {
                let removed = files::remove(self.means.run_dir, *sandbox, *file);
                removed.map_err(ApplyError::file(resource))
            }
            Resource::Element(_) => Err(not_a_step(resource)),
        }
    }

    fn create_namespace(&mut self, sandbox: SandboxId, path: &Path) -> Result<(), ApplyError> {
        self.check_path(path)?;
        let object = || path.display().to_string();
        let socket = namespace::create(path).map_err(|source| match source.raw_os_error() {
            Some(errno) if errno == Errno::EEXIST as i32 => ApplyError::Exists { object: object() },
            _ => ApplyError::Namespace { object: object(), source },
        })?;
        let namespace = Namespace::open(path).map_err(|error| gone(sandbox, error))?;
        self.means.namespace_ids.give(&mut self.host.socket, namespace.as_fd());
        self.sandboxes.insert(sandbox, Site::sandbox(socket, namespace));
        Ok(())
    }

    fn delete_namespace(&mut self, sandbox: SandboxId, path: &Path) -> Result<(), ApplyError> {
        self.check_path(path)?;
        self.sandboxes.remove(&sandbox);
        self.means.reaper.wait(|retired| retired.sandbox == Some(sandbox));
        namespace::remove(path)
            .map_err(|source| ApplyError::Namespace { object: path.display().to_string(), source })
    }

    /// Namespaces that others made are visited, never pinned or unpinned.
    fn check_path(&self, path: &Path) -> Result<(), ApplyError> {
        if path.parent() == Some(&namespace::directory(self.means.run_dir)) {
            return Ok(());
        }
        Err(ApplyError::Foreign { object: path.display().to_string() })
    }

    fn set_sysctl(
        &mut self,
        resource: &Resource,
        place: Place,
        link: &IfName,
        parameter: &LinkSysctl,
        value: &str,
    ) -> Result<(), ApplyError> {
        let outcome = match self.site(place)?.namespace() {
            Some(namespace) => {
                let procfs = Procfs::open();
                let set = || procfs.set(link, parameter, value);
                namespace.visit(set).and_then(|outcome| outcome)
            }
            None => {
                self.check_ours(link)?;
                self.means.procfs.set(link, parameter, value)
            }
        };
        outcome.map_err(|source| ApplyError::Sysctl { object: resource.to_string(), source })
    }

    /// On the host, parameters are set of our own links only.
    fn check_ours(&mut self, link: &IfName) -> Result<(), ApplyError> {
        let found = self.host.socket.link(link.as_str()).map_err(ApplyError::netlink(link))?;
        match found {
            None => Err(ApplyError::Missing { object: link.to_string() }),
            Some(found) if mark::owner(found.alias.as_deref()).is_some() => Ok(()),
            Some(_) => Err(ApplyError::Foreign { object: link.to_string() }),
        }
    }

    /// Adds an address. In a sandbox, one of IPv6 brings the link-local one with it, by
    /// which neighbours are found and which the interface was started without.
    fn create_address(
        &mut self,
        resource: &Resource,
        place: Place,
        link: &IfName,
        address: IpNetwork,
    ) -> Result<(), ApplyError> {
        // The kernel's own link-local address is tentative for a second or two, and until it
        // is not, no neighbour is sought for a packet that is forwarded.
        let ours = place != Place::Host || self.check_ours(link).is_ok();
        let (site, index) = self.link(place, link)?;
        if ours && address.is_ipv6() {
            let found = site.socket.link(link.as_str()).map_err(ApplyError::netlink(resource))?;
            if let Some(mac) = found.and_then(|found| found.mac) {
                let added = site.socket.add_link_local(index, mac.link_local());
                added.map_err(ApplyError::netlink(resource))?;
            }
        }
        let added = site.socket.add_address(index, address);
        added.map_err(ApplyError::netlink(resource))
    }

    /// An address that was on a foreign bridge before is not removed from it.
    fn delete_address(
        &mut self,
        resource: &Resource,
        place: Place,
        link: &IfName,
        address: IpNetwork,
    ) -> Result<(), ApplyError> {
        let marked = self.means.features.address_protocol;
        if place == Place::Host && !marked && self.check_ours(link).is_err() {
            return Ok(());
        }
        let Some((site, index)) = self.link_if_there(place, link)? else { return Ok(()) };
        if place == Place::Host && marked {
            let there =
                site.socket.addresses(Some(index)).map_err(ApplyError::netlink(resource))?;
            if !there.iter().any(|there| there.address == address && there.marked) {
                return Ok(());
            }
        }
        let gone = site.socket.delete_address(index, address);
        gone.map_err(ApplyError::netlink(resource))
    }

    fn create_route(&mut self, resource: &Resource, replace: bool) -> Result<(), ApplyError> {
        let Resource::Route { place, link, destination, via } = resource else {
            return Err(not_a_step(resource));
        };
        let (site, index) = self.link(*place, link)?;
        match site.socket.add_route(index, *destination, *via, replace) {
            Err(error) if error.errno == Errno::EEXIST => {}
            outcome => return outcome.map_err(ApplyError::netlink(resource)),
        }
        // One of ours may be there still, on a link that is about to go and would take it.
        let family = Family::of(destination.ip());
        let ours = site.socket.routes(family, true).map_err(ApplyError::netlink(resource))?;
        match ours.iter().find(|route| route.destination == *destination) {
            None => Err(ApplyError::RouteExists { route: resource.to_string() }),
            Some(same) if same.link == Some(index) && same.via == *via => Ok(()),
            Some(_) => {
                let replaced = site.socket.add_route(index, *destination, *via, true);
                replaced.map_err(ApplyError::netlink(resource))
            }
        }
    }

    /// Keeps IPv6 off a port: it speaks for nobody. Else the kernel gives it a route for
    /// multicast, and to bring one port up takes the longer the more there are.
    fn silence(&self, port: &IfName) -> Result<(), ApplyError> {
        let sysctl = LinkSysctl { family: Family::V6, key: "disable_ipv6".to_owned() };
        let set = self.means.procfs.set(port, &sysctl, "1");
        set.map_err(|source| ApplyError::Sysctl { object: port.to_string(), source })
    }

    /// Deletes a link of the host's that was made and not marked, by this very step or by an
    /// earlier one that was told otherwise.
    fn drop_half_made(&mut self, name: &IfName) {
        self.host.forget(name);
        let socket = &mut self.host.socket;
        let deleted = match socket.link(name.as_str()) {
            Ok(Some(found)) if found.is_half_made() => socket.delete_link(found.index),
            found => found.map(drop),
        };
        if let Err(error) = deleted {
            tracing::warn!(link = %name, %error, "a half-made link may stay");
        }
    }

    fn link(&mut self, place: Place, link: &IfName) -> Result<(&mut Site, u32), ApplyError> {
        let site = self.site(place)?;
        match site.index(link)? {
            Some(index) => Ok((site, index)),
            None => Err(ApplyError::Missing { object: format!("{link} in {place}") }),
        }
    }

    /// What is in a namespace that is gone, or on a link that is gone, is gone.
    fn link_if_there(
        &mut self,
        place: Place,
        link: &IfName,
    ) -> Result<Option<(&mut Site, u32)>, ApplyError> {
        let site = match self.site(place) {
            Err(ApplyError::NamespaceGone { .. }) => return Ok(None),
            outcome => outcome?,
        };
        Ok(site.index(link)?.map(|index| (site, index)))
    }

    fn site(&mut self, place: Place) -> Result<&mut Site, ApplyError> {
        match place {
            Place::Host => Ok(&mut self.host),
            Place::Sandbox(sandbox) => self.sandbox(sandbox),
        }
    }

    fn sandbox(&mut self, sandbox: SandboxId) -> Result<&mut Site, ApplyError> {
        use std::collections::btree_map::Entry;
        match self.sandboxes.entry(sandbox) {
            Entry::Occupied(site) => Ok(site.into_mut()),
            Entry::Vacant(place) => {
                let (namespace, path) = find(self.namespaces, sandbox)?;
                Ok(place.insert(Site::enter(namespace, path)?))
            }
        }
    }
}

/// The namespace of a sandbox that a plan speaks of, and its path.
fn find(
    namespaces: &BTreeMap<SandboxId, NamespaceRef>,
    sandbox: SandboxId,
) -> Result<(Namespace, &Path), ApplyError> {
    let Some(reference) = namespaces.get(&sandbox) else {
        return Err(ApplyError::NamespaceGone { sandbox, path: "?".into() });
    };
    let found = Namespace::find(reference).map_err(|error| gone(sandbox, error))?;
    Ok((found, &reference.path))
}

fn gone(sandbox: SandboxId, error: NamespaceError) -> ApplyError {
    match error {
        NamespaceError::NotFound { path } | NamespaceError::NotANamespace { path } => {
            ApplyError::NamespaceGone { sandbox, path }
        }
        NamespaceError::Io { path, source } => {
            ApplyError::Namespace { object: path.display().to_string(), source }
        }
    }
}

/// The planner never makes such a step.
fn not_a_step(resource: &Resource) -> ApplyError {
    ApplyError::Unsupported { object: resource.to_string(), what: "a step there is not" }
}
