//! The truth table with real packets: for each case every pair is tried, and explained.

use std::thread;

use postern_proto::v1::flow_end::Kind;
use postern_proto::v1::policy_port::Protocol;
use postern_proto::v1::{EndpointSpec, ExplainRequest, ExposedPort, FlowEnd, PolicyPort};
use postern_tests::traffic::{self, Server};
use postern_tests::{Netns, World, ask, labels};

/// What is tried of each pair.
const KINDS: [(Protocol, u16); 3] = [(Protocol::Tcp, 80), (Protocol::Tcp, 81), (Protocol::Udp, 80)];

/// A step of a case: policies to apply, by name and spec, or to delete, without one, and
/// networks to change (`network y` and how); and how many of the 72 pairs may then talk, of
/// each kind.
type Step<'a> = (&'a [(&'a str, &'a str)], [usize; 3]);

const X_ALL: &str = "subject: {networks: {matchLabels: {ns: x}}}";
const X_A: &str = "subject: {networks: {matchLabels: {ns: x}}, endpoints: {matchLabels: {pod: a}}}";
const ANYBODY: &str = "{selector: {networks: {}}}";
const OF_Y: &str = "{selector: {networks: {matchLabels: {ns: y}}}}";
const OF_Z: &str = "{selector: {networks: {matchLabels: {ns: z}}}}";
const OF_X: &str = "{selector: {networks: {matchLabels: {ns: x}}}}";
const NEAR_B: &str = "{selector: {endpoints: {matchLabels: {pod: b}}}}";
const NOT_X: &str = "{selector: {networks: {matchExpressions: [{key: ns, operator: OPERATOR_NOT_IN, values: [x]}]}}}";
const NOT_Y: &str = "{selector: {networks: {matchExpressions: [{key: ns, operator: OPERATOR_NOT_IN, values: [y]}]}}}";
const NEAR_IN_B: &str =
    "{selector: {endpoints: {matchExpressions: [{key: pod, operator: OPERATOR_IN, values: [b]}]}}}";
const BC_ELSEWHERE: &str = "{selector: {networks: {matchExpressions: [{key: ns, operator: OPERATOR_NOT_IN, values: [x]}]}, endpoints: {matchExpressions: [{key: pod, operator: OPERATOR_IN, values: [b, c]}]}}}";
const Y_A: &str =
    "{selector: {networks: {matchLabels: {ns: y}}, endpoints: {matchLabels: {pod: a}}}}";

struct Pod {
    name: String,
    address: String,
    netns: Netns,
    _servers: Vec<Server>,
}

/// Three networks that are open to each other, with three endpoints each.
async fn pods(world: &World) -> Vec<Pod> {
    let mut pods = Vec::new();
    for (n, ns) in [(1, "x"), (2, "y"), (3, "z")] {
        let mut spec =
            ask::with_option(ask::network(&[&format!("192.168.{n}.0/24")]), "open", "true");
        spec.labels = labels(&[("ns", ns)]).into_iter().collect();
        world.api.create_network(ns, spec).await.unwrap();
        for (last, pod) in [(10, "a"), (11, "b"), (12, "c")] {
            let (name, address) = (format!("{ns}-{pod}"), format!("192.168.{n}.{last}"));
            let exposed = [(Protocol::Tcp, "tcp"), (Protocol::Udp, "udp")];
            let exposed = exposed.into_iter().flat_map(|(protocol, word)| {
                [80, 81].map(|port| ExposedPort {
                    protocol: exposed_protocol(protocol),
                    port,
                    name: format!("serve-{port}-{word}"),
                    ..ExposedPort::default()
                })
            });
            let spec = EndpointSpec {
                labels: labels(&[("pod", pod)]),
                exposed_ports: exposed.collect(),
                ..ask::address(&address)
            };
            let netns = world.place(ns, &name, spec).await;
            let servers = KINDS.map(|(protocol, port)| {
                let at = format!("0.0.0.0:{port}");
                if protocol == Protocol::Tcp {
                    Server::tcp(&netns, &at, &name)
                } else {
                    Server::udp(&netns, &at, &name)
                }
            });
            pods.push(Pod {
                name: format!("{name}.{ns}"),
                address,
                netns,
                _servers: servers.into(),
            });
        }
    }
    pods
}

fn exposed_protocol(protocol: Protocol) -> i32 {
    use postern_proto::v1::Protocol as Exposed;
    if protocol == Protocol::Tcp { Exposed::Tcp.into() } else { Exposed::Udp.into() }
}

