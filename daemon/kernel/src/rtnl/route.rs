//! Routes of the main table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
    RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use postern_model::network::Family;
use rtnetlink::RouteMessageBuilder;

use super::socket::{Mode, NetlinkError, Socket};
use crate::mark::PROTOCOL;

/// A unicast route as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteRecord {
    /// Where to.
    pub(crate) destination: IpNetwork,
    /// The index of its link; none of a route with several.
    pub(crate) link: Option<u32>,
    /// By which gateway.
    pub(crate) via: Option<IpAddr>,
    /// It carries our mark.
    pub(crate) marked: bool,
}

impl RouteRecord {
    fn read(message: &RouteMessage) -> Option<Self> {
        let header = &message.header;
        let everything = match header.address_family {
            AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => return None,
        };
        if header.kind != RouteType::Unicast {
            return None;
        }
        let (mut destination, mut link, mut via) = (everything, None, None);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(to) => destination = address(to)?,
                RouteAttribute::Oif(index) => link = Some(*index),
                RouteAttribute::Gateway(gateway) => via = address(gateway),
                RouteAttribute::Via(RouteVia::Inet6(gateway)) => via = Some((*gateway).into()),
                _ => {}
            }
        }
        Some(Self {
            destination: IpNetwork::new(destination, header.destination_prefix_length).ok()?,
            link,
            via,
            marked: header.protocol == RouteProtocol::Other(PROTOCOL),
        })
    }
}

const fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

impl Socket {
    /// The unicast routes of a family; the kernel leaves out those that are not `ours`.
    pub(crate) fn routes(
        &mut self,
        family: Family,
        ours: bool,
    ) -> Result<Vec<RouteRecord>, NetlinkError> {
        let mut filter = RouteMessage::default();
        filter.header.address_family = match family {
            Family::V4 => AddressFamily::Inet,
            Family::V6 => AddressFamily::Inet6,
        };
        filter.header.table = RouteHeader::RT_TABLE_MAIN;
        if ours {
            filter.header.protocol = RouteProtocol::Other(PROTOCOL);
        }
        let messages = match self.dump(&RouteNetlinkMessage::GetRoute(filter)) {
            // The family is off, or its main table was never used.
            Err(error) if matches!(error.errno, Errno::EOPNOTSUPP | Errno::ENOENT) => Vec::new(),
            outcome => outcome?,
        };
        let routes = messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) => RouteRecord::read(route),
            _ => None,
        });
        Ok(routes.collect())
    }

    /// Makes a route, or with `replace` puts it in the place of the one that is there.
    pub(crate) fn add_route(
        &mut self,
        link: u32,
        destination: IpNetwork,
        via: Option<IpAddr>,
        replace: bool,
    ) -> Result<(), NetlinkError> {
        let mode = if replace { Mode::Replace } else { Mode::Create };
        self.request(RouteNetlinkMessage::NewRoute(message(link, destination, via)), mode)
    }

    /// Removes a route of ours. That it is gone already is no error.
    pub(crate) fn delete_route(
        &mut self,
        link: u32,
        destination: IpNetwork,
        via: Option<IpAddr>,
    ) -> Result<(), NetlinkError> {
        let message = message(link, destination, via);
        match self.request(RouteNetlinkMessage::DelRoute(message), Mode::Change) {
            Err(error) if matches!(error.errno, Errno::ESRCH | Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }
}

fn message(link: u32, destination: IpNetwork, via: Option<IpAddr>) -> RouteMessage {
    let prefix = destination.prefix();
    let mut message = match destination.network() {
        IpAddr::V4(network) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(network, prefix)
            .output_interface(link)
            .build(),
        IpAddr::V6(network) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(network, prefix)
            .output_interface(link)
            .build(),
    };
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.scope = match via {
        None if destination.is_ipv4() => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    message.attributes.extend(match via {
        None => None,
        Some(IpAddr::V6(gateway)) if destination.is_ipv4() => {
            Some(RouteAttribute::Via(RouteVia::Inet6(gateway)))
        }
        Some(gateway) => Some(RouteAttribute::Gateway(gateway.into())),
    });
    message
}
