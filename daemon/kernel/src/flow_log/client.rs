//! The listener of the log group.

use std::io;

use netlink_packet_netfilter::nflog::{
    ConfigCmd, ConfigFlags, ConfigMode, ConfigNla, Timeout, ULogMessage,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::{Batch, GROUP, SNAPLEN, Teller, packet};
use crate::netlink::registered;
use crate::nft::socket::{NetfilterSocket, Reply};

/// What may wait to be read, bytes: some ten thousand packets.
const RECEIVE_LIMIT: usize = 4 << 20;
/// So many packets come at once ...
const AT_ONCE: u32 = 32;
/// ... or those there are, after so many hundredths of a second.
const PATIENCE: u32 = 5;
/// Room for as many, bytes.
const MESSAGE_LENGTH: u32 = 16 << 10;

/// Listens to the new flows of one network namespace: the one it was opened in, whatever
/// thread uses it later. There is one listener at a time; dropping it makes way for the next.
pub struct FlowLog(Source);

enum Source {
    Kernel {
        socket: AsyncFd<NetfilterSocket>,
        /// The number of the next packet.
        next: u32,
    },
    Told(mpsc::UnboundedReceiver<Batch>),
}

impl FlowLog {
    /// Listens in the calling thread's namespace. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] if somebody else listens, or without
    /// `CAP_NET_ADMIN`; any other without `nfnetlink_log` in the kernel.
    pub fn open() -> io::Result<Self> {
        let mut socket = NetfilterSocket::open()?;
        socket.receive_or_drop(RECEIVE_LIMIT)?;
        let request = vec![
            ConfigCmd::Bind.into(),
            ConfigMode::new_packet(SNAPLEN).into(),
            ConfigNla::NlBufSiz(MESSAGE_LENGTH),
            ConfigNla::QThresh(AT_ONCE),
            Timeout::new(PATIENCE).into(),
            // By their numbers packets are known that were dropped.
            ConfigFlags::SEQ.into(),
        ];
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, GROUP);
        socket.request(NetfilterMessage::new(header, ULogMessage::Config(request)))?;
        Ok(Self(Source::Kernel { socket: registered(socket)?, next: 0 }))
    }

    /// One that is told by somebody else.
    pub(crate) fn told() -> (Teller, Self) {
        let (teller, told) = mpsc::unbounded_channel();
        (teller, Self(Source::Told(told)))
    }

    /// Waits for new flows. Cancel safe.
    ///
    /// # Errors
    /// The socket failed; nothing more will come.
    pub async fn next(&mut self) -> io::Result<Batch> {
        match &mut self.0 {
            Source::Kernel { socket, next } => loop {
                let mut ready = socket.readable_mut().await?;
                let mut batch = Batch::default();
                if !ready.get_inner_mut().listen(|message| take(message, next, &mut batch))? {
                    ready.clear_ready();
                } else if batch != Batch::default() {
                    return Ok(batch);
                }
            },
            Source::Told(told) => {
                told.recv().await.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

fn take(message: Reply<'_>, next: &mut u32, batch: &mut Batch) {
    let (number, packet) = packet::read(message);
    if let Some(number) = number {
        batch.lost += u64::from(number.wrapping_sub(*next));
        *next = number.wrapping_add(1);
    }
    batch.packets.extend(packet);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_between_numbers_is_lost() {
        let (mut next, mut batch) = (0, Batch::default());
        for number in [0u32, 1, 5, 6, u32::MAX, 0] {
            let mut bytes = [8u16.to_ne_bytes(), 12u16.to_ne_bytes()].concat();
            bytes.extend(number.to_be_bytes());
            if number == u32::MAX {
                next = u32::MAX - 2;
            }
            take(Reply { attributes: &bytes, port: 0 }, &mut next, &mut batch);
        }
        assert_eq!((batch.lost, next), (3 + 2, 1));
    }
}
