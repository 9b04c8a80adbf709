//! Three networks of three endpoints each, as the cases have them, and policies in words.

use std::time::Duration;

use postern_model::endpoint::Endpoint;
use postern_model::id::PolicyId;
use postern_model::name::Labels;
use postern_model::network::{Family, Network};
use postern_model::policy::{
    Action, Cidr, Direction, Mode, Operator, Peer, Policy, PolicyPort, PolicySpec, Requirement,
    Rule, Selection, Selector, SelectorPeer, Subject, Tier,
};
use postern_model::port::{ExposedPort, PortRange, Protocol};
use postern_model::resource::{Element, Verdict};
use postern_model::sandbox::{NamespaceSpec, SandboxSpec};
use postern_model::time::Timestamp;
use postern_model::topology::{Put, Topology};

use super::{kernel, oracle};
use crate::fixture::{endpoint, network, sandbox, uid};
use crate::policy::{Answer, Compiler, Delta, NameLimits};

pub(super) const TCP80: Selection = Selection { protocol: 6, number: 80 };
pub(super) const TCP81: Selection = Selection { protocol: 6, number: 81 };
pub(super) const UDP80: Selection = Selection { protocol: 17, number: 80 };

/// A topology and what its policies were compiled to, change by change.
pub(super) struct World {
    pub(super) topology: Topology,
    pub(super) compiler: Compiler,
    /// What the kernel would hold, had it been told every change.
    pub(super) held: std::collections::BTreeSet<Element>,
    made: u8,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            topology: Topology::default(),
            compiler: Compiler::default(),
            held: Default::default(),
            made: 0,
        };
        for (n, ns) in [(1, "x"), (2, "y"), (3, "z")] {
            let mut net = network(n, ns);
            net.spec.labels.insert("ns".into(), ns.into());
            world.put(Put::Network(net.clone()));
            for (p, pod) in [(10, "a"), (11, "b"), (12, "c")] {
                let own = sandbox(
                    n * 16 + p,
                    &format!("{ns}-{pod}"),
                    SandboxSpec::of(NamespaceSpec::Create),
                );
                world.put(Put::Sandbox(own.clone()));
                let mut made = endpoint(p, &net, &own);
                made.id = uid(3, n * 16 + p).parse().unwrap();
                made.name = format!("{ns}-{pod}").parse().unwrap();
                made.addresses = vec![
                    format!("192.168.{n}.{p}/24").parse().unwrap(),
                    format!("fd00:{n}::{p}/64").parse().unwrap(),
                ];
                made.spec.labels.insert("pod".into(), pod.into());
                made.spec.exposed = serve();
                world.put(Put::Endpoint(Box::new(made)));
            }
        }
        world
    }

    pub(super) fn put(&mut self, put: Put) {
        self.topology.put(&put);
        let delta = self.compiler.update(&self.topology, &[put]);
        self.follow(&delta);
    }

    /// Does as the kernel is told.
    fn follow(&mut self, delta: &Delta) {
        for element in &delta.remove {
            assert!(self.held.remove(element), "{element} was not there");
        }
        for element in &delta.add {
            let again = matches!(element, Element::Named(_));
            assert!(self.held.insert(element.clone()) || again, "{element} was there");
        }
    }

    pub(super) fn endpoint(&self, name: &str) -> Endpoint {
        self.topology.find_endpoint(name).unwrap().clone()
    }

    pub(super) fn network(&self, name: &str) -> Network {
        self.topology.find_network(name).unwrap().clone()
    }

    pub(super) fn apply(&mut self, name: &str, spec: PolicySpec) -> PolicyId {
        let known = self.topology.find_policy(name).map(|policy| policy.id);
        let id = known.unwrap_or_else(|| {
            self.made += 1;
            uid(4, self.made).parse().unwrap()
        });
        let policy = Policy {
            id,
            name: name.parse().unwrap(),
            revision: 1,
            created: Timestamp(0),
            spec,
            shared: false,
        };
        self.put(Put::Policy(Box::new(policy)));
        id
    }

    /// An endpoint asks for a name, and is told an address.
    pub(super) fn resolve(&mut self, endpoint: &str, name: &str, address: &str) {
        let id = self.endpoint(endpoint).id;
        let address = address.parse().unwrap();
        let answer = Answer { name: name.into(), addresses: vec![(address, Duration::ZERO)] };
        let limits = NameLimits { floor: Duration::from_secs(60), addresses: 2 };
        let delta = self.compiler.resolve(id, &answer, (limits, Timestamp(1))).delta;
        self.follow(&delta);
    }

    pub(super) fn delete(&mut self, id: PolicyId) {
        self.put(Put::PolicyGone(id));
    }

    /// Whatever counts does so for one policy, but for what leaves a flow to the networks:
    /// every tier has passed it on.
    fn assert_counted(&self) {
        let mut counted = Vec::new();
        for policy in self.topology.policies() {
            let subjects = self.compiler.selected_ids(policy).into_iter();
            let counters = subjects.flat_map(|id| self.compiler.counters(policy, id));
            counted.extend(counters.map(|counter| counter.element));
        }
        counted.sort();
        let counts =
            |element: &&Element| matches!(element, Element::Decision(_) | Element::Isolated(..));
        let held = self.held.iter().filter(counts);
        let passed_on = |element: &Element| matches!(element, Element::Decision(of) if of.verdict == Verdict::Return);
        let held: Vec<Element> = held
            .filter(|element| !passed_on(element) || counted.binary_search(element).is_ok())
            .cloned()
            .collect();
        assert_eq!(counted, held);
    }

    /// How many of the pairs may talk; compiler, oracle and kernel agree on each, and what
    /// was made change by change is what is made at once.
    pub(super) fn allowed(&self, what: Selection) -> usize {
        let whole = Compiler::of(&self.topology);
        let endpoints: Vec<&Endpoint> = self.topology.endpoints().collect();
        let elements = whole.elements().cloned().collect();
        self.assert_counted();
        let mut count = 0;
        for from in &endpoints {
            for to in endpoints.iter().filter(|to| to.id != from.id) {
                for family in Family::ALL {
                    let flow = oracle::Flow {
                        from: oracle::End::Endpoint(from),
                        to: oracle::End::Endpoint(to),
                        family,
                        what,
                        names: &[],
                    };
                    let meant = oracle::allowed(&self.topology, &flow, true);
                    let of = |endpoint: &Endpoint| {
                        kernel::End::Address(endpoint.address(family).unwrap())
                    };
                    let ends = (of(from), of(to));
                    let said = kernel::passes(&self.held, ends, what, true);
                    let anew = kernel::passes(&elements, ends, what, true);
                    assert_eq!(
                        (said, anew),
                        (meant, meant),
                        "{} to {} {family} {what:?}",
                        from.name,
                        to.name
                    );
                    count += usize::from(meant && family == Family::V4);
                }
            }
        }
        count
    }
}

