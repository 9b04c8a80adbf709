//! The port numbers of our netlink sockets.
//!
//! The kernel says in a notification whose request caused it, by the port number of the
//! socket. Ours are from a range of their own, so that a change of ours is known without
//! keeping a list of sockets, most of which live for one plan.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use netlink_sys::{Socket, SocketAddr};

/// What the upper twelve bits of a number are. Process ids, which others' first sockets
/// have, end at 2²², and the kernel's own choices are negative.
const RANGE: u32 = 0x505;
const BITS: u32 = 20;
/// So many numbers may be taken, one after the other, by somebody who means the same.
const TRIES: u32 = 64;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Gives a socket a number of ours, or any if they are taken: then what it changes is looked
/// at as if somebody else had done it.
pub(crate) fn bind(socket: &mut Socket) -> io::Result<()> {
    for _ in 0..TRIES {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) & ((1 << BITS) - 1);
        match socket.bind(&SocketAddr::new(RANGE << BITS | number, 0)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
    socket.bind_auto().map(drop)
}

/// Whether a change with this number is somebody else's: neither ours, nor the kernel's
/// own, which has 0.
pub(crate) const fn is_foreign(port: u32) -> bool {
    port != 0 && port >> BITS != RANGE
}

#[cfg(test)]
mod tests {
    use netlink_sys::protocols::NETLINK_ROUTE;

    use super::*;

    #[test]
    fn our_sockets_are_known_and_others_are_not() {
        let (mut first, mut second) =
            (Socket::new(NETLINK_ROUTE).unwrap(), Socket::new(NETLINK_ROUTE).unwrap());
        bind(&mut first).unwrap();
        bind(&mut second).unwrap();
        let number = |socket: &Socket| {
            let mut address = SocketAddr::new(0, 0);
            socket.get_address(&mut address).unwrap();
            address.port_number()
        };
        assert_ne!(number(&first), number(&second));
        assert!(!is_foreign(number(&first)) && !is_foreign(number(&second)) && !is_foreign(0));
        let mut other = Socket::new(NETLINK_ROUTE).unwrap();
        other.bind_auto().unwrap();
        assert!(is_foreign(number(&other)) && is_foreign(1) && is_foreign(u32::MAX));
    }
}
