//! Which range, gateway and auxiliary address belongs to which subnet.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use postern_proto::v1::Subnet;

/// Why the flags do not make a list of subnets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSubnets {
    /// Two subnets share addresses, so nothing can be told to belong to one of them.
    #[error("the subnets {0} and {1} overlap")]
    Overlap(IpNetwork, IpNetwork),
    /// No subnet holds it.
    #[error("no --subnet contains the {what} {value}")]
    NoSubnet {
        /// What the value is: `gateway`.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// A subnet takes only one of it.
    #[error("the subnet {subnet} has more than one {what}")]
    Twice {
        /// What there is too much of: `gateway`.
        what: &'static str,
        /// The subnet.
        subnet: String,
    },
}

/// Reads a prefix with its length, as `172.30.0.0/16`.
///
/// # Errors
/// It is none; a bare address is none either.
pub(crate) fn prefix(text: &str) -> Result<IpNetwork, String> {
    match text.parse() {
        Ok(prefix) if text.contains('/') => Ok(prefix),
        _ => Err("expected a prefix with its length, as 172.30.0.0/16".to_owned()),
    }
}

/// Pairs them by containment, as Docker does.
///
/// # Errors
/// Something lies in no subnet or is given twice for one, or the subnets overlap.
pub(crate) fn pair(
    subnets: &[IpNetwork],
    ip_ranges: &[IpNetwork],
    gateways: &[IpAddr],
    auxiliary: &[(String, IpAddr)],
) -> Result<Vec<Subnet>, InvalidSubnets> {
    no_overlap(subnets)?;
    let mut paired: Vec<Subnet> = subnets
        .iter()
        .map(|subnet| Subnet { subnet: subnet.to_string(), ..Subnet::default() })
        .collect();
    for range in ip_ranges {
        let of = find(subnets, &mut paired, range.ip(), "IP range", range)?;
        set(&mut of.ip_range, range.to_string(), "IP range", &of.subnet)?;
    }
    for gateway in gateways {
        let of = find(subnets, &mut paired, *gateway, "gateway", gateway)?;
        set(&mut of.gateway, gateway.to_string(), "gateway", &of.subnet)?;
    }
    for (name, address) in auxiliary {
        let of = find(subnets, &mut paired, *address, "auxiliary address", address)?;
        let held = of.auxiliary_addresses.entry(name.clone()).or_default();
        set(held, address.to_string(), "auxiliary address of that name", &of.subnet)?;
    }
    Ok(paired)
}

fn no_overlap(subnets: &[IpNetwork]) -> Result<(), InvalidSubnets> {
    for (index, a) in subnets.iter().enumerate() {
        for b in subnets.iter().skip(index + 1) {
            // Of two prefixes that share an address, one contains the other.
            if a.contains(b.network()) || b.contains(a.network()) {
                return Err(InvalidSubnets::Overlap(*a, *b));
            }
        }
    }
    Ok(())
}

fn find<'a>(
    subnets: &[IpNetwork],
    paired: &'a mut [Subnet],
    address: IpAddr,
    what: &'static str,
    value: &impl ToString,
) -> Result<&'a mut Subnet, InvalidSubnets> {
    let mut both = subnets.iter().zip(paired);
    match both.find(|(subnet, _)| subnet.contains(address)) {
        Some((_, of)) => Ok(of),
        None => Err(InvalidSubnets::NoSubnet { what, value: value.to_string() }),
    }
}

fn set(
    held: &mut String,
    value: String,
    what: &'static str,
    subnet: &str,
) -> Result<(), InvalidSubnets> {
    if !held.is_empty() {
        return Err(InvalidSubnets::Twice { what, subnet: subnet.to_owned() });
    }
    *held = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<IpNetwork> {
        texts.iter().map(|text| prefix(text).unwrap()).collect()
    }

    #[test]
    fn each_finds_its_subnet() {
        let paired = pair(
            &prefixes(&["10.1.0.0/16", "fd00:1::/64"]),
            &prefixes(&["fd00:1::100/120", "10.1.2.0/24"]),
            &["fd00:1::1".parse().unwrap(), "10.1.0.1".parse().unwrap()],
            &[("nas".into(), "10.1.0.9".parse().unwrap())],
        )
        .unwrap();
        assert_eq!(
            paired,
            [
                Subnet {
                    subnet: "10.1.0.0/16".into(),
                    ip_range: "10.1.2.0/24".into(),
                    gateway: "10.1.0.1".into(),
                    auxiliary_addresses: [("nas".into(), "10.1.0.9".into())].into(),
                },
                Subnet {
                    subnet: "fd00:1::/64".into(),
                    ip_range: "fd00:1::100/120".into(),
                    gateway: "fd00:1::1".into(),
                    auxiliary_addresses: [].into(),
                },
            ]
        );
    }

    #[test]
    fn what_belongs_nowhere_or_twice_is_refused() {
        let subnets = prefixes(&["10.1.0.0/16"]);
        let gateways = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert_eq!(
            pair(&subnets, &[], &gateways(&["10.2.0.1"]), &[]),
            Err(InvalidSubnets::NoSubnet { what: "gateway", value: "10.2.0.1".into() })
        );
        assert_eq!(
            pair(&[], &prefixes(&["10.1.2.0/24"]), &[], &[]),
            Err(InvalidSubnets::NoSubnet { what: "IP range", value: "10.1.2.0/24".into() })
        );
        assert_eq!(
            pair(&subnets, &[], &gateways(&["10.1.0.1", "10.1.0.2"]), &[]),
            Err(InvalidSubnets::Twice { what: "gateway", subnet: "10.1.0.0/16".into() })
        );
    }

    #[test]
    fn overlapping_subnets_are_refused_in_either_order() {
        let (wide, narrow) = (prefix("10.1.0.0/16").unwrap(), prefix("10.1.2.0/24").unwrap());
        assert_eq!(
            pair(&[wide, narrow], &[], &[], &[]),
            Err(InvalidSubnets::Overlap(wide, narrow))
        );
        assert_eq!(
            pair(&[narrow, wide], &[], &[], &[]),
            Err(InvalidSubnets::Overlap(narrow, wide))
        );
    }

    #[test]
    fn a_prefix_has_a_length() {
        assert!(prefix("10.1.0.0").is_err());
        assert!(prefix("/24").is_err());
        // Asks the daemon's pools for a /24.
        assert_eq!(prefix("0.0.0.0/24").unwrap().to_string(), "0.0.0.0/24");
    }
}
