//! A netlink socket to netfilter: requests out, acknowledgements and dumps in.
//!
//! The kernel handles a netfilter request within the call that sends it. So every answer
//! to a request is in the socket's queue when the call returns, and is read without
//! waiting; only a dump goes on while it is read.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NlaBuffer, NlasIterator, parse_string, parse_u32,
};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};
use postern_failpoint::point;

use crate::netlink::{self, messages, port};

/// Most bytes of one request; only a limit, nothing is set aside.
const SEND_LIMIT: usize = 64 << 20;
/// What may wait to be heard, bytes.
const LISTEN_LIMIT: usize = 1 << 20;
/// A dump comes in pieces of at most 32 KiB.
const RECEIVE_LENGTH: usize = 64 << 10;
/// How often a dump that was overtaken by a change begins anew.
const DUMP_ATTEMPTS: usize = 16;

const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
const HEADER_LENGTH: usize = 16;
const NETFILTER_HEADER_LENGTH: usize = 4;
const NLA_HEADER_LENGTH: usize = 4;

/// A socket in the namespace it was opened in, whatever thread uses it later.
pub(crate) struct NetfilterSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// A message of a dump, or one that was asked for.
///
/// It is for the caller to read: the netlink crate's own reader of nftables messages takes
/// time in proportion to the square of a list's length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    /// What follows the netfilter header.
    pub(crate) attributes: &'a [u8],
    /// The port number of the socket whose request it goes back to.
    pub(crate) port: u32,
}

impl<'a> Reply<'a> {
    /// Every attribute of one kind; what is broken ends the list.
    pub(crate) fn all(&self, kind: u16) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        nested(self.attributes, kind)
    }
}

/// The values of all attributes of one kind in a list of attributes.
pub(crate) fn nested(attributes: &[u8], kind: u16) -> impl Iterator<Item = &[u8]> {
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .filter(move |attribute| attribute.kind() == kind)
        .map(NlaBuffer::into_inner)
        .filter_map(|bytes| {
            let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
            bytes.get(NLA_HEADER_LENGTH..length)
        })
}

/// What the kernel says of one message of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The message's sequence number.
    pub(crate) sequence: u32,
    /// None: it succeeded.
    pub(crate) error: Option<KernelError>,
}

/// Why the kernel refused a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KernelError {
    /// The `errno`.
    pub(crate) code: i32,
    /// Where in the message the offending attribute begins, in bytes.
    pub(crate) offset: Option<u32>,
    /// What the kernel has to say beyond the code.
    pub(crate) message: Option<String>,
}

impl From<KernelError> for io::Error {
    /// The code survives as the kind where there is a message too.
    fn from(error: KernelError) -> Self {
        let source = Self::from_raw_os_error(error.code);
        match error.message {
            Some(message) => Self::new(source.kind(), format!("{source}: {message}")),
            None => source,
        }
    }
}

