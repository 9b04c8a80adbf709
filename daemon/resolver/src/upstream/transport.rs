//! One question to one server: by UDP, and by TCP where the answer is cut.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Message, MessageType, OpCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Question;
use crate::message::{AnswerError, Relayed, UDP_MAX, check};

/// Room for a datagram: servers may send more than they are asked for.
const BUFFER: usize = 4096;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nothing came in time.
    #[error("it keeps silent")]
    Timeout,
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Io(#[from] io::Error),
    /// The question cannot be written.
    #[error("it cannot be asked")]
    Encode(#[from] ProtoError),
    /// What came is no answer.
    #[error(transparent)]
    Answer(AnswerError),
}

/// Asks a server, in at most `attempt`; by TCP in as much again.
pub(super) async fn ask(
    server: SocketAddr,
    question: &Question,
    attempt: Duration,
) -> Result<(Vec<u8>, Relayed), AskError> {
    let id = rand::random();
    let bytes = encode(id, question)?;
    let answer = timeout(attempt, by_udp(server, &bytes, id, question)).await;
    match answer.unwrap_or(Err(AskError::Timeout)) {
        Err(AskError::Answer(AnswerError::Truncated)) => {
            let answer = timeout(attempt, by_tcp(server, &bytes, id, question)).await;
            answer.unwrap_or(Err(AskError::Timeout))
        }
        answer => answer,
    }
}

fn encode(id: u16, question: &Question) -> Result<Vec<u8>, ProtoError> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    // So that the server says whether it vouches for the answer (RFC 6840 §5.7).
    message.metadata.authentic_data = true;
    message.metadata.checking_disabled = question.checking_disabled;
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_MAX);
    edns.set_dnssec_ok(question.dnssec_ok);
    message.add_query(question.query());
    message.set_edns(edns);
    message.to_vec()
}

async fn by_udp(
    server: SocketAddr,
    bytes: &[u8],
    id: u16,
    question: &Question,
) -> Result<(Vec<u8>, Relayed), AskError> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    // A socket of its own for each try: the kernel chooses a port that nobody can guess,
    // and once connected lets nobody but the server through.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let query = question.query();
    loop {
        let mut buffer = vec![0; BUFFER];
        let length = socket.recv(&mut buffer).await?;
        buffer.truncate(length);
        match check(&buffer, id, &query) {
            Ok(relayed) => return Ok((buffer, relayed)),
            Err(AnswerError::Other) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn by_tcp(
    server: SocketAddr,
    bytes: &[u8],
    id: u16,
    question: &Question,
) -> Result<(Vec<u8>, Relayed), AskError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData);
    let mut framed = length.map_err(io::Error::from)?.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    let relayed = check(&answer, id, &question.query())?;
    Ok((answer, relayed))
}
