use std::time::Instant;

use postern_driver_bridge::Bridge;
use postern_driver_host::Host;
use postern_driver_null::Null;
use postern_model::decision::{Desired, LinkKind, Reach, Side};
use postern_model::driver::{Attach, Capability, NetworkView, PeerView, TunnelView};
use postern_model::network::Family;
use postern_sdk::Driver;
use tempfile::TempDir;

use super::{context, endpoint, network, open};
use crate::call::{CallError, Fault};
use crate::{DriverHost, Limits, view};

fn host() -> (TempDir, DriverHost) {
    let state = TempDir::new().unwrap();
    let host = open(state.path(), Limits::default());
    host.load_built_in().unwrap();
    (state, host)
}

/// The SDK's types and the host's are generated from one contract, so their debug forms are
/// the same text.
fn same(native: &impl std::fmt::Debug, hosted: &impl std::fmt::Debug) {
    assert_eq!(format!("{native:?}"), format!("{hosted:?}"));
}

fn sdk_context() -> postern_sdk::Context {
    postern_sdk::Context { request_id: "r-1".into(), now: 1_764_000_000_000, seed: 7 }
}

fn entries(entries: &[(&str, &str)]) -> Vec<postern_sdk::Entry> {
    let entry =
        |&(key, value): &(&str, &str)| postern_sdk::Entry { key: key.into(), value: value.into() };
    entries.iter().map(entry).collect()
}

fn sdk_network(options: &[(&str, &str)]) -> postern_sdk::NetworkView {
    let subnet = |subnet: &str, gateway: &str| postern_sdk::SubnetView {
        subnet: subnet.into(),
        gateway: Some(gateway.into()),
    };
    postern_sdk::NetworkView {
        id: "01932c07-a9d0-7000-8abc-0123456789ab".into(),
        name: "blue".into(),
        subnets: vec![subnet("10.1.0.0/24", "10.1.0.1"), subnet("fd00:1::/64", "fd00:1::1")],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:5e:00:53:01".into(),
        tunnel: None,
        labels: entries(&[("team", "a")]),
        options: entries(options),
        state: vec![1, 2, 3],
    }
}

fn sdk_endpoint() -> postern_sdk::EndpointView {
    postern_sdk::EndpointView {
        id: "01932c07-a9d0-7000-8abc-0123456789ac".into(),
        name: "web.blue".into(),
        addresses: vec!["10.1.0.2/24".into(), "fd00:1::2/64".into()],
        mac: "02:00:5e:00:53:02".into(),
        interface_name: "eth0".into(),
        bindings: vec![postern_sdk::PortBinding {
            protocol: postern_sdk::Protocol::Udp,
            host_ip: "0.0.0.0".into(),
            host_first: 8080,
            host_last: 8081,
            target: "10.1.0.2".into(),
            target_first: 80,
        }],
        labels: Vec::new(),
        options: Vec::new(),
        state: Vec::new(),
    }
}

#[test]
fn views_pass_unchanged() {
    same(&sdk_context(), &view::context(&context()));
    same(&sdk_network(&[("open", "true")]), &view::network(&network(&[("open", "true")])));
    same(&sdk_endpoint(), &view::endpoint(&endpoint()));
}

#[test]
fn a_hosted_driver_answers_as_a_native_one() {
    fn compare<D: Driver>(host: &DriverHost, name: &str) {
        let driver = host.driver(name).unwrap();
        same(&D::describe(), &driver.callee().describe().unwrap());
        for options in [&[][..], &[("snat-ipv6", "2001:db8::1"), ("bridge-name", "br-blue")]] {
            let hosted =
                driver.callee().network(name, &context(), &network(options)).answer.unwrap();
            same(&D::network(&sdk_context(), &sdk_network(options)).unwrap(), &hosted);
            let mut ep = endpoint();
            let mut sdk_ep = sdk_endpoint();
            if name != "bridge" {
                ep.bindings.clear();
                sdk_ep.bindings.clear();
            }
            let (net, sdk_net) = (network(options), sdk_network(options));
            let hosted = driver.callee().endpoint(name, &context(), &net, &ep).answer.unwrap();
            same(&D::endpoint(&sdk_context(), &sdk_net, &sdk_ep).unwrap(), &hosted);
        }
    }
    let (_state, host) = host();
    compare::<Bridge>(&host, "bridge");
    compare::<Host>(&host, "host");
    compare::<Null>(&host, "null");
}

