//! From the subnets a network asks for to the ones it has.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_model::name::Name;
use postern_model::network::{Family, NetworkSpec, Subnet, SubnetSpec, overlaps};

use crate::pools::{Pool, choose};
use crate::prefix::{address, bounds, contains};

/// A prefix that a new subnet must keep clear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupied {
    /// The prefix.
    pub prefix: IpNetwork,
    /// The network that has it; none if the host does.
    pub network: Option<Name>,
}

/// Why a network cannot have the subnets it asks for. Indexes are those of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// A network has a part of it.
    #[error("{subnet} overlaps {prefix} of network {network}")]
    OverlapsNetwork {
        /// Which subnet of the request.
        index: usize,
        /// The subnet.
        subnet: IpNetwork,
        /// What is in the way.
        prefix: IpNetwork,
        /// Whose it is.
        network: Name,
    },
    /// The host uses a part of it.
    #[error("{subnet} overlaps {prefix}, which the host uses")]
    OverlapsHost {
        /// Which subnet of the request.
        index: usize,
        /// The subnet.
        subnet: IpNetwork,
        /// What is in the way.
        prefix: IpNetwork,
    },
    /// The pools have nothing left.
    #[error("no free {family} subnet is left in the default address pools")]
    PoolsExhausted {
        /// Of which family.
        family: Family,
    },
}

/// Chooses every subnet of a network, IPv4 before IPv6. That the host uses a prefix
/// keeps the pools clear of it, but is no objection to a subnet that is asked for: the
/// bridge to be adopted may be what uses it. See [`check_host`].
///
/// # Errors
/// An explicit subnet overlaps another network's, or the pools are exhausted.
pub fn resolve(
    spec: &NetworkSpec,
    pools: &[Pool],
    occupied: &[Occupied],
) -> Result<Vec<Subnet>, SubnetError> {
    let wanted = Family::ALL.into_iter().filter(|family| spec.has(*family));
    wanted.map(|family| resolve_family(spec, family, pools, occupied)).collect()
}

fn resolve_family(
    spec: &NetworkSpec,
    family: Family,
    pools: &[Pool],
    occupied: &[Occupied],
) -> Result<Subnet, SubnetError> {
    let asked = spec.subnets.iter().enumerate();
    let mut asked = asked.filter(|(_, s)| Family::of(s.subnet.ip()) == family);
    match asked.next_back() {
        Some((index, asked)) if !asked.subnet.ip().is_unspecified() => {
            check_networks(index, asked.subnet, occupied)?;
            Ok(complete(asked.subnet, Some(asked)))
        }
        other => {
            let length = other.map(|(_, asked)| asked.subnet.prefix());
            let used = occupied.iter().map(|o| o.prefix);
            let chosen = choose(pools, family == Family::V4, length, used)
                .ok_or(SubnetError::PoolsExhausted { family })?;
            Ok(complete(chosen, None))
        }
    }
}

fn check_networks(
    index: usize,
    subnet: IpNetwork,
    occupied: &[Occupied],
) -> Result<(), SubnetError> {
    let in_the_way = occupied.iter().find_map(|o| {
        let network = o.network.as_ref()?;
        overlaps(o.prefix, subnet).then_some((o.prefix, network))
    });
    match in_the_way {
        None => Ok(()),
        Some((prefix, network)) => {
            Err(SubnetError::OverlapsNetwork { index, subnet, prefix, network: network.clone() })
        }
    }
}

/// Checks the subnets that were asked for against what the host uses, less what is
/// `allowed`: the prefixes of the bridge that the network adopts.
///
/// # Errors
/// The host uses a part of one.
pub fn check_host(
    spec: &NetworkSpec,
    host: &[IpNetwork],
    allowed: &[IpNetwork],
) -> Result<(), SubnetError> {
    for (index, asked) in spec.subnets.iter().enumerate() {
        let subnet = asked.subnet;
        // The host's default route covers every subnet and forbids none.
        let in_the_way = host.iter().find(|prefix| {
            let own = allowed.iter().any(|a| contains(*a, **prefix));
            prefix.prefix() > 0 && !own && overlaps(**prefix, subnet)
        });
        if let Some(prefix) = in_the_way.filter(|_| !subnet.ip().is_unspecified()) {
            return Err(SubnetError::OverlapsHost { index, subnet, prefix: *prefix });
        }
    }
    Ok(())
}

