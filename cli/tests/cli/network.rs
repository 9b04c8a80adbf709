//! `postern network`.

use postern_proto::v1;
use serde_json::json;

use crate::Daemon;
use crate::fake::UID;

#[test]
fn create_sends_every_flag_and_prints_the_id() {
    let daemon = Daemon::start();
    let line = "network create web -d bridge --subnet 10.1.0.0/16 --subnet fd00:1::/64 \
        --gateway fd00:1::1 --ip-range 10.1.2.0/24 --aux-address nas=10.1.0.9 --ipv6 \
        --ipv4=true --icc=false --internal --mtu 1400 --label a=1 --label b --opt open=true --dns 10.1.0.53 \
        --request-id r1";
    assert_eq!(daemon.run(line).text(), UID);
    let request: v1::CreateNetworkRequest = daemon.fake.last("network.create");
    let spec = v1::NetworkSpec {
        driver: "bridge".into(),
        subnets: vec![
            v1::Subnet {
                subnet: "10.1.0.0/16".into(),
                ip_range: "10.1.2.0/24".into(),
                gateway: String::new(),
                auxiliary_addresses: [("nas".into(), "10.1.0.9".into())].into(),
            },
            v1::Subnet {
                subnet: "fd00:1::/64".into(),
                gateway: "fd00:1::1".into(),
                ..v1::Subnet::default()
            },
        ],
        ipv4: Some(true),
        ipv6: Some(true),
        internal: true,
        icc: Some(false),
        mtu: 1400,
        labels: [("a".into(), "1".into()), ("b".into(), String::new())].into(),
        options: [("open".into(), "true".into())].into(),
        dns_servers: vec!["10.1.0.53".into()],
    };
    let expected = v1::CreateNetworkRequest {
        name: "web".into(),
        spec: Some(spec),
        request_id: "r1".into(),
        validate_only: false,
    };
    assert_eq!(request, expected);
}

#[test]
fn what_is_not_said_is_left_to_the_daemon() {
    let daemon = Daemon::start();
    daemon.run("network create web").text();
    let request: v1::CreateNetworkRequest = daemon.fake.last("network.create");
    assert_eq!(request.spec, Some(v1::NetworkSpec::default()));
}

#[test]
fn a_dry_run_prints_the_plan() {
    let daemon = Daemon::start();
    let plan = "ACTION   KIND     OBJECT\ncreate   bridge   pst-1";
    for line in [
        "network create web --dry-run",
        "network rm web --dry-run",
        "network update web --icc --dry-run",
    ] {
        assert_eq!(daemon.run(line).text(), plan, "{line}");
    }
    let request: v1::DeleteNetworkRequest = daemon.fake.last("network.delete");
    assert!(request.validate_only);
}

#[test]
fn refusals_name_the_fields() {
    let outcome = Daemon::start().run("network create bad");
    assert_eq!(outcome.code, Some(3));
    assert_eq!(outcome.stdout, "");
    assert_eq!(
        outcome.stderr,
        "error: the request is invalid\n  spec.subnets[0].gateway: is the broadcast\n  \
         spec.mtu: is below 576\n"
    );
}

#[test]
fn a_gateway_without_a_subnet_is_a_usage_error_and_nothing_is_sent() {
    let daemon = Daemon::start();
    let outcome = daemon.run("network create web --subnet 10.1.0.0/16 --gateway 10.2.0.1");
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.starts_with("error: no --subnet contains the gateway 10.2.0.1\n"));
    assert!(daemon.fake.calls().is_empty());
}

#[test]
fn a_wrong_command_line_is_told_before_an_absent_daemon() {
    let nowhere = "unix:///nonexistent/postern.sock";
    assert_eq!(crate::run(nowhere, "network ls --filter colour=red", "").code, Some(2));
    assert_eq!(crate::run(nowhere, "network create a --gateway 10.0.0.1", "").code, Some(2));
}

#[test]
fn lists_are_read_to_their_end() {
    let daemon = Daemon::start();
    assert_eq!(
        daemon.run("network ls").text(),
        "NETWORK ID     NAME     DRIVER   SCOPE\n\
         7c8d9e0f1a2b   bridge   bridge   local\n\
         7c8d9e0f1a2b   web      bridge   local"
    );
    assert_eq!(daemon.fake.calls(), ["network.list", "network.list"]);
    assert_eq!(daemon.run("network ls -q").text(), format!("{UID}\n{UID}"));
    let json = daemon.run("network ls -o json").json();
    assert_eq!(json["networks"][1]["name"], "web");
    assert_eq!(json["networks"].as_array().map(Vec::len), Some(2));
}

