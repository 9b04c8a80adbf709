//! Addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use rtnetlink::AddressMessageBuilder;

use super::socket::{Mode, NetlinkError, Socket};
use crate::mark::PROTOCOL;

/// RFC 4291, section 2.5.6.
const LINK_LOCAL_PREFIX: u8 = 64;

/// An address as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressRecord {
    /// The index of its link.
    pub(crate) link: u32,
    /// The address with its prefix length.
    pub(crate) address: IpNetwork,
    /// It carries our mark.
    pub(crate) marked: bool,
    /// Of global scope, and not one that the kernel gave for a time.
    pub(crate) lasting: bool,
}

impl AddressRecord {
    fn read(message: &AddressMessage) -> Option<Self> {
        let (mut local, mut other) = (None, None);
        let mut marked = false;
        let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => other = Some(*ip),
                AddressAttribute::Flags(all) => flags = *all,
                AddressAttribute::Protocol(AddressProtocol::Other(protocol)) => {
                    marked = *protocol == PROTOCOL;
                }
                _ => {}
            }
        }
        Some(Self {
            link: message.header.index,
            address: IpNetwork::new(local.or(other)?, message.header.prefix_len).ok()?,
            marked,
            lasting: message.header.scope == AddressScope::Universe
                && flags.contains(AddressFlags::Permanent),
        })
    }
}

impl Socket {
    /// Every address of a link, or of all links.
    pub(crate) fn addresses(
        &mut self,
        link: Option<u32>,
    ) -> Result<Vec<AddressRecord>, NetlinkError> {
        let mut filter = AddressMessage::default();
        filter.header.family = AddressFamily::Unspec;
        filter.header.index = link.unwrap_or_default();
        let messages = match self.dump(&RouteNetlinkMessage::GetAddress(filter)) {
            Err(error) if error.errno == Errno::ENODEV => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let addresses = messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(address) => AddressRecord::read(address),
            _ => None,
        });
        Ok(addresses.collect())
    }

    /// Adds an address. That it is there already is no error.
    pub(crate) fn add_address(
        &mut self,
        link: u32,
        address: IpNetwork,
    ) -> Result<(), NetlinkError> {
        let mut message = message(link, address);
        message.attributes.push(AddressAttribute::Protocol(PROTOCOL.into()));
        self.add(message)
    }

    /// Adds a link-local address, without our mark: it belongs to the interface. That it
    /// is there already is no error.
    pub(crate) fn add_link_local(&mut self, link: u32, ip: Ipv6Addr) -> Result<(), NetlinkError> {
        let mut message = AddressMessageBuilder::<Ipv6Addr>::new()
            .index(link)
            .address(ip, LINK_LOCAL_PREFIX)
            .build();
        message.header.scope = AddressScope::Link;
        self.add(message)
    }

    fn add(&mut self, mut message: AddressMessage) -> Result<(), NetlinkError> {
        if message.header.family == AddressFamily::Inet6 {
            // Addresses are handed out once; probing for others would take a second in
            // which it does not work.
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        match self.request(RouteNetlinkMessage::NewAddress(message), Mode::Create) {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            outcome => outcome,
        }
    }

    /// Removes an address. That it is gone already is no error.
    pub(crate) fn delete_address(
        &mut self,
        link: u32,
        address: IpNetwork,
    ) -> Result<(), NetlinkError> {
        match self.request(RouteNetlinkMessage::DelAddress(message(link, address)), Mode::Change) {
            Err(error) if matches!(error.errno, Errno::EADDRNOTAVAIL | Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }
}

fn message(link: u32, address: IpNetwork) -> AddressMessage {
    let prefix = address.prefix();
    match address.ip() {
        IpAddr::V4(ip) => {
            AddressMessageBuilder::<Ipv4Addr>::new().index(link).address(ip, prefix).build()
        }
        IpAddr::V6(ip) => {
            AddressMessageBuilder::<Ipv6Addr>::new().index(link).address(ip, prefix).build()
        }
    }
}
