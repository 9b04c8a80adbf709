//! VXLAN links, and what they and their bridges know of other hosts' endpoints.
//!
//! Nothing is flooded and nothing learnt: frames for a MAC go where they were told to, or
//! nowhere, and a bridge answers itself for the neighbours it knows (`neigh_suppress`,
//! Linux 4.15). Without, each question for a MAC would have to go to every host.

use std::net::IpAddr;

use netlink_packet_route::link::{InfoBridgePort, InfoVxlan};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use postern_model::cluster::Vni;
use postern_model::mac::MacAddr;
use postern_model::resource::Vxlan;
use rtnetlink::{LinkBridgePort, LinkVxlan};

use super::link::LinkKind;
use super::socket::{Mode, NetlinkError, Socket};
use crate::mark::{self, LINK_GROUP, PROTOCOL};

/// Where frames for a MAC are sent, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForwardingRecord {
    pub(crate) mac: MacAddr,
    /// The host.
    pub(crate) to: IpAddr,
}

/// The MAC of an address, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NeighbourRecord {
    /// The index of its link.
    pub(crate) link: u32,
    pub(crate) address: IpAddr,
    pub(crate) mac: MacAddr,
}

impl Socket {
    /// Makes a VXLAN link, down and with no more mark than its group, as a port of a bridge.
    pub(crate) fn create_vxlan(&mut self, vxlan: &Vxlan, master: u32) -> Result<(), NetlinkError> {
        let link = LinkVxlan::new(vxlan.name.as_str(), vxlan.vni.number())
            .port(vxlan.port)
            .learning(false);
        let link = match vxlan.local {
            IpAddr::V4(v4) => link.local(v4),
            // As IPv6 asks for, where the inner packet has a checksum of its own.
            IpAddr::V6(v6) => link.local6(v6).append_info_data(InfoVxlan::UDPCsum(true)),
        };
        let link = link.link_group(LINK_GROUP).mtu(vxlan.mtu).controller(master);
        self.new_link(link.build(), Mode::Create)
    }

    /// Gives a VXLAN link its mark and its properties as a port, and brings it up.
    pub(crate) fn set_vxlan(&mut self, index: u32, vxlan: &Vxlan) -> Result<(), NetlinkError> {
        let port = LinkBridgePort::new(index)
            .append_info_data(InfoBridgePort::Learning(false))
            .append_info_data(InfoBridgePort::UnicastFlood(false))
            .append_info_data(InfoBridgePort::MulticastFlood(false))
            .append_info_data(InfoBridgePort::BroadcastFlood(false))
            .append_info_data(InfoBridgePort::NeighSupress(true))
            .alias(mark::alias(vxlan.owner))
            .mtu(vxlan.mtu)
            .up();
        self.new_link(port.build(), Mode::Change)
    }

    /// Has frames for a MAC sent to a host, whatever was said of it before.
    pub(crate) fn add_forwarding(
        &mut self,
        link: u32,
        mac: MacAddr,
        to: IpAddr,
    ) -> Result<(), NetlinkError> {
        let mut message = forwarding(link, mac);
        message.attributes.push(NeighbourAttribute::Destination(to.into()));
        self.request(RouteNetlinkMessage::NewNeighbour(message), Mode::Replace)
    }

    /// Has a bridge know who is at a port of it, before that one says a word: frames for it
    /// would go to every port.
    pub(crate) fn add_port_mac(&mut self, port: u32, mac: MacAddr) -> Result<(), NetlinkError> {
        let mut message = forwarding(port, mac);
        message.header.flags = NeighbourFlags::Controller;
        self.request(RouteNetlinkMessage::NewNeighbour(message), Mode::Replace)
    }

