//! Endpoints on other hosts: what they need here, what links to and from them open, and what
//! policies make of them.

use std::collections::BTreeSet;

use postern_model::cluster::{NodeId, Peer, Remote};
use postern_model::decision::{Desired, Link, LinkKind, NetworkDecision, PeerDecision, Reach};
use postern_model::dns::LinkState;
use postern_model::driver::{Capability, PeerView};
use postern_model::endpoint::Endpoint;
use postern_model::grant::Grants;
use postern_model::network::Network;
use postern_model::port::{ExposedPort, PortRange, Protocol};
use postern_model::resource::{Element, Resource, ResourceSet};
use postern_model::sandbox::{NamespaceSpec, Sandbox, SandboxSpec};
use postern_model::topology::{Put, Topology};
use proptest::prelude::*;

use crate::admission::admit_peer;
use crate::fixture::{endpoint, network, sandbox};
use crate::policy::Compiler;
use crate::view::View;
use crate::{desired, links, names};

fn link(handle: &str, kind: LinkKind) -> Desired {
    let handle = handle.parse().unwrap();
    Desired::Link(Link { handle, kind, mtu: None, mac: None })
}

fn shared() -> Network {
    let mut made = network(1, "blue");
    made.vni = Some(4096.try_into().unwrap());
    made.decision = NetworkDecision {
        resources: vec![
            link("bridge", LinkKind::Bridge { name: None }),
            link("tunnel", LinkKind::Vxlan { master: "bridge".parse().unwrap() }),
        ],
        state: Vec::new(),
    };
    made
}

fn linked_to(source: Option<&str>) -> SandboxSpec {
    let mut spec = SandboxSpec::of(NamespaceSpec::Create);
    spec.links = source
        .map(|source| postern_model::dns::Link {
            source: source.parse().unwrap(),
            alias: "store".parse().unwrap(),
        })
        .into_iter()
        .collect();
    spec
}

fn exposing(mut endpoint: Endpoint) -> Endpoint {
    let ports = PortRange::new(80, 80).unwrap();
    endpoint.spec.exposed = vec![ExposedPort { protocol: Protocol::Tcp, ports, name: None }];
    endpoint
}

fn remote(endpoint: Endpoint, sandbox: Sandbox) -> Remote {
    let to = "192.0.2.2".parse().unwrap();
    let neighbour =
        |address| Reach::Neighbour { link: "bridge".parse().unwrap(), address, mac: endpoint.mac };
    let way = Reach::Forwarding { link: "tunnel".parse().unwrap(), mac: endpoint.mac, to };
    let neighbours = endpoint.addresses.iter().map(|address| neighbour(address.ip()));
    let resources = std::iter::once(way).chain(neighbours).collect();
    let (node, host) = (NodeId::new(2), "b".parse().unwrap());
    let peer = Peer { node, host, underlay: to, endpoint, sandbox };
    Remote { peer, decision: PeerDecision { resources } }
}

/// `web` here and `db` there, on one network.
struct Sample {
    topology: Topology,
    network: Network,
    web: Sandbox,
    db: Remote,
}

fn sample(web: SandboxSpec, db: SandboxSpec) -> Sample {
    let (network, web) = (shared(), sandbox(1, "web", web));
    let there = sandbox(2, "db", db);
    let db = remote(exposing(endpoint(3, &network, &there)), there);
    let mut topology = Topology::default();
    topology.put(&Put::Network(network.clone()));
    topology.put(&Put::Sandbox(web.clone()));
    topology.put(&Put::Endpoint(Box::new(exposing(endpoint(2, &network, &web)))));
    topology.put(&Put::Peer(Box::new(db.clone())));
    Sample { topology, network, web, db }
}

fn elements(set: &ResourceSet) -> Vec<&Element> {
    let all = set.iter().map(|(_, resource)| resource);
    all.filter_map(|resource| match resource {
        Resource::Element(element) => Some(element),
        _ => None,
    })
    .collect()
}

