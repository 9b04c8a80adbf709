//! Links, files and environment over one small topology: `web` and `db` on `blue`, `db` on
//! `red` too, `far` on `red` alone.

use std::net::IpAddr;

use postern_model::dns::{DnsConfig, ExtraHost, HostAddress, Identity, Link, LinkState};
use postern_model::endpoint::{Endpoint, EndpointSpec};
use postern_model::port::{ExposedPort, HostPorts, PortRange, Protocol, PublishedPort};
use postern_model::resource::{Content, Element, Resource, ResourceSet, SandboxFile};
use postern_model::sandbox::{NamespaceSpec, Sandbox, SandboxSpec};
use postern_model::topology::{Put, Topology};

use crate::fixture::{endpoint, network, sandbox};
use crate::view::View;
use crate::{desired, environment, links};

fn link(source: &str, alias: &str) -> Link {
    Link { source: source.parse().unwrap(), alias: alias.parse().unwrap() }
}

struct Sample {
    topology: Topology,
    web: Sandbox,
    db: Endpoint,
}

fn sample(change: impl FnOnce(&mut SandboxSpec, &mut EndpointSpec)) -> Sample {
    let (blue, red) = (network(1, "blue"), network(2, "red"));
    let mut linking = SandboxSpec::of(NamespaceSpec::Create);
    linking.links =
        vec![link("db", "webdb"), link("far", "far"), link("new", "new"), link("idle", "idle")];
    let mut source = SandboxSpec::of(NamespaceSpec::Create);
    let variables = [("MODE", "fast"), ("PATH", "/bin"), ("HOME", "/root")];
    source.environment = variables.map(|(key, value)| (key.into(), value.into())).into();
    let mut exposed = EndpointSpec::default();
    change(&mut linking, &mut exposed);
    let (web, db) = (sandbox(1, "web", linking), sandbox(2, "db", source));
    let far = sandbox(3, "far", SandboxSpec::of(NamespaceSpec::Create));
    let idle = sandbox(4, "idle", SandboxSpec::of(NamespaceSpec::Create));
    let on_blue = Endpoint { spec: exposed, ..endpoint(3, &blue, &db) };
    let endpoints = [
        endpoint(2, &blue, &web),
        on_blue.clone(),
        endpoint(4, &red, &db),
        endpoint(5, &red, &far),
    ];
    let mut topology = Topology::default();
    for network in [blue, red] {
        topology.put(&Put::Network(network));
    }
    for sandbox in [web.clone(), db, far, idle] {
        topology.put(&Put::Sandbox(sandbox));
    }
    for endpoint in endpoints {
        topology.put(&Put::Endpoint(Box::new(endpoint)));
    }
    Sample { topology, web, db: on_blue }
}

fn expose(spec: &mut EndpointSpec, ports: &[(Protocol, u32, u32)]) {
    spec.exposed = ports
        .iter()
        .map(|(protocol, first, last)| ExposedPort {
            protocol: *protocol,
            ports: PortRange::new(*first, *last).unwrap(),
            name: None,
        })
        .collect();
}

fn file(set: &ResourceSet, wanted: SandboxFile) -> String {
    let text = set.iter().find_map(|(_, resource)| match resource {
        Resource::File { file, content: Content::Written(text), .. } if *file == wanted => {
            Some(text.clone())
        }
        _ => None,
    });
    text.unwrap()
}