fn complete(subnet: IpNetwork, asked: Option<&SubnetSpec>) -> Subnet {
    let auxiliary = asked.map(|a| a.auxiliary.clone()).unwrap_or_default();
    let gateway = asked.and_then(|a| a.gateway).or_else(|| {
        first_usable(subnet, |candidate| auxiliary.values().any(|reserved| *reserved == candidate))
    });
    let range = asked.and_then(|a| a.range).unwrap_or(subnet);
    Subnet { subnet, range, gateway, auxiliary }
}

/// The lowest address an interface can have, none for a single-address prefix: its
/// only address is left to the endpoint.
fn first_usable(subnet: IpNetwork, is_reserved: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let (first, last) = bounds(subnet);
    let (first, last) = match last - first {
        0 => return None,
        1 => (first, last),
        _ if subnet.is_ipv4() => (first + 1, last - 1),
        _ => (first + 1, last),
    };
    (first..=last).map(|value| address(subnet, value)).find(|a| !is_reserved(*a))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn spec(subnets: &[&str], ipv6: bool) -> NetworkSpec {
        let subnets = subnets.iter().map(|s| SubnetSpec {
            subnet: s.parse().unwrap(),
            range: None,
            gateway: None,
            auxiliary: BTreeMap::new(),
        });
        NetworkSpec {
            driver: "bridge".parse().unwrap(),
            subnets: subnets.collect(),
            ipv4: true,
            ipv6,
            internal: false,
            icc: true,
            mtu: None,
            dns_servers: Vec::new(),
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    fn pools() -> Vec<Pool> {
        vec![
            Pool::new("10.8.0.0/15".parse().unwrap(), 16).unwrap(),
            Pool::new("fd00:9::/48".parse().unwrap(), 64).unwrap(),
        ]
    }

    fn gateway_of(subnet: &str) -> Option<String> {
        let subnets = resolve(&spec(&[subnet], false), &pools(), &[]).unwrap();
        subnets[0].gateway.map(|g| g.to_string())
    }

    #[test]
    fn pools_fill_in_what_is_not_given() {
        let subnets = resolve(&spec(&[], true), &pools(), &[]).unwrap();
        assert_eq!(subnets[0].subnet, "10.8.0.0/16".parse().unwrap());
        assert_eq!(subnets[1].subnet, "fd00:9::/64".parse().unwrap());
        assert_eq!(subnets[1].gateway, Some("fd00:9::1".parse().unwrap()));
        let sized = resolve(&spec(&["0.0.0.0/24"], false), &pools(), &[]).unwrap();
        assert_eq!(sized[0].subnet, "10.8.0.0/24".parse().unwrap());
    }

    #[test]
    fn gateways() {
        assert_eq!(gateway_of("10.1.0.0/24").as_deref(), Some("10.1.0.1"));
        assert_eq!(gateway_of("10.1.0.0/31").as_deref(), Some("10.1.0.0"));
        assert_eq!(gateway_of("10.1.0.0/32"), None);
    }

    #[test]
    fn overlap_is_refused_and_named() {
        let other: Name = "blue".parse().unwrap();
        let occupied = [
            Occupied { prefix: "0.0.0.0/0".parse().unwrap(), network: None },
            Occupied { prefix: "10.1.2.0/24".parse().unwrap(), network: Some(other) },
            Occupied { prefix: "10.2.0.1/32".parse().unwrap(), network: None },
        ];
        let refused = |subnet: &str| resolve(&spec(&[subnet], false), &pools(), &occupied);
        assert!(matches!(refused("10.1.0.0/16"), Err(SubnetError::OverlapsNetwork { .. })));
        assert!(refused("10.3.0.0/24").is_ok());
        let host = ["0.0.0.0/0", "10.2.0.1/32", "10.2.0.0/24"].map(|p| p.parse().unwrap());
        let on_host = |subnet: &str, allowed: &[IpNetwork]| {
            check_host(&spec(&[subnet], false), &host, allowed)
        };
        assert!(matches!(on_host("10.2.0.0/24", &[]), Err(SubnetError::OverlapsHost { .. })));
        assert!(on_host("10.2.0.0/24", &["10.2.0.0/24".parse().unwrap()]).is_ok());
        assert!(on_host("10.3.0.0/24", &[]).is_ok());
    }
}
