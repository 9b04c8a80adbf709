//! The `host` driver: sandboxes that share the host's own namespace.

use postern_sdk::{
    Context, Driver, EndpointDecision, EndpointView, Fault, Manifest, NetworkDecision, NetworkView,
    export_driver,
};

/// The driver.
#[derive(Debug)]
pub struct Host;

impl Driver for Host {
    fn describe() -> Manifest {
        let summary = "Sandboxes that share the namespace of the host";
        Manifest::new("host", env!("CARGO_PKG_VERSION"), summary)
            .without_addressing()
            .attached_to_host()
            .at_most(1)
    }

    fn network(_: &Context, _: &NetworkView) -> Result<NetworkDecision, Fault> {
        Ok(NetworkDecision::default())
    }

    fn endpoint(
        _: &Context,
        _: &NetworkView,
        endpoint: &EndpointView,
    ) -> Result<EndpointDecision, Fault> {
        if !endpoint.bindings.is_empty() {
            return Err(Fault::invalid(
                "spec.published_ports",
                "the sandbox has the ports of the host already",
            ));
        }
        Ok(EndpointDecision::default())
    }
}

export_driver!(Host);

#[cfg(test)]
mod tests {
    use postern_sdk::testing::{binding, context, endpoint, network};

    use super::*;

    #[test]
    fn nothing_should_exist() {
        assert_eq!(Host::network(&context(), &network()), Ok(NetworkDecision::default()));
        assert_eq!(
            Host::endpoint(&context(), &network(), &endpoint()),
            Ok(EndpointDecision::default())
        );
    }

    #[test]
    fn ports_are_refused() {
        let published = endpoint().with_binding(binding("0.0.0.0", "10.1.0.2"));
        let answer = Host::endpoint(&context(), &network(), &published);
        assert!(
            matches!(answer, Err(Fault::Invalid(violation)) if violation.field == "spec.published_ports")
        );
    }
}
