//! Drivers that are not written in Rust.

use postern_proto::v1::{EndpointSpec, GetDriverRequest, NetworkSpec};
use postern_tests::driver::foreign_example;
use postern_tests::traffic::{self, Server};
use postern_tests::{Refusal, World, ask};
use tonic::Code;

#[test]
fn one_is_in_c() {
    let module =
        foreign_example("lan-c", &["clang", "wasm-ld", "make"], &["make", "--always-make"]);
    if let Some(module) = module {
        it_carries_traffic("lan-c", &module.display().to_string());
    }
}

#[test]
fn one_is_in_javascript() {
    let tools = ["npm", "node_modules/.bin/componentize-qjs"];
    let module = foreign_example("lan-js", &tools, &["npm", "run", "--silent", "build"]);
    if let Some(module) = module {
        it_carries_traffic("lan-js", &module.display().to_string());
    }
}

fn it_carries_traffic(driver: &str, file: &str) {
    World::run(async |world| {
        let words = ["driver", "install", file, "--grant", "bridge", "--grant", "veth"];
        let more = ["--grant", "address=10.1.0.0/16,fd00:1::/64", "--grant", "filter"];
        let done = world.cli(&[&words[..], &more].concat());
        assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
        assert!(done.stdout.contains(&format!("{driver}: enabled")), "{}", done.stdout);

        let spec =
            |subnets: &[&str]| NetworkSpec { driver: driver.to_owned(), ..ask::network(subnets) };
        let both = spec(&["10.1.0.0/24", "fd00:1::/64"]);
        world.api.create_network("blue", both).await.unwrap();
        let a = world.place("blue", "a", ask::address("10.1.0.10")).await;
        let fixed = EndpointSpec { ipv6_address: "fd00:1::11".into(), ..ask::address("10.1.0.11") };
        let b = world.place("blue", "b", fixed).await;
        let _server = Server::tcp(&b, "[::]:80", "b");
        for to in ["10.1.0.11:80", "[fd00:1::11]:80"] {
            let seen = traffic::tcp(&a, to);
            assert!(seen.is_some_and(|seen| seen.server == "b"), "{to}");
        }
        world.assert_agrees().await;

        // Its own refusals, and the daemon's of what it decides without a grant.
        world.api.create_sandbox("c").await.unwrap();
        let published = ask::publish(&[ask::tcp(8080, 80)]);
        let refusal = Refusal::expect(world.api.connect("blue", "c", published).await);
        refusal.assert(Code::InvalidArgument, "spec.published_ports");
        let elsewhere = spec(&["10.2.0.0/24"]);
        let refusal = Refusal::expect(world.api.create_network("red", elsewhere).await);
        assert_eq!(refusal.reason, "DECISION_REJECTED", "{refusal:?}");

        // Neighbours that are kept apart are another answer of its own.
        world.api.create_network("green", ask::apart(spec(&["10.1.1.0/24"]))).await.unwrap();
        let d = world.place("green", "d", ask::address("10.1.1.10")).await;
        let e = world.place("green", "e", ask::address("10.1.1.11")).await;
        let _apart = Server::tcp(&e, "0.0.0.0:80", "e");
        assert!(traffic::tcp(&d, "10.1.1.11:80").is_none());

        world.restart().await;
        assert!(traffic::tcp(&a, "10.1.0.11:80").is_some());
        world.assert_agrees().await;
        let request = GetDriverRequest { driver: driver.to_owned() };
        let shown = world.api.drivers.clone().get(request).await.unwrap().into_inner();
        assert_eq!(shown.driver.unwrap().networks, 2);
        for sandbox in ["a", "b", "c", "d", "e"] {
            world.api.delete_sandbox(sandbox, true).await.unwrap();
        }
        for network in ["blue", "green"] {
            world.api.delete_network(network).await.unwrap();
        }
        let done = world.cli(&["driver", "rm", driver]);
        assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
        world.assert_only_predefined().await;
    });
}
