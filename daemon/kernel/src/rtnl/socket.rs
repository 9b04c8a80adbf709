//! A blocking NETLINK_ROUTE socket: request and acknowledgement, get, dump.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL,
    NLM_F_REPLACE, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkMessage,
    NlasIterator, ParseableParametrized,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use postern_failpoint::point;

use crate::netlink::{messages, port};

/// The kernel fills a dump's datagram up to the size of the buffer, at most 32 KiB.
const BUFFER: usize = 32 * 1024;

/// A dump that others' changes keep interrupting is given up.
const DUMP_TRIES: usize = 16;

/// Where in an `NLMSG_ERROR` the extended attributes begin: after the error number and
/// the header of the request, whose body `NETLINK_CAP_ACK` leaves out.
const ERROR_ATTRIBUTES: usize = 4 + 16;

/// `NLMSGERR_ATTR_MSG`: the kernel's own words.
const ERROR_TEXT: u16 = 1;

/// The kernel refused a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetlinkError {
    /// The error number.
    pub errno: Errno,
    /// The kernel's own words, where it has any.
    pub text: Option<String>,
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{} ({:?}): {text}", self.errno.desc(), self.errno),
            None => write!(f, "{} ({:?})", self.errno.desc(), self.errno),
        }
    }
}

impl std::error::Error for NetlinkError {}

impl From<io::Error> for NetlinkError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self { errno: Errno::from_raw(errno), text: None },
            None => Self { errno: Errno::EIO, text: Some(error.to_string()) },
        }
    }
}

/// How a request that makes something treats what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Change what must be there.
    Change,
    /// Make it; that it is there is `EEXIST`.
    Create,
    /// Make it, or put it in the place of what is there.
    Replace,
}

impl Mode {
    const fn flags(self) -> u16 {
        match self {
            Self::Change => 0,
            Self::Create => NLM_F_CREATE | NLM_F_EXCL,
            Self::Replace => NLM_F_CREATE | NLM_F_REPLACE,
        }
    }
}

/// Waits for the caller's turn to change links, addresses, routes or their parameters. The
/// kernel makes one such change at a time (`rtnl_lock`), and keeps processors busy with
/// those that wait for it there.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket in the namespace of the thread that opened it, wherever it is used.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the thread's namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        port::bind(&mut socket)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        // Lets a dump of addresses be limited to one link.
        socket.set_netlink_get_strict_chk(true)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Sends a request, when it is the caller's turn, and waits for its acknowledgement.
    pub(crate) fn request(
        &mut self,
        message: RouteNetlinkMessage,
        mode: Mode,
    ) -> Result<(), NetlinkError> {
        let _turn = turn();
        self.request_now(message, mode)
    }

    /// Sends a request and waits for its acknowledgement.
    pub(crate) fn request_now(
        &mut self,
        message: RouteNetlinkMessage,
        mode: Mode,
    ) -> Result<(), NetlinkError> {
        point("rtnl.request")?;
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | mode.flags())?;
        self.answers(|_| ())?;
        Ok(point("rtnl.reply")?)
    }

    /// Asks for one object; its absence is the kernel's error.
    pub(crate) fn get(
        &mut self,
        message: RouteNetlinkMessage,
    ) -> Result<Option<RouteNetlinkMessage>, NetlinkError> {
        let mut found = None;
        point("rtnl.ask")?;
        self.send(message, NLM_F_REQUEST | NLM_F_ACK)?;
        self.answers(|answer| found = Some(answer))?;
        Ok(found)
    }

    /// Asks for all objects.
    pub(crate) fn dump(
        &mut self,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        point("rtnl.ask")?;
        for _ in 0..DUMP_TRIES {
            let mut found = Vec::new();
            self.send(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if self.answers(|answer| found.push(answer))? {
                return Ok(found);
            }
        }
        Err(NetlinkError { errno: Errno::EAGAIN, text: Some("the dump kept changing".into()) })
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.header.length as usize];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        Ok(())
    }

    /// Reads answers up to the one that ends them. False: a dump was interrupted by a
    /// change, and is not to be trusted.
    fn answers(&mut self, mut each: impl FnMut(RouteNetlinkMessage)) -> Result<bool, NetlinkError> {
        let mut whole = true;
        loop {
            self.receive()?;
            for answer in messages(&self.buffer).map_while(Result::ok) {
                if answer.sequence_number() != self.sequence {
                    continue;
                }
                whole &= answer.flags() & NLM_F_DUMP_INTR == 0;
                match answer.message_type() {
                    NLMSG_ERROR | NLMSG_DONE => {
                        return error(&answer).map_or(Ok(whole), Err);
                    }
                    kind => match RouteNetlinkMessage::parse_with_param(answer.payload(), kind) {
                        Ok(message) => each(message),
                        // Of a kind we do not know, so not one of ours.
                        Err(error) => tracing::debug!(kind, %error, "unreadable netlink message"),
                    },
                }
            }
        }
    }

    fn receive(&mut self) -> Result<(), NetlinkError> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The error in an `NLMSG_ERROR` or `NLMSG_DONE`; none if it says that all went well.
fn error(answer: &NetlinkBuffer<&[u8]>) -> Option<NetlinkError> {
    let payload = answer.payload();
    let code = i32::from_ne_bytes(payload.first_chunk().copied()?);
    if code == 0 {
        return None;
    }
    let text = match answer.message_type() {
        NLMSG_ERROR if answer.flags() & NLM_F_ACK_TLVS != 0 => words(payload),
        _ => None,
    };
    Some(NetlinkError { errno: Errno::from_raw(code.saturating_neg()), text })
}

fn words(payload: &[u8]) -> Option<String> {
    let attributes = payload.get(ERROR_ATTRIBUTES..)?;
    let text = NlasIterator::new(attributes).flatten().find(|nla| nla.kind() == ERROR_TEXT)?;
    let bytes = text.value();
    let text = String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes));
    Some(text.into_owned())
}
