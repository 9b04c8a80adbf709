//! What somebody else does to objects of ours, as netlink tells of it.
//!
//! Links, addresses and routes are watched here and in every namespace that a link of ours
//! leads to (`NETLINK_LISTEN_ALL_NSID`); elements and rules only where others can change
//! them, as telling of each costs the kernel time. It is no more than a suspicion: whether
//! something is amiss is for whoever compares to find. Where the kernel does not say who did
//! it (a link set down, or taken off its bridge) or says nothing (a kernel parameter), the
//! slow full check finds it.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NetlinkBuffer, ParseableParametrized};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::RouteProtocol;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::sys::socket::{setsockopt, sockopt};
use postern_model::resource::Owner;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::mark::{self, PROTOCOL, REAP_GROUP};
use crate::nft::socket::NetfilterSocket;
use crate::nft::{EVENTS_GROUP, is_about_ours};
use crate::rtnl::port::is_foreign;

/// rtnetlink(7): `RTNLGRP_LINK`, and addresses and routes of both families.
const GROUPS: [u32; 5] = [1, 5, 9, 7, 11];
/// What may wait to be read, bytes.
const RECEIVE_LIMIT: usize = 1 << 20;
const DATAGRAM: usize = 32 << 10;

/// What may have been changed by somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// A link of this owner was deleted; it may be that it was to go.
    LinkGone(Owner),
    /// An address of ours was deleted; it may be that it was to go.
    AddressGone(IpAddr),
    /// Something else of ours, or nobody knows what: notices were lost.
    Something,
}

/// Listens to changes; see the module. Dropping it changes nothing.
pub struct Watch(Source);

/// Tells a watch of the fake kernel.
pub(crate) type Suspect = mpsc::UnboundedSender<Suspicion>;

enum Source {
    Kernel { route: AsyncFd<Socket>, tables: Option<AsyncFd<NetfilterSocket>>, buffer: Vec<u8> },
    Told(mpsc::UnboundedReceiver<Suspicion>),
}

impl Watch {
    /// Listens in the calling thread's namespace, to the tables too if asked. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses a socket or a group.
    pub fn open(tables: bool) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_LIMIT).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_LIMIT)?;
        }
        socket.set_listen_all_namespaces(true)?;
        socket.set_non_blocking(true)?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        let tables = if tables { Some(NetfilterSocket::listening(EVENTS_GROUP)?) } else { None };
        Ok(Self(Source::Kernel {
            route: registered(socket)?,
            tables: tables.map(registered).transpose()?,
            buffer: Vec::with_capacity(DATAGRAM),
        }))
    }

    /// One that is told by somebody else.
    pub(crate) fn told() -> (Suspect, Self) {
        let (suspect, told) = mpsc::unbounded_channel();
        (suspect, Self(Source::Told(told)))
    }

    /// Waits for something suspicious. Cancel safe.
    ///
    /// # Errors
    /// A socket failed; nothing more will come.
    pub async fn next(&mut self) -> io::Result<Suspicion> {
        match &mut self.0 {
            Source::Kernel { route, tables: None, buffer } => next_of_route(route, buffer).await,
            Source::Kernel { route, tables: Some(tables), buffer } => tokio::select! {
                found = next_of_route(route, buffer) => found,
                found = next_of_tables(tables) => found,
            },
            Source::Told(told) => {
                told.recv().await.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

#[expect(unsafe_code, reason = "tokio has no safe way to wait for a descriptor of one's own")]
fn registered<T: std::os::fd::AsRawFd>(socket: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the socket owns its descriptor, and never closes or replaces it.
    Ok(unsafe { AsyncFd::register(socket) }?)
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
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                return Ok(Suspicion::Something);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn next_of_tables(tables: &mut AsyncFd<NetfilterSocket>) -> io::Result<Suspicion> {
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

/// What a datagram gives to suspect, the gravest of it.
fn suspicion(mut rest: &[u8]) -> Option<Suspicion> {
    let mut found = None;
    while let Ok(notice) = NetlinkBuffer::new_checked(rest) {
        let length = (notice.length() as usize).next_multiple_of(4).min(rest.len());
        rest = &rest[length.max(4).min(rest.len())..];
        let kind = notice.message_type();
        let message = RouteNetlinkMessage::parse_with_param(notice.payload(), kind);
        match message.ok().and_then(|message| judge(message, notice.port_number())) {
            Some(Suspicion::Something) => return Some(Suspicion::Something),
            other => found = found.or(other),
        }
    }
    found
}

fn judge(message: RouteNetlinkMessage, port: u32) -> Option<Suspicion> {
    let foreign = is_foreign(port);
    match message {
        // Kernels before 6.1 do not say who deleted a link.
        RouteNetlinkMessage::DelLink(link) if foreign || port == 0 => {
            owner(&link).map(Suspicion::LinkGone)
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
