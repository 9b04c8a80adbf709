//! Links that an earlier run did not live to delete.

use crate::error::OpenError;
use crate::mark::{self, REAP_GROUP};
use crate::reaper::{Reaper, Retired};
use crate::rtnl::{LinkRecord, Socket};

/// Starts the reaper, and waits until it has deleted what is left from before: links out
/// of service, and links that were just made and not yet marked with an alias.
pub(crate) fn clear() -> Result<Reaper, OpenError> {
    let thread = |source| OpenError::Io { what: "the reaper".into(), source };
    let failed = |source| OpenError::Leftovers { source };
    let mut socket = Socket::open().map_err(thread)?;
    let links = socket.links().map_err(failed)?;
    let foreign = links.iter().any(|link| link.group == REAP_GROUP && !is_left_over(link));
    let reaper = Reaper::start(foreign).map_err(thread)?;
    for link in links.into_iter().filter(is_left_over) {
        tracing::info!(link = link.name, "left over from an earlier run");
        socket.retire(link.index).map_err(failed)?;
        if let Ok(name) = link.name.parse() {
            reaper.add(Retired { index: link.index, name, sandbox: None, interface: None });
        }
    }
    reaper.wait(|_| true);
    Ok(reaper)
}

fn is_left_over(link: &LinkRecord) -> bool {
    let retired = link.group == REAP_GROUP && mark::owner(link.alias.as_deref()).is_some();
    link.is_half_made() || (link.is_ours_to_make() && retired)
}
