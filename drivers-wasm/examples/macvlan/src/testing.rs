//! Views for tests: those of the SDK, on a parent.

use postern_sdk::NetworkView;
pub(crate) use postern_sdk::testing::{context, endpoint};

pub(crate) fn network() -> NetworkView {
    with(&[("parent", "eth1")])
}

pub(crate) fn with(options: &[(&str, &str)]) -> NetworkView {
    let network = postern_sdk::testing::network();
    options.iter().fold(network, |network, (key, value)| network.with_option(key, value))
}
