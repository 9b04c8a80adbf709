//! The model's topology, with records that it has no means to make.

use std::collections::BTreeMap;
use std::net::IpAddr;

use postern_model::endpoint::Endpoint;
use postern_model::network::{Network, Subnet};
use postern_model::sandbox::{NamespaceSpec, SandboxSpec};
use postern_model::time::Timestamp;
use postern_model::topology::{Lease, Put, Topology};

use crate::fixture;

fn network(last: u8, gateways: &[&str]) -> Network {
    let subnet = |gateway: &&str| {
        let gateway: IpAddr = gateway.parse().unwrap();
        let subnet = gateway.into();
        Subnet { subnet, range: subnet, gateway: Some(gateway), auxiliary: BTreeMap::new() }
    };
    let subnets = gateways.iter().map(subnet).collect();
    Network { subnets, ..fixture::network(last, &format!("n{last}")) }
}

#[test]
fn gateways_are_known_as_long_as_a_network_has_them() {
    let blue = network(1, &["10.1.0.1", "fd00:1::1"]);
    let red = network(2, &["10.1.0.1"]);
    let mut topology = Topology::default();
    // Once more, as an update puts it.
    for network in [&blue, &red, &blue] {
        topology.put(&Put::Network(network.clone()));
    }
    let known = |topology: &Topology| {
        ["10.1.0.1", "fd00:1::1", "10.1.0.2"].map(|ip| topology.is_gateway(ip.parse().unwrap()))
    };
    assert_eq!(known(&topology), [true, true, false]);
    topology.put(&Put::NetworkGone(blue.id));
    assert_eq!(known(&topology), [true, false, false]);
    topology.put(&Put::NetworkGone(red.id));
    assert_eq!(known(&topology), [false, false, false]);
}

#[test]
fn what_is_put_can_be_taken_back() {
    let now = Timestamp(9);
    let blue = network(1, &["10.1.0.1"]);
    let web = fixture::sandbox(1, "web", SandboxSpec::of(NamespaceSpec::Create));
    let endpoint = fixture::endpoint(2, &blue, &web);
    let address = endpoint.addresses[0].ip();
    let mut topology = Topology::default();
    let held = Put::Lease(blue.id, address, Lease::Held(endpoint.id));
    let all = [
        Put::Network(blue.clone()),
        Put::Sandbox(web.clone()),
        Put::Endpoint(Box::new(endpoint.clone())),
        held.clone(),
    ];
    let gone = vec![
        Put::EndpointGone(endpoint.id),
        Put::Lease(blue.id, address, Lease::Resting(now)),
        Put::SandboxGone(web.id),
        Put::NetworkGone(blue.id),
    ];
    let left = Endpoint { attachment: None, ..endpoint.clone() };
    let records = |of: &Topology| {
        let lease = of.lease(blue.id, address).cloned();
        (of.puts(), lease, of.endpoints_of_sandbox(web.id).count())
    };
    // Of nothing, and of all there is: made, changed and deleted.
    for change in [all.to_vec(), vec![Put::Endpoint(Box::new(left))], gone] {
        let (before, undo) = (records(&topology), topology.inverse(&change, now));
        let mut other = topology.clone();
        change.iter().for_each(|put| other.put(put));
        assert_ne!(records(&other), before);
        undo.iter().for_each(|put| other.put(put));
        let (mut back, before) = (records(&other), before);
        if topology.lease(blue.id, address).is_none() {
            // Somebody may have been told of the address.
            assert_eq!(back.1.take(), Some(Lease::Resting(now)));
        }
        assert_eq!(back, before);
        all.iter().for_each(|put| topology.put(put));
    }
}

#[test]
fn an_address_that_had_rested_is_not_brought_back() {
    let blue = network(1, &["10.1.0.1"]);
    let address = "10.1.0.7".parse().unwrap();
    let mut topology = Topology::default();
    topology.put(&Put::Network(blue.clone()));
    topology.put(&Put::Lease(blue.id, address, Lease::Resting(Timestamp(1))));
    // Somebody else may have it by then.
    assert_eq!(topology.inverse(&[Put::LeaseGone(blue.id, address)], Timestamp(9)), []);
}