    /// Forgets where frames for a MAC are sent. That it is forgotten already is no error.
    pub(crate) fn delete_forwarding(
        &mut self,
        link: u32,
        mac: MacAddr,
    ) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelNeighbour(forwarding(link, mac));
        gone(self.request(message, Mode::Change))
    }

    /// Where frames are sent by a VXLAN link.
    pub(crate) fn forwardings(&mut self, link: u32) -> Result<Vec<ForwardingRecord>, NetlinkError> {
        let mut filter = NeighbourMessage::default();
        filter.header.family = AddressFamily::Bridge;
        filter.header.ifindex = link;
        let messages = self.dump(&RouteNetlinkMessage::GetNeighbour(filter))?;
        let found = messages.iter().filter_map(|message| {
            let message = neighbour(message)?;
            let (address, mac) = read(message);
            // The bridge's half of an entry says nothing of a host.
            let ours = message.header.ifindex == link;
            Some(ForwardingRecord { mac: mac?, to: address.filter(|_| ours)? })
        });
        Ok(found.collect())
    }

    /// Has a link know the MAC of an address, whatever it knew before.
    pub(crate) fn add_neighbour(
        &mut self,
        link: u32,
        address: IpAddr,
        mac: MacAddr,
    ) -> Result<(), NetlinkError> {
        let mut message = resolution(link, address);
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.bytes().to_vec()));
        message.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
        self.request(RouteNetlinkMessage::NewNeighbour(message), Mode::Replace)
    }

    /// Has a link forget the MAC of an address. That it is forgotten already is no error.
    pub(crate) fn delete_neighbour(
        &mut self,
        link: u32,
        address: IpAddr,
    ) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelNeighbour(resolution(link, address));
        gone(self.request(message, Mode::Change))
    }

    /// The MACs that links were told by us, of addresses of both families.
    pub(crate) fn neighbours(&mut self) -> Result<Vec<NeighbourRecord>, NetlinkError> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut filter = NeighbourMessage::default();
            filter.header.family = family;
            let messages = match self.dump(&RouteNetlinkMessage::GetNeighbour(filter)) {
                // The family is off.
                Err(error) if error.errno == Errno::EOPNOTSUPP => continue,
                messages => messages?,
            };
            found.extend(messages.iter().filter_map(|message| {
                let message = neighbour(message)?;
                let ours = NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
                let (address, mac) = read(message);
                let link = message.header.ifindex;
                let marked = message.attributes.contains(&ours);
                Some(NeighbourRecord { link, address: address.filter(|_| marked)?, mac: mac? })
            }));
        }
        Ok(found)
    }
}

/// The kind of a VXLAN link by what the kernel says of it.
pub(super) fn kind(infos: &[InfoVxlan]) -> LinkKind {
    let (mut vni, mut local, mut port) = (None, None, 0);
    for info in infos {
        match info {
            InfoVxlan::Id(id) => vni = Vni::try_from(*id).ok(),
            InfoVxlan::Local(v4) => local = Some((*v4).into()),
            InfoVxlan::Local6(v6) => local = Some((*v6).into()),
            InfoVxlan::Port(number) => port = *number,
            _ => {}
        }
    }
    // One that is not as any of ours is as good as none of this kind.
    let known = vni.zip(local);
    known.map_or(LinkKind::Other, |(vni, local)| LinkKind::Vxlan { vni, local, port })
}

/// An entry of both the VXLAN link and its bridge: it is static, and not the host's own.
fn forwarding(link: u32, mac: MacAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = link;
    message.header.flags = NeighbourFlags::Own | NeighbourFlags::Controller;
    message.header.state = NeighbourState::Other(STATIC);
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.bytes().to_vec()));
    message
}

/// `NUD_NOARP | NUD_REACHABLE`, as `bridge fdb add … static` has it.
const STATIC: u16 = 0x42;

fn resolution(link: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = link;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}

const fn neighbour(message: &RouteNetlinkMessage) -> Option<&NeighbourMessage> {
    match message {
        RouteNetlinkMessage::NewNeighbour(message) => Some(message),
        _ => None,
    }
}

fn read(message: &NeighbourMessage) -> (Option<IpAddr>, Option<MacAddr>) {
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            // Of the bridge's family, which says nothing of the address's.
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
                address = of_bytes(bytes);
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok().and_then(|bytes| MacAddr::new(bytes).ok());
            }
            _ => {}
        }
    }
    (address, mac)
}

fn of_bytes(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn gone(outcome: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match outcome {
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENODEV) => Ok(()),
        outcome => outcome,
    }
}
