//! The `null` driver: networks whose sandboxes have only their loopback.
//!
//! It is also the smallest driver there is, and a place to start from.

use postern_sdk::{
    Attach, Context, Driver, EndpointDecision, EndpointView, Fault, Manifest, NetworkDecision,
    NetworkView, export_driver,
};

/// The driver.
#[derive(Debug)]
pub struct Null;

impl Driver for Null {
    fn describe() -> Manifest {
        Manifest {
            name: "null".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Sandboxes with nothing but their loopback".to_owned(),
            capabilities: Vec::new(),
            options: Vec::new(),
            addressing: false,
            attach: Attach::Own,
            max_networks: Some(1),
        }
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
    use postern_sdk::{PortBinding, Protocol};

    use super::*;

    fn context() -> Context {
        Context { request_id: "r".into(), now: 0, seed: 0 }
    }

    fn network() -> NetworkView {
        NetworkView {
            id: "n".into(),
            name: "none".into(),
            subnets: Vec::new(),
            internal: false,
            icc: true,
            mtu: 1500,
            mac: "02:00:5e:00:53:01".into(),
            labels: Vec::new(),
            options: Vec::new(),
            state: Vec::new(),
        }
    }

    fn endpoint(bindings: Vec<PortBinding>) -> EndpointView {
        EndpointView {
            id: "e".into(),
            name: "a.none".into(),
            addresses: Vec::new(),
            mac: "02:00:5e:00:53:02".into(),
            interface_name: "eth0".into(),
            bindings,
            labels: Vec::new(),
            options: Vec::new(),
            state: Vec::new(),
        }
    }

    #[test]
    fn nothing_should_exist() {
        assert_eq!(Null::network(&context(), &network()), Ok(NetworkDecision::default()));
        assert_eq!(
            Null::endpoint(&context(), &network(), &endpoint(Vec::new())),
            Ok(EndpointDecision::default())
        );
    }

    #[test]
    fn ports_are_refused() {
        let binding = PortBinding {
            protocol: Protocol::Tcp,
            host_ip: "0.0.0.0".into(),
            host_first: 8080,
            host_last: 8080,
            target: "10.0.0.2".into(),
            target_first: 80,
        };
        let answer = Null::endpoint(&context(), &network(), &endpoint(vec![binding]));
        assert!(
            matches!(answer, Err(Fault::Invalid(violation)) if violation.field == "spec.published_ports")
        );
    }
}
