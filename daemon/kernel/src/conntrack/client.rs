//! The door to connection tracking.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use netlink_packet_core::NLM_F_ACK;
use postern_failpoint::point;
use postern_model::network::Family;
use postern_model::plan::Flows;
use postern_model::policy::Selection;

use super::select::{Filter, family, filters, listing_is_cheaper, matches};
use super::wire;
use crate::nft::socket::{Frame, NetfilterSocket, Reply};

/// How many flows are deleted with one system call.
const AT_ONCE: usize = 256;

/// Why flows could not be ended. Some of them may have been.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// The netlink socket could not be opened.
    #[error("cannot open a socket to connection tracking")]
    Open(#[source] io::Error),
    /// The kernel refused to end flows.
    #[error("cannot end the flows {flows}")]
    End {
        /// Which flows.
        flows: String,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused to list or count flows.
    #[error("cannot list flows")]
    List(#[source] io::Error),
}

/// Connection tracking of one network namespace: the one it was opened in, whatever thread
/// uses it later.
pub struct Conntrack {
    socket: Mutex<NetfilterSocket>,
}

/// A flow as the kernel tracks it.
#[derive(Debug, Clone)]
pub struct Tracked(wire::Flow);

impl Tracked {
    /// Who began it.
    pub const fn client(&self) -> IpAddr {
        self.0.ends.client
    }

    /// Who answers, after translation.
    pub const fn server(&self) -> IpAddr {
        self.0.ends.server
    }

    /// The protocol's number, and the answering port or the ICMP type and code; 0 where it
    /// has neither.
    pub fn what(&self) -> Selection {
        Selection { protocol: self.0.ends.protocol, number: self.0.ends.port.unwrap_or(0) }
    }

    /// Whether the client asked for another address than the one that answers.
    pub const fn is_translated(&self) -> bool {
        self.0.ends.translated
    }
}

impl fmt::Display for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} {}", self.client(), self.server(), self.what())
    }
}

impl Conntrack {
    /// Opens connection tracking of the calling thread's namespace.
    ///
    /// # Errors
    /// [`ConntrackError::Open`] without `CAP_NET_ADMIN` or without netfilter in the kernel.
    pub fn open() -> Result<Self, ConntrackError> {
        let socket = NetfilterSocket::open().map_err(ConntrackError::Open)?;
        Ok(Self { socket: Mutex::new(socket) })
    }

    /// The flows of addresses, at whichever end. Lists every flow of their families: 10 ms
    /// and 2 µs for each that there is. Blocks.
    ///
    /// # Errors
    /// [`ConntrackError::List`].
    pub fn of(&self, addresses: &BTreeSet<IpAddr>) -> Result<Vec<Tracked>, ConntrackError> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for family in Family::ALL {
            if !addresses.iter().any(|address| Family::of(*address) == family) {
                continue;
            }
            let wanted = |flow: &wire::Flow| {
                addresses.contains(&flow.ends.client) || addresses.contains(&flow.ends.server)
            };
            let flows = socket.dump(&wire::list(family), |reply| wire::flow(reply).filter(wanted));
            found.extend(flows.map_err(ConntrackError::List)?.into_iter().map(Tracked));
        }
        Ok(found)
    }

    /// Ends these flows, if they are still there. Blocks.
    ///
    /// # Errors
    /// [`ConntrackError::End`].
    pub fn end_tracked(&self, flows: Vec<Tracked>) -> Result<(), ConntrackError> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let flows: Vec<wire::Flow> = flows.into_iter().map(|Tracked(flow)| flow).collect();
        let failed = |source| ConntrackError::End { flows: "of a policy".to_owned(), source };
        for flows in flows.chunks(AT_ONCE) {
            point("conntrack.end").map_err(failed)?;
            delete(&mut socket, flows).map_err(failed)?;
        }
        Ok(())
    }

    /// Ends flows: their next packet is judged as a new one. Blocks.
    ///
    /// The kernel makes one pass of its own for each filter it has. For IPv6 addresses, for prefixes
    /// and ranges of ports, for many filters, and by a kernel before Linux 6.11, all flows
    /// of the family are listed, once for the whole call. A pass takes 0.1 ms and 0.25 µs for each flow there is, a
    /// listing 10 ms and 2 µs.
    ///
    /// Returns how many flows fewer there are than before, as the kernel counts them: near
    /// enough for people, though others come and go meanwhile.
    ///
    /// # Errors
    /// [`ConntrackError::End`] and [`ConntrackError::List`].
    pub fn end(&self, flows: &[Flows]) -> Result<u64, ConntrackError> {
        if flows.is_empty() {
            return Ok(0);
        }
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        point("conntrack.end").map_err(ConntrackError::List)?;
        let before = count(&mut socket)?;
        let filtered: Vec<_> = flows.iter().map(|flows| (flows, filters(flows))).collect();
        let passes = filtered.iter().flat_map(|(_, filters)| filters).map(Vec::len).sum();
        let list_all = listing_is_cheaper(passes, before);
        let mut rest = Vec::new();
        for (flows, filters) in filtered {
            let ended = match filters {
                Some(filters) if !list_all => end_matching(&mut socket, &filters)
                    .map_err(|source| ConntrackError::End { flows: flows.to_string(), source })?,
                _ => false,
            };
            if !ended {
                rest.push(flows);
            }
        }
        end_listed(&mut socket, &rest)?;
        Ok(u64::from(before.saturating_sub(count(&mut socket)?)))
    }
}

