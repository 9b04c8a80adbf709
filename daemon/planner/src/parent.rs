//! The link of the host that a macvlan is on.

use postern_model::decision::{Desired, EndpointDecision, Link, LinkKind, MacvlanMode};
use postern_model::driver::NetworkView;
use postern_model::mac::MacAddr;
use postern_model::name::IfName;

/// What the host has under the name of a macvlan's parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// Nothing; also of a decision that has no macvlan.
    Absent,
    /// A link of ours: a bridge of a network, made or adopted, or a port of one.
    Ours,
    /// A link that is not Ethernet, or is a port of another one.
    Unfit,
    /// A link that can have macvlan links.
    Fit(ParentLink),
}

/// A link that can have macvlan links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentLink {
    /// Its MAC.
    pub mac: MacAddr,
    /// Bytes.
    pub mtu: u32,
    /// What other endpoints have on it.
    pub others: Others,
}

/// What other endpoints have on a link of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nothing.
    Nothing,
    /// Links that share it.
    Sharing,
    /// One that has it for itself.
    Alone,
}

/// Fills in what follows from the parent: an MTU, and in the mode that has no MAC of its
/// own the parent's.
pub(crate) fn complete(decision: &mut EndpointDecision, parent: Parent, network: &NetworkView) {
    let Parent::Fit(parent) = parent else { return };
    for resource in &mut decision.resources {
        let Desired::Link(link) = resource else { continue };
        let LinkKind::Macvlan { mode, .. } = link.kind else { continue };
        link.mtu = link.mtu.or(Some(network.mtu.min(parent.mtu)));
        if mode == MacvlanMode::Passthru {
            link.mac = link.mac.or(Some(parent.mac));
        }
    }
}

/// Reviews a macvlan against its parent and its network; returns the MAC it must have,
/// where that is not the one that was offered.
pub(crate) fn check(
    link: &Link,
    (name, mode): (&IfName, MacvlanMode),
    parent: Parent,
    network: &NetworkView,
) -> Result<Option<MacAddr>, String> {
    if network.internal {
        return Err("leads out of the host, but the network is internal".to_owned());
    }
    if !network.icc && matches!(mode, MacvlanMode::Vepa | MacvlanMode::Bridge) {
        return Err(format!("lets neighbours pass by its mode {mode}, but icc is off"));
    }
    let parent = match parent {
        Parent::Absent => return Err(format!("the host has no link {name}")),
        Parent::Ours => return Err(format!("{name} is a link of the daemon's own")),
        Parent::Unfit => return Err(format!("{name} is not Ethernet, or a port of another link")),
        Parent::Fit(parent) => parent,
    };
    let alone = mode == MacvlanMode::Passthru;
    match parent.others {
        Others::Alone => return Err(format!("another endpoint has {name} for itself")),
        Others::Sharing if alone => {
            return Err(format!("other endpoints are on {name}, which {mode} needs for itself"));
        }
        Others::Sharing | Others::Nothing => {}
    }
    match link.mtu {
        Some(mtu) if mtu > parent.mtu => {
            Err(format!("mtu {mtu} is over the {} of {name}", parent.mtu))
        }
        _ => Ok(alone.then_some(parent.mac)),
    }
}

#[cfg(test)]
#[path = "parent_tests.rs"]
mod tests;
