//! The host's published ports, each held by a bound socket.
//!
//! What arrives at a published port is translated before any socket is looked for. The
//! socket is there so that no program of the host takes the port, and so that a port that
//! is taken is noticed before anything is changed. TCP sockets do not listen, and none is
//! marked for reuse: both would let others bind the port as well.

mod ephemeral;
mod hold;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::close;
use postern_model::network::Family;
use postern_model::port::{HostPorts, PortBinding, PortRange, Protocol, PublishedPort};
use socket2::Socket;

use ephemeral::Ephemeral;

/// A descriptor below which there is room for the sockets of some thousand ports.
const FILES: i32 = 8191;

/// A port, or a range of them, to be published for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortAsk {
    /// What is asked for. Exact host ports are as many as container ports.
    pub published: PublishedPort,
    /// The endpoint's addresses, at most one of a family.
    pub targets: Vec<IpAddr>,
    /// The host's address where none is asked for; none means every one.
    pub default_ip: Option<IpAddr>,
}

/// Why a port cannot be published. Nothing was reserved then.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody has it.
    #[error("{protocol} port {port} of {address} is taken by {}", holder(*by_us))]
    Busy {
        /// The host's address.
        address: IpAddr,
        /// The transport.
        protocol: Protocol,
        /// The host's port.
        port: u16,
        /// By another endpoint, not by a program of the host.
        by_us: bool,
    },
    /// The endpoint, or the host, has no address of that family.
    #[error("the endpoint cannot be reached by way of {host_ip}: no address of that family")]
    NoFamily {
        /// The host's address.
        host_ip: IpAddr,
    },
    /// The host does not have that address.
    #[error("{host_ip} is not an address of this host")]
    NotLocal {
        /// The host's address.
        host_ip: IpAddr,
    },
    /// None of the ports asked for is free.
    #[error("no {count} consecutive {protocol} ports are free in {range}")]
    NoneFree {
        /// The transport.
        protocol: Protocol,
        /// How many were asked for.
        count: u32,
        /// Where they were looked for.
        range: PortRange,
    },
    /// `::1`: the kernel routes nothing from it to another link.
    #[error("ports cannot be published on ::1")]
    Loopback6,
    /// Each port is held by a socket, and the process may have no more.
    #[error(
        "no more ports can be held: the limit of open files of this process or host is reached"
    )]
    TooMany,
    /// The socket could not be had.
    #[error("{protocol} port {port} of {address} cannot be bound")]
    Io {
        /// The host's address.
        address: IpAddr,
        /// The transport.
        protocol: Protocol,
        /// The host's port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
}

const fn holder(by_us: bool) -> &'static str {
    if by_us { "another endpoint" } else { "a program on the host" }
}

/// The published ports, and the sockets that hold them.
#[derive(Debug)]
pub struct Ports {
    state: Mutex<State>,
    sockets: bool,
    sctp: bool,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<(Protocol, u16), Vec<Held>>,
    /// Where the search for an ephemeral port goes on, so that a port that was just given
    /// back is not the next to be given out.
    next: u16,
}

#[derive(Debug)]
struct Held {
    address: IpAddr,
    /// None where the kernel has no sockets of that kind.
    _socket: Option<Socket>,
}

/// One address of the host, and where it leads.
type Pair = (IpAddr, IpAddr);

impl Ports {
    /// None held yet. Raises the process's limit of open files as far as it may.
    pub(crate) fn open(sctp: bool) -> Self {
        let raised = getrlimit(Resource::RLIMIT_NOFILE)
            .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
        if let Err(error) = raised.and_then(|()| grow_file_table()) {
            tracing::warn!(%error, "there may be fewer files than many ports take");
        }
        Self { state: Mutex::default(), sockets: true, sctp }
    }

    /// Books only, for tests: no socket, no look at the host.
    pub(crate) fn booked() -> Self {
        Self { state: Mutex::default(), sockets: false, sctp: true }
    }

    /// Reserves host ports for everything that is asked for, or for nothing. One ask has
    /// the same ports on each of its addresses, and yields a binding for each.
    ///
    /// # Errors
    /// The first ask that cannot be met.
    pub fn reserve(&self, asks: &[PortAsk]) -> Result<Vec<PortBinding>, PortError> {
        let mut state = self.lock();
        let mut ephemeral = None;
        let mut bindings = Vec::new();
        for ask in asks {
            match self.reserve_one(&mut state, &mut ephemeral, ask) {
                Ok(found) => bindings.extend(found),
                Err(error) => {
                    state.release(&bindings);
                    return Err(error);
                }
            }
        }
        Ok(bindings)
    }

