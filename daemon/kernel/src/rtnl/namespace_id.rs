//! The number under which one namespace knows another, as links name their other ends'.
//!
//! The kernel finds a namespace's number by a search from the lowest up (`peernet2id`), for
//! each notice of a link that leads there and for each notice from there, some twenty times
//! a connect. Left to itself it gives the lowest free number, so that the newest sandbox,
//! which is the one that gets links, is found last, and a connect takes the longer the more
//! sandboxes there are. We give each a number below all before.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::socket::{Mode, NetlinkError, Socket};

/// Our numbers are below this one: enough for a thousand sandboxes a second for twelve days,
/// and few enough bits to be told from a negative number, which stands for none.
const CEILING: i32 = 1 << 30;
/// Those below this one are left to the kernel and to others.
const FLOOR: i32 = 1 << 20;

/// The numbers that are free: all below the last one given.
#[derive(Debug)]
pub(crate) struct NamespaceIds(AtomicI32);

impl NamespaceIds {
    /// Goes on below what an earlier run has given in the thread's namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let question = RouteNetlinkMessage::GetNsId(NsidMessage::default());
        let all = Socket::open()?.dump(&question).map_err(io::Error::other)?;
        let ours = all.iter().filter_map(id).filter(|id| (FLOOR..CEILING).contains(id));
        Ok(Self(AtomicI32::new(ours.min().unwrap_or(CEILING))))
    }

    /// Gives a namespace the next number, unless it has one. Where none is left, or the
    /// kernel refuses, it gets one of the kernel's choice with its first link.
    pub(crate) fn give(&self, socket: &mut Socket, namespace: BorrowedFd<'_>) {
        let namespace = namespace.as_raw_fd();
        let given = match socket.namespace_id(namespace) {
            Ok(None) => match self.next() {
                Some(id) => socket.set_namespace_id(namespace, id),
                None => return,
            },
            asked => asked.map(drop),
        };
        if let Err(error) = given {
            tracing::debug!(%error, "a namespace's number is left to the kernel");
        }
    }

    fn next(&self) -> Option<i32> {
        let below = |last: i32| (last > FLOOR).then(|| last - 1);
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below);
        last.ok().map(|last| last - 1)
    }
}

impl Socket {
    /// The number of an open namespace; none if it has none yet, as no link leads there.
    pub(crate) fn namespace_id(&mut self, namespace: RawFd) -> Result<Option<i32>, NetlinkError> {
        let mut question = NsidMessage::default();
        question.attributes.push(NsidAttribute::Fd(namespace.cast_unsigned()));
        let answer = self.get(RouteNetlinkMessage::GetNsId(question))?;
        Ok(answer.as_ref().and_then(id))
    }

    fn set_namespace_id(&mut self, namespace: RawFd, id: i32) -> Result<(), NetlinkError> {
        let mut message = NsidMessage::default();
        message.attributes.push(NsidAttribute::Fd(namespace.cast_unsigned()));
        message.attributes.push(NsidAttribute::Id(id));
        // The kernel takes no lock for it that changes of links wait for.
        self.request_now(RouteNetlinkMessage::NewNsId(message), Mode::Change)
    }
}

fn id(message: &RouteNetlinkMessage) -> Option<i32> {
    let RouteNetlinkMessage::NewNsId(message) = message else { return None };
    message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(id) if *id >= 0 => Some(*id),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::namespace::OWN;

    fn another() -> File {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open(OWN).unwrap()
        });
        made.join().unwrap()
    }

    #[test]
    fn each_is_found_before_all_before_it_and_keeps_its_number() {
        let run = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let mut socket = Socket::open().unwrap();
            let [first, second, third] = [another(), another(), another()];
            let of = |socket: &mut Socket, file: &File| {
                socket.namespace_id(file.as_fd().as_raw_fd()).unwrap()
            };
            let ids = NamespaceIds::open().unwrap();
            ids.give(&mut socket, first.as_fd());
            ids.give(&mut socket, second.as_fd());
            ids.give(&mut socket, first.as_fd());
            assert_eq!(of(&mut socket, &first), Some(CEILING - 1));
            assert_eq!(of(&mut socket, &second), Some(CEILING - 2));
            // A later run goes on from those in use.
            let ids = NamespaceIds::open().unwrap();
            ids.give(&mut socket, third.as_fd());
            assert_eq!(of(&mut socket, &third), Some(CEILING - 3));
        });
        run.join().unwrap();
    }

    #[test]
    fn where_none_is_left_the_kernel_chooses() {
        let run = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let mut socket = Socket::open().unwrap();
            let one = another();
            NamespaceIds(AtomicI32::new(FLOOR)).give(&mut socket, one.as_fd());
            assert_eq!(socket.namespace_id(one.as_fd().as_raw_fd()).unwrap(), None);
        });
        run.join().unwrap();
    }
}
