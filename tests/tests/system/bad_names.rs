//! Names, servers and links that are refused: with the field named, and nothing changed.

use postern_proto::v1::{DnsConfig, EndpointSpec, ExtraHost, Link, NetworkSpec, SandboxSpec};
use postern_tests::{Refusal, World, ask};
use tonic::Code;

fn links(links: &[(&str, &str)]) -> SandboxSpec {
    let link = |(source, alias): &(&str, &str)| Link {
        source: (*source).to_owned(),
        alias: (*alias).to_owned(),
    };
    SandboxSpec { links: links.iter().map(link).collect(), ..SandboxSpec::default() }
}

fn dns(dns: DnsConfig) -> SandboxSpec {
    SandboxSpec { dns: Some(dns), ..SandboxSpec::default() }
}

fn host(name: &str, address: &str) -> SandboxSpec {
    let host = ExtraHost { name: name.to_owned(), address: address.to_owned() };
    SandboxSpec { extra_hosts: vec![host], ..SandboxSpec::default() }
}

#[test]
fn what_a_sandbox_is_told_wrongly() {
    World::run(async |world| {
        let before = world.snapshot().await;
        let long = "a".repeat(64);
        let whole = [&"a".repeat(63)[..]; 4].join(".");
        let words = |word: &str| vec![word.to_owned()];
        let cases = [
            (SandboxSpec { hostname: "a.b".into(), ..Default::default() }, "spec.hostname"),
            (SandboxSpec { hostname: long.clone(), ..Default::default() }, "spec.hostname"),
            (SandboxSpec { domain_name: whole.clone(), ..Default::default() }, "spec.domain_name"),
            (SandboxSpec { domain_name: "a..b".into(), ..Default::default() }, "spec.domain_name"),
            (
                dns(DnsConfig { servers: words("server"), ..Default::default() }),
                "spec.dns.servers[0]",
            ),
            (
                dns(DnsConfig { servers: words("0.0.0.0"), ..Default::default() }),
                "spec.dns.servers[0]",
            ),
            (
                dns(DnsConfig { servers: words("1.2.3.4:0"), ..Default::default() }),
                "spec.dns.servers[0]",
            ),
            (dns(DnsConfig { search: words("a b"), ..Default::default() }), "spec.dns.search[0]"),
            (
                dns(DnsConfig { options: words("ndots:99"), ..Default::default() }),
                "spec.dns.options[0]",
            ),
            (
                dns(DnsConfig { options: words("a\nb"), ..Default::default() }),
                "spec.dns.options[0]",
            ),
            (host("na/s", "10.0.0.1"), "spec.extra_hosts[0].name"),
            (host("nas", "10.0.0"), "spec.extra_hosts[0].address"),
            (links(&[("db", "x"), ("other", "X")]), "spec.links[1].alias"),
            (links(&[("db", &long)]), "spec.links[0].alias"),
            (links(&[("db", &whole)]), "spec.links[0].alias"),
            (links(&[("db", "-x")]), "spec.links[0].alias"),
            (links(&[("", "x")]), "spec.links[0].source"),
            (links(&[("web", "me")]), "spec.links[0].source"),
            (SandboxSpec { hostname: "a".into(), ..ask::host() }, "spec.hostname"),
            (
                SandboxSpec {
                    environment: [("A=B".into(), String::new())].into(),
                    ..Default::default()
                },
                "spec.environment[\"A=B\"]",
            ),
        ];
        for (spec, field) in cases {
            let made = world.api.create_sandbox_as("web", spec.clone()).await;
            let refusal = Refusal::expect(made);
            refusal.assert(Code::InvalidArgument, field);
        }
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn links_that_cannot_be_added_or_removed() {
    World::run(async |world| {
        let web = world.api.create_sandbox("web").await.unwrap();
        world.api.create_sandbox_as("host", ask::host()).await.unwrap();
        world.api.add_link("web", "db", "db").await.unwrap();
        let before = world.snapshot().await;
        let refused = async |sandbox: &str, source: &str, alias: &str| {
            Refusal::expect(world.api.add_link(sandbox, source, alias).await)
        };
        refused("web", "other", "DB").await.assert(Code::AlreadyExists, "link.alias");
        refused("web", "web", "me").await.assert(Code::InvalidArgument, "link.source");
        refused(&web.uid, "web", "me").await.assert(Code::InvalidArgument, "link.source");
        refused("web", "d b", "x").await.assert(Code::InvalidArgument, "link.source");
        refused("web", "db", "x y").await.assert(Code::InvalidArgument, "link.alias");
        refused("nobody", "db", "x").await.assert(Code::NotFound, "");
        refused("host", "db", "x").await.assert(Code::FailedPrecondition, "sandbox");
        let gone = Refusal::expect(world.api.remove_link("web", "nothing").await);
        gone.assert(Code::NotFound, "alias");
        Refusal::expect(world.api.remove_link("web", "").await)
            .assert(Code::InvalidArgument, "alias");
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn aliases_and_servers_of_networks() {
    World::run(async |world| {
        world.api.create_sandbox("web").await.unwrap();
        let before = world.snapshot().await;
        let spec = NetworkSpec { dns_servers: vec!["x".into()], ..Default::default() };
        let refusal = Refusal::expect(world.api.create_network("blue", spec).await);
        refusal.assert(Code::InvalidArgument, "spec.dns_servers[0]");
        for alias in ["a b", "a..b", "-a", "", &"a".repeat(64)] {
            let spec = EndpointSpec { aliases: vec![alias.to_owned()], ..Default::default() };
            let refusal = Refusal::expect(world.api.connect("bridge", "web", spec).await);
            refusal.assert(Code::InvalidArgument, "spec.aliases[0]");
        }
        assert_eq!(world.snapshot().await, before);
    });
}