    /// Takes up bindings that were made before a restart: all of them, or none.
    ///
    /// # Errors
    /// Somebody took a port in the meantime, or an address is gone.
    pub fn hold(&self, bindings: &[PortBinding]) -> Result<(), PortError> {
        let mut state = self.lock();
        for (n, binding) in bindings.iter().enumerate() {
            let pair = [(binding.host_ip, binding.target)];
            if let Err(error) = self.take(&mut state, binding.protocol, binding.host, &pair) {
                state.release(bindings.get(..n).unwrap_or_default());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives ports back. That they are free already is no error.
    pub fn release(&self, bindings: &[PortBinding]) {
        self.lock().release(bindings);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; and if it did, a port too many would be held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve_one(
        &self,
        state: &mut State,
        ephemeral: &mut Option<Ephemeral>,
        ask: &PortAsk,
    ) -> Result<Vec<PortBinding>, PortError> {
        let pairs = pairs(ask)?;
        let protocol = ask.published.protocol;
        let host = match ask.published.host {
            HostPorts::Exactly(range) => {
                self.take(state, protocol, range, &pairs)?;
                range
            }
            HostPorts::FirstFreeOf(range) => {
                let single = range.iter().filter_map(one);
                self.take_first(state, ask, range, single, &pairs)?
            }
            HostPorts::Ephemeral => {
                let known = ephemeral.get_or_insert_with(|| Ephemeral::of_the_host(self.sockets));
                let count = ask.published.container.count();
                let candidates = known.candidates(state.next, count);
                let found = self.take_first(state, ask, known.range(), candidates, &pairs)?;
                state.next = found.last().wrapping_add(1);
                found
            }
        };
        let target_first = ask.published.container.first();
        let binding =
            |(host_ip, target)| PortBinding { protocol, host_ip, host, target, target_first };
        Ok(pairs.into_iter().map(binding).collect())
    }

    /// Takes the first of the candidates that is free on every address.
    fn take_first(
        &self,
        state: &mut State,
        ask: &PortAsk,
        within: PortRange,
        candidates: impl Iterator<Item = PortRange>,
        pairs: &[Pair],
    ) -> Result<PortRange, PortError> {
        let protocol = ask.published.protocol;
        for candidate in candidates {
            match self.take(state, protocol, candidate, pairs) {
                Ok(()) => return Ok(candidate),
                Err(PortError::Busy { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let count = ask.published.container.count();
        Err(PortError::NoneFree { protocol, count, range: within })
    }

    /// Takes a range on every address, or nothing.
    fn take(
        &self,
        state: &mut State,
        protocol: Protocol,
        range: PortRange,
        pairs: &[Pair],
    ) -> Result<(), PortError> {
        let sockets = self.sockets && (self.sctp || protocol != Protocol::Sctp);
        let wanted = || pairs.iter().flat_map(|(ip, _)| range.iter().map(move |port| (*ip, port)));
        for (n, (address, port)) in wanted().enumerate() {
            if let Err(error) = state.take(protocol, address, port, sockets) {
                for (address, port) in wanted().take(n) {
                    state.free(protocol, address, port);
                }
                return Err(error);
            }
        }
        Ok(())
    }
}

impl State {
    fn take(
        &mut self,
        protocol: Protocol,
        address: IpAddr,
        port: u16,
        socket: bool,
    ) -> Result<(), PortError> {
        let held = self.held.entry((protocol, port)).or_default();
        if held.iter().any(|held| overlap(held.address, address)) {
            return Err(PortError::Busy { address, protocol, port, by_us: true });
        }
        let socket = if socket { Some(hold::bind(protocol, address, port)?) } else { None };
        held.push(Held { address, _socket: socket });
        Ok(())
    }

    fn free(&mut self, protocol: Protocol, address: IpAddr, port: u16) {
        if let Some(held) = self.held.get_mut(&(protocol, port)) {
            held.retain(|held| held.address != address);
            if held.is_empty() {
                self.held.remove(&(protocol, port));
            }
        }
    }

    fn release(&mut self, bindings: &[PortBinding]) {
        for binding in bindings {
            for port in binding.host.iter() {
                self.free(binding.protocol, binding.host_ip, port);
            }
        }
    }
}

/// Makes the process's table of open files as large as some thousand ports need. The
/// kernel doubles it when it is full, and waits some 10 ms each time.
fn grow_file_table() -> nix::Result<()> {
    let standard = io::stdin();
    let high = fcntl(standard.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(FILES))?;
    close(high)
}

/// The host's addresses an ask is for, each with the endpoint's address of its family.
fn pairs(ask: &PortAsk) -> Result<Vec<Pair>, PortError> {
    let Some(host_ip) = ask.published.host_ip.or(ask.default_ip) else {
        let every = |target: &IpAddr| (Family::of(*target).unspecified(), *target);
        let pairs: Vec<Pair> = ask.targets.iter().map(every).collect();
        let host_ip = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        return if pairs.is_empty() { Err(PortError::NoFamily { host_ip }) } else { Ok(pairs) };
    };
    if host_ip == IpAddr::V6(Ipv6Addr::LOCALHOST) {
        return Err(PortError::Loopback6);
    }
    let same = |target: &&IpAddr| target.is_ipv4() == host_ip.is_ipv4();
    let target = ask.targets.iter().find(same).ok_or(PortError::NoFamily { host_ip })?;
    Ok(vec![(host_ip, *target)])
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn one(port: u16) -> Option<PortRange> {
    PortRange::new(port.into(), port.into()).ok()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
