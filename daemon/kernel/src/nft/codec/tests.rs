use postern_model::mac::MacAddr;
use postern_model::name::IfName;
use postern_model::port::Protocol;
use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = IfName> {
    "[a-z][a-z0-9.-]{0,14}".prop_filter_map("reserved", |text| text.parse().ok())
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<u64>().prop_map(MacAddr::from_seed)
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn ip(family: Family) -> BoxedStrategy<IpAddr> {
    let any_of_family = match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    };
    prop_oneof![1 => Just(family.unspecified()), 9 => any_of_family].boxed()
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    family().prop_flat_map(ip)
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)]
}

fn published() -> impl Strategy<Value = Element> {
    let ips = family().prop_flat_map(|family| (ip(family), ip(family)));
    (ips, protocol(), any::<(u16, u16)>()).prop_map(
        |((host, target), protocol, (port, target_port))| Element::Publish {
            host,
            protocol,
            port,
            target,
            target_port,
        },
    )
}

fn linked() -> impl Strategy<Value = Element> {
    let ips = family().prop_flat_map(|family| (ip(family), ip(family)));
    (ips, protocol(), any::<u16>()).prop_map(|((from, to), protocol, port)| Element::Link {
        from,
        to,
        protocol,
        port,
    })
}

fn allowed() -> impl Strategy<Value = Element> {
    let ips = family().prop_flat_map(|family| (ip(family), ip(family), 0..=family.bits()));
    (ips, protocol(), any::<u16>()).prop_map(|((ip, from, length), protocol, port)| {
        let from = IpNetwork::new(from, length).unwrap();
        let from = IpNetwork::new(from.network(), length).unwrap();
        Element::AllowFrom(ip, protocol, port, from)
    })
}

fn named() -> impl Strategy<Value = Element> {
    let ips = family().prop_flat_map(|family| (ip(family), ip(family)));
    (ips, any::<u32>(), any::<u64>(), "[a-z. ]{0,40}").prop_map(
        |((subject, address), identity, until, names)| {
            let until = Timestamp(until);
            Element::Named(NamedAddress { subject, address, identity, until, names })
        },
    )
}

fn policies() -> impl Strategy<Value = Element> {
    let direction = || prop::sample::select(&[Ingress, Egress]);
    let verdict = prop::sample::select(&[
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Reject,
        Verdict::Return,
        Verdict::Isolated,
    ]);
    let what = (any::<u8>(), any::<u16>(), any::<u16>()).prop_map(|(protocol, a, b)| Match {
        protocol,
        first: a.min(b),
        last: a.max(b),
    });
    let peer = prop::option::of(any::<u32>());
    let what = prop::option::of(what);
    let decision = (direction(), any_ip(), peer, what, verdict).prop_map(
        |(direction, subject, peer, what, verdict)| {
            Element::Decision(Decision { direction, subject, peer, what, verdict })
        },
    );
    let span = family().prop_flat_map(|family| (ip(family), ip(family)));
    let span = (span, any::<u32>()).prop_map(|((a, b), identity)| Element::PrefixIdentity {
        first: a.min(b),
        last: a.max(b),
        identity,
    });
    prop_oneof![
        (any_ip(), any::<u32>()).prop_map(|(ip, identity)| Element::Identity(ip, identity)),
        (direction(), any_ip()).prop_map(|(of, ip)| Element::Policed(of, ip)),
        (direction(), any_ip()).prop_map(|(of, ip)| Element::Isolated(of, ip)),
        (any_ip(), protocol(), any::<u16>())
            .prop_map(|(ip, protocol, port)| Element::Restricted(ip, protocol, port)),
        allowed(),
        span,
        decision,
        named(),
    ]
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        name().prop_map(Element::Bridge),
        name().prop_map(Element::Neighbours),
        name().prop_map(Element::Open),
        name().prop_map(Element::Internal),
        name().prop_map(Element::Direct),
        (family(), name()).prop_map(|(family, name)| Element::Masquerade(family, name)),
        (name(), any_ip()).prop_map(|(name, to)| Element::Snat(name, to)),
        name().prop_map(Element::Port),
        name().prop_map(Element::Quarantine),
        (name(), mac()).prop_map(|(name, mac)| Element::PortMac(name, mac)),
        (name(), mac(), any_ip()).prop_map(|(name, mac, ip)| Element::Guard(name, mac, ip)),
        (any_ip(), name()).prop_map(|(ip, name)| Element::Endpoint(ip, name)),
        (any_ip(), name()).prop_map(|(ip, name)| Element::Remote(ip, name)),
        (1_u32..1 << 24).prop_map(|vni| Element::Tunnel(vni.try_into().unwrap())),
        (any_ip(), 1_u32..1 << 24)
            .prop_map(|(ip, vni)| Element::TunnelFrom(ip, vni.try_into().unwrap())),
        any_ip().prop_map(Element::OffGateway),
        policies(),
        linked(),
        published(),
    ]
}

proptest! {
    #[test]
    fn decoding_is_the_inverse_of_encoding(element in element()) {
        let raw = encode(&element).expect("of one family");
        prop_assert_eq!(decode(element.set(), &raw), Some(element.clone()));
        let set = SetSpec::find(element.set()).expect("every element has a set");
        prop_assert_eq!(set.is_map(), raw.value != Value::None);
    }

    #[test]
    fn what_decodes_is_what_encodes(
        set in prop::sample::select(&crate::nft::schema::SETS[..]),
        key in prop::collection::vec(prop_oneof![Just(0u8), Just(b'a'), any::<u8>()], 0..48),
        value in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let value = if value.is_empty() { Value::None } else { Value::Bytes(value) };
        let raw = Raw { key, end: None, value, lasting: None };
        if let Some(element) = decode(set.name, &raw) {
            prop_assert_eq!(element.set(), set.name);
            prop_assert_eq!(encode(&element), Some(raw));
        }
    }
}

#[test]
fn what_we_would_not_have_put_there_does_not_decode() {
    let name = |text: &[u8]| {
        let mut bytes = text.to_vec();
        bytes.resize(16, 0);
        bytes
    };
    let decodes = |set, key: Vec<u8>| {
        decode(set, &Raw { key, end: None, value: Value::None, lasting: None }).is_some()
    };
    assert!(decodes("open", name(b"br0")));
    assert!(!decodes("open", name(b"br0\0x")), "bytes behind the name");
    assert!(!decodes("open", name(b"")), "no name");
    assert!(!decodes("open", b"0123456789abcdef".to_vec()), "no closing zero");
    assert!(!decodes("open", b"br0".to_vec()), "too short");
    assert!(!decodes("open", [name(b"br0"), name(b"br0")].concat()), "too long");
    assert!(!decodes("bridges", [name(b"br0"), name(b"br1")].concat()), "an uneven pair");
    assert!(!decodes("nothing", name(b"br0")), "no such set");
}

#[test]
fn mixed_families_have_no_map() {
    let publish = Element::Publish {
        host: Family::V4.unspecified(),
        protocol: Protocol::Tcp,
        port: 80,
        target: Family::V6.unspecified(),
        target_port: 80,
    };
    assert_eq!(encode(&publish), None);
}
