//! Short forms of what tests ask for.

use postern_proto::v1::policy_peer::Kind;
use postern_proto::v1::policy_rule::Action;
use postern_proto::v1::sandbox_spec::Namespace;
use postern_proto::v1::{
    CidrBlock, Direction, EndpointSelector, EndpointSpec, Entity, ExposedPort, LabelSelector,
    NetworkSpec, PolicyPeer, PolicyPort, PolicyRule, PolicySpec, PolicySubject, Protocol,
    PublishedPort, SandboxSpec, Subnet,
};

/// A `bridge` network with these subnets.
pub fn network(subnets: &[&str]) -> NetworkSpec {
    NetworkSpec { subnets: subnets.iter().map(|text| subnet(text)).collect(), ..Default::default() }
}

/// An `overlay` network with these subnets.
pub fn overlay(subnets: &[&str]) -> NetworkSpec {
    NetworkSpec { driver: "overlay".to_owned(), ..network(subnets) }
}

/// A subnet with everything else left to the daemon.
pub fn subnet(prefix: &str) -> Subnet {
    Subnet { subnet: prefix.to_owned(), ..Default::default() }
}

/// A network with one option set.
pub fn with_option(mut spec: NetworkSpec, key: &str, value: &str) -> NetworkSpec {
    spec.options.insert(key.to_owned(), value.to_owned());
    spec
}

/// An endpoint that asks for nothing.
pub fn endpoint() -> EndpointSpec {
    EndpointSpec::default()
}

/// An endpoint with a fixed IPv4 address.
pub fn address(ipv4: &str) -> EndpointSpec {
    EndpointSpec { ipv4_address: ipv4.to_owned(), ..Default::default() }
}

/// An endpoint with published ports.
pub fn publish(ports: &[PublishedPort]) -> EndpointSpec {
    EndpointSpec { published_ports: ports.to_vec(), ..Default::default() }
}

/// An endpoint that exposes TCP ports.
pub fn expose(ports: &[u32]) -> EndpointSpec {
    let exposed = ports.iter().map(|port| ExposedPort { port: *port, ..Default::default() });
    EndpointSpec { exposed_ports: exposed.collect(), ..Default::default() }
}

/// A network that keeps its neighbours apart.
pub fn apart(mut spec: NetworkSpec) -> NetworkSpec {
    spec.icc = Some(false);
    spec
}

/// A TCP port: `host_port` of the host leads to `container_port`.
pub fn tcp(host_port: u32, container_port: u32) -> PublishedPort {
    PublishedPort {
        protocol: Protocol::Tcp.into(),
        host_port,
        container_port,
        ..Default::default()
    }
}

/// A UDP port: `host_port` of the host leads to `container_port`.
pub fn udp(host_port: u32, container_port: u32) -> PublishedPort {
    PublishedPort { protocol: Protocol::Udp.into(), ..tcp(host_port, container_port) }
}

/// The same port on one address of the host only.
pub fn on(host_ip: &str, mut port: PublishedPort) -> PublishedPort {
    host_ip.clone_into(&mut port.host_ip);
    port
}

/// Ranges of TCP ports: `host.0` to `host.1` lead to `container.0` to `container.1`.
pub fn range(host: (u32, u32), container: (u32, u32)) -> PublishedPort {
    PublishedPort {
        host_port_end: host.1,
        container_port_end: container.1,
        ..tcp(host.0, container.0)
    }
}

/// A sandbox that adopts the namespace at a path.
pub fn adopt(path: &str) -> SandboxSpec {
    SandboxSpec { namespace: Some(Namespace::Path(path.to_owned())), ..Default::default() }
}

/// A sandbox that shares the host's namespace.
pub fn host() -> SandboxSpec {
    SandboxSpec { namespace: Some(Namespace::Host(())), ..Default::default() }
}

/// A policy of tier APP for endpoints with these labels.
pub fn app(labels: &[(&str, &str)], ingress: Vec<PolicyRule>) -> PolicySpec {
    PolicySpec {
        subject: Some(PolicySubject {
            endpoints: Some(selector(labels)),
            ..PolicySubject::default()
        }),
        directions: vec![Direction::Ingress.into()],
        ingress,
        ..PolicySpec::default()
    }
}

/// Labels that must be there.
pub fn selector(labels: &[(&str, &str)]) -> LabelSelector {
    LabelSelector { match_labels: crate::labels(labels), ..LabelSelector::default() }
}

/// Endpoints of whatever network, by labels.
pub fn peer(labels: &[(&str, &str)]) -> PolicyPeer {
    let kind = Kind::Selector(EndpointSelector {
        networks: Some(LabelSelector::default()),
        endpoints: Some(selector(labels)),
    });
    PolicyPeer { kind: Some(kind) }
}

/// What is no endpoint.
pub fn entity(entity: Entity) -> PolicyPeer {
    PolicyPeer { kind: Some(Kind::Entity(entity.into())) }
}

/// Addresses.
pub fn cidr(cidr: &str, except: &[&str]) -> PolicyPeer {
    let except = except.iter().map(|one| (*one).to_owned()).collect();
    PolicyPeer { kind: Some(Kind::Cidr(CidrBlock { cidr: cidr.to_owned(), except })) }
}

/// A rule that accepts a TCP port from peers, or every port if it is 0.
pub fn accept(peers: Vec<PolicyPeer>, port: u32) -> PolicyRule {
    rule(Action::Accept, peers, port)
}

/// A rule about a TCP port, or everything if it is 0.
pub fn rule(action: Action, peers: Vec<PolicyPeer>, port: u32) -> PolicyRule {
    let ports = (port != 0).then(|| PolicyPort { port, ..PolicyPort::default() });
    PolicyRule {
        action: action.into(),
        peers,
        ports: ports.into_iter().collect(),
        ..PolicyRule::default()
    }
}

/// An endpoint with labels.
pub fn labelled(labels: &[(&str, &str)]) -> EndpointSpec {
    EndpointSpec { labels: crate::labels(labels), ..EndpointSpec::default() }
}