fn try_once(from: &Pod, to: &Pod, (protocol, port): (Protocol, u16)) -> bool {
    let to = format!("{}:{port}", to.address);
    if protocol == Protocol::Tcp {
        traffic::tcp(&from.netns, &to).is_some()
    } else {
        traffic::udp(&from.netns, &to).is_some()
    }
}

/// Tries every pair and kind at once.
fn tried(pods: &[Pod]) -> Vec<(&Pod, &Pod, (Protocol, u16), bool)> {
    let pairs = pods.iter().flat_map(|from| pods.iter().map(move |to| (from, to)));
    let pairs = pairs.filter(|(from, to)| from.name != to.name);
    let probes: Vec<_> = pairs.flat_map(|(from, to)| KINDS.map(|kind| (from, to, kind))).collect();
    thread::scope(|scope| {
        let running: Vec<_> = probes
            .into_iter()
            .map(|(from, to, kind)| (from, to, kind, scope.spawn(move || try_once(from, to, kind))))
            .collect();
        let ended = running.into_iter();
        ended.map(|(from, to, kind, probe)| (from, to, kind, probe.join().unwrap())).collect()
    })
}

/// How many pairs may talk, of each kind; packets and explanation agree on each of them.
async fn counted(world: &World, pods: &[Pod], case: &str) -> [usize; 3] {
    let mut counts = [0; 3];
    for (from, to, kind, passed) in tried(pods) {
        let end = |pod: &Pod| Some(FlowEnd { kind: Some(Kind::Endpoint(pod.name.clone())) });
        let what =
            PolicyPort { protocol: kind.0.into(), port: kind.1.into(), ..PolicyPort::default() };
        let request = ExplainRequest {
            from: end(from),
            to: end(to),
            what: Some(what),
            ..ExplainRequest::default()
        };
        let told = world.api.policies.clone().explain(request).await.unwrap().into_inner();
        // A busy machine may be late with an answer; with a packet too many it is not.
        let passed = passed || told.allowed && try_once(from, to, kind);
        let (name, other) = (&from.name, &to.name);
        assert_eq!(passed, told.allowed, "{case}: {name} to {other} {kind:?}: {}", told.reason);
        assert!(told.kernel_agrees, "{case}: {name} to {other} {kind:?}");
        let index = KINDS.iter().position(|known| *known == kind).unwrap();
        counts[index] += usize::from(passed);
    }
    counts
}