#[test]
fn what_comes_from_it_is_guarded_at_the_tunnel() {
    let Sample { network, db, .. } = sample(linked_to(None), linked_to(None));
    let underlay = Some("192.0.2.1".parse().unwrap());
    let (tunnel, bridge) = (names::tunnel(network.id), names::bridge(network.id));
    let own = desired::network(&network, false, underlay);
    assert!(elements(&own).contains(&&Element::Port(tunnel.clone())));
    assert!(own.iter().any(|(_, resource)| matches!(resource, Resource::Vxlan(of)
        if of.name == tunnel && of.master == bridge && Some(of.local) == underlay)));
    // Of no cluster any more: the bridge alone is left.
    let alone = desired::network(&network, false, None);
    assert!(!alone.iter().any(|(_, resource)| matches!(resource, Resource::Vxlan(_))));
    let set = desired::peer(&db, &network);
    let kinds: BTreeSet<&str> = set.iter().map(|(_, resource)| resource.kind()).collect();
    assert_eq!(kinds, ["element", "forwarding", "neighbour"].into());
    let found = elements(&set);
    for address in &db.peer.endpoint.addresses {
        let (ip, mac) = (address.ip(), db.peer.endpoint.mac);
        assert!(found.contains(&&Element::Guard(tunnel.clone(), mac, ip)));
        assert!(found.contains(&&Element::Remote(ip, bridge.clone())));
        assert!(!found.contains(&&Element::Endpoint(ip, bridge.clone())), "it is not behind us");
    }
}

#[test]
fn a_link_to_another_host_leads_there() {
    let Sample { topology, web, .. } = sample(linked_to(Some("db")), linked_to(None));
    let view = View::of(&topology);
    let found = links::resolve(&view, &web);
    assert_eq!(found[0].state, LinkState::Live);
    assert_eq!(found[0].addresses().len(), 2);
    assert_eq!(desired::remote_links(&view, &web).len(), 0, "what is let in is decided there");
}

#[test]
fn a_link_from_another_host_opens_what_is_here() {
    let Sample { topology, db, .. } = sample(linked_to(None), linked_to(Some("web")));
    let view = View::of(&topology);
    let linkers = view.remote_linkers("web");
    assert_eq!(linkers, [&db.peer.sandbox]);
    let opened = desired::remote_links(&view, linkers[0]);
    assert_eq!(opened.len(), 2, "one of each family");
    assert!(elements(&opened).iter().all(|element| matches!(element, Element::Link { .. })));
    // Without it, nothing.
    let view = view.with_peer(db.peer.id(), None);
    assert!(
        view.remote_linkers("web").is_empty() && view.remote_sandbox(db.peer.sandbox.id).is_none()
    );
}

#[test]
fn one_of_this_host_goes_before_one_of_another() {
    let Sample { mut topology, network, .. } = sample(linked_to(Some("db")), linked_to(None));
    let here = sandbox(9, "db", linked_to(None));
    topology.put(&Put::Sandbox(here.clone()));
    let named = |topology: &Topology| View::of(topology).sandbox_named("db").unwrap().id;
    assert_ne!(named(&topology), here.id, "one that is on no network is reached by nobody");
    topology.put(&Put::Endpoint(Box::new(endpoint(9, &network, &here))));
    assert_eq!(named(&topology), here.id);
}

#[test]
fn policies_know_it_and_leave_its_own_to_its_host() {
    let Sample { mut topology, db, .. } = sample(linked_to(None), linked_to(None));
    let mut compiler = Compiler::of(&topology);
    let of_db = |compiler: &Compiler| {
        let at = |element: &&Element| match element {
            Element::Identity(ip, _) => db.peer.endpoint.addresses.iter().any(|a| a.ip() == *ip),
            _ => false,
        };
        compiler.elements().filter(at).count()
    };
    assert_eq!(of_db(&compiler), 2);
    assert_eq!(compiler.endpoint_at(db.peer.endpoint.addresses[0].ip()), Some(db.peer.id()));
    let gone = Put::PeerGone(db.peer.id());
    topology.put(&gone);
    let delta = compiler.update(&topology, &[gone]);
    assert_eq!((of_db(&compiler), delta.remove.len()), (0, 2));
    assert_eq!(compiler.elements().count(), Compiler::of(&topology).elements().count());
}

