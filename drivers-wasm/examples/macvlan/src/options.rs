//! A network's options.

use postern_sdk::{Fault, MacvlanMode, NetworkView, OptionScope, OptionSpec};

pub(crate) const PARENT: &str = "parent";
pub(crate) const MODE: &str = "macvlan_mode";

/// `IFNAMSIZ` less its closing NUL.
const INTERFACE_NAME_MAX: usize = 15;

/// The options of a network, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// The link of the host that endpoints are on.
    pub(crate) parent: String,
    /// How they reach each other.
    pub(crate) mode: MacvlanMode,
}

/// What the manifest says of them.
pub(crate) fn specs() -> Vec<OptionSpec> {
    let spec = |name: &str, help: &str| OptionSpec {
        name: name.to_owned(),
        scope: OptionScope::Network,
        help: help.to_owned(),
    };
    vec![
        spec(PARENT, "link of the host that endpoints are on; it must exist"),
        spec(MODE, "bridge (default), private, vepa or passthru"),
    ]
}

impl Options {
    /// Reads and checks the options of a network.
    pub(crate) fn read(network: &NetworkView) -> Result<Self, Fault> {
        if network.internal {
            return Err(Fault::invalid(
                "internal",
                "endpoints are on a network of the host's, which leads out of it",
            ));
        }
        let options = Self { parent: parent(network)?, mode: mode(network)? };
        let apart = matches!(options.mode, MacvlanMode::Private | MacvlanMode::Passthru);
        if !network.icc && !apart {
            return Err(Fault::invalid("icc", "endpoints are kept apart in mode `private` alone"));
        }
        Ok(options)
    }

    /// What is kept between calls, to tell a change by.
    pub(crate) fn state(&self) -> Vec<u8> {
        format!("{} {}", name(self.mode), self.parent).into_bytes()
    }
}

fn parent(network: &NetworkView) -> Result<String, Fault> {
    let Some(parent) = network.option(PARENT) else {
        return Err(Fault::invalid_option(
            PARENT,
            "is missing: this driver makes no link for endpoints to be on",
        ));
    };
    let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%' | b'"' | b'\\');
    let reserved = matches!(parent, "." | ".." | "all" | "default");
    if parent == "lo" {
        return Err(Fault::invalid_option(PARENT, "cannot be the loopback"));
    }
    if parent.is_empty()
        || parent.len() > INTERFACE_NAME_MAX
        || reserved
        || !parent.bytes().all(allowed)
    {
        return Err(Fault::invalid_option(
            PARENT,
            "must be an interface name of 1 to 15 printable characters",
        ));
    }
    Ok(parent.to_owned())
}

const MODES: [MacvlanMode; 4] =
    [MacvlanMode::Bridge, MacvlanMode::Private, MacvlanMode::Vepa, MacvlanMode::Passthru];

fn name(mode: MacvlanMode) -> &'static str {
    match mode {
        MacvlanMode::Private => "private",
        MacvlanMode::Vepa => "vepa",
        MacvlanMode::Bridge => "bridge",
        MacvlanMode::Passthru => "passthru",
    }
}

fn mode(network: &NetworkView) -> Result<MacvlanMode, Fault> {
    let Some(text) = network.option(MODE) else { return Ok(MacvlanMode::Bridge) };
    let known = MODES.into_iter().find(|mode| name(*mode) == text);
    known.ok_or_else(|| {
        Fault::invalid_option(MODE, "must be `bridge`, `private`, `vepa` or `passthru`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{network, with};

    fn refused(network: &NetworkView) -> String {
        match Options::read(network) {
            Err(Fault::Invalid(violation)) => violation.field,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_mode_is_bridge_unless_another_is_chosen() {
        let options = Options::read(&network()).unwrap();
        assert_eq!(options, Options { parent: "eth1".into(), mode: MacvlanMode::Bridge });
        for mode in MODES {
            let chosen = with(&[(PARENT, "eth1.10"), (MODE, name(mode))]);
            let options = Options::read(&chosen).unwrap();
            assert_eq!(options, Options { parent: "eth1.10".into(), mode });
        }
    }

    #[test]
    fn a_wrong_value_names_its_option() {
        assert_eq!(refused(&with(&[])), "options[\"parent\"]");
        for parent in ["", "lo", "sixteen-bytes-xy", "a/b", "a b", "..", "all"] {
            assert_eq!(refused(&with(&[(PARENT, parent)])), "options[\"parent\"]", "{parent}");
        }
        for mode in ["", "Bridge", "source", "l2"] {
            let asked = with(&[(PARENT, "eth1"), (MODE, mode)]);
            assert_eq!(refused(&asked), "options[\"macvlan_mode\"]", "{mode}");
        }
    }

    #[test]
    fn what_it_cannot_keep_it_does_not_promise() {
        let inside = NetworkView { internal: true, ..network() };
        assert_eq!(refused(&inside), "internal");
        for mode in MODES {
            let apart = NetworkView { icc: false, ..with(&[(PARENT, "eth1"), (MODE, name(mode))]) };
            let keeps = matches!(mode, MacvlanMode::Private | MacvlanMode::Passthru);
            assert_eq!(Options::read(&apart).is_ok(), keeps, "{mode:?}");
        }
        assert_eq!(refused(&NetworkView { icc: false, ..network() }), "icc");
    }
}
