//! What somebody else does to objects of ours, as netlink tells of it.
//!
//! Links, addresses and routes are watched here and in every namespace that a link of ours
//! leads to (`NETLINK_LISTEN_ALL_NSID`); elements and rules only where others can change
//! them, as telling of each costs the kernel time. Of namespaces, the directory they are
//! pinned in tells. It is no more than a suspicion: whether
//! something is amiss is for whoever compares to find. Where the kernel does not say who did
//! it (a link set down, or taken off its bridge) or says nothing (a kernel parameter), the
//! slow full check finds it.

mod pins;

use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use netlink_packet_core::ParseableParametrized;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::RouteProtocol;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use postern_model::resource::Owner;
use tokio::io::unix::AsyncFd;

use crate::mark::{self, PROTOCOL, REAP_GROUP};
use crate::netlink::port::is_foreign;
use crate::netlink::{messages, receive_much, registered};
use crate::nft::socket::NetfilterSocket;
use crate::nft::{EVENTS_GROUP, is_about_ours};

/// rtnetlink(7): `RTNLGRP_LINK`, and addresses and routes of both families.
const GROUPS: [u32; 5] = [1, 5, 9, 7, 11];
/// What may wait to be read, bytes.
const RECEIVE_LIMIT: usize = 1 << 20;
const DATAGRAM: usize = 32 << 10;

/// What may have been changed by somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// A link of this owner, or the namespace if it is a sandbox, was deleted; it may be that
    /// it was to go.
    Gone(Owner),
    /// An address of ours was deleted; it may be that it was to go.
    AddressGone(IpAddr),
    /// Something else of ours, or nobody knows what: notices were lost.
    Something,
}

/// Listens to changes; see the module. Dropping it changes nothing.
pub struct Watch(Source);

enum Source {
    Kernel(Box<Listening>),
    Silence,
}

struct Listening {
    route: AsyncFd<Socket>,
    tables: Option<AsyncFd<NetfilterSocket>>,
    pins: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
}

impl Watch {
    /// Listens in the calling thread's namespace, to the tables too if asked, and to the
    /// directory in which namespaces are pinned. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses a socket, a group or the directory.
    pub fn open(tables: bool, pins: &Path) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        receive_much(&socket, RECEIVE_LIMIT)?;
        socket.set_listen_all_namespaces(true)?;
        socket.set_non_blocking(true)?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        let tables = if tables { Some(NetfilterSocket::listening(EVENTS_GROUP)?) } else { None };
        Ok(Self(Source::Kernel(Box::new(Listening {
            route: registered(socket)?,
            tables: tables.map(registered).transpose()?,
            pins: pins::watch(pins)?,
            buffer: Vec::with_capacity(DATAGRAM),
        }))))
    }

    /// One that hears nothing.
    pub(crate) const fn silent() -> Self {
        Self(Source::Silence)
    }

    /// Waits for something suspicious. Cancel safe.
    ///
    /// # Errors
    /// A socket failed; nothing more will come.
    pub async fn next(&mut self) -> io::Result<Suspicion> {
        let Source::Kernel(listening) = &mut self.0 else { return pending().await };
        let Listening { route, tables, pins, buffer } = &mut **listening;
        let found = tokio::select! {
            found = next_of_route(route, buffer) => found,
            found = next_of_tables(tables.as_mut()) => found,
            found = pins::next(pins) => found,
        };
        match found {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Suspicion::Something),
            found => found,
        }
    }
}

