//! The socket that holds a port.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use postern_failpoint::point;
use postern_model::port::Protocol;
use socket2::{Domain, SockFilter, Socket, Type};

use super::PortError;

/// Classic BPF: accept no byte of any packet (`BPF_RET | BPF_K`, 0).
const DROP: (u16, u8, u8, u32) = (0x06, 0, 0, 0);

/// Binds a port of the host.
pub(super) fn bind(protocol: Protocol, address: IpAddr, port: u16) -> Result<Socket, PortError> {
    try_bind(protocol, address, port).map_err(|source| {
        let errno = source.raw_os_error().map(Errno::from_raw);
        match errno {
            Some(Errno::EADDRINUSE) => PortError::Busy { address, protocol, port, by_us: false },
            Some(Errno::EADDRNOTAVAIL | Errno::EINVAL) => PortError::NotLocal { host_ip: address },
            Some(Errno::EAFNOSUPPORT) => PortError::NoFamily { host_ip: address },
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                PortError::TooMany
            }
            _ => PortError::Io { address, protocol, port, source },
        }
    })
}

fn try_bind(protocol: Protocol, address: IpAddr, port: u16) -> io::Result<Socket> {
    point("ports.hold")?;
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let (kind, transport) = match protocol {
        Protocol::Tcp => (Type::STREAM, socket2::Protocol::TCP),
        Protocol::Udp => (Type::DGRAM, socket2::Protocol::UDP),
        Protocol::Sctp => (Type::STREAM, socket2::Protocol::SCTP),
    };
    let socket = Socket::new(domain, kind, Some(transport))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    if protocol == Protocol::Udp {
        // Before it is bound: what is not translated must not queue here.
        let (code, jt, jf, k) = DROP;
        socket.attach_filter(&[SockFilter::new(code, jt, jf, k)])?;
    }
    socket.bind(&SocketAddr::new(address, port).into())?;
    Ok(socket)
}
