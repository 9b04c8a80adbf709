//! The host's side of the WIT contract, generated; seen only inside this crate. Further
//! versions of the package get a module each, converted to the model at once.

/// `postern:driver@0.1.0`.
pub(crate) mod v0_1 {
    wasmtime::component::bindgen!({
        path: "../../sdk/wit",
        world: "network-driver",
        additional_derives: [PartialEq, Eq],
    });

    pub(crate) use exports::postern::driver::driver::{
        Context, EndpointDecision, EndpointView, Fault, Manifest, NetworkDecision, NetworkView,
    };
    pub(crate) use postern::driver::{log, types};

    /// The second world, which a driver may be of.
    pub(crate) mod multi_host {
        wasmtime::component::bindgen!({
            path: "../../sdk/wit",
            world: "multi-host-driver",
            additional_derives: [PartialEq, Eq],
            with: {
                "postern:driver/types@0.1.0": super::postern::driver::types,
                "postern:driver/log@0.1.0": super::postern::driver::log,
            },
        });

        pub(crate) use exports::postern::driver::peers::{PeerDecision, PeerView, Reach};
    }
}

/// The package every interface of the contract is in, with its separator.
pub(crate) const PACKAGE: &str = "postern:driver/";
/// The interface a driver exports.
pub(crate) const EXPORT: &str = "driver";
/// The interface that a driver exports too whose networks hosts share.
pub(crate) const PEERS: &str = "peers";
/// The interfaces a driver may import.
pub(crate) const IMPORTS: [&str; 2] = ["log", "types"];

/// An interface of the contract, as a binary names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interface<'a> {
    /// The name in the package.
    pub(crate) name: &'a str,
    /// The version, as text; empty if there is none.
    pub(crate) version: &'a str,
}

impl<'a> Interface<'a> {
    /// Reads `postern:driver/log@0.1.0`; none if the name is of another package.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(PACKAGE)?;
        let (name, version) = rest.split_once('@').unwrap_or((rest, ""));
        Some(Self { name, version })
    }

    /// Whether the daemon speaks the version: any 0.1.x, as the component model matches them.
    pub(crate) fn is_supported(self) -> bool {
        self.version == "0.1" || self.version.starts_with("0.1.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let supported = |text| Interface::parse(text).map(Interface::is_supported);
        assert_eq!(supported("postern:driver/log@0.1.0"), Some(true));
        assert_eq!(supported("postern:driver/log@0.1.9"), Some(true));
        assert_eq!(supported("postern:driver/log@0.1"), Some(true));
        assert_eq!(supported("postern:driver/log@0.10.0"), Some(false));
        assert_eq!(supported("postern:driver/log"), Some(false));
        assert_eq!(supported("wasi:io/streams@0.2.6"), None);
    }
}
