//! Forwarding between links, which endpoints need to get out and which a host may have
//! off for good reason.
//!
//! Where it is off it is turned on, and a fence put up: flows that neither come from nor
//! go to a network of ours stay as shut as they were.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use postern_model::network::Family;

use crate::error::OpenError;
use crate::nft::Nft;
use crate::sysctl;

/// Turns forwarding on where it is off. It blocks.
pub(crate) fn turn_on(nft: &Nft, families: &[Family]) -> Result<(), OpenError> {
    for family in families {
        let key = switch(*family);
        let failed = |source| OpenError::Forwarding { key: key.display().to_string(), source };
        if sysctl::read(&key).map_err(failed)? != "0" {
            continue;
        }
        // The fence stands before the gate is open.
        nft.fence(*family, true).map_err(|source| OpenError::Nft { source })?;
        if *family == Family::V6 {
            keep_router_advertisements(&sysctl::links(Family::V6)).map_err(failed)?;
        }
        sysctl::write(&key, "1").map_err(failed)?;
        tracing::info!(key = %key.display(), "forwarding turned on");
    }
    Ok(())
}

fn switch(family: Family) -> PathBuf {
    match family {
        Family::V4 => PathBuf::from("/proc/sys/net/ipv4/ip_forward"),
        Family::V6 => sysctl::links(family).join("all/forwarding"),
    }
}

/// A link that forwards no longer heeds router advertisements at `accept_ra=1`, and a
/// host that got its address and default route by one would drop off the network.
fn keep_router_advertisements(links: &Path) -> io::Result<()> {
    for entry in fs::read_dir(links)? {
        let link = entry?;
        if !matches!(link.file_name().to_str(), Some("all" | "default" | "lo")) {
            keep(&link.path())?;
        }
    }
    Ok(())
}

fn keep(link: &Path) -> io::Result<()> {
    let accept = link.join("accept_ra");
    match sysctl::read(&accept) {
        Ok(value) if value == "1" => sysctl::write(&accept, "2"),
        Ok(_) => Ok(()),
        // The link is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
