//! Connections: several questions on each, answered as they can be.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Door;
use super::handle::Outcome;
use crate::message::Transport;

/// After a connection could not be taken, as when there are no more files to be had.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a connection is closed that the client has not closed.
#[derive(Debug, thiserror::Error)]
enum CloseError {
    /// A question or the taking of an answer took too long.
    #[error("it takes too long")]
    Slow,
    /// What came cannot be answered.
    #[error("it is not DNS")]
    Garbage,
    /// It broke.
    #[error("it broke")]
    Io(#[from] io::Error),
}

/// Takes connections until it is aborted; they end with it.
pub(super) async fn serve(door: Arc<Door>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(sandbox = %door.sandbox, %error, "no connection can be taken");
                sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&door.connections).try_acquire_owned() else {
            door.shared.tally.tcp_rejected.add();
            continue;
        };
        door.shared.tally.tcp_accepted.add();
        let door = Arc::clone(&door);
        connections.spawn(async move {
            connection(&door, stream).await;
            drop(permit);
        });
    }
}

async fn connection(door: &Arc<Door>, stream: TcpStream) {
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(Mutex::new(writer));
    let mut waiting = JoinSet::new();
    if let Err(error) = questions(door, &mut reader, &writer, &mut waiting).await {
        door.shared.tally.tcp_closed.add();
        tracing::debug!(sandbox = %door.sandbox, %error, "a connection is closed");
    }
    // Whoever has said all may still be waiting for answers.
    while waiting.join_next().await.is_some() {}
}

/// Answers questions until there are no more.
async fn questions(
    door: &Arc<Door>,
    reader: &mut OwnedReadHalf,
    writer: &Arc<Mutex<OwnedWriteHalf>>,
    waiting: &mut JoinSet<()>,
) -> Result<(), CloseError> {
    let idle = door.shared.limits.tcp_idle;
    let mut out = Vec::new();
    loop {
        let bytes = match timeout(idle, read(reader)).await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(CloseError::Slow),
        };
        while waiting.try_join_next().is_some() {}
        match door.handle(&bytes, Transport::Tcp, &mut out) {
            Outcome::Nothing => return Err(CloseError::Garbage),
            Outcome::Reply => write(writer, &out, idle).await?,
            Outcome::Forward(pending) => {
                let (door, writer) = (Arc::clone(door), Arc::clone(writer));
                waiting.spawn(async move {
                    let reply = door.forward(*pending).await;
                    if let Err(error) = write(&writer, &reply, idle).await {
                        tracing::debug!(sandbox = %door.sandbox, %error, "an answer is not taken");
                    }
                });
            }
        }
    }
}

/// The next message; none at the end.
async fn read(reader: &mut OwnedReadHalf) -> io::Result<Option<Vec<u8>>> {
    let mut first = [0; 1];
    if reader.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let length = u16::from_be_bytes([first[0], reader.read_u8().await?]);
    let mut bytes = Vec::new();
    // Room is made as bytes come, not as they are promised.
    let read = reader.take(length.into()).read_to_end(&mut bytes).await?;
    if read < usize::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(bytes))
}

async fn write(
    writer: &Mutex<OwnedWriteHalf>,
    message: &[u8],
    idle: Duration,
) -> Result<(), CloseError> {
    let Ok(length) = u16::try_from(message.len()) else { return Ok(()) };
    // In one piece: some clients read no further than the first one.
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    let mut writer = writer.lock().await;
    let sent = timeout(idle, writer.write_all(&framed)).await;
    let sent = sent.map_err(|_| CloseError::Slow).and_then(|sent| Ok(sent?));
    if sent.is_err() {
        // What comes after half a message would be read as the rest of it.
        let _ = writer.shutdown().await;
    }
    sent
}
