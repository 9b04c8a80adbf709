//! `postern endpoint`, `connect` and `disconnect`.

use postern_proto::v1;

use crate::Daemon;
use crate::fake::UID;

const ROW: &str = "\
ENDPOINT ID    NAME       NETWORK   SANDBOX   INTERFACE   IPV4          IPV6   PORTS
7c8d9e0f1a2b   blue.web   web       blue      eth0        10.0.0.2/24";

#[test]
fn connect_sends_every_flag_and_prints_the_endpoint() {
    let daemon = Daemon::start();
    let line = "connect web blue --name e --ip 10.0.0.9 --ip6 fd00::9 \
        --mac-address 02:00:5e:00:53:01 --interface lan0 --gw-priority -5 --alias db \
        --expose 53/udp -p 8080:80 -p [::1]:8000-8003:80/udp --label a=1 --opt k=v";
    assert_eq!(daemon.run(line).text(), ROW);
    let request: v1::ConnectRequest = daemon.fake.last("endpoint.connect");
    let port =
        |protocol: v1::Protocol, host_ip: &str, host_port, host_port_end| v1::PublishedPort {
            protocol: protocol.into(),
            host_ip: host_ip.into(),
            host_port,
            host_port_end,
            container_port: 80,
            container_port_end: 0,
            allow_from: Vec::new(),
        };
    let spec = v1::EndpointSpec {
        ipv4_address: "10.0.0.9".into(),
        ipv6_address: "fd00::9".into(),
        mac_address: "02:00:5e:00:53:01".into(),
        interface_name: "lan0".into(),
        gateway_priority: -5,
        aliases: vec!["db".into()],
        exposed_ports: vec![v1::ExposedPort {
            protocol: v1::Protocol::Udp.into(),
            port: 53,
            ..v1::ExposedPort::default()
        }],
        published_ports: vec![
            port(v1::Protocol::Tcp, "", 8080, 0),
            port(v1::Protocol::Udp, "::1", 8000, 8003),
        ],
        labels: [("a".into(), "1".into())].into(),
        options: [("k".into(), "v".into())].into(),
    };
    assert_eq!(request.spec, Some(spec));
    assert_eq!(
        (request.network, request.sandbox, request.name),
        ("web".into(), "blue".into(), "e".into())
    );
}

#[test]
fn a_wrong_port_is_a_usage_error() {
    let outcome = Daemon::start().run("connect web blue -p 8000-8003:80-81");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("differ in number"), "{outcome:?}");
}

#[test]
fn disconnect_takes_a_pair_or_an_endpoint() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run("disconnect web blue").text(), "web blue");
    let pair: v1::DisconnectRequest = daemon.fake.last("endpoint.disconnect");
    assert_eq!([pair.endpoint, pair.network, pair.sandbox], ["", "web", "blue"]);
    assert_eq!(daemon.run("disconnect blue.web").text(), "blue.web");
    let one: v1::DisconnectRequest = daemon.fake.last("endpoint.disconnect");
    assert_eq!([one.endpoint, one.network, one.sandbox], ["blue.web", "", ""]);
}

#[test]
fn the_verbs_of_the_model() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run("endpoint create e web --ip 10.0.0.9").text(), UID);
    assert_eq!(daemon.run("endpoint join blue.web blue").text(), ROW);
    assert_eq!(daemon.run("endpoint leave e").text(), "e");
    assert_eq!(daemon.run("endpoint rm e").text(), "e");
    assert_eq!(
        daemon.fake.calls(),
        ["endpoint.create", "endpoint.join", "endpoint.leave", "endpoint.delete"]
    );
}

#[test]
fn lists_by_network_and_sandbox() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run("endpoint ls --network web --sandbox blue").text(), ROW);
    let request: v1::ListEndpointsRequest = daemon.fake.last("endpoint.list");
    assert_eq!((request.network, request.sandbox), ("web".into(), "blue".into()));
    assert_eq!(daemon.run("endpoint inspect e").json()[0]["spec"]["gatewayPriority"], 0);
}

#[test]
fn update_changes_what_was_read_under_its_revision() {
    let daemon = Daemon::start();
    let line =
        "endpoint update e --publish-rm 80 --publish-add 81:81 --alias-add new --expose-add 81";
    assert_eq!(daemon.run(line).text(), "e");
    let request: v1::UpdateEndpointRequest = daemon.fake.last("endpoint.update");
    assert_eq!(request.aliases, ["old", "new"]);
    assert_eq!(request.published_ports.len(), 1);
    assert_eq!(request.published_ports[0].container_port, 81);
    assert_eq!(request.exposed_ports[0].port, 81);
    assert_eq!((request.endpoint.as_str(), request.revision), (UID, 5));
}

#[test]
fn many_are_connected_in_one_stream_and_each_is_told() {
    let daemon = Daemon::start();
    let lines = concat!(
        r#"{"network": "web", "sandbox": "blue", "spec": {"publishedPorts": [{"containerPort": 80}]}}"#,
        "\n\n",
        r#"{"network": "web", "sandbox": "gone"}"#,
        "\n",
        r#"{"network": "web", "sandbox": "red"}"#,
    );
    let outcome = daemon.answer("connect-many -", lines);
    assert_eq!(outcome.code, Some(3));
    assert_eq!(outcome.stdout, "blue.web\nblue.web\n");
    let expected = "error: line 3: there is no sandbox `gone`\n  \
                    sandbox gone\n  reason: NOT_FOUND\n";
    assert_eq!(outcome.stderr, expected);
    let json = daemon.answer("-o json connect-many -", r#"{"network": "web", "sandbox": "blue"}"#);
    assert_eq!(json.text().lines().count(), 1);
    assert!(json.text().starts_with(r#"{"endpoint":{"#), "{json:?}");
}

#[test]
fn a_wrong_line_has_nothing_sent() {
    let daemon = Daemon::start();
    let lines = "{\"network\": \"web\", \"sandbox\": \"blue\"}\n{\"netwrok\": \"web\"}\n";
    let outcome = daemon.answer("connect-many -", lines);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("-: line 2: ") && outcome.stderr.contains("netwrok"));
    assert!(daemon.fake.calls().is_empty());
}

#[test]
fn a_stream_that_breaks_says_what_is_not_answered() {
    let daemon = Daemon::start();
    let lines = "{\"endpoint\": \"blue.web\"}\n{\"network\": \"web\", \"sandbox\": \"red\"}\n";
    let outcome = daemon.answer("disconnect-many -", lines);
    assert_eq!(outcome.stdout, "blue.web\nweb red\n");
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.stderr, "error: 0 lines are not answered: the daemon stops\n");
}
