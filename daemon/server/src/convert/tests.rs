//! Each rule of the API's edge, and that no request can make a conversion panic.

use std::collections::BTreeMap;

use postern_model::policy::Policy;
use postern_model::port::HostPorts;
use postern_model::refusal::{Class, Refusal};
use postern_model::time::Timestamp;
use postern_proto::v1;
use proptest::prelude::*;

use postern_proto::v1::policy_peer::Kind;

use super::*;
use crate::backend::PolicyFacts;

fn network_with(spec: v1::NetworkSpec) -> v1::CreateNetworkRequest {
    v1::CreateNetworkRequest { name: "blue".into(), spec: Some(spec), ..Default::default() }
}

fn subnet(subnet: &str) -> v1::Subnet {
    v1::Subnet { subnet: subnet.into(), ..Default::default() }
}

fn fields<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Vec<String> {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.class, Class::Invalid);
    refusal.violations.into_iter().map(|violation| violation.field).collect()
}

fn network_fields(spec: v1::NetworkSpec) -> Vec<String> {
    fields(create_network(network_with(spec)))
}

#[test]
fn defaults_of_a_network() {
    let spec = create_network(network_with(v1::NetworkSpec::default())).unwrap().intent.spec;
    assert_eq!(spec.driver.as_str(), "bridge");
    assert!(spec.ipv4 && !spec.ipv6 && spec.icc && !spec.internal);
    let v6 = v1::NetworkSpec { subnets: vec![subnet("fd00:1::/64")], ..Default::default() };
    assert!(create_network(network_with(v6)).unwrap().intent.spec.ipv6);
}

#[test]
fn names_are_checked() {
    for name in ["", "a b", "-a", &"a".repeat(64), "a/b"] {
        let request = v1::CreateNetworkRequest { name: name.into(), ..Default::default() };
        assert_eq!(fields(create_network(request)), ["name"], "{name}");
    }
}

#[test]
fn subnets_are_checked() {
    let cases = [
        ("10.0.0.1/24", "spec.subnets[0].subnet"),
        ("10.0.0.0", "spec.subnets[0].subnet"),
        ("10.0.0.0/33", "spec.subnets[0].subnet"),
        ("x/24", "spec.subnets[0].subnet"),
        ("224.0.0.0/8", "spec.subnets[0].subnet"),
        ("127.0.0.0/8", "spec.subnets[0].subnet"),
        ("169.254.0.0/16", "spec.subnets[0].subnet"),
        ("fe80::/64", "spec.subnets[0].subnet"),
        ("0.0.0.0/0", "spec.subnets[0].subnet"),
        ("0.1.0.0/16", "spec.subnets[0].subnet"),
        ("255.255.255.0/24", "spec.subnets[0].subnet"),
        ("::ffff:10.0.0.0/112", "spec.subnets[0].subnet"),
    ];
    for (text, field) in cases {
        let spec = v1::NetworkSpec { subnets: vec![subnet(text)], ..Default::default() };
        assert_eq!(network_fields(spec), [field], "{text}");
    }
    let twice = vec![subnet("10.0.0.0/24"), subnet("10.0.1.0/24")];
    let spec = v1::NetworkSpec { subnets: twice, ..Default::default() };
    assert_eq!(network_fields(spec), ["spec.subnets[1].subnet"]);
}

#[test]
fn what_lies_inside_a_subnet_is_checked() {
    let inner = |gateway: &str, range: &str, auxiliary: &str| {
        let given = |text: &str| BTreeMap::from([("a".to_owned(), text.to_owned())]);
        let subnet = v1::Subnet {
            subnet: "10.0.0.0/24".into(),
            ip_range: range.into(),
            gateway: gateway.into(),
            auxiliary_addresses: if auxiliary.is_empty() {
                BTreeMap::new()
            } else {
                given(auxiliary)
            },
        };
        let spec = v1::NetworkSpec { subnets: vec![subnet], ..Default::default() };
        create_network(network_with(spec))
    };
    for bad in ["10.0.1.1", "10.0.0.0", "10.0.0.255", "fd00::1", "x"] {
        assert_eq!(fields(inner(bad, "", "")), ["spec.subnets[0].gateway"], "{bad}");
    }
    for bad in ["10.0.1.0/25", "10.0.0.0/16", "10.0.0.1/25", "fd00::/64", "x"] {
        assert_eq!(fields(inner("", bad, "")), ["spec.subnets[0].ip_range"], "{bad}");
    }
    for bad in ["10.0.1.1", "10.0.0.0", "10.0.0.255", "x"] {
        let field = "spec.subnets[0].auxiliary_addresses[\"a\"]";
        assert_eq!(fields(inner("", "", bad)), [field], "{bad}");
    }
    assert_eq!(
        fields(inner("10.0.0.9", "", "10.0.0.9")),
        ["spec.subnets[0].auxiliary_addresses[\"a\"]"]
    );
    let mut twice = subnet("10.0.0.0/24");
    let both = [("a", "10.0.0.5"), ("b", "10.0.0.5")];
    twice.auxiliary_addresses = both.map(|(name, ip)| (name.to_owned(), ip.to_owned())).into();
    let spec = v1::NetworkSpec { subnets: vec![twice], ..Default::default() };
    assert_eq!(network_fields(spec), ["spec.subnets[0].auxiliary_addresses[\"b\"]"]);
    assert!(inner("10.0.0.254", "10.0.0.128/25", "10.0.0.5").is_ok());
}

