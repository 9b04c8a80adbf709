use postern_model::id::SandboxId;

use super::*;
use crate::fixture::{
    endpoint, endpoint_id, host, link, network, put, sandbox, sandbox_id, topology,
};

fn directory(puts: &[Put]) -> Directory {
    let mut directory = Directory::default();
    puts.iter().for_each(|put| directory.put(put));
    directory
}

/// The addresses of a name, in order; or `hidden`, or `elsewhere`.
fn seen(directory: &Directory, asker: u128, name: &str) -> Vec<String> {
    told(&directory.name(sandbox_id(asker), name))
}

fn told(found: &Found<'_>) -> Vec<String> {
    match found {
        Found::Here(members, extra) => {
            let of_members = members.iter().flat_map(|member| &member.addresses);
            let mut all: Vec<_> = of_members.chain(extra).map(ToString::to_string).collect();
            all.sort_unstable();
            all
        }
        Found::Hidden => vec!["hidden".to_owned()],
        Found::Elsewhere => vec!["elsewhere".to_owned()],
    }
}

#[test]
fn every_name_of_an_endpoint_is_known_on_its_networks() {
    let directory = directory(&topology());
    let db = ["10.2.0.3", "fd00:2::3"];
    for name in ["db", "db.back", "sql", "sql.back", "db.back.back"] {
        assert_eq!(seen(&directory, 1, name), db, "{name}");
    }
    for name in [endpoint_id(13).short(), sandbox_id(2).short()] {
        assert_eq!(seen(&directory, 1, &name), db, "{name}");
        assert_eq!(seen(&directory, 1, &format!("{name}.back")), db, "{name}");
    }
    for name in ["db2", "box", "box.example.org", "box.back", "box.example.org.back"] {
        assert_eq!(seen(&directory, 1, name), ["10.2.0.4"], "{name}");
    }
    assert_eq!(seen(&directory, 1, "all"), ["10.2.0.3", "10.2.0.4", "fd00:2::3"]);
}

#[test]
fn names_of_all_of_the_askers_networks_are_put_together() {
    let directory = directory(&topology());
    assert_eq!(seen(&directory, 1, "web"), ["10.1.0.2", "10.2.0.2"]);
    assert_eq!(seen(&directory, 1, "web.front"), ["10.1.0.2"]);
    assert_eq!(seen(&directory, 2, "web"), ["10.2.0.2"]);
}

#[test]
fn names_of_other_networks_do_not_exist() {
    let directory = directory(&topology());
    for (asker, name, expected) in [
        (1, "lone", "elsewhere"),
        (1, "lone.far", "hidden"),
        (2, "web.front", "hidden"),
        (2, "other.front", "elsewhere"),
        (4, "db", "elsewhere"),
        (4, "db.back", "hidden"),
        (5, "db", "elsewhere"),
        (5, "db.back", "hidden"),
        (9, "db.back", "hidden"),
        (1, "example.org", "elsewhere"),
        (1, "", "elsewhere"),
        (1, ".", "elsewhere"),
    ] {
        assert_eq!(seen(&directory, asker, name), [expected], "{asker} {name}");
    }
}

#[test]
fn a_split_is_made_at_every_dot() {
    let mut puts = topology();
    puts.push(Put::Network(network(4, "b.c")));
    puts.push(Put::Network(network(5, "c")));
    puts.push(put(endpoint(21, "a", 4, 1, &["10.4.0.2/16"])));
    puts.push(put(endpoint(22, "x", 5, 1, &["10.5.0.2/16"])));
    let mut on_c = endpoint(23, "y", 5, 2, &["10.5.0.3/16"]);
    on_c.spec.aliases = vec!["a.b".parse().unwrap()];
    puts.push(put(on_c));
    assert_eq!(seen(&directory(&puts), 1, "a.b.c"), ["10.4.0.2", "10.5.0.3"]);
    assert_eq!(seen(&directory(&puts), 2, "a.b.c"), ["10.5.0.3"]);
    assert_eq!(seen(&directory(&puts), 4, "a.b.c"), ["hidden"]);
}

#[test]
fn an_endpoint_has_names_while_it_is_joined_and_has_addresses() {
    let mut directory = directory(&topology());
    let mut left = endpoint(13, "db.back", 2, 2, &["10.2.0.3/16"]);
    left.attachment = None;
    directory.put(&put(left));
    assert_eq!(seen(&directory, 1, "db"), ["elsewhere"]);
    directory.put(&put(endpoint(13, "db.back", 2, 2, &[])));
    assert_eq!(seen(&directory, 1, "db"), ["elsewhere"]);
    directory.put(&put(endpoint(13, "db.back", 2, 2, &["10.2.0.9/16"])));
    assert_eq!(seen(&directory, 1, "db"), ["10.2.0.9"]);
    directory.put(&Put::EndpointGone(endpoint_id(13)));
    assert_eq!(seen(&directory, 1, "db"), ["elsewhere"]);
}

