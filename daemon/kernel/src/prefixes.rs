//! The prefixes the host uses for itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::network::Family;

use crate::error::ObserveError;
use crate::mark;
use crate::rtnl::Socket;

/// The prefixes of addresses and routes that are not on links of ours. It blocks.
///
/// Where addresses carry our mark they tell which bridges are ours, and the cost does not
/// grow with the endpoints; else all links are listed.
pub(crate) fn of_the_host(marked: bool) -> Result<Vec<IpNetwork>, ObserveError> {
    let mut socket = Socket::open().map_err(|source| ObserveError::Io { source })?;
    let addresses = socket.addresses(None).map_err(ObserveError::netlink("addresses"))?;
    let ours: BTreeSet<u32> = if marked {
        addresses.iter().filter(|found| found.marked).map(|found| found.link).collect()
    } else {
        let links = socket.links().map_err(ObserveError::netlink("links"))?;
        let ours = links.iter().filter(|link| mark::owner(link.alias.as_deref()).is_some());
        ours.map(|link| link.index).collect()
    };
    // On a bridge that was adopted there are addresses of both kinds.
    let foreign = addresses
        .into_iter()
        .filter(|found| !found.marked && (marked || !ours.contains(&found.link)));
    let mut prefixes: BTreeSet<IpNetwork> =
        foreign.filter_map(|found| prefix(found.address)).collect();
    for family in Family::ALL {
        let routes = socket.routes(family, false).map_err(ObserveError::netlink("routes"))?;
        let foreign =
            routes.into_iter().filter(|route| route.link.is_none_or(|link| !ours.contains(&link)));
        prefixes.extend(foreign.filter_map(|route| prefix(route.destination)));
    }
    Ok(prefixes.into_iter().collect())
}

/// The MTU of the link that has an address. It blocks.
pub(crate) fn mtu_at(address: IpAddr) -> Result<Option<u32>, ObserveError> {
    let mut socket = Socket::open().map_err(|source| ObserveError::Io { source })?;
    let addresses = socket.addresses(None).map_err(ObserveError::netlink("addresses"))?;
    let found = addresses.iter().find(|found| found.address.ip() == address);
    let Some(index) = found.map(|found| found.link) else { return Ok(None) };
    let links = socket.links().map_err(ObserveError::netlink("links"))?;
    Ok(links.iter().find(|link| link.index == index).map(|link| link.mtu))
}

/// The prefix without host bits; none of what every host has.
fn prefix(found: IpNetwork) -> Option<IpNetwork> {
    let everywhere = match found.network() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_multicast(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast(),
    };
    // Half of everything is what tunnels use for a default route.
    if everywhere || found.prefix() <= 1 {
        return None;
    }
    IpNetwork::new(found.network(), found.prefix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_host_has_is_left_out() {
        let of = |text: &str| prefix(text.parse().unwrap()).map(|found| found.to_string());
        assert_eq!(of("192.0.2.7/24").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(of("2001:db8::7/64").as_deref(), Some("2001:db8::/64"));
        for common in
            ["127.0.0.1/8", "169.254.1.1/16", "fe80::1/64", "::1/128", "0.0.0.0/0", "128.0.0.0/1"]
        {
            assert_eq!(of(common), None, "{common}");
        }
    }
}