fn serve() -> Vec<ExposedPort> {
    let ports = [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(|protocol| {
        [80, 81].map(|port| ExposedPort {
            protocol,
            ports: PortRange::new(port, port).unwrap(),
            name: Some(format!("serve-{port}-{protocol}")),
        })
    });
    ports.collect()
}

pub(super) fn is(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Requirement { key: key.to_owned(), operator, values }
}

pub(super) fn has(key: &str, values: &[&str]) -> Selector {
    Selector(vec![is(key, Operator::In, values)])
}

pub(super) fn any() -> Selector {
    Selector::default()
}

/// Endpoints of the subject's own network.
pub(super) fn near(endpoints: Selector) -> Peer {
    Peer::Selector(SelectorPeer { networks: None, endpoints })
}

pub(super) fn of(networks: Selector, endpoints: Selector) -> Peer {
    Peer::Selector(SelectorPeer { networks: Some(networks), endpoints })
}

pub(super) fn cidr(prefix: &str, except: &[&str]) -> Peer {
    let except = except.iter().map(|one| one.parse().unwrap()).collect();
    Peer::Cidr(Cidr::new(prefix.parse().unwrap(), except).unwrap())
}

pub(super) fn port(protocol: Protocol, first: u32, last: u32) -> PolicyPort {
    PolicyPort::Ports(protocol, PortRange::new(first, last).unwrap())
}

pub(super) fn named(protocol: Protocol, name: &str) -> PolicyPort {
    PolicyPort::Named(protocol, name.to_owned())
}

pub(super) fn rule(action: Action, peers: Vec<Peer>, ports: Vec<PolicyPort>) -> Rule {
    Rule { id: String::new(), action, peers, ports }
}

pub(super) fn accept(peers: Vec<Peer>, ports: Vec<PolicyPort>) -> Rule {
    rule(Action::Accept, peers, ports)
}

/// A policy for endpoints of networks.
pub(super) fn policy(
    (tier, priority): (Tier, u32),
    (networks, endpoints): (Selector, Selector),
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
) -> PolicySpec {
    let directions = [
        ingress.is_some().then_some(Direction::Ingress),
        egress.is_some().then_some(Direction::Egress),
    ];
    PolicySpec {
        tier,
        priority,
        subject: Subject {
            selected: Some(SelectorPeer { networks: Some(networks), endpoints }),
            named: Vec::new(),
        },
        directions: directions.into_iter().flatten().collect(),
        ingress: ingress.unwrap_or_default(),
        egress: egress.unwrap_or_default(),
        mode: Mode::Enforce,
        log: false,
        expires: None,
        labels: Labels::new(),
    }
}

/// A policy of tier app for network x.
pub(super) fn app(
    endpoints: Selector,
    ingress: Option<Vec<Rule>>,
    egress: Option<Vec<Rule>>,
) -> PolicySpec {
    policy((Tier::App, 0), (has("ns", &["x"]), endpoints), ingress, egress)
}
