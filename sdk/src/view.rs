//! Reading views.

use std::net::IpAddr;

use crate::{EndpointView, Entry, Family, Fault, NetworkView, SubnetView};

impl Family {
    /// The family of an address or prefix as the host writes them.
    pub fn of(text: &str) -> Self {
        if text.contains(':') { Self::V6 } else { Self::V4 }
    }
}

impl SubnetView {
    /// The family of the subnet.
    pub fn family(&self) -> Family {
        Family::of(&self.subnet)
    }

    /// The gateway's address with the subnet's prefix length, as it stands on a link.
    pub fn gateway_address(&self) -> Option<String> {
        let (_, length) = self.subnet.rsplit_once('/')?;
        self.gateway.as_ref().map(|gateway| format!("{gateway}/{length}"))
    }
}

impl NetworkView {
    /// Whether the network has a subnet of the family.
    pub fn has(&self, family: Family) -> bool {
        self.subnets.iter().any(|subnet| subnet.family() == family)
    }

    /// The value of an option.
    pub fn option(&self, key: &str) -> Option<&str> {
        find(&self.options, key)
    }

    /// An option that is `true` or `false`.
    ///
    /// # Errors
    /// The value is neither.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, Fault> {
        flag(&self.options, key, default)
    }

    /// An option that is an address of the family.
    ///
    /// # Errors
    /// The value is not one.
    pub fn address_option(&self, key: &str, family: Family) -> Result<Option<String>, Fault> {
        let Some(text) = self.option(key) else { return Ok(None) };
        match (text.parse::<IpAddr>(), family) {
            (Ok(ip @ IpAddr::V4(_)), Family::V4) | (Ok(ip @ IpAddr::V6(_)), Family::V6) => {
                Ok(Some(ip.to_string()))
            }
            (_, Family::V4) => Err(Fault::invalid_option(key, "must be an IPv4 address")),
            (_, Family::V6) => Err(Fault::invalid_option(key, "must be an IPv6 address")),
        }
    }
}

impl EndpointView {
    /// Whether the host offers an address of the family.
    pub fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|address| Family::of(address) == family)
    }

    /// The value of an option.
    pub fn option(&self, key: &str) -> Option<&str> {
        find(&self.options, key)
    }

    /// An option that is `true` or `false`.
    ///
    /// # Errors
    /// The value is neither.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, Fault> {
        flag(&self.options, key, default)
    }
}

fn find<'a>(entries: &'a [Entry], key: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

fn flag(entries: &[Entry], key: &str, default: bool) -> Result<bool, Fault> {
    match find(entries, key) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Fault::invalid_option(key, "must be `true` or `false`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, subnet};

    #[test]
    fn subnets() {
        let network = testing::network().with_subnets([subnet("fd00::/64", Some("fd00::1"))]);
        assert!(network.has(Family::V6));
        assert!(!network.has(Family::V4));
        assert_eq!(network.subnets[0].gateway_address().as_deref(), Some("fd00::1/64"));
    }

    #[test]
    fn flags_are_true_or_false() {
        let network = testing::network()
            .with_option("a", "true")
            .with_option("b", "false")
            .with_option("c", "yes");
        assert_eq!(network.flag("a", false), Ok(true));
        assert_eq!(network.flag("b", true), Ok(false));
        assert_eq!(network.flag("d", true), Ok(true));
        assert_eq!(
            network.flag("c", true),
            Err(Fault::invalid("options[\"c\"]", "must be `true` or `false`"))
        );
    }

    #[test]
    fn addresses_are_of_the_family() {
        let network = testing::network()
            .with_option("a", "192.0.2.1")
            .with_option("b", "FD00::0:1")
            .with_option("c", "x");
        assert_eq!(network.address_option("a", Family::V4), Ok(Some("192.0.2.1".into())));
        assert_eq!(network.address_option("b", Family::V6), Ok(Some("fd00::1".into())));
        assert_eq!(network.address_option("d", Family::V6), Ok(None));
        for (key, family) in [("a", Family::V6), ("b", Family::V4), ("c", Family::V4)] {
            assert!(network.address_option(key, family).is_err(), "{key}");
        }
    }
}