async fn next_of_route(route: &mut AsyncFd<Socket>, buffer: &mut Vec<u8>) -> io::Result<Suspicion> {
    loop {
        let mut ready = route.readable_mut().await?;
        buffer.clear();
        match ready.get_inner().recv(buffer, 0) {
            Ok(_) => {
                if let Some(found) = suspicion(buffer) {
                    return Ok(found);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

async fn next_of_tables(tables: Option<&mut AsyncFd<NetfilterSocket>>) -> io::Result<Suspicion> {
    let Some(tables) = tables else { return pending().await };
    loop {
        let mut ready = tables.readable_mut().await?;
        let mut found = false;
        let heard = ready.get_inner_mut().listen(|message| {
            found |= is_foreign(message.port) && is_about_ours(message);
        })?;
        if found {
            return Ok(Suspicion::Something);
        }
        if !heard {
            ready.clear_ready();
        }
    }
}

/// What a datagram gives to suspect; something of a kind unknown here is of no object of
/// ours.
fn suspicion(datagram: &[u8]) -> Option<Suspicion> {
    let suspicions = messages(datagram).map_while(Result::ok).filter_map(|notice| {
        let message =
            RouteNetlinkMessage::parse_with_param(notice.payload(), notice.message_type());
        judge(message.ok()?, notice.port_number())
    });
    // Of several one may turn out to be in order and another not.
    suspicions.reduce(|_, _| Suspicion::Something)
}

fn judge(message: RouteNetlinkMessage, port: u32) -> Option<Suspicion> {
    let foreign = is_foreign(port);
    match message {
        // Kernels before 6.1 do not say who deleted a link.
        RouteNetlinkMessage::DelLink(link) if foreign || port == 0 => {
            owner(&link).map(Suspicion::Gone)
        }
        // Of an IPv6 address the kernel never says who deleted it.
        RouteNetlinkMessage::DelAddress(address) if foreign || port == 0 => {
            marked(&address).map(Suspicion::AddressGone)
        }
        RouteNetlinkMessage::DelRoute(route)
            if foreign && route.header.protocol == RouteProtocol::Other(PROTOCOL) =>
        {
            Some(Suspicion::Something)
        }
        _ => None,
    }
}

/// Whose link it is, unless it is out of service.
fn owner(link: &LinkMessage) -> Option<Owner> {
    let mut alias = None;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Group(REAP_GROUP) => return None,
            LinkAttribute::IfAlias(text) => alias = Some(text.as_str()),
            _ => {}
        }
    }
    mark::owner(alias)
}

/// The address, if it carries our mark.
fn marked(message: &AddressMessage) -> Option<IpAddr> {
    let (mut ours, mut address) = (false, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Protocol(protocol) => ours = u8::from(*protocol) == PROTOCOL,
            AddressAttribute::Address(ip) | AddressAttribute::Local(ip) => address = Some(*ip),
            _ => {}
        }
    }
    address.filter(|_| ours)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NetlinkMessage;
    use netlink_packet_route::address::AddressProtocol;
    use netlink_packet_route::route::RouteMessage;
    use proptest::prelude::*;

    use super::*;

    /// A port number such as `ip` has, and one of the daemon's.
    const THEIRS: u32 = 4711;
    const OURS: u32 = 0x5050_0001;

    fn heard(
        port: u32,
        messages: impl IntoIterator<Item = RouteNetlinkMessage>,
    ) -> Option<Suspicion> {
        let mut datagram = Vec::new();
        for message in messages {
            let mut message = NetlinkMessage::from(message);
            message.header.port_number = port;
            message.finalize();
            let mut bytes = vec![0; message.header.length as usize];
            message.serialize(&mut bytes);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            datagram.append(&mut bytes);
        }
        suspicion(&datagram)
    }

    fn owner() -> Owner {
        Owner::Endpoint("01932c07-a9d0-7000-8abc-0123456789ab".parse().unwrap())
    }

    fn link_gone(alias: &str, group: u32) -> RouteNetlinkMessage {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        link.attributes.push(LinkAttribute::Group(group));
        RouteNetlinkMessage::DelLink(link)
    }

    fn address_gone(protocol: u8) -> RouteNetlinkMessage {
        let mut address = AddressMessage::default();
        address.header.family = netlink_packet_route::AddressFamily::Inet;
        address.attributes.push(AddressAttribute::Address("10.1.0.1".parse().unwrap()));
        address.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(protocol)));
        RouteNetlinkMessage::DelAddress(address)
    }

    fn route_gone(protocol: RouteProtocol) -> RouteNetlinkMessage {
        let mut route = RouteMessage::default();
        route.header.protocol = protocol;
        RouteNetlinkMessage::DelRoute(route)
    }

    #[test]
    fn what_others_delete_of_ours_is_suspicious() {
        let ours = mark::alias(owner());
        let gone = Some(Suspicion::Gone(owner()));
        // An older kernel says of no link who deleted it, and 6.18 of no IPv6 address.
        assert_eq!(heard(THEIRS, [link_gone(&ours, mark::LINK_GROUP)]), gone);
        assert_eq!(heard(0, [link_gone(&ours, mark::LINK_GROUP)]), gone);
        let gone = Some(Suspicion::AddressGone("10.1.0.1".parse().unwrap()));
        assert_eq!(heard(THEIRS, [address_gone(PROTOCOL)]), gone);
        assert_eq!(heard(0, [address_gone(PROTOCOL)]), gone);
        let route = || route_gone(RouteProtocol::Other(PROTOCOL));
        assert_eq!(heard(THEIRS, [route()]), Some(Suspicion::Something));
        let both = [link_gone(&ours, mark::LINK_GROUP), address_gone(PROTOCOL)];
        assert_eq!(heard(THEIRS, both), Some(Suspicion::Something));
    }

    #[test]
    fn what_we_do_and_what_is_not_ours_is_not() {
        let ours = mark::alias(owner());
        assert_eq!(heard(OURS, [link_gone(&ours, mark::LINK_GROUP)]), None);
        assert_eq!(heard(0, [link_gone(&ours, REAP_GROUP)]), None);
        assert_eq!(heard(THEIRS, [link_gone("uplink", mark::LINK_GROUP)]), None);
        assert_eq!(heard(OURS, [address_gone(PROTOCOL)]), None);
        assert_eq!(heard(THEIRS, [address_gone(3)]), None);
        // With its link, which is told by itself.
        assert_eq!(heard(0, [route_gone(RouteProtocol::Other(PROTOCOL))]), None);
        assert_eq!(heard(THEIRS, [route_gone(RouteProtocol::Static)]), None);
    }

    proptest! {
        #[test]
        fn whatever_bytes_come_are_read(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            suspicion(&bytes);
        }
    }
}