fn linked(set: &ResourceSet) -> Vec<(IpAddr, IpAddr, Protocol, u16)> {
    let elements = set.iter().filter_map(|(_, resource)| match resource {
        Resource::Element(Element::Link { from, to, protocol, port }) => {
            Some((*from, *to, *protocol, *port))
        }
        _ => None,
    });
    elements.collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_link_says_whether_it_works() {
    let Sample { topology, web, .. } = sample(|_, _| {});
    let resolved = links::resolve(&View::of(&topology), &web);
    let states: Vec<LinkState> = resolved.iter().map(|link| link.state).collect();
    assert_eq!(
        states,
        [LinkState::Live, LinkState::NoCommonNetwork, LinkState::NoSource, LinkState::NotJoined]
    );
    // The network they share, and not the source's other one.
    assert_eq!(resolved[0].addresses(), [ip("10.1.0.3"), ip("fd00:1::3")]);
    assert!(resolved[1..].iter().all(|link| link.addresses().is_empty()));
}

#[test]
fn a_link_where_there_are_no_addresses_is_not_live() {
    let Sample { mut topology, web, mut db } = sample(|_, _| {});
    db.addresses.clear();
    topology.put(&Put::Endpoint(Box::new(db)));
    let resolved = links::resolve(&View::of(&topology), &web);
    assert_eq!(resolved[0].state, LinkState::NoCommonNetwork);
}

#[test]
fn a_link_opens_what_is_exposed_or_published_one_way() {
    let Sample { topology, web, .. } = sample(|_, spec| {
        expose(spec, &[(Protocol::Tcp, 80, 81), (Protocol::Udp, 53, 53), (Protocol::Tcp, 81, 81)]);
        spec.published.push(PublishedPort {
            protocol: Protocol::Tcp,
            host_ip: None,
            host: HostPorts::Ephemeral,
            container: PortRange::new(90, 90).unwrap(),
            allow_from: Vec::new(),
        });
    });
    let set = desired::sandbox(&View::of(&topology), &web);
    let ports =
        [(Protocol::Tcp, 80), (Protocol::Tcp, 81), (Protocol::Tcp, 90), (Protocol::Udp, 53)];
    let mut expected = Vec::new();
    for (from, to) in [("10.1.0.2", "10.1.0.3"), ("fd00:1::2", "fd00:1::3")] {
        expected.extend(ports.map(|(protocol, port)| (ip(from), ip(to), protocol, port)));
    }
    let mut found = linked(&set);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let source = topology.find_sandbox("db").unwrap();
    assert!(linked(&desired::sandbox(&View::of(&topology), source)).is_empty());
}

#[test]
fn a_change_of_the_source_is_felt_by_who_links_to_it() {
    let Sample { topology, web, mut db } = sample(|_, spec| {
        expose(spec, &[(Protocol::Tcp, 80, 80)]);
    });
    let source = topology.find_sandbox("db").unwrap();
    let touched = View::of(&topology).touched(source);
    assert_eq!(touched.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["db", "web"]);
    let gone = View::of(&topology).with_endpoint(db.id, None);
    let set = desired::sandbox(&gone, &web);
    assert!(linked(&set).is_empty());
    assert!(!file(&set, SandboxFile::Hosts).contains("webdb"));
    db.addresses = vec!["10.1.0.9/24".parse().unwrap()];
    let moved = View::of(&topology).with_endpoint(db.id, Some(&db));
    let set = desired::sandbox(&moved, &web);
    assert_eq!(linked(&set), [(ip("10.1.0.2"), ip("10.1.0.9"), Protocol::Tcp, 80)]);
    assert!(file(&set, SandboxFile::Hosts).contains("10.1.0.9\twebdb db\n"));
}

#[test]
fn the_files_of_a_sandbox() {
    let Sample { topology, web, .. } = sample(|spec, _| {
        spec.identity = Identity {
            hostname: Some("www".parse().unwrap()),
            domain_name: Some("example.test".parse().unwrap()),
        };
        spec.extra_hosts = vec![
            ExtraHost { name: "nas".parse().unwrap(), address: HostAddress::Ip(ip("192.0.2.9")) },
            ExtraHost { name: "host".parse().unwrap(), address: HostAddress::HostGateway },
        ];
        spec.dns = DnsConfig {
            servers: vec!["10.9.9.9:53".parse().unwrap()],
            search: vec!["example.test".parse().unwrap(), "test".parse().unwrap()],
            options: vec!["ndots:2".into(), "rotate".into()],
        };
    });
    let set = desired::sandbox(&View::of(&topology), &web);
    assert_eq!(
        file(&set, SandboxFile::Hosts),
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         10.1.0.2\twww.example.test www\n\
         fd00:1::2\twww.example.test www\n\
         192.0.2.9\tnas\n\
         10.1.0.1\thost\n\
         fd00:1::1\thost\n\
         10.1.0.3\twebdb db\n\
         fd00:1::3\twebdb db\n"
    );
    assert_eq!(file(&set, SandboxFile::Hostname), "www\n");
    assert_eq!(
        file(&set, SandboxFile::ResolvConf),
        "nameserver 127.0.0.11\nsearch example.test test\noptions ndots:2 rotate\n"
    );
}

#[test]
fn defaults_of_the_files() {
    let Sample { topology, .. } = sample(|_, _| {});
    let idle = topology.find_sandbox("idle").unwrap();
    let set = desired::sandbox(&View::of(&topology), idle);
    assert_eq!(file(&set, SandboxFile::Hostname), "idle\n");
    let conf = file(&set, SandboxFile::ResolvConf);
    assert_eq!(conf, "nameserver 127.0.0.11\noptions ndots:0\n");
    assert!(set.iter().any(|(_, r)| matches!(r, Resource::NameServer { .. })));
    let dotted = sandbox(9, "a.b", SandboxSpec::of(NamespaceSpec::Create));
    let set = desired::sandbox(&View::of(&topology).with_sandbox(&dotted), &dotted);
    assert_eq!(file(&set, SandboxFile::Hostname), format!("{}\n", dotted.id.short()));
    let host = sandbox(8, "host", SandboxSpec::of(NamespaceSpec::Host));
    assert!(desired::sandbox(&View::of(&topology).with_sandbox(&host), &host).is_empty());
}

#[test]
fn dockers_variables_in_dockers_order() {
    let Sample { topology, web, .. } = sample(|spec, exposed| {
        spec.links = vec![link("db", "my-db.x"), link("far", "far")];
        expose(
            exposed,
            &[(Protocol::Udp, 53, 53), (Protocol::Tcp, 8000, 8001), (Protocol::Tcp, 80, 80)],
        );
    });
    let resolved = links::resolve(&View::of(&topology), &web);
    let lines = |link| {
        let each = environment::variables(&web, link).into_iter();
        each.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let port = |number: u16, protocol: &str| {
        let prefix = format!("MY_DB_X_PORT_{number}_{}", protocol.to_uppercase());
        [
            format!("{prefix}={protocol}://10.1.0.3:{number}"),
            format!("{prefix}_ADDR=10.1.0.3"),
            format!("{prefix}_PORT={number}"),
            format!("{prefix}_PROTO={protocol}"),
        ]
    };
    let mut expected = vec![
        "MY_DB_X_PORT=tcp://10.1.0.3:80".to_owned(),
        "MY_DB_X_PORT_8000_TCP_START=tcp://10.1.0.3:8000".to_owned(),
        "MY_DB_X_PORT_8000_TCP_PORT_START=8000".to_owned(),
        "MY_DB_X_PORT_8000_TCP_END=tcp://10.1.0.3:8001".to_owned(),
        "MY_DB_X_PORT_8000_TCP_PORT_END=8001".to_owned(),
    ];
    for (number, protocol) in [(80, "tcp"), (8000, "tcp"), (8001, "tcp"), (53, "udp")] {
        expected.extend(port(number, protocol));
    }
    expected.push("MY_DB_X_NAME=/web/my-db.x".to_owned());
    expected.push("MY_DB_X_ENV_MODE=fast".to_owned());
    assert_eq!(lines(&resolved[0]), expected);
    assert!(lines(&resolved[1]).is_empty(), "it leads nowhere");
}
