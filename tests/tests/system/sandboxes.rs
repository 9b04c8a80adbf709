//! Sandboxes: made, adopted, shared with the host.

use std::path::Path;
use std::process::{Child, Command};

use postern_proto::v1::sandbox_spec::Namespace;
use postern_proto::v1::{EndpointSpec, SandboxSpec, UpdateSandboxRequest};
use postern_tests::command::sh;
use postern_tests::{Netns, Refusal, World, ask, labels};
use tonic::Code;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_new_namespace_has_its_loopback_up_and_goes_with_the_sandbox() {
    World::run(async |world| {
        let made = world.api.create_sandbox("a").await.unwrap();
        let inside = Netns::open(&made.netns_path);
        assert!(inside.sh("ip -o link show lo").contains("LOWER_UP"));
        assert_eq!(world.api.sandbox(&made.uid).await.unwrap(), made);
        world.api.delete_sandbox("a", false).await.unwrap();
        assert!(!Path::new(&made.netns_path).exists());
        let gone = Refusal::expect(world.api.sandbox("a").await);
        assert_eq!(gone.code, Code::NotFound);
        world.assert_only_predefined().await;
    });
}

#[test]
fn a_namespace_of_somebody_else_is_adopted_and_left_behind() {
    World::run(async |world| {
        sh("ip netns add theirs");
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let path = "/run/netns/theirs";
        let made = world.api.create_sandbox_as("a", ask::adopt(path)).await.unwrap();
        assert_eq!(made.netns_path, path);
        world.api.connect("blue", "a", ask::endpoint()).await.unwrap();
        let inside = Netns::open(path);
        assert!(inside.sh("ip -o link").contains("eth0"));

        let twice = world.api.create_sandbox_as("b", ask::adopt(path)).await;
        Refusal::expect(twice).assert(Code::AlreadyExists, "");

        world.api.delete_sandbox("a", true).await.unwrap();
        inside.assert_without("eth0");
        assert!(sh("ip netns list").contains("theirs"));
        world.api.delete_network("blue").await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn the_namespace_of_a_process_is_adopted() {
    World::run(async |world| {
        sh("ip netns add theirs");
        let sleeper = Command::new("ip").args(["netns", "exec", "theirs", "sleep", "600"]).spawn();
        let sleeper = Running(sleeper.unwrap());
        // `ip` changes its namespace before it becomes `sleep`.
        let comm = format!("/proc/{}/comm", sleeper.0.id());
        for _ in 0..500 {
            if std::fs::read_to_string(&comm).unwrap() == "sleep\n" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let namespace = Some(Namespace::Pid(sleeper.0.id()));
        let spec = SandboxSpec { namespace, ..Default::default() };
        world.api.create_sandbox_as("a", spec).await.unwrap();
        world.api.connect("blue", "a", ask::endpoint()).await.unwrap();
        assert!(sh("ip -n theirs -o link").contains("eth0"));
    });
}

/// What is in an adopted namespace already is neither taken nor in the way.
#[test]
fn an_adopted_namespace_keeps_its_own_links_and_routes() {
    World::run(async |world| {
        sh("ip netns add theirs");
        sh("ip -n theirs link add eth0 type veth peer name peer0");
        for link in ["eth0", "peer0"] {
            sh(&format!("ip -n theirs link set {link} up"));
        }
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.api.create_sandbox_as("a", ask::adopt("/run/netns/theirs")).await.unwrap();
        let wanted = EndpointSpec { interface_name: "eth0".into(), ..ask::endpoint() };
        let refused = Refusal::expect(world.api.connect("blue", "a", wanted).await);
        refused.assert(Code::FailedPrecondition, "spec.interface_name");
        world.api.connect("blue", "a", ask::endpoint()).await.unwrap();
        let made = world.api.endpoint("a.blue").await.unwrap();
        assert_eq!(made.interface_name, "eth1");
        world.api.disconnect("blue", "a").await.unwrap();
        Netns::open("/run/netns/theirs").assert_without("eth1");

        sh("ip -n theirs route add default dev eth0");
        let before = world.snapshot().await;
        let refused = Refusal::expect(world.api.connect("blue", "a", ask::endpoint()).await);
        refused.assert(Code::FailedPrecondition, "");
        assert_eq!(refused.reason, "ROUTE_EXISTS");
        assert_eq!(world.snapshot().await, before);
        assert!(sh("ip -n theirs route").contains("default dev eth0"));
    });
}

/// A pid and a path can come to mean another namespace than the one that was adopted.
#[test]
fn exec_enters_no_namespace_but_the_one_that_was_adopted() {
    World::run(async |world| {
        sh("ip netns add theirs");
        world.api.create_sandbox_as("a", ask::adopt("/run/netns/theirs")).await.unwrap();
        let seen = world.cli(&["exec", "a", "--", "true"]);
        assert_eq!(seen.code, Some(0), "{}", seen.stderr);
        sh("ip netns delete theirs");
        sh("ip netns add theirs");
        let seen = world.cli(&["exec", "a", "--", "true"]);
        assert_ne!(seen.code, Some(0));
        assert!(seen.stderr.contains("not the sandbox's any more"), "{}", seen.stderr);
    });
}

#[test]
fn force_takes_the_endpoints_too() {
    World::run(async |world| {
        for (name, subnet) in [("blue", "10.1.0.0/24"), ("red", "10.2.0.0/24")] {
            world.api.create_network(name, ask::network(&[subnet])).await.unwrap();
        }
        world.place("blue", "a", ask::publish(&[ask::tcp(8080, 80)])).await;
        world.api.connect("red", "a", ask::endpoint()).await.unwrap();
        let joined = world.api.sandbox("a").await.unwrap().endpoints;
        assert_eq!(joined.len(), 2);
        world.api.delete_sandbox("a", true).await.unwrap();
        for name in ["blue", "red"] {
            world.api.delete_network(name).await.unwrap();
        }
        world.assert_only_predefined().await;
    });
}

#[test]
fn the_hosts_namespace_takes_host_networks_only() {
    World::run(async |world| {
        world.api.create_sandbox_as("h", ask::host()).await.unwrap();
        let joined = world.api.connect("host", "h", ask::endpoint()).await.unwrap();
        assert_eq!((joined.ipv4_address.as_str(), joined.sandbox.as_str()), ("", "h"));
        let before = world.snapshot().await;
        let refusal = Refusal::expect(world.api.connect("bridge", "h", ask::endpoint()).await);
        refusal.assert(Code::FailedPrecondition, "");
        world.api.create_sandbox("own").await.unwrap();
        let refusal = Refusal::expect(world.api.connect("host", "own", ask::endpoint()).await);
        refusal.assert(Code::FailedPrecondition, "");
        world.api.delete_sandbox("own", false).await.unwrap();
        assert_eq!(world.snapshot().await, before);
        world.api.delete_sandbox("h", true).await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn none_leaves_a_sandbox_alone() {
    World::run(async |world| {
        let inside = world.place("none", "a", ask::endpoint()).await;
        let links = inside.sh("ip -o link");
        assert_eq!(links.lines().count(), 1, "{links}");
        world.api.disconnect("none", "a").await.unwrap();
        world.api.delete_sandbox("a", false).await.unwrap();
        world.assert_only_predefined().await;
    });
}

#[test]
fn labels_change_under_the_revision_that_was_read() {
    World::run(async |world| {
        let made = world.api.create_sandbox("a").await.unwrap();
        let request = UpdateSandboxRequest {
            sandbox: "a".into(),
            labels: labels(&[("team", "net")]),
            revision: made.revision,
            ..Default::default()
        };
        let mut sandboxes = world.api.sandboxes.clone();
        let changed = sandboxes.update(request.clone()).await.unwrap().into_inner();
        assert_eq!(changed.sandbox.unwrap().spec.unwrap().labels, labels(&[("team", "net")]));
        assert_eq!(Refusal::expect(sandboxes.update(request).await).code, Code::Aborted);
    });
}