fn peer_view(of: &Peer) -> PeerView {
    PeerView {
        id: of.id().to_string(),
        name: of.endpoint.name.to_string(),
        addresses: of.endpoint.addresses.clone(),
        mac: of.endpoint.mac,
        host: of.underlay,
    }
}

#[test]
fn what_reaches_it_is_admitted_and_no_more() {
    let Sample { network, db, .. } = sample(linked_to(None), linked_to(None));
    let (view, all) = (peer_view(&db.peer), Grants::all_of([Capability::Vxlan]));
    let admit = |decision: &PeerDecision, grants: &Grants| {
        admit_peer(decision.clone(), grants, &network.decision, &view).is_ok()
    };
    assert!(admit(&db.decision, &all));
    assert!(!admit(&db.decision, &Grants::all_of([Capability::Bridge])));
    assert!(admit(&PeerDecision::default(), &Grants::default()));
    let handle = |text: &str| text.parse().unwrap();
    let (mac, to) = (view.mac, view.host);
    let other = "02:00:00:00:00:77".parse().unwrap();
    for wrong in [
        Reach::Forwarding { link: handle("tunnel"), mac: other, to },
        Reach::Forwarding { link: handle("tunnel"), mac, to: "192.0.2.9".parse().unwrap() },
        Reach::Forwarding { link: handle("bridge"), mac, to },
        Reach::Forwarding { link: handle("none"), mac, to },
        Reach::Neighbour { link: handle("bridge"), address: "10.1.0.1".parse().unwrap(), mac },
        Reach::Neighbour { link: handle("tunnel"), address: view.addresses[0].ip(), mac },
        Reach::Neighbour { link: handle("bridge"), address: view.addresses[0].ip(), mac: other },
    ] {
        assert!(!admit(&PeerDecision { resources: vec![wrong.clone()] }, &all), "{wrong:?}");
    }
    let many = vec![db.decision.resources[0].clone(); crate::admission::RESOURCES_MAX + 1];
    assert!(!admit(&PeerDecision { resources: many }, &all));
}

proptest! {
    /// Whatever came and went, and in which order: what is compiled and indexed is what a start
    /// would make of the records.
    #[test]
    fn what_is_left_is_as_if_it_had_always_been_so(steps in prop::collection::vec((0_u8..6, any::<bool>(), any::<bool>()), 0..30)) {
        let network = shared();
        let mut topology = Topology::default();
        topology.put(&Put::Network(network.clone()));
        let mut compiler = Compiler::of(&topology);
        for (number, there, linked) in steps {
            let name = ["a", "b", "a"][usize::from(number % 3)];
            let of = sandbox(number, name, linked_to(linked.then_some("b")));
            let made = remote(endpoint(number + 10, &network, &of), of);
            let put = match there {
                true => Put::Peer(Box::new(made)),
                false => Put::PeerGone(made.peer.id()),
            };
            topology.put(&put);
            compiler.update(&topology, &[put]);
        }
        let mut again = Topology::default();
        topology.puts().iter().for_each(|put| again.put(put));
        let seen = |topology: &Topology| {
            let peers = topology.peers();
            let ids = |found: &mut dyn Iterator<Item = &Remote>| found.map(|r| r.peer.id()).collect::<Vec<_>>();
            [
                ids(&mut peers.iter()),
                ids(&mut peers.of_network(network.id)),
                ids(&mut peers.of_sandboxes_named("a")),
                ids(&mut peers.of_linkers("b")),
            ]
        };
        prop_assert_eq!(seen(&topology), seen(&again));
        let all = |compiler: &Compiler| compiler.elements().cloned().collect::<BTreeSet<_>>();
        prop_assert_eq!(all(&compiler), all(&Compiler::of(&again)));
    }
}
