//! VXLAN links, and what they and their bridges know of other hosts' endpoints.

use nix::errno::Errno;
use postern_model::name::IfName;
use postern_model::resource::{Place, Resource, Vxlan};

use super::{Executor, not_a_step};
use crate::error::ApplyError;
use crate::mark;
use crate::reaper::Retired;

impl Executor<'_> {
    /// Makes a VXLAN link that is up, as a port of its bridge. If that fails half-way,
    /// nothing is left of it.
    pub(super) fn create_vxlan(&mut self, vxlan: &Vxlan) -> Result<(), ApplyError> {
        self.means.reaper.wait(|retired| retired.name == vxlan.name);
        let (_, master) = self.link(Place::Host, &vxlan.master)?;
        if let Err(error) = self.host.socket.create_vxlan(vxlan, master) {
            // It may have been made, and the answer lost.
            self.drop_half_made(&vxlan.name);
            return Err(match error.errno {
                Errno::EXFULL => ApplyError::BridgeFull { bridge: vxlan.master.clone() },
                Errno::EEXIST => {
                    ApplyError::Exists { object: Resource::Vxlan(vxlan.clone()).to_string() }
                }
                Errno::EOPNOTSUPP => ApplyError::Unsupported {
                    object: Resource::Vxlan(vxlan.clone()).to_string(),
                    what: "VXLAN",
                },
                _ => ApplyError::netlink(&vxlan.name)(error),
            });
        }
        self.host.forget(&vxlan.name);
        self.update_vxlan(vxlan).inspect_err(|_| {
            if let Err(error) = self.withdraw_vxlan(&vxlan.name) {
                tracing::warn!(link = %vxlan.name, %error, "a half-made VXLAN link stays");
            }
        })
    }

    /// Gives it its properties, and sees that it is up.
    pub(super) fn update_vxlan(&mut self, vxlan: &Vxlan) -> Result<(), ApplyError> {
        // Before it is up, and says something.
        self.silence(&vxlan.name)?;
        let (host, index) = self.link(Place::Host, &vxlan.name)?;
        host.socket.set_vxlan(index, vxlan).map_err(ApplyError::netlink(&vxlan.name))
    }

    fn withdraw_vxlan(&mut self, name: &IfName) -> Result<(), ApplyError> {
        if let Some(index) = self.host.index(name)? {
            self.host.socket.delete_link(index).map_err(ApplyError::netlink(name))?;
        }
        self.host.forget(name);
        Ok(())
    }

    /// Takes it out of service and leaves it to the reaper. One of somebody else's by its
    /// name is not it.
    pub(super) fn delete_vxlan(&mut self, vxlan: &Vxlan) -> Result<(), ApplyError> {
        self.host.forget(&vxlan.name);
        let found = self.host.socket.link(vxlan.name.as_str());
        let found = found.map_err(ApplyError::netlink(&vxlan.name))?;
        let ours = found.filter(|found| mark::owner(found.alias.as_deref()) == Some(vxlan.owner));
        let Some(found) = ours else {
            self.drop_half_made(&vxlan.name);
            return Ok(());
        };
        match self.host.socket.retire(found.index) {
            // It went with its bridge, or by somebody else.
            Err(error) if error.errno == Errno::ENODEV => return Ok(()),
            outcome => outcome.map_err(ApplyError::netlink(&vxlan.name))?,
        }
        let (index, name) = (found.index, vxlan.name.clone());
        self.means.reaper.add(Retired { index, name, sandbox: None, interface: None });
        Ok(())
    }

    /// Says where frames for a MAC are sent, or the MAC of an address.
    pub(super) fn create_entry(&mut self, resource: &Resource) -> Result<(), ApplyError> {
        let added = match resource {
            Resource::Forwarding { link, mac, to } => {
                self.check_ours(link)?;
                let (host, index) = self.link(Place::Host, link)?;
                host.socket.add_forwarding(index, *mac, *to)
            }
            Resource::Neighbour { link, address, mac } => {
                self.check_ours(link)?;
                let (host, index) = self.link(Place::Host, link)?;
                host.socket.add_neighbour(index, *address, *mac)
            }
            other => return Err(not_a_step(other)),
        };
        added.map_err(ApplyError::netlink(resource))
    }

    /// With its link it is gone.
    pub(super) fn delete_entry(&mut self, resource: &Resource) -> Result<(), ApplyError> {
        let (Resource::Forwarding { link, .. } | Resource::Neighbour { link, .. }) = resource
        else {
            return Err(not_a_step(resource));
        };
        let Some((host, index)) = self.link_if_there(Place::Host, link)? else { return Ok(()) };
        let gone = match resource {
            Resource::Forwarding { mac, .. } => host.socket.delete_forwarding(index, *mac),
            Resource::Neighbour { address, .. } => host.socket.delete_neighbour(index, *address),
            other => return Err(not_a_step(other)),
        };
        gone.map_err(ApplyError::netlink(resource))
    }
}