async fn holds(world: &World, pods: &[Pod], case: &str, steps: &[Step<'_>]) {
    let file = world.run_dir().join("policy.yaml");
    for (changes, pairs) in steps {
        for (name, spec) in *changes {
            if let Some(network) = name.strip_prefix("network ") {
                let words = ["network", "update", network].into_iter().chain(spec.split(' '));
                let done = world.cli(&words.collect::<Vec<_>>());
                assert_eq!(done.code, Some(0), "{case}: {}", done.stderr);
                continue;
            }
            if spec.is_empty() {
                world.api.delete_policy(name).await.unwrap();
                continue;
            }
            std::fs::write(&file, format!("name: {name}\nspec: {spec}\n")).unwrap();
            let done = world.cli(&["policy", "apply", "-f", file.to_str().unwrap()]);
            assert_eq!(done.code, Some(0), "{case}: {}\n{spec}", done.stderr);
        }
        assert_eq!(counted(world, pods, case).await, *pairs, "{case}");
    }
    let left = world.cli(&["policy", "ls", "-q"]).stdout;
    for name in left.lines() {
        world.api.delete_policy(name).await.unwrap();
    }
}

/// Whoever is on networks with a label.
fn of_networks(label: &str) -> String {
    format!("{{selector: {{networks: {{matchLabels: {{{label}}}}}}}}}")
}

/// As a Kubernetes `NetworkPolicy`: of network x, in one direction or both.
fn spec(subject: &str, directions: &str, ingress: &str, egress: &str) -> String {
    format!("{{{subject}, directions: [{directions}], ingress: [{ingress}], egress: [{egress}]}}")
}

#[test]
fn tier_app() {
    World::run(async |world| {
        let pods = pods(world).await;
        let (into, out) = ("DIRECTION_INGRESS", "DIRECTION_EGRESS");
        let both = "DIRECTION_INGRESS, DIRECTION_EGRESS";
        let from = |peers: &str| format!("{{peers: [{peers}]}}");
        let by = |peers: &str, ports: &str| format!("{{peers: [{peers}], ports: [{ports}]}}");
        let dns = "{ports: [{protocol: PROTOCOL_UDP, port: 53}]}";
        let y00_in = by(
            "{selector: {networks: {matchExpressions: [{key: ns, operator: OPERATOR_IN, values: [x, y]}]}, endpoints: {matchExpressions: [{key: pod, operator: OPERATOR_IN, values: [b, c]}]}}}",
            "{port: 80}",
        );
        let y00_out = by(
            "{selector: {networks: {matchExpressions: [{key: ns, operator: OPERATOR_IN, values: [y, z]}]}, endpoints: {matchExpressions: [{key: pod, operator: OPERATOR_IN, values: [a, b]}]}}}",
            "{port: 80}",
        );
        let inner = "{cidr: {cidr: 192.168.1.0/24, except: [192.168.1.11/32]}}";
        let cases = [
            ("E01", spec(X_ALL, into, "", ""), [48; 3]),
            ("E03", spec(X_A, into, &from(NEAR_B), ""), [65; 3]),
            ("E05", spec(X_A, into, &from(ANYBODY), ""), [72; 3]),
            ("E07", spec(X_A, into, &from(NEAR_IN_B), ""), [65; 3]),
            ("E09", spec(X_A, into, &from(&format!("{NOT_X}, {NEAR_B}")), ""), [71; 3]),
            ("E11", spec(X_A, into, &from(BC_ELSEWHERE), ""), [68; 3]),
            ("E13", spec(X_A, into, &from(Y_A), ""), [65; 3]),
            ("E17", spec(X_ALL, into, "{ports: [{name: serve-81-tcp}]}", ""), [48, 72, 48]),
            (
                "E19",
                spec(X_A, out, "", &format!("{{ports: [{{name: serve-80-tcp}}]}}, {dns}")),
                [72, 64, 64],
            ),
            ("E23", spec(X_ALL, into, "{peers: [{selector: {}}]}", ""), [54; 3]),
            ("E25", spec(X_A, out, "", ""), [64; 3]),
            ("E27", spec(X_A, both, &from(NEAR_B), "{ports: [{port: 80}]}"), [65, 57, 57]),
            ("E29", spec(X_A, out, "", &from(Y_A)), [65; 3]),
            ("E35", spec(X_A, out, "", &from(inner)), [65; 3]),
            ("E37", spec(X_A, both, "", "{}"), [64; 3]),
            ("E39", spec(X_A, into, "{ports: [{protocol: PROTOCOL_SCTP, port: 80}]}", ""), [64; 3]),
            ("E41", spec(X_A, out, "", &from(NOT_Y)), [69; 3]),
            ("Y00", spec(X_A, both, &y00_in, &format!("{y00_out}, {dns}")), [64, 56, 56]),
        ];
        for (case, spec, pairs) in &cases {
            holds(world, &pods, case, &[(&[("p", spec)], *pairs)]).await;
        }
    });
}

/// What changes in the middle holds at once.
#[test]
fn step_by_step() {
    World::run(async |world| {
        let pods = pods(world).await;
        let (into, out) = ("DIRECTION_INGRESS", "DIRECTION_EGRESS");
        let both = "DIRECTION_INGRESS, DIRECTION_EGRESS";
        let of_y = |port: u16| format!("{{peers: [{OF_Y}], ports: [{{port: {port}}}]}}");
        let e15 = |rules: &[String]| spec(X_A, into, &rules.join(", "), "");
        let (e15_one, e15_two) = (e15(&[of_y(81)]), e15(&[of_y(81), of_y(80)]));
        let e21 = spec(X_A, into, &format!("{{peers: [{}]}}", of_networks("ns2: updated")), "");
        let shut = spec(X_ALL, both, "", "");
        let e31 = spec(X_ALL, into, "{ports: [{port: 80}]}", "");
        let open = spec(X_ALL, into, "{}", "");
        let y_out = "{peers: [{selector: {networks: {matchExpressions: [{key: ns, operator: OPERATOR_IN, values: [y, z]}]}, endpoints: {matchExpressions: [{key: pod, operator: OPERATOR_IN, values: [a, b]}]}}}], ports: [{port: 80}]}";
        let y12_in = format!("{{peers: [{}], ports: [{{port: 80}}]}}", of_networks("new: label"));
        let y12 = spec(X_A, both, &y12_in, y_out);
        let cases: [(&str, &[Step<'_>]); 6] = [
            ("E15", &[(&[("p", &e15_one)], [64, 67, 64]), (&[("p", &e15_two)], [67, 67, 64])]),
            (
                "E21",
                &[
                    (&[("p", &e21)], [64; 3]),
                    (&[("network y", "--label-add ns2=updated")], [67; 3]),
                ],
            ),
            ("E31", &[(&[("p", &e31)], [72, 48, 48]), (&[("all", &open)], [72; 3])]),
            ("E33", &[(&[("p", &shut)], [30; 3]), (&[("p", "")], [72; 3])]),
            ("Y09", &[(&[("p", &spec(X_A, out, "", ""))], [64; 3]), (&[("p", "")], [72; 3])]),
            (
                "Y12",
                &[
                    (&[("p", &y12)], [60, 56, 56]),
                    (&[("network y", "--label-add new=label")], [63, 56, 56]),
                    (&[("network y", "--label-rm new")], [60, 56, 56]),
                ],
            ),
        ];
        for (case, steps) in cases {
            holds(world, &pods, case, steps).await;
        }
    });
}

#[test]
fn tiers_around_it() {
    World::run(async |world| {
        let pods = pods(world).await;
        let admin = |priority: u32, egress: &str| {
            format!(
                "{{tier: TIER_ADMIN, priority: {priority}, {X_ALL}, directions: [DIRECTION_EGRESS], egress: [{egress}]}}"
            )
        };
        let of =
            |action: &str, peers: &str| format!("{{action: ACTION_{action}, peers: [{peers}]}}");
        let accept_first =
            admin(10, &["ACCEPT", "DENY", "PASS"].map(|action| of(action, OF_Y)).join(", "));
        holds(world, &pods, "N01", &[(&[("p", &accept_first)], [72; 3])]).await;
        let deny_first = admin(10, &[of("DENY", OF_Y), of("ACCEPT", OF_Y)].join(", "));
        holds(world, &pods, "N02", &[(&[("p", &deny_first)], [63; 3])]).await;
        let pass_first = admin(10, &[of("PASS", OF_Y), of("DENY", OF_Y)].join(", "));
        holds(world, &pods, "N03", &[(&[("p", &pass_first)], [72; 3])]).await;
        let accept = format!("{{action: ACTION_ACCEPT, peers: [{OF_Z}], ports: [{{port: 81}}]}}");
        let n04 = admin(10, &[accept, of("DENY", OF_Z)].join(", "));
        holds(world, &pods, "N04", &[(&[("p", &n04)], [63, 72, 63])]).await;
        let (deny, pass) = (of("REJECT", NOT_X), of("PASS", NOT_X));
        holds(
            world,
            &pods,
            "N08",
            &[
                (&[("deny", &admin(50, &deny)), ("pass", &admin(60, &pass))], [54; 3]),
                (&[("pass", &admin(40, &pass))], [72; 3]),
            ],
        )
        .await;
        let all = |action: &str| {
            let rule = format!("{{action: ACTION_{action}}}");
            format!(
                "{{tier: TIER_ADMIN, priority: 20, {X_ALL}, directions: [DIRECTION_INGRESS, DIRECTION_EGRESS], ingress: [{rule}], egress: [{rule}]}}"
            )
        };
        let base = format!(
            "{{tier: TIER_BASELINE, {X_ALL}, directions: [DIRECTION_INGRESS], ingress: [{}]}}",
            of("DENY", NOT_X)
        );
        let app = spec(X_ALL, "DIRECTION_INGRESS, DIRECTION_EGRESS", "", "{}");
        holds(
            world,
            &pods,
            "N10",
            &[
                (&[("app", &app), ("admin", &all("DENY"))], [30; 3]),
                (&[("admin", &all("PASS"))], [48; 3]),
                (&[("app", ""), ("base", &base)], [54; 3]),
            ],
        )
        .await;
        let shut = spec(X_ALL, "DIRECTION_INGRESS, DIRECTION_EGRESS", "", "");
        holds(world, &pods, "N14", &[(&[("app", &shut), ("admin", &all("ACCEPT"))], [72; 3])])
            .await;
        let n18 = format!(
            "{{tier: TIER_ADMIN, priority: 10, {X_A}, directions: [DIRECTION_INGRESS], ingress: [{{action: ACTION_DENY, peers: [{OF_X}], ports: [{{port: 80, portEnd: 81}}]}}]}}"
        );
        holds(world, &pods, "N18", &[(&[("p", &n18)], [70, 70, 72])]).await;
    });
}