impl NetfilterSocket {
    /// Opens a socket in the calling thread's namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        port::bind(&mut socket)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        // Not allowed in a user namespace, where the system's own limit must do.
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_LIMIT).is_err() {
            setsockopt(&socket, sockopt::SndBuf, &SEND_LIMIT)?;
        }
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(RECEIVE_LENGTH) })
    }

    /// Opens a socket that hears what is told to a group.
    pub(crate) fn listening(group: u32) -> io::Result<Self> {
        let socket = Self::open()?;
        netlink::receive_much(&socket.socket, LISTEN_LIMIT)?;
        socket.socket.add_membership(group)?;
        Ok(socket)
    }

    /// Keeps up to so many bytes until they are read, and drops what does not fit without
    /// failing later calls.
    pub(crate) fn receive_or_drop(&mut self, bytes: usize) -> io::Result<()> {
        netlink::receive_much(&self.socket, bytes)?;
        self.socket.set_no_enobufs(true)
    }

    /// Reads one datagram that nobody asked for; false if none is there.
    pub(crate) fn listen(&mut self, mut each: impl FnMut(Reply<'_>)) -> io::Result<bool> {
        if !self.receive(libc::MSG_DONTWAIT)? {
            return Ok(false);
        }
        for message in messages(&self.buffer) {
            each(Reply::of(&message?));
        }
        Ok(true)
    }

    /// The next sequence number.
    pub(crate) const fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends the bytes of one or more messages and returns all answers.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<Answer>> {
        self.exchange_with(request, |_| ())
    }

    /// As [`NetfilterSocket::exchange`], and hands on what was asked for.
    pub(crate) fn exchange_with(
        &mut self,
        request: &[u8],
        mut each: impl FnMut(Reply<'_>),
    ) -> io::Result<Vec<Answer>> {
        self.discard()?;
        self.send(request)?;
        let mut answers = Vec::new();
        while self.receive(libc::MSG_DONTWAIT)? {
            for message in messages(&self.buffer) {
                let message = message?;
                match message.message_type() {
                    NLMSG_ERROR => answers.push(answer(&message)),
                    NLMSG_DONE => {}
                    _ => each(Reply::of(&message)),
                }
            }
        }
        Ok(answers)
    }

    /// Sends one message and returns whether the kernel took it.
    pub(crate) fn request(&mut self, message: NetfilterMessage) -> io::Result<()> {
        let sequence = self.next_sequence();
        let bytes = serialize(message, NLM_F_ACK, sequence);
        let answers = self.exchange(&bytes)?;
        match answers.into_iter().find(|answer| answer.sequence == sequence) {
            Some(Answer { error: None, .. }) => Ok(()),
            Some(Answer { error: Some(error), .. }) => Err(error.into()),
            None => Err(no_answer()),
        }
    }

    /// Dumps what `request` asks for. One that the kernel says was overtaken by a change
    /// is begun anew.
    pub(crate) fn dump<T>(
        &mut self,
        request: &NetfilterMessage,
        mut pick: impl FnMut(Reply<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        point("nfnl.dump")?;
        for _ in 0..DUMP_ATTEMPTS {
            let mut found = Vec::new();
            let sequence = self.next_sequence();
            self.discard()?;
            self.send(&serialize(request.clone(), NLM_F_DUMP, sequence))?;
            if self.collect(sequence, |message| found.extend(pick(message)))? {
                return Ok(found);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "every dump was overtaken by a change"))
    }

    /// Reads a dump to its end; false if it is inconsistent.
    fn collect(&mut self, sequence: u32, mut each: impl FnMut(Reply<'_>)) -> io::Result<bool> {
        let mut consistent = true;
        let mut end = None;
        while end.is_none() {
            if !self.receive(0)? {
                return Err(no_answer());
            }
            for message in messages(&self.buffer) {
                let message = message?;
                if message.sequence_number() != sequence {
                    continue;
                }
                consistent &= message.flags() & NLM_F_DUMP_INTR == 0;
                match message.message_type() {
                    NLMSG_ERROR | NLMSG_DONE => end = Some(error_code(message.payload())),
                    _ => each(Reply::of(&message)),
                }
            }
        }
        match end {
            Some(libc::EINTR) => Ok(false),
            Some(code) if code != 0 => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(consistent),
        }
    }

    fn send(&self, request: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send(request, 0) {
                Ok(length) if length == request.len() => return Ok(()),
                Ok(_) => return Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Fills the buffer with one datagram; false if none is there.
    fn receive(&mut self, flags: libc::c_int) -> io::Result<bool> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, flags) {
                Ok(length) => return Ok(length > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Drops what an earlier, broken off exchange may have left.
    fn discard(&mut self) -> io::Result<()> {
        while self.receive(libc::MSG_DONTWAIT)? {}
        Ok(())
    }
}

impl AsRawFd for NetfilterSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A message ready to be sent, but for its sequence number.
#[derive(Debug)]
pub(crate) struct Frame {
    header: NetlinkHeader,
    bytes: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(message: NetfilterMessage, flags: u16) -> Self {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        Self { header: message.header, bytes }
    }

    pub(crate) const fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the message to a request.
    pub(crate) fn write(&self, sequence: u32, flags: u16, request: &mut Vec<u8>) {
        let mut header = self.header;
        header.sequence_number = sequence;
        header.flags |= flags;
        let start = request.len();
        request.extend_from_slice(&self.bytes);
        if let Some(place) = request.get_mut(start..) {
            header.emit(place);
        }
        request.resize(request.len().next_multiple_of(4), 0);
    }
}

/// The bytes of a message.
fn serialize(message: NetfilterMessage, flags: u16, sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::new(message, flags).write(sequence, 0, &mut bytes);
    bytes
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel did not answer the request")
}

impl<'a> Reply<'a> {
    fn of(message: &NetlinkBuffer<&'a [u8]>) -> Self {
        let attributes = message.payload().get(NETFILTER_HEADER_LENGTH..).unwrap_or_default();
        Self { attributes, port: message.port_number() }
    }
}

/// The code an error or the end of a dump begins with, as an `errno`; 0 is success.
fn error_code(payload: &[u8]) -> i32 {
    payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code).saturating_abs())
}

fn answer(message: &NetlinkBuffer<&[u8]>) -> Answer {
    let code = error_code(message.payload());
    // Behind the code stands the header of the refused message, without the rest of it.
    let told = NLM_F_CAPPED | NLM_F_ACK_TLVS;
    let attributes = match message.flags() & told == told {
        true => message.payload().get(4 + HEADER_LENGTH..).unwrap_or_default(),
        false => &[],
    };
    let error = (code != 0).then(|| kernel_error(code, attributes));
    Answer { sequence: message.sequence_number(), error }
}

fn kernel_error(code: i32, attributes: &[u8]) -> KernelError {
    let mut error = KernelError { code, offset: None, message: None };
    for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
        match attribute.kind() {
            NLMSGERR_ATTR_OFFS => error.offset = parse_u32(attribute.value()).ok(),
            NLMSGERR_ATTR_MSG => error.message = parse_string(attribute.value()).ok(),
            _ => {}
        }
    }
    error
}
