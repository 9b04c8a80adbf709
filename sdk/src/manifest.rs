//! Writing manifests.

use crate::{Attach, Capability, Manifest, OptionScope, OptionSpec};

impl Manifest {
    /// A driver whose networks have subnets and whose endpoints join sandboxes of their
    /// own; it asks for nothing yet and has no options.
    ///
    /// The version is best `env!("CARGO_PKG_VERSION")`.
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            capabilities: Vec::new(),
            options: Vec::new(),
            addressing: true,
            attach: Attach::Own,
            max_networks: None,
        }
    }

    /// That asks for capabilities.
    #[must_use]
    pub fn asks_for(mut self, capabilities: impl IntoIterator<Item = Capability>) -> Self {
        self.capabilities.extend(capabilities);
        self
    }

    /// With an option of networks.
    #[must_use]
    pub fn network_option(self, name: &str, help: &str) -> Self {
        self.option(OptionScope::Network, name, help)
    }

    /// With an option of endpoints.
    #[must_use]
    pub fn endpoint_option(self, name: &str, help: &str) -> Self {
        self.option(OptionScope::Endpoint, name, help)
    }

    fn option(mut self, scope: OptionScope, name: &str, help: &str) -> Self {
        self.options.push(OptionSpec { name: name.to_owned(), scope, help: help.to_owned() });
        self
    }

    /// Without subnets and addresses.
    #[must_use]
    pub fn without_addressing(mut self) -> Self {
        self.addressing = false;
        self
    }

    /// Whose endpoints join only sandboxes that share the host's namespace.
    #[must_use]
    pub fn attached_to_host(mut self) -> Self {
        self.attach = Attach::Host;
        self
    }

    /// With at most so many networks.
    #[must_use]
    pub fn at_most(mut self, networks: u32) -> Self {
        self.max_networks = Some(networks);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_in_the_manifest() {
        let manifest = Manifest::new("blue", "1.0.0", "Blue networks")
            .asks_for([Capability::Bridge, Capability::Veth])
            .network_option("a", "of networks")
            .endpoint_option("b", "of endpoints")
            .without_addressing()
            .attached_to_host()
            .at_most(3);
        assert_eq!(manifest.capabilities, [Capability::Bridge, Capability::Veth]);
        let scopes: Vec<_> = manifest.options.iter().map(|option| option.scope).collect();
        assert_eq!(scopes, [OptionScope::Network, OptionScope::Endpoint]);
        assert!(!manifest.addressing);
        assert_eq!((manifest.attach, manifest.max_networks), (Attach::Host, Some(3)));
    }
}
