//! Bridges.

use nix::errno::Errno;
use postern_model::resource::Bridge;

use super::Executor;
use crate::error::ApplyError;
use crate::mark::{self, REAP_GROUP};
use crate::reaper::Retired;
use crate::rtnl::{LinkKind, LinkRecord, NetlinkError};

impl Executor<'_> {
    /// Makes a bridge. One that is there already with our mark for the same owner is what
    /// a run that was cut off left behind, and is brought in line.
    pub(super) fn create_bridge(&mut self, bridge: &Bridge) -> Result<(), ApplyError> {
        self.check_filter(bridge)?;
        self.means.reaper.wait(|retired| retired.name == bridge.name);
        if let Err(error) = self.host.socket.create_bridge(bridge) {
            // It may have been made, and the answer lost.
            self.drop_half_made(&bridge.name);
            return match error.errno {
                Errno::EEXIST => self.update_bridge(bridge).map_err(|error| match error {
                    ApplyError::Foreign { object } => ApplyError::Exists { object },
                    other => other,
                }),
                _ => Err(ApplyError::netlink(&bridge.name)(error)),
            };
        }
        self.host.forget(&bridge.name);
        let Some(index) = self.host.index(&bridge.name)? else { return Err(missing(bridge)) };
        self.host.socket.set_bridge(index, bridge).map_err(|error| {
            self.host.forget(&bridge.name);
            if let Err(error) = self.host.socket.delete_link(index) {
                tracing::warn!(bridge = %bridge.name, %error, "a half-made bridge stays");
            }
            ApplyError::netlink(&bridge.name)(error)
        })
    }

    /// Brings a bridge of ours in line.
    pub(super) fn update_bridge(&mut self, bridge: &Bridge) -> Result<(), ApplyError> {
        self.check_filter(bridge)?;
        let found = self.find_bridge(bridge)?;
        if !found.is_bridge() || mark::owner(found.alias.as_deref()) != Some(bridge.owner) {
            return Err(ApplyError::Foreign { object: bridge.name.to_string() });
        }
        // With its address a link forgets its neighbours, though it is the one it has.
        let mac = bridge.mac.filter(|mac| found.mac != Some(*mac));
        let set = self.host.socket.set_bridge(found.index, &Bridge { mac, ..bridge.clone() });
        set.map_err(ApplyError::netlink(&bridge.name))
    }

    /// Makes somebody else's bridge pass its frames to the forward hook, if it is to.
    /// That is never taken back: its owner may want it as well.
    pub(super) fn adopt_bridge(&mut self, bridge: &Bridge) -> Result<(), ApplyError> {
        self.check_filter(bridge)?;
        let found = self.find_bridge(bridge)?;
        if !found.up {
            // Nothing passes a bridge that is down, and whoever asks for it wants a network.
            let up = self.host.socket.set_up(found.index);
            up.map_err(ApplyError::netlink(&bridge.name))?;
        }
        match found.kind {
            LinkKind::Bridge { filtered } if filtered || !bridge.filtered => Ok(()),
            LinkKind::Bridge { .. } => {
                let set = self.host.socket.set_filtered(found.index, true);
                set.map_err(ApplyError::netlink(&bridge.name))
            }
            _ => Err(ApplyError::Unsupported {
                object: bridge.name.to_string(),
                what: "a bridge by that name",
            }),
        }
    }

    /// Takes a bridge of ours out of service and leaves it to the reaper. One of somebody
    /// else's by its name is not it.
    pub(super) fn delete_bridge(&mut self, bridge: &Bridge) -> Result<(), ApplyError> {
        let socket = &mut self.host.socket;
        let found = socket.link(bridge.name.as_str()).map_err(ApplyError::netlink(&bridge.name))?;
        match found {
            Some(found) if mark::owner(found.alias.as_deref()) == Some(bridge.owner) => {
                self.host.forget(&bridge.name);
                let index = found.index;
                match self.retire_bridge(index) {
                    // Somebody else was quicker.
                    Err(error) if error.errno == Errno::ENODEV => return Ok(()),
                    outcome => outcome.map_err(ApplyError::netlink(&bridge.name))?,
                }
                let name = bridge.name.clone();
                self.means.reaper.add(Retired { index, name, sandbox: None, interface: None });
                Ok(())
            }
            _ => {
                self.drop_half_made(&bridge.name);
                Ok(())
            }
        }
    }

    /// A link that is down keeps its addresses, and the host answers for them: they go
    /// first.
    fn retire_bridge(&mut self, index: u32) -> Result<(), NetlinkError> {
        let socket = &mut self.host.socket;
        for found in socket.addresses(Some(index))? {
            socket.delete_address(index, found.address)?;
        }
        socket.retire(index)
    }

    /// Without `br_netfilter` the bridge's attributes can be set and do nothing, and
    /// neighbours would reach each other.
    fn check_filter(&self, bridge: &Bridge) -> Result<(), ApplyError> {
        if bridge.filtered && !self.means.features.bridge_netfilter {
            let object = bridge.name.to_string();
            return Err(ApplyError::Unsupported { object, what: "br_netfilter" });
        }
        Ok(())
    }

    fn find_bridge(&mut self, bridge: &Bridge) -> Result<LinkRecord, ApplyError> {
        let found = self.host.socket.link(bridge.name.as_str());
        let found = found.map_err(ApplyError::netlink(&bridge.name))?;
        // One that is out of service is on its way to be deleted.
        found.filter(|found| found.group != REAP_GROUP).ok_or_else(|| missing(bridge))
    }
}

fn missing(bridge: &Bridge) -> ApplyError {
    ApplyError::Missing { object: bridge.name.to_string() }
}