#[test]
fn filters_go_to_the_daemon_or_are_applied_here() {
    let daemon = Daemon::start();
    let outcome = daemon
        .run("network ls --filter type=custom --filter label=a=1 -f driver=bridge --no-trunc");
    assert_eq!(
        outcome.text().lines().skip(1).collect::<Vec<_>>(),
        [format!("{UID}   web    bridge   local")]
    );
    let request: v1::ListNetworksRequest = daemon.fake.last("network.list");
    assert_eq!(request.driver, "bridge");
    assert_eq!(request.filter.unwrap().labels, [("a".into(), "1".into())].into());
    assert_eq!(daemon.run("network ls --filter colour=red").code, Some(2));
}

#[test]
fn inspect_prints_an_array_of_what_is_there() {
    let daemon = Daemon::start();
    let outcome = daemon.run("network inspect web gone");
    assert_eq!(outcome.code, Some(3));
    assert_eq!(
        outcome.stderr,
        "error: there is no network `gone`\n  network gone\n  reason: NOT_FOUND\n"
    );
    let array: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        array,
        json!([{
            "uid": UID,
            "name": "web",
            "revision": "7",
            "predefined": false,
            "vni": 0,
            "blocks": [],
            "peerCount": 0,
            "peers": [],
            "spec": {
                "driver": "bridge",
                "subnets": [],
                "internal": true,
                "mtu": 1500,
                "labels": { "old": "1" },
                "options": {},
                "dnsServers": [],
            },
            "scope": "local",
            "bridge": "",
            "driverDigest": "",
            "endpointCount": 0,
        }])
    );
}

#[test]
fn update_changes_what_was_read_under_its_revision() {
    let daemon = Daemon::start();
    let line = "network update web --icc=false --label-add new=2 --label-rm old --opt-add x=y";
    assert_eq!(daemon.run(line).text(), "web");
    let request: v1::UpdateNetworkRequest = daemon.fake.last("network.update");
    let spec = v1::NetworkSpec {
        driver: "bridge".into(),
        internal: true,
        icc: Some(false),
        mtu: 1500,
        labels: [("new".into(), "2".into())].into(),
        options: [("x".into(), "y".into())].into(),
        ..v1::NetworkSpec::default()
    };
    assert_eq!(request.spec, Some(spec));
    assert_eq!((request.network.as_str(), request.revision), (UID, 7));
}

#[test]
fn rm_goes_on_after_a_failure() {
    let daemon = Daemon::start();
    let outcome = daemon.run("network rm a gone b");
    assert_eq!(outcome.code, Some(3));
    assert_eq!(outcome.stdout, "a\nb\n");
    assert!(outcome.stderr.contains("there is no network `gone`"));
}

#[test]
fn one_request_id_is_for_one_name() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run("network rm a b --request-id r").code, Some(2));
    assert!(daemon.fake.calls().is_empty());
    daemon.run("network rm a --request-id r").text();
    assert_eq!(daemon.fake.last::<v1::DeleteNetworkRequest>("network.delete").request_id, "r");
}

#[test]
fn prune_asks_first() {
    let daemon = Daemon::start();
    let declined = daemon.answer("network prune", "n\n");
    assert_eq!((declined.code, declined.stdout.as_str()), (Some(1), ""));
    assert!(declined.stderr.starts_with("Delete web, old? [y/N] "), "{declined:?}");
    let silent = daemon.answer("network prune", "");
    assert_eq!(silent.code, Some(1));
    assert_eq!(daemon.fake.calls(), ["network.prune", "network.prune"]);
    assert!(daemon.fake.last::<v1::PruneNetworksRequest>("network.prune").validate_only);

    let agreed = daemon.answer("network prune", "y\n");
    assert_eq!((agreed.code, agreed.stdout.as_str()), (Some(0), "web\nold\n"));
    assert!(!daemon.fake.last::<v1::PruneNetworksRequest>("network.prune").validate_only);
}

#[test]
fn prune_by_force_asks_nothing() {
    let daemon = Daemon::start();
    let outcome = daemon.run("network prune -f --filter label=a --filter until=100");
    assert_eq!(outcome.text(), "web\nold");
    assert_eq!(daemon.fake.calls(), ["network.prune"]);
    let request: v1::PruneNetworksRequest = daemon.fake.last("network.prune");
    assert_eq!(request.created_before.unwrap().seconds, 100);
}