#[test]
fn mtu_and_families_are_checked() {
    for mtu in [1, 575, 65536] {
        assert_eq!(network_fields(v1::NetworkSpec { mtu, ..Default::default() }), ["spec.mtu"]);
    }
    let v6 = v1::NetworkSpec { mtu: 1279, ipv6: Some(true), ..Default::default() };
    assert_eq!(network_fields(v6), ["spec.mtu"]);
    let none = v1::NetworkSpec { ipv4: Some(false), ipv6: Some(false), ..Default::default() };
    assert_eq!(network_fields(none), ["spec.ipv4"]);
    let off = v1::NetworkSpec {
        ipv6: Some(false),
        subnets: vec![subnet("fd00::/64")],
        ..Default::default()
    };
    assert_eq!(network_fields(off), ["spec.ipv6"]);
}

fn published(port: v1::PublishedPort) -> Result<HostPorts, Refusal> {
    let spec = v1::EndpointSpec { published_ports: vec![port], ..Default::default() };
    let request = v1::ConnectRequest {
        network: "n".into(),
        sandbox: "s".into(),
        spec: Some(spec),
        ..Default::default()
    };
    connect(request).map(|mutation| mutation.intent.spec.published[0].host)
}

fn port(host: (u32, u32), container: (u32, u32)) -> v1::PublishedPort {
    v1::PublishedPort {
        host_port: host.0,
        host_port_end: host.1,
        container_port: container.0,
        container_port_end: container.1,
        ..Default::default()
    }
}

#[test]
fn published_ports_are_checked() {
    let host = "spec.published_ports[0].host_port";
    let container = "spec.published_ports[0].container_port";
    let cases = [
        (port((80, 0), (0, 0)), container),
        (port((80, 0), (65536, 0)), container),
        (port((80, 0), (90, 80)), container),
        (port((65536, 0), (80, 0)), host),
        (port((90, 80), (80, 0)), host),
        (port((80, 82), (80, 81)), host),
        (port((0, 82), (80, 81)), host),
        (port((65535, 0), (80, 81)), host),
    ];
    for (port, field) in cases {
        assert_eq!(fields(published(port.clone())), [field], "{port:?}");
    }
    let bad_ip = v1::PublishedPort { host_ip: "x".into(), ..port((80, 0), (80, 0)) };
    assert_eq!(fields(published(bad_ip)), ["spec.published_ports[0].host_ip"]);
    for host_ip in ["224.0.0.1", "255.255.255.255", "ff02::1"] {
        let bad = v1::PublishedPort { host_ip: host_ip.into(), ..port((80, 0), (80, 0)) };
        assert_eq!(fields(published(bad)), ["spec.published_ports[0].host_ip"], "{host_ip}");
    }
    let bad_protocol = v1::PublishedPort { protocol: 9, ..port((80, 0), (80, 0)) };
    assert_eq!(fields(published(bad_protocol)), ["spec.published_ports[0].protocol"]);
}

#[test]
fn forms_of_published_ports() {
    assert!(matches!(published(port((0, 0), (80, 0))), Ok(HostPorts::Ephemeral)));
    assert!(
        matches!(published(port((80, 0), (80, 89))), Ok(HostPorts::Exactly(r)) if r.last() == 89)
    );
    assert!(matches!(published(port((80, 89), (80, 0))), Ok(HostPorts::FirstFreeOf(_))));
}

