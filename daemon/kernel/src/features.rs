//! What this kernel can do.

use std::path::Path;
use std::process::{Command, Stdio};

use postern_model::network::Family;
use socket2::{Domain, Protocol, Socket, Type};

use crate::sysctl;

const RELEASE: &str = "/proc/sys/kernel/osrelease";

const BRIDGE_NETFILTER: &str = "/proc/sys/net/bridge";

/// The first release whose addresses carry a protocol number.
const ADDRESS_PROTOCOL: (u32, u32) = (5, 18);

/// What this kernel can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Frames between ports of one bridge can be made to pass the forward hook. The
    /// bridge's attribute alone can be set without, and then does nothing.
    pub bridge_netfilter: bool,
    /// IPv6 is on.
    pub ipv6: bool,
    /// SCTP sockets can be had.
    pub sctp: bool,
    /// Addresses carry our mark. Without, those of our bridges and interfaces count as
    /// ours, and one on a bridge that is not ours is never removed.
    pub address_protocol: bool,
    /// The daemon's tables are its own: nobody else can change or flush them.
    pub owned_tables: bool,
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
}

impl Features {
    /// Looks, and loads `br_netfilter` if it is a module that can be loaded. Whose the tables
    /// are is not known before they are there.
    pub(crate) fn probe() -> Self {
        let release = sysctl::read(Path::new(RELEASE)).unwrap_or_default();
        Self {
            bridge_netfilter: bridge_netfilter(),
            ipv6: sysctl::links(Family::V6).exists(),
            sctp: Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::SCTP)).is_ok(),
            address_protocol: version(&release).is_some_and(|version| version >= ADDRESS_PROTOCOL),
            owned_tables: false,
            release,
        }
    }
}

fn bridge_netfilter() -> bool {
    let there = || Path::new(BRIDGE_NETFILTER).exists();
    there() || {
        let mut modprobe = Command::new("modprobe");
        modprobe.args(["-q", "br_netfilter"]).stdin(Stdio::null());
        let loaded = modprobe.stdout(Stdio::null()).stderr(Stdio::null()).status();
        tracing::debug!(?loaded, "modprobe br_netfilter");
        there()
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("5.15.0-101-generic"), Some((5, 15)));
        assert_eq!(version("6.1"), Some((6, 1)));
        assert_eq!(version(""), None);
        assert_eq!(version("next"), None);
    }
}
