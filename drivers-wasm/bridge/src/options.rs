//! A network's options.

use postern_sdk::{Family, Fault, NetworkView, OptionScope, OptionSpec};

const BRIDGE_NAME: &str = "bridge-name";
const MASQUERADE: &str = "masquerade";
const SNAT_V4: &str = "snat-ipv4";
const SNAT_V6: &str = "snat-ipv6";
const OPEN: &str = "open";
const DIRECT_ROUTING: &str = "direct-routing";
const INHIBIT_GATEWAY: &str = "inhibit-gateway";
const GATEWAY_V4: &str = "default-gateway-ipv4";
const GATEWAY_V6: &str = "default-gateway-ipv6";

/// `IFNAMSIZ` less its closing NUL.
const INTERFACE_NAME_MAX: usize = 15;

/// The options of a network, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// The kernel's name for the bridge.
    pub(crate) bridge_name: Option<String>,
    /// Whether flows to the world get an address of the host.
    pub(crate) masquerade: bool,
    /// Which address, if not the outgoing link's.
    pub(crate) snat_v4: Option<String>,
    /// Which address, if not the outgoing link's.
    pub(crate) snat_v6: Option<String>,
    /// Whether other open networks may come in and be reached.
    pub(crate) open: bool,
    /// Whether hosts outside that have a route may come in.
    pub(crate) direct_routing: bool,
    /// Whether neither the bridge has the gateways' addresses nor endpoints a default route.
    pub(crate) inhibit_gateway: bool,
    /// Whom endpoints are told to send what leaves the network, if not the bridge.
    pub(crate) gateway_v4: Option<String>,
    /// Whom endpoints are told to send what leaves the network, if not the bridge.
    pub(crate) gateway_v6: Option<String>,
}

/// What the manifest says of them.
pub(crate) fn specs() -> Vec<OptionSpec> {
    [
        (BRIDGE_NAME, "kernel name of the bridge; one that exists is adopted"),
        (MASQUERADE, "hide endpoints behind the host's address: true (default) or false"),
        (SNAT_V4, "fixed IPv4 source address in place of the outgoing interface's"),
        (SNAT_V6, "fixed IPv6 source address in place of the outgoing interface's"),
        (OPEN, "let other open networks in and reach them: true or false (default)"),
        (DIRECT_ROUTING, "let outside hosts with a route in: true or false (default)"),
        (INHIBIT_GATEWAY, "no gateway address and no default route: true or false (default)"),
        (GATEWAY_V4, "IPv4 default route of endpoints, if not the bridge"),
        (GATEWAY_V6, "IPv6 default route of endpoints, if not the bridge"),
    ]
    .into_iter()
    .map(|(name, help)| OptionSpec {
        name: name.to_owned(),
        scope: OptionScope::Network,
        help: help.to_owned(),
    })
    .collect()
}

impl Options {
    /// Reads and checks the options of a network.
    pub(crate) fn read(network: &NetworkView) -> Result<Self, Fault> {
        let masquerade = network.flag(MASQUERADE, true)?;
        Ok(Self {
            bridge_name: bridge_name(network)?,
            masquerade,
            snat_v4: snat(network, masquerade, SNAT_V4, Family::V4)?,
            snat_v6: snat(network, masquerade, SNAT_V6, Family::V6)?,
            open: network.flag(OPEN, false)?,
            direct_routing: network.flag(DIRECT_ROUTING, false)?,
            inhibit_gateway: network.flag(INHIBIT_GATEWAY, false)?,
            gateway_v4: network.address_option(GATEWAY_V4, Family::V4)?,
            gateway_v6: network.address_option(GATEWAY_V6, Family::V6)?,
        })
    }

    /// The default route of a family that endpoints get in place of the bridge.
    pub(crate) fn gateway(&self, family: Family) -> Option<&String> {
        match family {
            Family::V4 => self.gateway_v4.as_ref(),
            Family::V6 => self.gateway_v6.as_ref(),
        }
    }