#[test]
fn endpoints_are_checked_and_every_wrong_field_is_named() {
    let spec = v1::EndpointSpec {
        ipv4_address: "fd00::1".into(),
        ipv6_address: "10.0.0.1".into(),
        mac_address: "01:00:00:00:00:00".into(),
        interface_name: "sixteen-bytes-xy".into(),
        aliases: vec!["a".into(), "a".into(), "b c".into()],
        exposed_ports: vec![v1::ExposedPort { port: 80, name: "-x".into(), ..Default::default() }],
        ..Default::default()
    };
    let request = v1::ConnectRequest {
        network: String::new(),
        sandbox: "s".into(),
        spec: Some(spec),
        ..Default::default()
    };
    let named = fields(connect(request));
    for field in [
        "network",
        "spec.ipv4_address",
        "spec.ipv6_address",
        "spec.mac_address",
        "spec.interface_name",
        "spec.aliases[2]",
        "spec.exposed_ports[0].name",
    ] {
        assert!(named.contains(&field.to_owned()), "{field} not in {named:?}");
    }
}

#[test]
fn disconnect_takes_one_form() {
    let request =
        v1::DisconnectRequest { endpoint: "e".into(), network: "n".into(), ..Default::default() };
    assert_eq!(fields(disconnect(request)), ["endpoint"]);
    assert_eq!(fields(disconnect(v1::DisconnectRequest::default())), ["network", "sandbox"]);
}

#[test]
fn pages_and_request_ids_are_checked() {
    let page = |size, token: &str| v1::ListNetworksRequest {
        page: Some(v1::PageRequest { size, token: token.into() }),
        ..Default::default()
    };
    assert_eq!(fields(list_networks(page(1001, ""))), ["page.size"]);
    assert_eq!(fields(list_networks(page(1, "x"))), ["page.token"]);
    assert_eq!(list_networks(page(0, "after:a")).unwrap().page.after.as_deref(), Some("a"));
    for request_id in ["a b", "ä", &"a".repeat(65)] {
        let request = v1::DeleteNetworkRequest {
            network: "n".into(),
            request_id: request_id.into(),
            validate_only: false,
        };
        assert_eq!(fields(delete_network(request)), ["request_id"]);
    }
}

#[test]
fn a_digest_tells_requests_apart_and_a_retry_is_the_same() {
    let digest = |name: &str| {
        let request = v1::CreateNetworkRequest { name: name.into(), ..Default::default() };
        create_network(request).unwrap().digest
    };
    assert_eq!(digest("a"), digest("a"));
    assert_ne!(digest("a"), digest("b"));
}

#[test]
fn sandbox_namespaces_are_checked() {
    use v1::sandbox_spec::Namespace;
    let create = |namespace| {
        let spec = v1::SandboxSpec { namespace: Some(namespace), ..Default::default() };
        create_sandbox(v1::CreateSandboxRequest {
            name: "s".into(),
            spec: Some(spec),
            ..Default::default()
        })
    };
    for path in ["", "run/x", "/run/../x", "/run/\0"] {
        assert_eq!(fields(create(Namespace::Path(path.into()))), ["spec.path"]);
    }
    for pid in [0, u32::MAX] {
        assert_eq!(fields(create(Namespace::Pid(pid))), ["spec.pid"]);
    }
    assert!(create(Namespace::Path("/run/netns/x".into())).is_ok());
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9a-f:./]{0,20}",
        Just("10.0.0.0/24".to_owned()),
        Just("::/0".to_owned()),
        Just(String::new()),
    ]
}

#[test]
fn that_a_policy_logs_is_kept_and_shown() {
    for log in [false, true] {
        let subject =
            v1::PolicySubject { endpoint_names: vec!["web".into()], ..Default::default() };
        let spec = v1::PolicySpec { subject: Some(subject), log, ..Default::default() };
        let request =
            v1::ApplyPolicyRequest { name: "p".into(), spec: Some(spec), ..Default::default() };
        let intent = apply_policy(request).unwrap().intent;
        assert_eq!(intent.spec.log, log);
        let facts = PolicyFacts {
            policy: Policy {
                shared: false,
                id: "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".parse().unwrap(),
                name: intent.name,
                revision: 1,
                created: Timestamp(0),
                spec: intent.spec,
            },
            subjects: Vec::new(),
            flows_cut: 0,
            lints: Vec::new(),
            impact: Default::default(),
            previous: None,
        };
        assert_eq!(policy(facts).spec.unwrap().log, log);
    }
}