#[test]
fn what_they_are() {
    let (_state, host) = host();
    let infos = host.list();
    let names: Vec<&str> = infos.iter().map(|info| info.manifest.name.as_str()).collect();
    assert_eq!(names, ["bridge", "host", "null", "overlay"]);
    let [bridge, shared, null, overlay] = &infos[..] else { panic!("four drivers") };
    assert!(overlay.multi_host && [bridge, shared, null].iter().all(|info| !info.multi_host));
    assert!(bridge.manifest.addressing && bridge.built_in);
    assert!(bridge.granted.missing(&bridge.manifest.capabilities).is_empty());
    assert!(bridge.granted.missing(&[Capability::Route].into()).contains(&Capability::Route));
    assert_eq!(shared.manifest.attach, Attach::Host);
    assert_eq!(null.manifest.attach, Attach::Own);
    assert!([shared, null].iter().all(|info| info.manifest.max_networks == Some(1)));
    assert!(infos.iter().all(|info| info.digest.len() == "sha256:".len() + 64));
}

#[test]
fn the_answer_is_in_the_model_s_words() {
    let (_state, host) = host();
    let bridge = host.driver("bridge").unwrap();
    let decision = bridge.network(&context(), &network(&[("open", "true")])).unwrap();
    assert!(matches!(
        &decision.resources[0],
        Desired::Link(link) if matches!(link.kind, LinkKind::Bridge { name: None })
            && link.mac == Some(network(&[]).mac)
    ));
    let masquerades = |desired: &&Desired| matches!(desired, Desired::Masquerade { to: None, .. });
    assert_eq!(decision.resources.iter().filter(masquerades).count(), Family::ALL.len());

    let decision = bridge.endpoint(&context(), &network(&[]), &endpoint()).unwrap();
    assert!(decision.resources.contains(&Desired::Publish(endpoint().bindings[0].clone())));
    assert!(decision.resources.contains(&Desired::Address {
        link: "port".parse().unwrap(),
        address: "fd00:1::2/64".parse().unwrap(),
        side: Side::Sandbox,
    }));
    assert_eq!(decision.gateways.len(), 2);
}

#[test]
fn what_reaches_a_peer_is_in_the_model_s_words() {
    let (_state, host) = host();
    let overlay = host.driver("overlay").unwrap();
    let tunnel = TunnelView { vni: 4096.try_into().unwrap(), local: "192.0.2.1".parse().unwrap() };
    let network = NetworkView { tunnel: Some(tunnel), ..network(&[]) };
    let decision = overlay.network(&context(), &network).unwrap();
    let is_tunnel = |desired: &Desired| matches!(desired, Desired::Link(link) if matches!(link.kind, LinkKind::Vxlan { .. }));
    assert!(decision.resources.iter().any(is_tunnel));
    let peer = PeerView {
        id: "p".into(),
        name: "db.blue".into(),
        addresses: vec!["10.1.0.3/24".parse().unwrap()],
        mac: "02:00:5e:00:53:03".parse().unwrap(),
        host: "192.0.2.2".parse().unwrap(),
    };
    let decision = overlay.peer(&context(), &network, &peer).unwrap();
    assert_eq!(
        decision.resources,
        [
            Reach::Forwarding { link: "tunnel".parse().unwrap(), mac: peer.mac, to: peer.host },
            Reach::Neighbour {
                link: "bridge".parse().unwrap(),
                address: "10.1.0.3".parse().unwrap(),
                mac: peer.mac,
            },
        ]
    );
    // One that is not of the second world has no answer, and is not to blame.
    let bridge = host.driver("bridge").unwrap();
    let answer = bridge.peer(&context(), &network, &peer);
    assert!(matches!(answer, Err(CallError::Host { .. })), "{answer:?}");
    assert!(bridge.rest().is_none());
}

#[test]
fn a_fault_names_the_field() {
    let (_state, host) = host();
    let bridge = host.driver("bridge").unwrap();
    let answer = bridge.network(&context(), &network(&[("snat-ipv4", "nowhere")]));
    assert_eq!(
        answer,
        Err(CallError::Fault(Fault::Invalid {
            field: "options[\"snat-ipv4\"]".into(),
            description: "must be an IPv4 address".into(),
        }))
    );
}

/// Prints how long a call takes; a figure to look at, since the machine decides it too.
#[test]
fn calls_are_timed() {
    const CALLS: usize = 2000;
    let (_state, host) = host();
    let bridge = host.driver("bridge").unwrap();
    let (context, network, endpoint) = (context(), network(&[]), endpoint());
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        bridge.endpoint(&context, &network, &endpoint).unwrap();
        times.push(began.elapsed());
    }
    times.sort();
    println!("a call: p50 {:?}, p99 {:?}", times[CALLS / 2], times[CALLS * 99 / 100]);
    assert_eq!(times.len(), CALLS);
}
