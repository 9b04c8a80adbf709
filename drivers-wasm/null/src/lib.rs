//! The `null` driver: networks whose sandboxes have only their loopback.
//!
//! It is also the smallest driver there is, and a place to start from.

use postern_sdk::{
    Context, Driver, EndpointDecision, EndpointView, Fault, Manifest, NetworkDecision, NetworkView,
    export_driver,
};

/// The driver.
#[derive(Debug)]
pub struct Null;

impl Driver for Null {
    fn describe() -> Manifest {
        let summary = "Sandboxes with nothing but their loopback";
        Manifest::new("null", env!("CARGO_PKG_VERSION"), summary).without_addressing().at_most(1)
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
                "nothing from outside reaches a sandbox of this network",
            ));
        }
        Ok(EndpointDecision::default())
    }
}

export_driver!(Null);

#[cfg(test)]
mod tests {
    use postern_sdk::testing::{binding, context, endpoint, network};

    use super::*;

    #[test]
    fn nothing_should_exist() {
        assert_eq!(Null::network(&context(), &network()), Ok(NetworkDecision::default()));
        assert_eq!(
            Null::endpoint(&context(), &network(), &endpoint()),
            Ok(EndpointDecision::default())
        );
    }

    #[test]
    fn ports_are_refused() {
        let published = endpoint().with_binding(binding("0.0.0.0", "10.1.0.2"));
        let answer = Null::endpoint(&context(), &network(), &published);
        assert!(
            matches!(answer, Err(Fault::Invalid(violation)) if violation.field == "spec.published_ports")
        );
    }
}
