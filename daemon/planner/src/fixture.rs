//! Small records for tests.

use postern_model::decision::{
    Desired, EndpointDecision, Link, LinkKind, MacvlanMode, NetworkDecision, Side,
};
use postern_model::driver::{EndpointView, NetworkView, SubnetView};
use postern_model::endpoint::{Attachment, Endpoint, EndpointSpec};
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::network::{Network, NetworkSpec};
use postern_model::port::{PortBinding, PortRange, Protocol};
use postern_model::sandbox::{Sandbox, SandboxSpec};
use postern_model::time::Timestamp;

/// A uid of a kind of object.
pub(crate) fn uid(kind: u8, last: u8) -> String {
    format!("01932c07-a9d0-7000-8abc-00000000{kind:02x}{last:02x}")
}

/// An empty bridge network, without neighbours' talk.
pub(crate) fn network(last: u8, name: &str) -> Network {
    Network {
        id: uid(1, last).parse::<NetworkId>().unwrap(),
        name: name.parse().unwrap(),
        revision: 1,
        created: Timestamp(0),
        predefined: false,
        spec: NetworkSpec {
            driver: "bridge".parse().unwrap(),
            subnets: Vec::new(),
            ipv4: true,
            ipv6: true,
            internal: false,
            icc: false,
            mtu: None,
            dns_servers: Vec::new(),
            labels: Default::default(),
            options: Default::default(),
        },
        subnets: Vec::new(),
        decision: NetworkDecision::default(),
        driver_digest: String::new(),
        vni: None,
        blocks: Vec::new(),
    }
}

/// A sandbox.
pub(crate) fn sandbox(last: u8, name: &str, spec: SandboxSpec) -> Sandbox {
    Sandbox {
        id: uid(2, last).parse::<SandboxId>().unwrap(),
        name: name.parse().unwrap(),
        revision: 1,
        created: Timestamp(0),
        spec,
        path: format!("/run/{name}").into(),
        identity: None,
        quarantined: false,
    }
}

/// An endpoint of `10.<network>.0.<last>` and `fd00:<network>::<last>`.
pub(crate) fn endpoint(last: u8, network: &Network, sandbox: &Sandbox) -> Endpoint {
    let n = network.id.uuid().as_bytes()[15];
    let gateways = [format!("10.{n}.0.1"), format!("fd00:{n}::1")];
    Endpoint {
        id: uid(3, last).parse::<EndpointId>().unwrap(),
        name: format!("{}.{}", sandbox.name, network.name).parse().unwrap(),
        revision: 1,
        created: Timestamp(0),
        network: network.id,
        spec: EndpointSpec::default(),
        mac: "02:00:00:00:00:02".parse().unwrap(),
        addresses: vec![
            format!("10.{n}.0.{last}/24").parse().unwrap(),
            format!("fd00:{n}::{last}/64").parse().unwrap(),
        ],
        attachment: Some(Attachment {
            sandbox: sandbox.id,
            interface: Some("eth0".parse().unwrap()),
            bindings: Vec::new(),
            decision: EndpointDecision {
                gateways: gateways.iter().map(|g| g.parse().unwrap()).collect(),
                ..EndpointDecision::default()
            },
        }),
    }
}

/// The same endpoint by a macvlan on `eth1` of the host.
pub(crate) fn macvlan(last: u8, network: &Network, sandbox: &Sandbox) -> Endpoint {
    let mut made = endpoint(last, network, sandbox);
    let link = Link {
        handle: "uplink".parse().unwrap(),
        kind: LinkKind::Macvlan {
            parent: "eth1".parse().unwrap(),
            interface: "eth0".parse().unwrap(),
            mode: MacvlanMode::Bridge,
        },
        mtu: Some(1500),
        mac: Some(made.mac),
    };
    let addresses = made.addresses.clone();
    let decision = &mut made.attachment.as_mut().unwrap().decision;
    decision.resources.push(Desired::Link(link));
    decision.resources.extend(addresses.into_iter().map(|address| Desired::Address {
        link: "uplink".parse().unwrap(),
        address,
        side: Side::Sandbox,
    }));
    made
}

/// A network as its driver sees it: `10.0.0.0/24`, open to neighbours and the world.
pub(crate) fn network_view() -> NetworkView {
    NetworkView {
        id: "n".into(),
        name: "blue".into(),
        subnets: vec![SubnetView {
            subnet: "10.0.0.0/24".parse().unwrap(),
            gateway: Some("10.0.0.1".parse().unwrap()),
        }],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:00:00:00:01".parse().unwrap(),
        tunnel: None,
        labels: Default::default(),
        options: Default::default(),
        state: Vec::new(),
    }
}

/// An endpoint of it as its driver sees it: `10.0.0.2`, `eth0`, one published port.
pub(crate) fn endpoint_view() -> EndpointView {
    EndpointView {
        id: "e".into(),
        name: "web".into(),
        addresses: vec!["10.0.0.2/24".parse().unwrap()],
        mac: "02:00:00:00:00:01".parse().unwrap(),
        interface: "eth0".parse().unwrap(),
        bindings: vec![binding(80)],
        labels: Default::default(),
        options: Default::default(),
        state: Vec::new(),
    }
}

/// A port of every address of the host that leads to port 80 of [`endpoint_view`].
pub(crate) fn binding(port: u32) -> PortBinding {
    PortBinding {
        protocol: Protocol::Tcp,
        host_ip: "0.0.0.0".parse().unwrap(),
        host: PortRange::new(port, port).unwrap(),
        target: "10.0.0.2".parse().unwrap(),
        target_first: 80,
    }
}
