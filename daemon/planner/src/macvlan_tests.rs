//! An endpoint by a macvlan: what it needs, and what does not know of it.

use postern_model::endpoint::Endpoint;
use postern_model::network::{Network, Subnet};
use postern_model::resource::{Element, Resource, ResourceSet};
use postern_model::sandbox::{NamespaceSpec, Sandbox, SandboxSpec};
use postern_model::topology::{Put, Topology};

use crate::desired;
use crate::fixture::{macvlan, network, sandbox};
use crate::policy::Compiler;
use crate::view::View;

struct Sample {
    topology: Topology,
    network: Network,
    sandbox: Sandbox,
    endpoint: Endpoint,
}

fn sample() -> Sample {
    let mut network = network(1, "lan");
    network.subnets = vec![Subnet {
        subnet: "10.1.0.0/24".parse().unwrap(),
        range: "10.1.0.0/24".parse().unwrap(),
        gateway: Some("10.1.0.1".parse().unwrap()),
        auxiliary: Default::default(),
    }];
    let sandbox = sandbox(1, "web", SandboxSpec::of(NamespaceSpec::Create));
    let endpoint = macvlan(2, &network, &sandbox);
    let mut topology = Topology::default();
    topology.put(&Put::Network(network.clone()));
    topology.put(&Put::Sandbox(sandbox.clone()));
    topology.put(&Put::Endpoint(Box::new(endpoint.clone())));
    Sample { topology, network, sandbox, endpoint }
}

fn kinds(set: &ResourceSet) -> Vec<&'static str> {
    set.iter().map(|(_, resource)| resource.kind()).collect()
}

fn default_routes(set: &ResourceSet) -> usize {
    set.iter().filter(|(_, resource)| matches!(resource, Resource::Route { .. })).count()
}

#[test]
fn it_needs_its_link_and_addresses_and_no_element() {
    let Sample { topology, network, sandbox, endpoint } = sample();
    assert!(desired::network(&network, false, None).is_empty());
    let set = desired::endpoint(&endpoint, &network, &sandbox);
    assert_eq!(kinds(&set), ["macvlan", "address", "address"]);
    let set = desired::sandbox(&View::of(&topology), &sandbox);
    assert_eq!(default_routes(&set), 2);
    assert!(!set.iter().any(|(_, resource)| matches!(resource, Resource::Element(_))));
}

#[test]
fn quarantine_takes_it_away_with_its_routes() {
    let Sample { topology, network, mut sandbox, endpoint } = sample();
    sandbox.quarantined = true;
    assert!(desired::endpoint(&endpoint, &network, &sandbox).is_empty());
    let view = View::of(&topology).with_sandbox(&sandbox);
    let set = desired::sandbox(&view, &sandbox);
    assert_eq!(default_routes(&set), 0);
    assert!(!set.iter().any(|(_, resource)| matches!(resource, Resource::Element(_))));
}

#[test]
fn its_parent_leads_to_it() {
    let Sample { mut topology, endpoint, .. } = sample();
    let on = |topology: &Topology, parent: &str| {
        topology.endpoints_on(&parent.parse().unwrap()).map(|found| found.id).collect::<Vec<_>>()
    };
    assert_eq!(on(&topology, "eth1"), [endpoint.id]);
    assert_eq!(on(&topology, "eth2"), []);
    topology.put(&Put::Endpoint(Box::new(Endpoint { attachment: None, ..endpoint })));
    assert_eq!(on(&topology, "eth1"), []);
}

#[test]
fn to_policies_it_and_its_gateway_are_the_world() {
    let Sample { topology, endpoint, .. } = sample();
    let compiler = Compiler::of(&topology);
    assert_eq!(compiler.elements().collect::<Vec<&Element>>(), Vec::<&Element>::new());
    assert_eq!(compiler.endpoint_at(endpoint.addresses[0].ip()), None);
}