    /// The fixed source address of a family.
    pub(crate) fn snat(&self, family: Family) -> Option<&str> {
        match family {
            Family::V4 => self.snat_v4.as_deref(),
            Family::V6 => self.snat_v6.as_deref(),
        }
    }
}

fn bridge_name(network: &NetworkView) -> Result<Option<String>, Fault> {
    let Some(name) = network.option(BRIDGE_NAME) else { return Ok(None) };
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%' | b'"' | b'\\');
    let reserved = matches!(name, "." | ".." | "lo" | "all" | "default");
    if name.is_empty() || name.len() > INTERFACE_NAME_MAX || reserved || !name.bytes().all(allowed)
    {
        return Err(Fault::invalid_option(
            BRIDGE_NAME,
            "must be an interface name of 1 to 15 printable characters",
        ));
    }
    Ok(Some(name.to_owned()))
}

fn snat(
    network: &NetworkView,
    masquerade: bool,
    key: &str,
    family: Family,
) -> Result<Option<String>, Fault> {
    let address = network.address_option(key, family)?;
    if address.is_some() {
        let objection = if !masquerade {
            Some("needs `masquerade`")
        } else if network.internal {
            Some("needs a network that is not internal")
        } else if !network.has(family) {
            Some("needs a subnet of its family")
        } else {
            None
        };
        if let Some(objection) = objection {
            return Err(Fault::invalid_option(key, objection));
        }
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use postern_sdk::testing::network;

    use super::*;

    fn with(options: &[(&str, &str)]) -> NetworkView {
        options.iter().fold(network(), |network, (key, value)| network.with_option(key, value))
    }

    fn refused(options: &[(&str, &str)]) -> String {
        match Options::read(&with(options)) {
            Err(Fault::Invalid(violation)) => violation.field,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let options = Options::read(&network()).unwrap();
        assert!(options.masquerade);
        assert!(!options.open && !options.direct_routing && !options.inhibit_gateway);
        assert_eq!((options.bridge_name, options.snat_v4, options.snat_v6), (None, None, None));
    }

    #[test]
    fn a_wrong_value_names_its_option() {
        for key in [MASQUERADE, OPEN, DIRECT_ROUTING, INHIBIT_GATEWAY] {
            assert_eq!(refused(&[(key, "1")]), format!("options[\"{key}\"]"));
        }
        for name in ["", "sixteen-bytes-xy", "a/b", "a b", "lo", "..", "a%d"] {
            assert_eq!(refused(&[(BRIDGE_NAME, name)]), "options[\"bridge-name\"]", "{name}");
        }
        assert_eq!(refused(&[(SNAT_V4, "fd00::1")]), "options[\"snat-ipv4\"]");
        assert_eq!(refused(&[(SNAT_V6, "192.0.2.1")]), "options[\"snat-ipv6\"]");
    }

    #[test]
    fn snat_needs_masquerade_a_way_out_and_the_family() {
        let field = "options[\"snat-ipv4\"]";
        assert_eq!(refused(&[(SNAT_V4, "192.0.2.1"), (MASQUERADE, "false")]), field);
        let ask = [(SNAT_V4, "192.0.2.1")];
        let mut internal = with(&ask);
        internal.internal = true;
        assert!(Options::read(&internal).is_err());
        let mut without = with(&ask);
        without.subnets.retain(|subnet| subnet.family() == Family::V6);
        assert!(Options::read(&without).is_err());
        let options = Options::read(&with(&ask)).unwrap();
        assert_eq!(options.snat(Family::V4), Some("192.0.2.1"));
        assert_eq!(options.snat(Family::V6), None);
    }

    #[test]
    fn every_option_is_in_the_manifest() {
        let names: Vec<String> = specs().into_iter().map(|spec| spec.name).collect();
        assert_eq!(
            names,
            [
                BRIDGE_NAME,
                MASQUERADE,
                SNAT_V4,
                SNAT_V6,
                OPEN,
                DIRECT_ROUTING,
                INHIBIT_GATEWAY,
                GATEWAY_V4,
                GATEWAY_V6,
            ]
        );
    }
}
