//! Requests about endpoints that are refused: with the code, the field named, and nothing changed.

use postern_proto::v1::{
    ConnectRequest, DisconnectRequest, EndpointSpec, ExposedPort, GetEndpointRequest,
    JoinEndpointRequest, PublishedPort, UpdateEndpointRequest,
};
use postern_tests::{Refusal, World, ask};
use tonic::Code;

const INVALID: Code = Code::InvalidArgument;

/// What is asked for, the code, the field.
type Case = (EndpointSpec, Code, &'static str);

async fn assert_refused(world: &mut World, network: &str, cases: Vec<Case>) {
    let before = world.snapshot().await;
    for (spec, code, field) in cases {
        for validate_only in [true, false] {
            let request = ConnectRequest {
                network: network.into(),
                sandbox: "late".into(),
                spec: Some(spec.clone()),
                validate_only,
                ..Default::default()
            };
            let refusal = Refusal::expect(world.api.endpoints.connect(request).await);
            assert_eq!(refusal.code, code, "{spec:?}: {refusal:?}");
            refusal.assert(code, field);
        }
        assert_eq!(world.snapshot().await, before, "{spec:?}");
    }
    world.assert_agrees().await;
}

async fn furnish(world: &World) {
    world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
    let first =
        EndpointSpec { mac_address: "02:00:5e:00:53:01".into(), ..ask::address("10.1.0.9") };
    world.place("blue", "first", first).await;
    world.api.create_sandbox("late").await.unwrap();
}

#[test]
fn addresses() {
    World::run(async |world| {
        furnish(world).await;
        let mut cases: Vec<Case> = Vec::new();
        for text in
            ["x", "10.1.0.300", "10.1.0.5/24", "fd00::1", "10.2.0.5", "10.1.0.0", "10.1.0.255"]
        {
            cases.push((ask::address(text), INVALID, "spec.ipv4_address"));
        }
        cases.push((ask::address("10.1.0.9"), Code::AlreadyExists, "spec.ipv4_address"));
        cases.push((ask::address("10.1.0.1"), INVALID, "spec.ipv4_address"));
        for text in ["x", "10.1.0.5", "fd00::5"] {
            // The last one is an address of a family the network does not have.
            let spec = EndpointSpec { ipv6_address: text.into(), ..Default::default() };
            cases.push((spec, INVALID, "spec.ipv6_address"));
        }
        assert_refused(world, "blue", cases).await;
    });
}

#[test]
fn macs_names_and_interfaces() {
    World::run(async |world| {
        furnish(world).await;
        let mac = |text: &str| EndpointSpec { mac_address: text.into(), ..Default::default() };
        let interface =
            |text: &str| EndpointSpec { interface_name: text.into(), ..Default::default() };
        let mut cases: Vec<Case> = Vec::new();
        for text in
            ["x", "02:00:5e:00:53", "01:00:5e:00:53:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"]
        {
            cases.push((mac(text), INVALID, "spec.mac_address"));
        }
        cases.push((mac("02:00:5e:00:53:01"), Code::AlreadyExists, "spec.mac_address"));
        for text in
            ["sixteen-bytes-xy", "a/b", "a:b", "a b", "..", ".", "lo", "all", "default", "ä"]
        {
            cases.push((interface(text), INVALID, "spec.interface_name"));
        }
        let alias = |text: &str| EndpointSpec { aliases: vec![text.into()], ..Default::default() };
        cases.push((alias("a b"), INVALID, "spec.aliases[0]"));
        cases.push((alias(""), INVALID, "spec.aliases[0]"));
        let exposed = |port: u32, port_end: u32| EndpointSpec {
            exposed_ports: vec![ExposedPort { port, port_end, ..Default::default() }],
            ..Default::default()
        };
        for (port, end) in [(0, 0), (65536, 0), (80, 79), (80, 65536)] {
            cases.push((exposed(port, end), INVALID, "spec.exposed_ports[0].port"));
        }
        let mut spec = ask::endpoint();
        spec.options.insert("no-such".into(), "x".into());
        cases.push((spec, INVALID, "spec.options[\"no-such\"]"));
        assert_refused(world, "blue", cases).await;
    });
}

#[test]
fn published_ports() {
    World::run(async |world| {
        furnish(world).await;
        let host = "spec.published_ports[0].host_port";
        let container = "spec.published_ports[0].container_port";
        let address = "spec.published_ports[0].host_ip";
        let one = |port: PublishedPort| ask::publish(&[port]);
        let mut cases: Vec<Case> = vec![
            (one(ask::tcp(8080, 0)), INVALID, container),
            (one(ask::tcp(8080, 65536)), INVALID, container),
            (one(ask::tcp(65536, 80)), INVALID, host),
            (one(ask::tcp(u32::MAX, 80)), INVALID, host),
            (one(ask::range((8090, 8080), (80, 90))), INVALID, host),
            (one(ask::range((8080, 8090), (90, 80))), INVALID, container),
            (one(ask::range((8080, 8090), (80, 85))), INVALID, host),
            (one(ask::range((65535, 0), (80, 81))), INVALID, host),
            (one(ask::on("x", ask::tcp(8080, 80))), INVALID, address),
            (one(ask::on("::1", ask::tcp(8080, 80))), INVALID, address),
            (one(ask::on("fd00::1", ask::tcp(8080, 80))), INVALID, address),
            (
                one(PublishedPort { protocol: 9, ..ask::tcp(8080, 80) }),
                INVALID,
                "spec.published_ports[0].protocol",
            ),
        ];
        // Not an address of this host.
        let elsewhere = ask::publish(&[ask::on("198.51.100.99", ask::tcp(8080, 80))]);
        cases.push((elsewhere, INVALID, address));
        // Twice in one request.
        let twice = ask::publish(&[ask::tcp(8080, 80), ask::tcp(8080, 81)]);
        cases.push((twice, Code::FailedPrecondition, "spec.published_ports[1].host_port"));
        assert_refused(world, "blue", cases).await;
    });
}

#[test]
fn ports_where_there_is_no_way_in() {
    World::run(async |world| {
        let spec =
            postern_proto::v1::NetworkSpec { internal: true, ..ask::network(&["10.1.0.0/24"]) };
        world.api.create_network("shut", spec).await.unwrap();
        world.api.create_sandbox("late").await.unwrap();
        let ports = ask::publish(&[ask::tcp(8080, 80)]);
        let cases = vec![(ports.clone(), INVALID, "spec.published_ports")];
        assert_refused(world, "shut", cases).await;
        let fixed = (ask::address("10.1.0.5"), INVALID, "spec.ipv4_address");
        assert_refused(world, "none", vec![fixed]).await;
    });
}

#[test]
fn what_is_not_there() {
    World::run(async |world| {
        furnish(world).await;
        let before = world.snapshot().await;
        let uid = "01932c07-a9d0-7000-8abc-0123456789ab";
        for (network, sandbox) in [("nope", "late"), ("blue", "nope"), (uid, "late"), ("blue", uid)]
        {
            let refusal =
                Refusal::expect(world.api.connect(network, sandbox, ask::endpoint()).await);
            refusal.assert(Code::NotFound, "");
        }
        for (network, sandbox, field) in [("", "late", "network"), ("blue", "", "sandbox")] {
            let refusal =
                Refusal::expect(world.api.connect(network, sandbox, ask::endpoint()).await);
            refusal.assert(INVALID, field);
        }
        let refusal = Refusal::expect(world.api.disconnect("blue", "late").await);
        refusal.assert(Code::NotFound, "");
        let mut endpoints = world.api.endpoints.clone();
        let request = GetEndpointRequest { endpoint: uid.into() };
        Refusal::expect(endpoints.get(request).await).assert(Code::NotFound, "");
        let request = JoinEndpointRequest {
            endpoint: "nope".into(),
            sandbox: "late".into(),
            ..Default::default()
        };
        Refusal::expect(endpoints.join(request).await).assert(Code::NotFound, "");
        let request = UpdateEndpointRequest {
            endpoint: "first.blue".into(),
            revision: 1,
            ..Default::default()
        };
        Refusal::expect(endpoints.update(request).await).assert(Code::Aborted, "");
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn what_contradicts_itself_or_what_is_there() {
    World::run(async |world| {
        furnish(world).await;
        let before = world.snapshot().await;
        let mut endpoints = world.api.endpoints.clone();
        // The second endpoint of one sandbox on one network.
        let refusal = Refusal::expect(world.api.connect("blue", "first", ask::endpoint()).await);
        assert!(
            matches!(refusal.code, Code::AlreadyExists | Code::FailedPrecondition),
            "{refusal:?}"
        );
        let request = ConnectRequest {
            network: "blue".into(),
            sandbox: "late".into(),
            name: "first.blue".into(),
            ..Default::default()
        };
        Refusal::expect(endpoints.connect(request).await).assert(Code::AlreadyExists, "");
        let request = DisconnectRequest {
            endpoint: "first.blue".into(),
            network: "blue".into(),
            ..Default::default()
        };
        Refusal::expect(endpoints.disconnect(request).await).assert(INVALID, "endpoint");
        let refusal = Refusal::expect(endpoints.disconnect(DisconnectRequest::default()).await);
        refusal.assert(INVALID, "network");
        assert_eq!(world.snapshot().await, before);
    });
}