proptest! {
    /// A digest depends on map order only if the encoding does; a retry that a client
    /// library encodes anew must still be the same request.
    #[test]
    fn digests_do_not_depend_on_map_order(labels: BTreeMap<String, String>) {
        let request = |labels: BTreeMap<String, String>| v1::CreateSandboxRequest {
            name: "s".into(),
            spec: Some(v1::SandboxSpec { labels, ..Default::default() }),
            ..Default::default()
        };
        let again: BTreeMap<_, _> = labels.clone().into_iter().collect();
        match (create_sandbox(request(labels)), create_sandbox(request(again))) {
            (Ok(a), Ok(b)) => prop_assert_eq!(a.digest, b.digest),
            (Err(_), Err(_)) => {}
            _ => prop_assert!(false, "one is refused, the other is not"),
        }
    }

    #[test]
    fn no_network_makes_it_panic(
        name in text(), subnet in text(), range in text(), gateway in text(), aux in text(),
        key in text(), mtu: u32, ipv4: Option<bool>, ipv6: Option<bool>,
    ) {
        let auxiliary = BTreeMap::from([(key.clone(), aux)]);
        let subnets = vec![v1::Subnet { subnet, ip_range: range, gateway, auxiliary_addresses: auxiliary }];
        let labels = BTreeMap::from([(key, name.clone())]);
        let spec = v1::NetworkSpec { subnets, mtu, ipv4, ipv6, labels, ..Default::default() };
        let _ = create_network(v1::CreateNetworkRequest { name, spec: Some(spec), ..Default::default() });
    }

    #[test]
    fn no_policy_makes_it_panic(
        a in text(), b in text(), c in text(), numbers: [i32; 6], ports: [u32; 4],
    ) {
        let selector = v1::LabelSelector {
            match_labels: [(a.clone(), b.clone())].into(),
            match_expressions: vec![v1::LabelRequirement {
                key: c.clone(),
                operator: numbers[0],
                values: vec![a.clone()],
            }],
        };
        let cidr = v1::CidrBlock { cidr: a.clone(), except: vec![b.clone()] };
        let kinds = [
            Kind::Selector(v1::EndpointSelector { networks: Some(selector.clone()), endpoints: None }),
            Kind::Cidr(cidr),
            Kind::Entity(numbers[1]),
            Kind::Endpoint(c.clone()),
        ];
        let peers = kinds.into_iter().map(|kind| v1::PolicyPeer { kind: Some(kind) });
        let port = v1::PolicyPort {
            protocol: numbers[2],
            port: ports[0],
            port_end: ports[1],
            name: b.clone(),
            icmp: Some(v1::IcmpType { ipv6: true, r#type: ports[2], code: Some(ports[3]) }),
        };
        let rule = v1::PolicyRule {
            id: a.clone(),
            action: numbers[3],
            peers: peers.collect(),
            ports: vec![port, v1::PolicyPort { port: ports[0], ..Default::default() }],
        };
        let subject = v1::PolicySubject {
            networks: None,
            endpoints: Some(selector),
            endpoint_names: vec![b],
        };
        let spec = v1::PolicySpec {
            tier: numbers[4],
            directions: vec![numbers[5]],
            subject: Some(subject),
            ingress: vec![rule],
            ..Default::default()
        };
        let request =
            v1::ApplyPolicyRequest { name: c, spec: Some(spec), ..Default::default() };
        let _ = apply_policy(request);
    }

    #[test]
    fn no_endpoint_makes_it_panic(
        a in text(), b in text(), c in text(), d in text(),
        protocol: i32, numbers: [u32; 6],
    ) {
        let port = v1::PublishedPort {
            protocol,
            host_ip: a.clone(),
            host_port: numbers[0],
            host_port_end: numbers[1],
            container_port: numbers[2],
            container_port_end: numbers[3],
            allow_from: vec![c.clone()],
        };
        let exposed = v1::ExposedPort { protocol, port: numbers[4], port_end: numbers[5], name: b.clone() };
        let spec = v1::EndpointSpec {
            ipv4_address: a.clone(),
            ipv6_address: b.clone(),
            mac_address: c.clone(),
            interface_name: d,
            aliases: vec![a.clone(), b],
            exposed_ports: vec![exposed],
            published_ports: vec![port],
            ..Default::default()
        };
        let _ = connect(v1::ConnectRequest {
            network: a, sandbox: c, spec: Some(spec), ..Default::default()
        });
    }
}
