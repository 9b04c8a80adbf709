//! Records for tests.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use postern_model::decision::{EndpointDecision, NetworkDecision};
use postern_model::dns::{ExtraHost, HostAddress, Link};
use postern_model::endpoint::{Attachment, Endpoint, EndpointSpec};
use postern_model::id::{EndpointId, NetworkId, SandboxId};
use postern_model::mac::MacAddr;
use postern_model::name::Labels;
use postern_model::network::{Network, NetworkSpec, Subnet};
use postern_model::port::{ExposedPort, PortRange, Protocol};
use postern_model::sandbox::{NamespaceSpec, Sandbox, SandboxSpec};
use postern_model::time::Timestamp;
use postern_model::topology::Put;
use uuid::Uuid;

/// The n-th network.
pub(crate) fn network_id(n: u128) -> NetworkId {
    NetworkId::new(Uuid::from_u128(0x1_0000_0000 + n))
}

/// The n-th sandbox.
pub(crate) fn sandbox_id(n: u128) -> SandboxId {
    SandboxId::new(Uuid::from_u128(0x2_0000_0000 + n))
}

/// The n-th endpoint.
pub(crate) fn endpoint_id(n: u128) -> EndpointId {
    EndpointId::new(Uuid::from_u128(0x3_0000_0000 + n))
}

/// A network with the subnets 10.n.0.0/16 and fd00:n::/64.
pub(crate) fn network(n: u128, name: &str) -> Network {
    let subnet = |text: String| Subnet {
        subnet: text.parse().unwrap(),
        range: text.parse().unwrap(),
        gateway: None,
        auxiliary: std::collections::BTreeMap::new(),
    };
    Network {
        id: network_id(n),
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
            icc: true,
            mtu: None,
            dns_servers: Vec::new(),
            labels: Labels::new(),
            options: Labels::new(),
        },
        subnets: vec![subnet(format!("10.{n}.0.0/16")), subnet(format!("fd00:{n}::/64"))],
        decision: NetworkDecision::default(),
        driver_digest: String::new(),
        vni: None,
        blocks: Vec::new(),
    }
}

/// A sandbox.
pub(crate) fn sandbox(n: u128, name: &str) -> Sandbox {
    Sandbox {
        id: sandbox_id(n),
        name: name.parse().unwrap(),
        revision: 1,
        created: Timestamp(0),
        spec: SandboxSpec::of(NamespaceSpec::Create),
        path: "/run/x".into(),
        identity: None,
        quarantined: false,
    }
}

/// An endpoint of a sandbox on a network, joined, with these addresses.
pub(crate) fn endpoint(n: u128, name: &str, on: u128, of: u128, addresses: &[&str]) -> Endpoint {
    Endpoint {
        id: endpoint_id(n),
        name: name.parse().unwrap(),
        revision: 1,
        created: Timestamp(0),
        network: network_id(on),
        spec: EndpointSpec::default(),
        mac: MacAddr::new([2, 0, 0, 0, 0, 1]).unwrap(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        attachment: Some(Attachment {
            sandbox: sandbox_id(of),
            interface: Some("eth0".to_owned().try_into().unwrap()),
            bindings: Vec::new(),
            decision: EndpointDecision::default(),
        }),
    }
}

/// A named port.
pub(crate) fn exposed(name: &str, protocol: Protocol, first: u32, last: u32) -> ExposedPort {
    ExposedPort {
        protocol,
        ports: PortRange::new(first, last).unwrap(),
        name: Some(name.to_owned()),
    }
}

/// A link.
pub(crate) fn link(source: &str, alias: &str) -> Link {
    Link { source: source.parse().unwrap(), alias: alias.parse().unwrap() }
}

/// An extra host.
pub(crate) fn host(name: &str, address: &str) -> ExtraHost {
    let address = HostAddress::Ip(address.parse().unwrap());
    ExtraHost { name: name.parse().unwrap(), address }
}

/// A put of an endpoint.
pub(crate) fn put(endpoint: Endpoint) -> Put {
    Put::Endpoint(Box::new(endpoint))
}

/// Three networks and five sandboxes:
///
/// - `web` (1) on `front` and `back`;
/// - `db` (2) on `back`, with the aliases `sql` and `all`, and ports;
/// - `db2` (3) on `back`, with the alias `all`; it calls itself `Box.example.org`;
/// - `lone` (4) on `far`;
/// - `idle` (5), which is on no network.
pub(crate) fn topology() -> Vec<Put> {
    let mut box3 = sandbox(3, "db2");
    box3.spec.identity.hostname = Some("box".parse().unwrap());
    box3.spec.identity.domain_name = Some("example.org".parse().unwrap());
    let mut db = endpoint(13, "db.back", 2, 2, &["10.2.0.3/16", "fd00:2::3/64"]);
    db.spec.aliases = vec!["sql".parse().unwrap(), "all".parse().unwrap()];
    db.spec.exposed = vec![
        exposed("PostgreSQL", Protocol::Tcp, 5432, 5433),
        exposed("stats", Protocol::Udp, 9000, 9000),
    ];
    let mut db2 = endpoint(14, "db2.back", 2, 3, &["10.2.0.4/16"]);
    db2.spec.aliases = vec!["all".parse().unwrap()];
    vec![
        Put::Network(network(1, "front")),
        Put::Network(network(2, "back")),
        Put::Network(network(3, "far")),
        Put::Sandbox(sandbox(1, "Web")),
        Put::Sandbox(sandbox(2, "db")),
        Put::Sandbox(box3),
        Put::Sandbox(sandbox(4, "lone")),
        Put::Sandbox(sandbox(5, "idle")),
        put(endpoint(11, "web.front", 1, 1, &["10.1.0.2/16"])),
        put(endpoint(12, "web.back", 2, 1, &["10.2.0.2/16"])),
        put(db),
        put(db2),
        put(endpoint(15, "lone.far", 3, 4, &["10.3.0.2/16"])),
    ]
}

/// A question.
pub(crate) fn query(name: &str, record_type: RecordType) -> Query {
    let labels = name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes);
    Query::query(Name::from_labels(labels).unwrap(), record_type)
}

/// A client's message, with EDNS of this payload.
pub(crate) fn ask(id: u16, name: &str, record_type: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(query(name, record_type));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

/// What records say, without their names.
pub(crate) fn said(records: &[hickory_proto::rr::Record]) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::A(a) => a.to_string(),
        RData::AAAA(a) => a.to_string(),
        other => other.to_string(),
    };
    records.iter().map(|record| text(&record.data)).collect()
}
