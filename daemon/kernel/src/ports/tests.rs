use super::*;

fn ask(host_ip: Option<&str>, host: HostPorts, container: (u32, u32), targets: &[&str]) -> PortAsk {
    PortAsk {
        published: PublishedPort {
            protocol: Protocol::Tcp,
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host,
            container: PortRange::new(container.0, container.1).unwrap(),
            allow_from: Vec::new(),
        },
        targets: targets.iter().map(|ip| ip.parse().unwrap()).collect(),
        default_ip: None,
    }
}

fn exactly(first: u32, last: u32) -> HostPorts {
    HostPorts::Exactly(PortRange::new(first, last).unwrap())
}

#[test]
fn one_ask_has_the_same_ports_on_both_families() {
    let ports = Ports::booked();
    let asks = [ask(None, HostPorts::Ephemeral, (80, 82), &["10.0.0.2", "fd00::2"])];
    let bound = ports.reserve(&asks).unwrap();
    let [v4, v6] = &bound[..] else { panic!("{bound:?}") };
    assert_eq!((v4.host_ip.to_string(), v6.host_ip.to_string()), ("0.0.0.0".into(), "::".into()));
    assert_eq!((v4.host, v4.target_first), (v6.host, 80));
    assert_eq!(v4.host.count(), 3);
    assert_eq!(v6.target.to_string(), "fd00::2");
}

#[test]
fn ephemeral_ports_are_not_given_out_again_at_once() {
    let ports = Ports::booked();
    let asks = [ask(None, HostPorts::Ephemeral, (80, 80), &["10.0.0.2"])];
    let first = ports.reserve(&asks).unwrap();
    ports.release(&first);
    let second = ports.reserve(&asks).unwrap();
    assert_ne!(first[0].host, second[0].host);
}

#[test]
fn all_or_nothing() {
    let ports = Ports::booked();
    let taken = ask(Some("192.0.2.1"), exactly(8080, 8080), (80, 80), &["10.0.0.2"]);
    let bound = ports.reserve(std::slice::from_ref(&taken)).unwrap();
    let free = ask(None, exactly(9000, 9001), (80, 81), &["10.0.0.3"]);
    let any = ask(None, exactly(8080, 8080), (80, 80), &["10.0.0.3"]);
    let error = ports.reserve(&[free.clone(), any.clone()]).unwrap_err();
    assert!(matches!(error, PortError::Busy { port: 8080, by_us: true, .. }), "{error}");
    assert_eq!(ports.reserve(&[free]).unwrap().len(), 1);
    ports.release(&bound);
    assert_eq!(ports.reserve(&[any]).unwrap().len(), 1);
}

#[test]
fn the_first_free_of_a_range() {
    let ports = Ports::booked();
    let range = HostPorts::FirstFreeOf(PortRange::new(8000, 8001).unwrap());
    let one = [ask(None, range, (80, 80), &["10.0.0.2"])];
    assert_eq!(ports.reserve(&one).unwrap()[0].host.first(), 8000);
    assert_eq!(ports.reserve(&one).unwrap()[0].host.first(), 8001);
    assert!(matches!(ports.reserve(&one), Err(PortError::NoneFree { count: 1, .. })));
}

#[test]
fn addresses_that_lead_nowhere() {
    let ports = Ports::booked();
    let of = |ip, targets: &[&str]| ports.reserve(&[ask(Some(ip), exactly(1, 1), (1, 1), targets)]);
    assert!(matches!(of("::1", &["fd00::2"]), Err(PortError::Loopback6)));
    assert!(matches!(of("fd00::1", &["10.0.0.2"]), Err(PortError::NoFamily { .. })));
    assert!(matches!(of("10.0.0.1", &[]), Err(PortError::NoFamily { .. })));
    let mut by_default = ask(None, exactly(1, 1), (1, 1), &["10.0.0.2", "fd00::2"]);
    by_default.default_ip = Some("127.0.0.1".parse().unwrap());
    let bound = ports.reserve(&[by_default]).unwrap();
    assert_eq!(bound.len(), 1);
    assert_eq!(bound[0].host_ip.to_string(), "127.0.0.1");
}

#[test]
fn bindings_are_taken_up_after_a_restart() {
    let before = Ports::booked();
    let asks = [ask(None, HostPorts::Ephemeral, (80, 80), &["10.0.0.2", "fd00::2"])];
    let bound = before.reserve(&asks).unwrap();
    let after = Ports::booked();
    after.hold(&bound).unwrap();
    assert!(matches!(after.hold(&bound[..1]), Err(PortError::Busy { by_us: true, .. })));
    after.release(&bound);
    after.hold(&bound).unwrap();
}