#[test]
fn a_changed_sandbox_has_its_new_names_only() {
    let mut directory = directory(&topology());
    directory.put(&Put::Sandbox(sandbox(3, "db2")));
    assert_eq!(seen(&directory, 1, "box"), ["elsewhere"]);
    assert_eq!(seen(&directory, 1, "db2"), ["10.2.0.4"]);
    directory.put(&Put::Network(network(2, "behind")));
    assert_eq!(seen(&directory, 1, "sql.behind"), ["10.2.0.3", "fd00:2::3"]);
    assert_eq!(seen(&directory, 1, "sql.back"), ["elsewhere"]);
}

#[test]
fn an_alias_of_a_link_is_the_linking_sandboxs_alone() {
    let mut puts = topology();
    let mut web = sandbox(1, "Web");
    web.spec.links =
        vec![link("db", "store"), link("lone", "away"), link("later", "soon"), link("db2", "db")];
    web.spec.extra_hosts = vec![host("store", "192.0.2.7")];
    puts.push(Put::Sandbox(web));
    let mut directory = directory(&puts);
    assert_eq!(seen(&directory, 1, "store"), ["10.2.0.3", "fd00:2::3"]);
    assert_eq!(seen(&directory, 2, "store"), ["elsewhere"]);
    for name in ["away", "soon"] {
        assert_eq!(seen(&directory, 1, name), ["hidden"], "{name}");
    }
    // It hides whatever else has the name.
    assert_eq!(seen(&directory, 1, "db"), ["10.2.0.4"]);
    // The source goes and comes back as another one, elsewhere on the network.
    for gone in [Put::EndpointGone(endpoint_id(13)), Put::SandboxGone(sandbox_id(2))] {
        directory.put(&gone);
        assert_eq!(seen(&directory, 1, "store"), ["hidden"]);
    }
    directory.put(&Put::Sandbox(sandbox(7, "db")));
    directory.put(&put(endpoint(17, "db.back", 2, 7, &["10.2.0.17/16"])));
    assert_eq!(seen(&directory, 1, "store"), ["10.2.0.17"]);
}

#[test]
fn links_may_go_round() {
    let mut puts = topology();
    for (n, name, source, alias) in [(1, "Web", "db", "a"), (2, "db", "Web", "b")] {
        let mut sandbox = sandbox(n, name);
        sandbox.spec.links = vec![link(source, alias)];
        puts.push(Put::Sandbox(sandbox));
    }
    let directory = directory(&puts);
    assert_eq!(seen(&directory, 1, "a"), ["10.2.0.3", "fd00:2::3"]);
    assert_eq!(seen(&directory, 2, "b"), ["10.2.0.2"]);
}

#[test]
fn extra_hosts_are_the_askers_alone_and_join_other_names() {
    let mut puts = topology();
    let mut web = sandbox(1, "Web");
    web.spec.extra_hosts = vec![host("db", "192.0.2.1"), host("printer.lan", "192.0.2.2")];
    puts.push(Put::Sandbox(web));
    let directory = directory(&puts);
    assert_eq!(seen(&directory, 1, "db"), ["10.2.0.3", "192.0.2.1", "fd00:2::3"]);
    assert_eq!(seen(&directory, 1, "printer.lan"), ["192.0.2.2"]);
    assert_eq!(seen(&directory, 2, "printer.lan"), ["elsewhere"]);
}

#[test]
fn host_gateway_is_that_of_the_default_route() {
    let mut web = sandbox(1, "Web");
    let address = postern_model::dns::HostAddress::HostGateway;
    web.spec.extra_hosts =
        vec![postern_model::dns::ExtraHost { name: "outer".parse().unwrap(), address }];
    let mut puts = topology();
    puts.push(Put::Sandbox(web));
    assert_eq!(seen(&directory(&puts), 1, "outer"), [] as [&str; 0]);
    for (n, on, address, gateway, priority) in
        [(11, 1, "10.1.0.2/16", "10.1.0.1", 0), (12, 2, "10.2.0.2/16", "10.2.0.1", 5)]
    {
        let mut endpoint = endpoint(n, &format!("e{n}"), on, 1, &[address]);
        endpoint.spec.gateway_priority = priority;
        if let Some(attachment) = &mut endpoint.attachment {
            attachment.decision.gateways = vec![gateway.parse().unwrap()];
        }
        puts.push(put(endpoint));
    }
    assert_eq!(seen(&directory(&puts), 1, "outer"), ["10.2.0.1"]);
}

