//! Macvlan links, each in a sandbox and on a parent of the host's.
//!
//! There is nothing of them on the host, so they are deleted at once: a retired one would
//! keep its MAC, and in some modes the parent, from the next.

use nix::errno::Errno;
use postern_model::decision::MacvlanMode;
use postern_model::resource::{Macvlan, Place, Resource};

use super::Executor;
use crate::error::ApplyError;
use crate::mark::{self, LINK_GROUP};
use crate::rtnl::{LinkKind, LinkRecord, NetlinkError};

impl Executor<'_> {
    /// Makes a macvlan that is up. If that fails half-way, nothing is left of it.
    pub(super) fn create_macvlan(&mut self, macvlan: &Macvlan) -> Result<(), ApplyError> {
        // A pair that is retired may still hold the name.
        let (sandbox, interface) = (macvlan.sandbox, &macvlan.interface);
        self.means.reaper.wait(|retired| retired.occupies(sandbox, interface));
        let (_, parent) = self.link(Place::Host, &macvlan.parent)?;
        self.sandbox(macvlan.sandbox)?.forget(&macvlan.interface);
        let namespace = self.sandboxes.get(&macvlan.sandbox).and_then(|site| site.namespace());
        let Some(namespace) = namespace else { return Err(missing(macvlan)) };
        let made = self.host.socket.create_macvlan(macvlan, parent, namespace);
        made.map_err(|error| refused(macvlan, error))?;
        self.start_macvlan(macvlan).inspect_err(|_| {
            if let Err(error) = self.delete_macvlan(macvlan) {
                tracing::warn!(link = %macvlan.interface, %error, "a half-made macvlan stays");
            }
        })
    }

    /// Changes the MTU, and the mode to another one that shares the parent, and sees that it
    /// is up.
    pub(super) fn update_macvlan(&mut self, macvlan: &Macvlan) -> Result<(), ApplyError> {
        match self.find_macvlan(macvlan)? {
            Some(found) if found.name == macvlan.interface.as_str() => self.start_macvlan(macvlan),
            _ => Err(missing(macvlan)),
        }
    }

    fn start_macvlan(&mut self, macvlan: &Macvlan) -> Result<(), ApplyError> {
        let ipv6 = self.means.features.ipv6;
        let (site, index) = self.link(Place::Sandbox(macvlan.sandbox), &macvlan.interface)?;
        let socket = &mut site.socket;
        socket
            .set_macvlan(index, macvlan)
            .and_then(|()| socket.start_interface(index, ipv6))
            // As with a pair, the kernel is made to notice the carrier.
            .and_then(|()| socket.link(macvlan.interface.as_str()))
            .map_err(|error| refused(macvlan, error))?;
        Ok(())
    }

    /// Deletes a macvlan. With a namespace that is gone it is gone too.
    pub(super) fn delete_macvlan(&mut self, macvlan: &Macvlan) -> Result<(), ApplyError> {
        let found = match self.find_macvlan(macvlan) {
            Err(ApplyError::NamespaceGone { .. }) => return Ok(()),
            found => found?,
        };
        let site = self.sandbox(macvlan.sandbox)?;
        site.forget(&macvlan.interface);
        let Some(found) = found else { return Ok(()) };
        let deleted = site.socket.delete_link(found.index);
        deleted.map_err(ApplyError::netlink(&macvlan.interface))
    }

    /// The link in its sandbox. Who is privileged there may have renamed it or wiped its mark
    /// off, and would else keep it.
    fn find_macvlan(&mut self, macvlan: &Macvlan) -> Result<Option<LinkRecord>, ApplyError> {
        let parent = self.host.index(&macvlan.parent)?;
        let socket = &mut self.sandbox(macvlan.sandbox)?.socket;
        let is_it = |found: &LinkRecord| is_it(found, macvlan, parent);
        let named = socket.link(macvlan.interface.as_str());
        let named = named.map_err(ApplyError::netlink(&macvlan.interface))?;
        if let Some(found) = named.filter(is_it) {
            return Ok(Some(found));
        }
        let all = socket.links().map_err(ApplyError::netlink(&macvlan.interface))?;
        Ok(all.into_iter().find(is_it))
    }
}

/// Whether a link is this macvlan: by its mark, by its MAC or its mode, which on one parent
/// no other has, or by its name where it was not marked yet.
fn is_it(found: &LinkRecord, macvlan: &Macvlan, on: Option<u32>) -> bool {
    let LinkKind::Macvlan { mode, parent, .. } = found.kind else { return false };
    let alone = macvlan.mode == MacvlanMode::Passthru
        && mode == Some(MacvlanMode::Passthru)
        && on == Some(parent);
    match mark::owner(found.alias.as_deref()) {
        Some(owner) if owner == macvlan.owner => true,
        _ if alone || macvlan.mac.is_some() && found.mac == macvlan.mac => true,
        None => found.group == LINK_GROUP && found.name == macvlan.interface.as_str(),
        Some(_) => false,
    }
}

/// What the kernel's refusal means.
fn refused(macvlan: &Macvlan, error: NetlinkError) -> ApplyError {
    match error.errno {
        Errno::EEXIST => ApplyError::Exists {
            object: format!("{} in sandbox/{}", macvlan.interface, macvlan.sandbox),
        },
        Errno::EOPNOTSUPP => ApplyError::Unsupported {
            object: Resource::Macvlan(macvlan.clone()).to_string(),
            what: "macvlan",
        },
        // A port of something else; in passthru mode; with the same MAC on it.
        Errno::EBUSY | Errno::EINVAL | Errno::EADDRINUSE => {
            ApplyError::ParentBusy { parent: macvlan.parent.clone(), source: error }
        }
        _ => ApplyError::netlink(Resource::Macvlan(macvlan.clone()))(error),
    }
}

fn missing(macvlan: &Macvlan) -> ApplyError {
    ApplyError::Missing { object: format!("{} in sandbox/{}", macvlan.interface, macvlan.sandbox) }
}
