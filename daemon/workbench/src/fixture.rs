//! A manifest and a driver for tests.

use postern_model::driver::{Attach, Capability, Manifest, OptionScope, OptionSpec};

use crate::load::Workbench;

/// A manifest with one option of networks.
pub(crate) fn manifest() -> Manifest {
    Manifest {
        name: "blue".parse().unwrap(),
        version: "1".into(),
        summary: "a driver".into(),
        capabilities: [Capability::Bridge].into(),
        options: vec![OptionSpec {
            name: "open".into(),
            scope: OptionScope::Network,
            help: "an option".into(),
        }],
        addressing: true,
        attach: Attach::Own,
        max_networks: None,
    }
}

/// The daemon's bridge driver, with all it asks for granted.
pub(crate) fn bench() -> Workbench {
    Workbench::built_in("bridge")
}
