//! Pairs of links between host and sandbox.

use std::os::fd::AsFd;

use nix::errno::Errno;
use postern_model::name::IfName;
use postern_model::resource::{Place, Veth};

use super::Executor;
use crate::error::ApplyError;
use crate::mark;
use crate::reaper::Retired;
use crate::rtnl::{LinkRecord, NetlinkError};

/// RFC 8200 §5, bytes.
const IPV6_MTU_MIN: u32 = 1280;

impl Executor<'_> {
    /// Makes a pair with both ends up. If that fails half-way, nothing is left of it.
    pub(super) fn create_veth(&mut self, veth: &Veth) -> Result<(), ApplyError> {
        // One that is retired may still hold the name, here or in the sandbox.
        self.means.reaper.wait(|retired| {
            retired.name == veth.name || retired.occupies(veth.sandbox, &veth.interface)
        });
        let (_, master) = self.link(Place::Host, &veth.master)?;
        self.sandbox(veth.sandbox)?.forget(&veth.interface);
        let Some(namespace) = self.sandboxes.get(&veth.sandbox).and_then(|s| s.namespace()) else {
            return Err(missing(&veth.interface));
        };
        // One that others made, or a daemon of before, may have no number yet.
        self.means.namespace_ids.give(&mut self.host.socket, namespace.as_fd());
        if let Err(error) = self.host.socket.create_veth(veth, master, namespace) {
            // It may have been made, and the answer lost.
            self.drop_half_made(&veth.name);
            return Err(self.refused(veth, error));
        }
        self.host.forget(&veth.name);
        self.finish_veth(veth).inspect_err(|_| self.withdraw_veth(veth))
    }

    fn finish_veth(&mut self, veth: &Veth) -> Result<(), ApplyError> {
        let ipv6 = self.has_ipv6(veth);
        self.silence(&veth.name)?;
        let (host, index) = self.link(Place::Host, &veth.name)?;
        host.socket.set_veth(index, veth).map_err(ApplyError::netlink(&veth.name))?;
        let (sandbox, index) = self.link(Place::Sandbox(veth.sandbox), &veth.interface)?;
        let started = sandbox.socket.start_interface(index, ipv6);
        started.map_err(ApplyError::netlink(&veth.interface))?;
        self.settle_veth(veth)
    }

    /// A link of a smaller MTU than IPv6 asks for has none of it, nor its parameters.
    fn has_ipv6(&self, veth: &Veth) -> bool {
        self.means.features.ipv6 && veth.mtu >= IPV6_MTU_MIN
    }

    /// Lets the kernel notice that both ends, and with its first port the bridge, have a
    /// carrier, which it otherwise does in its own time. Until then a port is shut, and the
    /// first packet, most often a question for the gateway's MAC, is lost and asked again a
    /// second later. Since Linux 6.8, to ask for a link makes the kernel see to it first.
    fn settle_veth(&mut self, veth: &Veth) -> Result<(), ApplyError> {
        let sandbox = self.sandbox(veth.sandbox)?.socket.link(veth.interface.as_str());
        sandbox.map_err(ApplyError::netlink(&veth.interface))?;
        for link in [&veth.name, &veth.master] {
            self.host.socket.link(link.as_str()).map_err(ApplyError::netlink(link))?;
        }
        Ok(())
    }

    /// Deletes what this very step has made.
    fn withdraw_veth(&mut self, veth: &Veth) {
        let deleted = match self.host.index(&veth.name) {
            Ok(Some(index)) => self.host.socket.delete_link(index),
            Ok(None) | Err(_) => Ok(()),
        };
        if let Err(error) = deleted {
            tracing::warn!(link = %veth.name, %error, "a half-made pair stays");
        }
        self.host.forget(&veth.name);
        if let Some(sandbox) = self.sandboxes.get_mut(&veth.sandbox) {
            sandbox.forget(&veth.interface);
        }
    }

    /// What the kernel's refusal of a new pair means.
    fn refused(&mut self, veth: &Veth, error: NetlinkError) -> ApplyError {
        match error.errno {
            Errno::EXFULL => ApplyError::BridgeFull { bridge: veth.master.clone() },
            Errno::EEXIST => {
                let here = self.host.socket.link(veth.name.as_str());
                let object = match here {
                    Ok(Some(_)) => veth.name.to_string(),
                    _ => format!("{} in sandbox/{}", veth.interface, veth.sandbox),
                };
                ApplyError::Exists { object }
            }
            _ => ApplyError::netlink(&veth.name)(error),
        }
    }

    /// Changes the MTU of both ends and the port's hairpin mode, and sees that both are up.
    pub(super) fn update_veth(&mut self, veth: &Veth) -> Result<(), ApplyError> {
        let ipv6 = self.has_ipv6(veth);
        let Some(found) = self.find_veth(veth)? else { return Err(missing(&veth.name)) };
        let set = self.host.socket.set_veth(found.index, veth);
        set.map_err(ApplyError::netlink(&veth.name))?;
        // By the MTU the kernel gives the link its IPv6, or takes it.
        self.silence(&veth.name)?;
        let (sandbox, index) = self.link(Place::Sandbox(veth.sandbox), &veth.interface)?;
        let socket = &mut sandbox.socket;
        let set =
            socket.set_mtu(index, veth.mtu).and_then(|()| socket.start_interface(index, ipv6));
        set.map_err(ApplyError::netlink(&veth.interface))
    }

    /// Takes a pair out of service and leaves it to the reaper. One of somebody else's by
    /// its name is not it.
    pub(super) fn delete_veth(&mut self, veth: &Veth) -> Result<(), ApplyError> {
        self.host.forget(&veth.name);
        let Some(found) = self.find_veth(veth)? else {
            self.drop_half_made(&veth.name);
            return Ok(());
        };
        match self.host.socket.retire(found.index) {
            // It went with the other end.
            Err(error) if error.errno == Errno::ENODEV => return Ok(()),
            outcome => outcome.map_err(ApplyError::netlink(&veth.name))?,
        }
        let freed = self.free_interface(veth, &found);
        self.means.reaper.add(Retired {
            index: found.index,
            name: veth.name.clone(),
            sandbox: Some(veth.sandbox),
            interface: (!freed).then(|| veth.interface.clone()),
        });
        Ok(())
    }

    /// Has the sandbox's end of a pair that is out of service give its name up, so that the
    /// next pair can have it at once. Where that fails, the next one waits until this one
    /// is deleted.
    fn free_interface(&mut self, veth: &Veth, found: &LinkRecord) -> bool {
        let Ok(site) = self.sandbox(veth.sandbox) else { return false };
        site.forget(&veth.interface);
        let Ok(Some(end)) = site.socket.link(veth.interface.as_str()) else { return false };
        // Somebody may have moved it away and put his own in its place.
        if !(end.leads_to(found.index) && found.leads_to(end.index)) {
            return false;
        }
        let renamed = site.socket.rename(end.index, &format!("gone{}", end.index));
        if let Err(error) = &renamed {
            tracing::debug!(link = %veth.interface, %error, "an interface keeps its name");
        }
        renamed.is_ok()
    }

    fn find_veth(&mut self, veth: &Veth) -> Result<Option<LinkRecord>, ApplyError> {
        let found = self.host.socket.link(veth.name.as_str());
        let found = found.map_err(ApplyError::netlink(&veth.name))?;
        Ok(found.filter(|found| mark::owner(found.alias.as_deref()) == Some(veth.owner)))
    }
}

fn missing(link: &IfName) -> ApplyError {
    ApplyError::Missing { object: link.to_string() }
}