#[test]
fn addresses_lead_back_on_the_askers_networks_only() {
    let directory = directory(&topology());
    let back = |asker: u128, address: &str| match directory
        .address(sandbox_id(asker), address.parse().unwrap())
    {
        Found::Here(members, _) => {
            members.iter().filter_map(|m| Some(m.canonical.as_ref()?.to_string())).collect()
        }
        other => told(&other).join(","),
    };
    assert_eq!(back(1, "10.2.0.3"), "db.back.");
    assert_eq!(back(1, "fd00:2::3"), "db.back.");
    assert_eq!(back(1, "10.1.0.2"), "web.front.");
    assert_eq!(back(2, "10.1.0.2"), "hidden");
    assert_eq!(back(1, "10.3.200.1"), "hidden");
    assert_eq!(back(1, "10.9.0.1"), "elsewhere");
    assert_eq!(back(1, "fd00:9::1"), "elsewhere");
}

fn route(directory: &Directory, asker: u128) -> (Vec<String>, bool) {
    let Route { servers, loops } = directory.route(sandbox_id(asker));
    let servers = match servers {
        Servers::Listed(servers) => servers.iter().map(ToString::to_string).collect(),
        Servers::Host => vec!["host".to_owned()],
    };
    (servers, loops)
}

#[test]
fn servers_are_the_sandboxs_else_the_networks_else_the_hosts() {
    let mut puts = topology();
    assert_eq!(route(&directory(&puts), 1), (vec!["host".to_owned()], false));
    for (n, name, servers) in [
        (1, "front", ["192.0.2.1:53", "192.0.2.2:53"]),
        (2, "back", ["192.0.2.3:53", "192.0.2.1:53"]),
    ] {
        let mut network = network(n, name);
        network.spec.dns_servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        puts.push(Put::Network(network));
    }
    let all = ["192.0.2.3:53", "192.0.2.1:53", "192.0.2.2:53"].map(str::to_owned).to_vec();
    assert_eq!(route(&directory(&puts), 1), (all, false));
    let mut web = sandbox(1, "Web");
    web.spec.dns.servers = vec!["192.0.2.9:5353".parse().unwrap()];
    puts.push(Put::Sandbox(web));
    assert_eq!(route(&directory(&puts), 1), (vec!["192.0.2.9:5353".to_owned()], false));
}

#[test]
fn a_sandbox_is_not_its_own_server() {
    let mut puts = topology();
    let mut network = network(2, "back");
    network.spec.dns_servers = vec!["10.2.0.3:53".parse().unwrap()];
    puts.push(Put::Network(network));
    let directory = directory(&puts);
    assert_eq!(route(&directory, 1), (vec!["10.2.0.3:53".to_owned()], false));
    assert_eq!(route(&directory, 2), (vec!["host".to_owned()], true));
}

#[test]
fn a_sandbox_without_a_way_out_asks_its_neighbours_at_most() {
    let mut puts = topology();
    let mut inner = network(2, "back");
    inner.spec.internal = true;
    puts.push(Put::Network(inner.clone()));
    assert_eq!(route(&directory(&puts), 2), (vec![], false));
    assert_eq!(route(&directory(&puts), 1), (vec!["host".to_owned()], false));
    assert_eq!(route(&directory(&puts), 5), (vec![], false));
    assert_eq!(route(&directory(&puts), 99), (vec![], false));
    inner.spec.dns_servers = vec!["192.0.2.1:53".parse().unwrap(), "10.2.0.2:53".parse().unwrap()];
    puts.push(Put::Network(inner));
    assert_eq!(route(&directory(&puts), 2), (vec!["10.2.0.2:53".to_owned()], false));
}

#[test]
fn a_sandbox_without_an_address_has_no_way_out() {
    let mut puts = topology();
    puts.push(Put::Network(network(7, "none")));
    puts.push(Put::Sandbox(sandbox(7, "alone")));
    puts.push(put(endpoint(77, "alone.none", 7, 7, &[])));
    assert_eq!(route(&directory(&puts), 7), (vec![], false));
    puts.push(put(endpoint(78, "alone.back", 2, 7, &["10.2.0.77/16"])));
    assert_eq!(route(&directory(&puts), 7), (vec!["host".to_owned()], false));
}

#[test]
fn an_address_is_held_by_whom_it_reaches() {
    let mut puts = topology();
    let mut db = endpoint(13, "db.back", 2, 2, &["10.2.0.3/16"]);
    if let Some(attachment) = &mut db.attachment {
        attachment.bindings = vec![postern_model::port::PortBinding {
            protocol: postern_model::port::Protocol::Udp,
            host_ip: "192.0.2.50".parse().unwrap(),
            host: postern_model::port::PortRange::new(53, 54).unwrap(),
            target: "10.2.0.3".parse().unwrap(),
            target_first: 53,
        }];
    }
    puts.push(put(db));
    let directory = directory(&puts);
    let holders = |server: &str| directory.holders(server.parse().unwrap());
    assert_eq!(holders("10.2.0.3:53"), [sandbox_id(2)]);
    assert_eq!(holders("192.0.2.50:54"), [sandbox_id(2)]);
    assert_eq!(holders("192.0.2.50:55"), [] as [SandboxId; 0]);
    assert_eq!(holders("192.0.2.51:53"), [] as [SandboxId; 0]);
}
