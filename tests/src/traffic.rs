//! Small servers and probes: who answers, and from where the call seems to come.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::netns::Netns;

/// How long a probe waits. What is dropped costs a test this much.
const PATIENCE: Duration = Duration::from_millis(700);
const TICK: Duration = Duration::from_millis(5);

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name the server was given.
    pub server: String,
    /// The address the server saw the probe come from.
    pub seen_from: IpAddr,
}

/// A server that tells every caller its name and the caller's address, and then, over
/// TCP, sends back what it is sent. It stops when dropped.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves TCP at an address inside a namespace.
    ///
    /// # Panics
    /// The address is taken.
    pub fn tcp(netns: &Netns, address: &str, name: &str) -> Self {
        let listener = netns.enter(|| TcpListener::bind(address));
        let listener = listener.unwrap_or_else(|error| panic!("{name} at {address}: {error}"));
        listener.set_nonblocking(true).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self::start(name, move |name, stop| accept(&listener, &name, &stop))
    }

    /// Serves UDP at an address inside a namespace.
    ///
    /// # Panics
    /// The address is taken.
    pub fn udp(netns: &Netns, address: &str, name: &str) -> Self {
        let socket = netns.enter(|| UdpSocket::bind(address));
        let socket = socket.unwrap_or_else(|error| panic!("{name} at {address}: {error}"));
        socket.set_read_timeout(Some(TICK)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self::start(name, move |name, stop| reply(&socket, &name, &stop))
    }

    fn start(name: &str, serve: impl FnOnce(String, Arc<AtomicBool>) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (name, flag) = (name.to_owned(), Arc::clone(&stop));
        Self { stop, thread: Some(thread::spawn(move || serve(name, flag))) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A server that panicked has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, name: &str, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, peer)) => {
                let (name, stop) = (name.to_owned(), Arc::clone(stop));
                thread::spawn(move || converse(stream, peer, &name, &stop));
            }
            Err(_) => thread::sleep(TICK),
        }
    }
}

/// Greets, then echoes until the caller is gone. Errors end the conversation: what the
/// caller then sees is what the test is about.
fn converse(mut stream: TcpStream, peer: SocketAddr, name: &str, stop: &AtomicBool) {
    let set_up = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(TICK)));
    if set_up.is_err() || writeln!(stream, "{name} {}", peer.ip()).is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) if stream.write_all(&buffer[..read]).is_err() => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

fn reply(socket: &UdpSocket, name: &str, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            // An answer that cannot be sent shows as a probe without one.
            let _ = socket.send_to(format!("{name} {}\n", peer.ip()).as_bytes(), peer);
        }
    }
}

fn parse(line: &str) -> Option<Answer> {
    let (server, from) = line.trim().split_once(' ')?;
    let seen_from = from.parse::<IpAddr>().ok()?.to_canonical();
    Some(Answer { server: server.to_owned(), seen_from })
}

/// Calls a TCP server from inside a namespace; none if there is no answer in time.
///
/// # Panics
/// `to` is not a socket address.
pub fn tcp(from: &Netns, to: &str) -> Option<Answer> {
    let to: SocketAddr = to.parse().unwrap_or_else(|error| panic!("{to}: {error}"));
    from.enter(|| {
        let stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        parse(&line)
    })
}

/// Calls a UDP server from inside a namespace; none if there is no answer in time.
///
/// # Panics
/// `to` is not a socket address.
pub fn udp(from: &Netns, to: &str) -> Option<Answer> {
    let to: SocketAddr = to.parse().unwrap_or_else(|error| panic!("{to}: {error}"));
    from.enter(|| {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.send_to(b"?", to).ok()?;
        let mut buffer = [0; 2048];
        // Unconnected, so that an answer from an untranslated address is seen as such.
        let (length, peer) = socket.recv_from(&mut buffer).ok()?;
        (peer == to).then(|| parse(&String::from_utf8_lossy(&buffer[..length])))?
    })
}

/// A TCP conversation that is kept open.
#[derive(Debug)]
pub struct Conversation(BufReader<TcpStream>);

impl Conversation {
    /// Begins one from inside a namespace; none if there is no answer in time.
    ///
    /// # Panics
    /// `to` is not a socket address.
    pub fn begin(from: &Netns, to: &str) -> Option<Self> {
        let to: SocketAddr = to.parse().unwrap_or_else(|error| panic!("{to}: {error}"));
        from.enter(|| {
            let stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            parse(&line).map(|_| Self(reader))
        })
    }

    /// Whether a line sent now comes back in time.
    pub fn goes_on(&mut self) -> bool {
        let mut line = String::new();
        self.0.get_mut().write_all(b"still there?\n").is_ok()
            && self.0.read_line(&mut line).is_ok()
            && line == "still there?\n"
    }
}
