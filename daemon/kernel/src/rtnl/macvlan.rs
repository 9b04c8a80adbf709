//! Macvlan links: the messages that make and change them.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::link::{InfoKind, MacVlanMode};
use postern_model::decision::MacvlanMode;
use postern_model::resource::Macvlan;
use rtnetlink::{LinkMacVlan, LinkMessageBuilder};

use super::link::LinkKind;
use super::socket::{Mode, NetlinkError, Socket};
use crate::mark::{self, LINK_GROUP};

impl Socket {
    /// Makes a macvlan in `namespace` on a parent in the socket's own, down and with no more
    /// mark than its group.
    pub(crate) fn create_macvlan(
        &mut self,
        macvlan: &Macvlan,
        parent: u32,
        namespace: impl AsFd,
    ) -> Result<(), NetlinkError> {
        let name = macvlan.interface.as_str();
        let mut link = LinkMacVlan::new(name, parent, to_kernel(macvlan.mode))
            .link_group(LINK_GROUP)
            .mtu(macvlan.mtu)
            .setns_by_fd(namespace.as_fd().as_raw_fd());
        if let Some(mac) = macvlan.mac {
            link = link.address(mac.bytes().to_vec());
        }
        self.new_link(link.build(), Mode::Create)
    }

    /// Gives a macvlan its mark and the properties that can change.
    pub(crate) fn set_macvlan(
        &mut self,
        index: u32,
        macvlan: &Macvlan,
    ) -> Result<(), NetlinkError> {
        let link = LinkMessageBuilder::<LinkMacVlan>::new_with_info_kind(InfoKind::MacVlan)
            .index(index)
            .mode(to_kernel(macvlan.mode))
            .alias(mark::alias(macvlan.owner))
            .link_group(LINK_GROUP)
            .mtu(macvlan.mtu);
        self.new_link(link.build(), Mode::Change)
    }
}

/// The kind of a macvlan whose parent is not known yet.
pub(super) const fn kind(mode: Option<MacvlanMode>) -> LinkKind {
    LinkKind::Macvlan { mode, parent: 0, parent_namespace: None }
}

const fn to_kernel(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    }
}

pub(super) const fn mode_of(mode: MacVlanMode) -> Option<MacvlanMode> {
    match mode {
        MacVlanMode::Private => Some(MacvlanMode::Private),
        MacVlanMode::Vepa => Some(MacvlanMode::Vepa),
        MacVlanMode::Bridge => Some(MacvlanMode::Bridge),
        MacVlanMode::Passthrough => Some(MacvlanMode::Passthru),
        _ => None,
    }
}
