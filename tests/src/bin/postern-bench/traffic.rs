//! Packets and connections that are measured.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use postern_tests::Netns;

const ROUND_TRIPS: usize = 20_000;
const CONNECTIONS: usize = 3000;
const PATIENCE: Duration = Duration::from_secs(5);

/// A UDP socket in a namespace; port 0 is one that the kernel chooses.
pub(crate) fn socket(netns: &Netns, port: u16) -> UdpSocket {
    let socket = netns.enter(|| {
        let socket = UdpSocket::bind(("0.0.0.0", port))?;
        socket.set_read_timeout(Some(PATIENCE)).map(|()| socket)
    });
    socket.unwrap_or_else(|error| panic!("a socket: {error}"))
}

pub(crate) fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().map_or(0, |address| address.port())
}

pub(crate) fn address(ip: &str, port: u16) -> SocketAddr {
    let ip: IpAddr = ip.parse().unwrap_or_else(|error| panic!("{ip}: {error}"));
    SocketAddr::new(ip, port)
}

/// One packet there and back, again and again, from one thread: what the kernel takes for
/// both ways.
pub(crate) fn round_trips(client: &UdpSocket, server: &UdpSocket, to: SocketAddr) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..ROUND_TRIPS)
        .map(|_| trip(client, server, to).unwrap_or_else(|error| panic!("no answer: {error}")))
        .collect();
    // The first ones find neighbours and warm caches.
    times.split_off(ROUND_TRIPS / 10)
}

/// One packet there and back.
pub(crate) fn trip(client: &UdpSocket, server: &UdpSocket, to: SocketAddr) -> io::Result<Duration> {
    let mut buffer = [0; 64];
    let begun = Instant::now();
    client.send_to(b"?", to)?;
    let (length, from) = server.recv_from(&mut buffer)?;
    server.send_to(&buffer[..length], from)?;
    client.recv_from(&mut buffer)?;
    Ok(begun.elapsed())
}

/// Connections, one after the other, with a byte each way: every one is a new flow, which
/// rules and translation look at in full.
pub(crate) fn connections(
    client: &Netns,
    (server, port): (&Netns, u16),
    to: SocketAddr,
) -> Vec<Duration> {
    let listener = server.enter(|| TcpListener::bind(("0.0.0.0", port)));
    let listener = listener.unwrap_or_else(|error| panic!("port {port}: {error}"));
    let one = || -> io::Result<Duration> {
        let begun = Instant::now();
        let mut near = TcpStream::connect_timeout(&to, PATIENCE)?;
        let (mut far, _) = listener.accept()?;
        let mut byte = [0];
        near.write_all(b"?")?;
        far.read_exact(&mut byte)?;
        far.write_all(b"!")?;
        near.read_exact(&mut byte)?;
        Ok(begun.elapsed())
    };
    client.enter(|| {
        let times = (0..CONNECTIONS).map(|_| one());
        let mut times: Vec<Duration> =
            times.map(|time| time.unwrap_or_else(|error| panic!("to {to}: {error}"))).collect();
        times.split_off(CONNECTIONS / 10)
    })
}

/// MiB a second from one namespace to another over one TCP connection, for a second.
pub(crate) fn stream(near: &Netns, far: &Netns, address: &str) -> f64 {
    const CHUNK: usize = 128 << 10;
    const LASTS: Duration = Duration::from_secs(1);
    let failed = |error: io::Error| -> ! { panic!("a stream to {address}: {error}") };
    let listener = far.enter(|| TcpListener::bind("0.0.0.0:0")).unwrap_or_else(|e| failed(e));
    let port = listener.local_addr().map_or(0, |address| address.port());
    let to = self::address(address, port);
    let sink = std::thread::spawn(move || -> io::Result<(u64, Duration)> {
        let (mut stream, _) = listener.accept()?;
        let (mut buffer, mut total, begun) = (vec![0; CHUNK], 0_u64, Instant::now());
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok((total, begun.elapsed())),
                read => total += read as u64,
            }
        }
    });
    near.enter(|| {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|e| failed(e));
        let (chunk, begun) = (vec![0; CHUNK], Instant::now());
        while begun.elapsed() < LASTS {
            stream.write_all(&chunk).unwrap_or_else(|e| failed(e));
        }
    });
    match sink.join() {
        Ok(Ok((total, time))) => total as f64 / f64::from(1 << 20) / time.as_secs_f64(),
        Ok(Err(error)) => failed(error),
        Err(_) => panic!("a stream to {address}"),
    }
}

/// Throws away what has come to a socket.
pub(crate) fn empty(socket: &UdpSocket) {
    let emptied = socket.set_nonblocking(true).and_then(|()| {
        while socket.recv(&mut [0; 64]).is_ok() {}
        socket.set_nonblocking(false)
    });
    emptied.unwrap_or_else(|error| panic!("a socket: {error}"));
}