/// Has the kernel end what the filters match; false if it does not know filters.
fn end_matching(socket: &mut NetfilterSocket, filters: &[Filter]) -> io::Result<bool> {
    use io::ErrorKind::{InvalidInput, Unsupported};
    for message in filters.iter().filter_map(wire::delete_matching) {
        match socket.request(message) {
            Ok(()) => {}
            // An older kernel takes the filter's tuple for a whole one, and misses parts.
            Err(error) if matches!(error.kind(), Unsupported | InvalidInput) => return Ok(false),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Looks at every flow and ends those that are meant.
fn end_listed(socket: &mut NetfilterSocket, which: &[&Flows]) -> Result<(), ConntrackError> {
    if which.is_empty() {
        return Ok(());
    }
    let meant = |flow: &wire::Flow| which.iter().any(|flows| matches(flows, &flow.ends));
    let listed = |of: &Family| which.iter().any(|flows| family(flows) == *of);
    for of in Family::ALL.into_iter().filter(listed) {
        let found = socket
            .dump(&wire::list(of), |reply| wire::flow(reply).filter(meant))
            .map_err(ConntrackError::List)?;
        for flows in found.chunks(AT_ONCE) {
            delete(socket, flows).map_err(|source| {
                let flows = which.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                ConntrackError::End { flows, source }
            })?;
        }
    }
    Ok(())
}

fn delete(socket: &mut NetfilterSocket, flows: &[wire::Flow]) -> io::Result<()> {
    let mut request = Vec::new();
    for flow in flows {
        let sequence = socket.next_sequence();
        Frame::new(wire::delete(flow.clone()), 0).write(sequence, 0, &mut request);
    }
    for answer in socket.exchange(&request)? {
        if let Some(error) = answer.error.map(io::Error::from).filter(|error| !is_gone(error)) {
            return Err(error);
        }
    }
    Ok(())
}

fn count(socket: &mut NetfilterSocket) -> Result<u32, ConntrackError> {
    let mut counted = None;
    let mut request = Vec::new();
    let sequence = socket.next_sequence();
    Frame::new(wire::count(), NLM_F_ACK).write(sequence, 0, &mut request);
    let listen = |reply: Reply<'_>| counted = counted.or(wire::counted(reply));
    socket.exchange_with(&request, listen).map_err(ConntrackError::List)?;
    counted.ok_or_else(|| {
        ConntrackError::List(io::Error::new(io::ErrorKind::InvalidData, "no count of flows"))
    })
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};
    use postern_model::port::{PortRange, Protocol};

    use super::*;

    /// A filter that the kernel does not take is no error but a listing, a hundred times
    /// as dear; so this is looked at by itself.
    #[test]
    fn this_kernel_takes_the_filters() {
        let taken = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let mut socket = NetfilterSocket::open().unwrap();
            let port = PortRange::new(80, 80).unwrap();
            let to = |target: &str| Flows::To {
                target: target.parse().unwrap(),
                protocol: Protocol::Tcp,
                ports: port,
            };
            let unanswered = |host: &str| Flows::Unanswered {
                host: host.parse().unwrap(),
                protocol: Protocol::Udp,
                ports: port,
            };
            let of = Flows::Of("10.0.0.2".parse().unwrap());
            let all = [of, to("10.0.0.2"), unanswered("10.0.0.2"), unanswered("::")];
            all.map(|flows| end_matching(&mut socket, &filters(&flows).unwrap()).unwrap())
        });
        assert_eq!(taken.join().unwrap(), [true; 4]);
    }
}
