//! What our netlink sockets have in common, of whatever protocol.

pub(crate) mod port;

use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::NetlinkBuffer;
use netlink_sys::Socket;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::unix::AsyncFd;

/// The messages of a datagram; what is broken ends it with an error.
pub(crate) struct Messages<'a>(&'a [u8]);

/// Reads a datagram message by message.
pub(crate) const fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages(datagram)
}

impl<'a> Iterator for Messages<'a> {
    type Item = io::Result<NetlinkBuffer<&'a [u8]>>;

    fn next(&mut self) -> Option<Self::Item> {
        let datagram = std::mem::take(&mut self.0);
        if datagram.is_empty() {
            return None;
        }
        let message = NetlinkBuffer::new_checked(datagram)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        if let Ok(message) = &message {
            let length = (message.length() as usize).next_multiple_of(4);
            self.0 = datagram.get(length..).unwrap_or_default();
        }
        Some(message)
    }
}

/// Has a socket keep up to so many bytes until they are read.
pub(crate) fn receive_much(socket: &Socket, bytes: usize) -> io::Result<()> {
    // Not allowed in a user namespace, where the system's own limit must do.
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &bytes)?;
    }
    Ok(())
}

/// Has tokio tell when there is something to read. Must be called within a runtime.
#[expect(unsafe_code, reason = "tokio has no safe way to wait for a descriptor of one's own")]
pub(crate) fn registered<T: AsRawFd>(socket: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: every `T` here owns its descriptor, and never closes or replaces it.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_datagram_ends_with_its_last_message_or_where_it_is_broken() {
        let message = |length: u32| {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.resize(length.max(16) as usize, 0);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let whole = [message(16), message(18), message(20)].concat();
        let lengths: Vec<u32> = messages(&whole).map(|one| one.unwrap().length()).collect();
        assert_eq!(lengths, [16, 18, 20]);
        let broken = [message(16), message(3), message(16)].concat();
        let read: Vec<bool> = messages(&broken).map(|one| one.is_ok()).collect();
        assert_eq!(read, [true, false]);
    }

    proptest! {
        #[test]
        fn whatever_bytes_come_it_ends(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / 16 + 1);
        }
    }
}
