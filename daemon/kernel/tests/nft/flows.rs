//! Flows end when they are told to, and no others do. Until then a revoked one goes on.

use postern_kernel::conntrack::Conntrack;
use postern_kernel::nft::Nft;
use postern_model::plan::Flows;
use postern_model::port::{PortRange, Protocol};
use postern_model::resource::Element;

use crate::lab::{
    Connection, Endpoint, Server, block_on, bridge, endpoint, name, on_a_host, opened, world,
};

const WORLD: [&str; 2] = ["192.0.2.2", "2001:db8::2"];
const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

fn change(nft: &Nft, remove: &[Element], add: &[Element]) {
    block_on(nft.commit(remove, add)).unwrap();
}

/// Two endpoints on `br1`, which filters, one on `br2`; both bridges open.
fn three(nft: &Nft) -> [Endpoint; 3] {
    for number in [1, 2] {
        change(nft, &[], &bridge(number, true));
        change(nft, &[], &[Element::Open(name(&format!("br{number}")))]);
    }
    change(nft, &[], &[Element::Neighbours(name("br1"))]);
    let endpoints = [endpoint(1, 2), endpoint(1, 3), endpoint(2, 2)];
    for endpoint in &endpoints {
        change(nft, &[], &endpoint.elements);
    }
    endpoints
}

fn to(endpoint: &Endpoint, first: u32, last: u32) -> [Flows; 2] {
    let ports = PortRange::new(first, last).unwrap();
    endpoint.addresses().map(|target| Flows::To { target, protocol: Protocol::Tcp, ports })
}

fn all_live(connections: &mut [Connection]) {
    connections.iter_mut().for_each(Connection::lives);
}

fn all_ended(connections: &mut [Connection]) {
    connections.iter_mut().for_each(Connection::has_ended);
}

#[test]
fn of_ports_that_are_published_no_more() {
    on_a_host(|| {
        let (nft, conntrack) = (opened(), Conntrack::open().unwrap());
        world();
        let [server, ..] = three(&nft);
        let _servers = [80, 81, 82, 83].map(|port| Server::start(&server.namespace, port));
        let published = |port| ["0.0.0.0", "::"].map(|host| server.published(host, port, port));
        let mut connections = [80, 81, 82, 83].map(|port| {
            change(&nft, &[], &published(port));
            HOST.map(|host| Connection::to("world", host, port))
        });
        let ended = |first: u32, last: u32| {
            for port in first..=last {
                change(&nft, &published(u16::try_from(port).unwrap()), &[]);
            }
            conntrack.end(&to(&server, first, last)).unwrap()
        };
        connections.iter_mut().for_each(|connections| all_live(connections));
        change(&nft, &published(80), &[]);
        all_live(&mut connections[0]);

        // One port: the kernel's own filter. Several: a look at every flow.
        assert_eq!(ended(80, 80), 2);
        all_ended(&mut connections[0]);
        connections[1..].iter_mut().for_each(|connections| all_live(connections));
        assert_eq!(ended(81, 82), 4);
        all_ended(&mut connections[1]);
        all_ended(&mut connections[2]);
        all_live(&mut connections[3]);
        assert_eq!(ended(81, 82), 0);
    });
}

#[test]
fn of_an_endpoint() {
    on_a_host(|| {
        let (nft, conntrack) = (opened(), Conntrack::open().unwrap());
        world();
        let [a, neighbour, _] = three(&nft);
        let _servers = ["world", &a.namespace].map(|at| Server::start(at, 80));
        let published = ["0.0.0.0", "::"].map(|host| a.published(host, 8080, 80));
        change(&nft, &[], &published);
        let mut out = WORLD.map(|to| Connection::to(&a.namespace, to, 80));
        let mut into = HOST.map(|host| Connection::to("world", host, 8080));
        let mut others = WORLD.map(|to| Connection::to(&neighbour.namespace, to, 80));
        // Its frames are judged no more as an endpoint's: nothing but the guard is left.
        let gone: Vec<Element> = a
            .elements
            .iter()
            .filter(|element| !matches!(element, Element::Port(_)))
            .cloned()
            .collect();
        change(&nft, &[gone, published.to_vec()].concat(), &[]);
        assert_eq!(conntrack.end(&a.addresses().map(Flows::Of)).unwrap(), 4);
        all_ended(&mut out);
        all_ended(&mut into);
        all_live(&mut others);
        assert_eq!(conntrack.end(&a.addresses().map(Flows::Of)).unwrap(), 0);

        // So many that all flows are listed.
        let mut all: Vec<Flows> = neighbour.addresses().map(Flows::Of).to_vec();
        all.extend((0..=255).map(|host| Flows::Of([10, 9, 9, host].into())));
        change(&nft, &[], &[Element::Internal(name("br1"))]);
        all_live(&mut others);
        assert_eq!(conntrack.end(&all).unwrap(), 2);
        all_ended(&mut others);
        assert_eq!(conntrack.end(&[]).unwrap(), 0);
    });
}
