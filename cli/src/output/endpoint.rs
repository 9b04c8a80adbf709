//! Endpoints and their ports.

use postern_proto::v1::{Endpoint, ExposedPort, PortBinding, Protocol};

use super::{id, table};

/// One row for each endpoint.
pub(crate) fn table(endpoints: &[Endpoint], whole: bool) -> String {
    let rows = endpoints.iter().map(|endpoint| {
        [
            id(&endpoint.uid, whole),
            endpoint.name.clone(),
            endpoint.network.clone(),
            endpoint.sandbox.clone(),
            endpoint.interface_name.clone(),
            endpoint.ipv4_address.clone(),
            endpoint.ipv6_address.clone(),
            ports(endpoint),
        ]
    });
    let header =
        ["ENDPOINT ID", "NAME", "NETWORK", "SANDBOX", "INTERFACE", "IPV4", "IPV6", "PORTS"];
    table::table(header, rows.collect())
}

/// Bindings, then ports that are only exposed, as `docker ps` shows them.
fn ports(endpoint: &Endpoint) -> String {
    let bindings = endpoint.bindings.iter().map(binding);
    let exposed = endpoint.spec.iter().flat_map(|spec| &spec.exposed_ports).map(exposed);
    bindings.chain(exposed).collect::<Vec<_>>().join(", ")
}

fn binding(binding: &PortBinding) -> String {
    // What the daemon says is printed, never trusted to be in range.
    let last = |first: u32| first.saturating_add(binding.count.saturating_sub(1));
    let host_ip = match binding.host_ip.contains(':') {
        true => format!("[{}]", binding.host_ip),
        false => binding.host_ip.clone(),
    };
    let host = range(binding.host_port, last(binding.host_port));
    let container = range(binding.container_port, last(binding.container_port));
    format!("{host_ip}:{host}->{container}/{}", protocol(binding.protocol()))
}

fn exposed(port: &ExposedPort) -> String {
    format!("{}/{}", range(port.port, port.port_end.max(port.port)), protocol(port.protocol()))
}

fn range(first: u32, last: u32) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Unspecified | Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::EndpointSpec;

    use super::*;

    #[test]
    fn ports_as_docker_shows_them() {
        let binding = |host_ip: &str, host_port, container_port, count| PortBinding {
            protocol: Protocol::Tcp.into(),
            host_ip: host_ip.into(),
            host_port,
            container_ip: "10.0.0.2".into(),
            container_port,
            count,
        };
        let dns = ExposedPort { protocol: 2, port: 53, port_end: 0, name: String::new() };
        let endpoint = Endpoint {
            uid: "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".into(),
            name: "web.front".into(),
            network: "front".into(),
            sandbox: "web".into(),
            interface_name: "eth0".into(),
            ipv4_address: "10.0.0.2/24".into(),
            bindings: vec![binding("0.0.0.0", 8080, 80, 1), binding("::", 8000, 90, 3)],
            spec: Some(EndpointSpec { exposed_ports: vec![dns], ..EndpointSpec::default() }),
            ..Endpoint::default()
        };
        let text = table(&[endpoint, Endpoint::default()], false);
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some(
                "ENDPOINT ID    NAME        NETWORK   SANDBOX   INTERFACE   IPV4          IPV6   PORTS"
            )
        );
        assert_eq!(
            lines.next(),
            Some(
                "7c8d9e0f1a2b   web.front   front     web       eth0        10.0.0.2/24          \
                 0.0.0.0:8080->80/tcp, [::]:8000-8002->90-92/tcp, 53/udp"
            )
        );
    }

    #[test]
    fn numbers_out_of_range_are_only_printed() {
        let wild = PortBinding { host_port: u32::MAX, count: u32::MAX, ..PortBinding::default() };
        assert_eq!(binding(&wild), ":4294967295->0-4294967294/tcp");
    }
}
