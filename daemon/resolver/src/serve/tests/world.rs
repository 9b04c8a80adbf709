//! A resolver with sandboxes at its doors, and servers for it to ask, all on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use postern_model::topology::Put;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::fixture::{sandbox, sandbox_id, topology};
use crate::{Limits, Resolver, ResolverOptions};

/// Longer than anything here takes, on a busy machine too.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Short waits, few places.
pub(super) fn limits() -> Limits {
    Limits {
        attempt: Duration::from_millis(150),
        total: Duration::from_secs(5),
        tcp_idle: Duration::from_secs(5),
        ..Limits::default()
    }
}

/// A resolver that knows the fixture's topology.
pub(super) fn resolver(limits: Limits) -> Resolver {
    let host_file = "/nonexistent/resolv.conf".into();
    let resolver = Resolver::new(ResolverOptions { host_file, limits });
    resolver.apply(&topology());
    resolver
}

/// Where a sandbox finds its resolver.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) udp: SocketAddr,
    pub(super) tcp: SocketAddr,
}

/// Serves the n-th sandbox.
pub(super) fn serve(resolver: &Resolver, n: u128) -> At {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = At { udp: udp.local_addr().unwrap(), tcp: tcp.local_addr().unwrap() };
    resolver.serve(sandbox_id(n), udp, tcp).unwrap();
    at
}

/// Has the n-th sandbox ask these servers.
pub(super) fn ask_at(resolver: &Resolver, n: u128, name: &str, servers: &[SocketAddr]) {
    let mut sandbox = sandbox(n, name);
    sandbox.spec.dns.servers = servers.to_vec();
    resolver.apply(&[Put::Sandbox(sandbox)]);
}

/// Asks by UDP.
pub(super) async fn by_udp(at: At, message: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), at.udp).await.unwrap();
    let mut buffer = [0; 4096];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    let reply = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(reply.id, message.id);
    reply
}

/// Asks by TCP.
pub(super) async fn by_tcp(at: At, message: &Message) -> Message {
    let mut stream = TcpStream::connect(at.tcp).await.unwrap();
    stream.write_all(&framed(&message.to_vec().unwrap())).await.unwrap();
    timeout(PATIENCE, next(&mut stream)).await.unwrap()
}

/// A message with its length in front.
pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// The next message of a connection.
pub(super) async fn next(stream: &mut TcpStream) -> Message {
    let length = stream.read_u16().await.unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    Message::from_vec(&bytes).unwrap()
}

/// A server that answers as it is told to, and counts.
pub(super) struct Server {
    pub(super) at: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// How many questions have come.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Starts a server on this address. The question is handed over as an answer that only
    /// needs to be filled in, and whether it came by TCP.
    pub(super) async fn start<F, R>(ip: &str, say: F) -> Self
    where
        F: Fn(Message, bool) -> R + Clone + Send + 'static,
        R: Future<Output = Vec<Message>> + Send + 'static,
    {
        let (udp, tcp) = pair(ip).await;
        let at = udp.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        tokio::spawn(datagrams(Arc::new(udp), say.clone(), Arc::clone(&asked)));
        tokio::spawn(connections(tcp, say, Arc::clone(&asked)));
        Self { at, asked }
    }

    /// A server that answers everything with one address, for this many seconds.
    pub(super) async fn plain(ttl: u32) -> Self {
        Self::start("127.0.0.1", move |message, _| async move { vec![with(message, 1, ttl)] }).await
    }

    /// A server that says the same of everything.
    pub(super) async fn code(code: ResponseCode) -> Self {
        Self::start("127.0.0.1", move |mut message, _| async move {
            message.metadata.response_code = code;
            vec![message]
        })
        .await
    }

    /// A server that keeps silent.
    pub(super) async fn silent() -> Self {
        Self::start("127.0.0.1", |_, _| async { Vec::new() }).await
    }
}

async fn pair(ip: &str) -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind((ip, 0)).await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn datagrams<F, R>(socket: Arc<UdpSocket>, say: F, asked: Arc<AtomicUsize>)
where
    F: Fn(Message, bool) -> R,
    R: Future<Output = Vec<Message>> + Send + 'static,
{
    let mut buffer = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        asked.fetch_add(1, Ordering::Relaxed);
        let replies = say(answer_to(&buffer[..length]), false);
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            for reply in replies.await {
                socket.send_to(&reply.to_vec().unwrap(), client).await.unwrap();
            }
        });
    }
}

async fn connections<F, R>(listener: TcpListener, say: F, asked: Arc<AtomicUsize>)
where
    F: Fn(Message, bool) -> R,
    R: Future<Output = Vec<Message>> + Send + 'static,
{
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await.unwrap();
        asked.fetch_add(1, Ordering::Relaxed);
        for reply in say(answer_to(&bytes), true).await {
            stream.write_all(&framed(&reply.to_vec().unwrap())).await.unwrap();
        }
    }
}

fn answer_to(bytes: &[u8]) -> Message {
    let mut message = Message::from_vec(bytes).unwrap().into_response();
    message.metadata.recursion_available = true;
    message
}

/// An answer with this many addresses.
pub(super) fn with(mut message: Message, count: u16, ttl: u32) -> Message {
    let name = message.queries[0].name.clone();
    if message.queries[0].query_type != RecordType::A {
        return message;
    }
    for n in 0..count {
        let [high, low] = n.to_be_bytes();
        let data = RData::A(A::new(192, 0, high, low));
        message.add_answer(Record::from_rdata(name.clone(), ttl, data));
    }
    message
}

/// An answer that there is no such name, which holds for so many seconds.
pub(super) fn without(mut message: Message, ttl: u32) -> Message {
    let zone = Name::from_ascii("example.").unwrap();
    let soa = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, ttl);
    message.add_authority(Record::from_rdata(zone, 600, RData::SOA(soa)));
    message.metadata.response_code = ResponseCode::NXDomain;
    message
}
