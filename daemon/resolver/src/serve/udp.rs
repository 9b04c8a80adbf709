//! Datagrams: what can be answered at once is, in the task that reads them.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use super::Door;
use super::handle::Outcome;
use crate::message::Transport;

/// Datagrams that are read before others have their turn.
const BATCH: usize = 64;
/// Room for a question, which has some hundred bytes. On the stack, so that a sandbox that
/// asks nothing holds none.
const BUFFER: usize = 4096;
/// After an error that is not of the clients' making, so that it is not met in a circle.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket that is watched.
pub(super) type Socket = Arc<AsyncFd<UdpSocket>>;

/// Watches a socket for what comes, and for nothing else: to be told that an answer has
/// left would cost a wake-up for each.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe for types that swap descriptors; a UdpSocket does not"
)]
pub(super) fn watch(socket: UdpSocket) -> io::Result<Socket> {
    Ok(Arc::new(AsyncFd::with_interest(socket, Interest::READABLE)?))
}

/// Answers until it is aborted; what waits for servers ends with it.
pub(super) async fn serve(door: Arc<Door>, socket: Socket) {
    let mut waiting = JoinSet::new();
    loop {
        let drained = match socket.readable().await {
            Ok(mut ready) => {
                let drained = drain(&door, &socket, &mut waiting);
                if matches!(drained, Ok(false)) {
                    ready.clear_ready();
                }
                drained
            }
            Err(error) => Err(error),
        };
        while waiting.try_join_next().is_some() {}
        match drained {
            Ok(true) => yield_now().await,
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(sandbox = %door.sandbox, %error, "a socket cannot be read");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers what is there; true if there may be more.
fn drain(door: &Arc<Door>, socket: &Socket, waiting: &mut JoinSet<()>) -> io::Result<bool> {
    let (mut buffer, mut out) = ([0; BUFFER], Vec::new());
    for _ in 0..BATCH {
        let (length, client) = match socket.get_ref().recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        match door.handle(bytes, Transport::Udp, &mut out) {
            Outcome::Nothing => {}
            Outcome::Reply => send(socket.get_ref(), &out, client),
            Outcome::Forward(pending) => {
                let (door, socket) = (Arc::clone(door), Arc::clone(socket));
                waiting.spawn(async move {
                    let reply = door.forward(*pending).await;
                    send(socket.get_ref(), &reply, client);
                });
            }
        }
    }
    Ok(true)
}

/// Sends, if there is room at once: who gets no answer asks again.
fn send(socket: &UdpSocket, reply: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(reply, client) {
        tracing::debug!(%client, %error, "an answer cannot be sent");
    }
}
