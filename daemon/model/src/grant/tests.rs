//! What grants and scopes admit, and how they are written.

use super::*;
use crate::decision::{Link, LinkKind, LinkSysctl, MacvlanMode, Side};
use crate::network::Family;
use crate::port::{PortBinding, PortRange, Protocol};

fn grants(texts: &[&str]) -> Grants {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    texts.try_into().unwrap()
}

fn macvlan(parent: &str) -> Desired {
    link(LinkKind::Macvlan {
        parent: parent.parse().unwrap(),
        interface: "eth0".parse().unwrap(),
        mode: MacvlanMode::Bridge,
    })
}

fn link(kind: LinkKind) -> Desired {
    Desired::Link(Link { handle: "l".parse().unwrap(), kind, mtu: None, mac: None })
}

fn sysctl(key: &str) -> Desired {
    Desired::Sysctl {
        link: "l".parse().unwrap(),
        side: Side::Sandbox,
        sysctl: LinkSysctl { family: Family::V4, key: key.to_owned() },
        value: "1".to_owned(),
    }
}

fn publish(first: u32, last: u32) -> Desired {
    Desired::Publish(PortBinding {
        protocol: Protocol::Tcp,
        host_ip: "0.0.0.0".parse().unwrap(),
        host: PortRange::new(first, last).unwrap(),
        target: "10.0.0.2".parse().unwrap(),
        target_first: 80,
    })
}

/// One resource for each capability; a capability without one does not compile.
fn one_of(capability: Capability) -> Desired {
    let handle = || "l".parse().unwrap();
    match capability {
        Capability::Bridge => link(LinkKind::Bridge { name: None }),
        Capability::AdoptLink => link(LinkKind::Adopt { name: "br0".parse().unwrap() }),
        Capability::Veth => link(LinkKind::Veth {
            master: handle(),
            interface: "eth0".parse().unwrap(),
            hairpin: false,
        }),
        Capability::Macvlan => macvlan("eth1"),
        Capability::Vxlan => link(LinkKind::Vxlan { master: "bridge".parse().unwrap() }),
        Capability::Address => Desired::Address {
            link: handle(),
            address: "10.0.0.2/24".parse().unwrap(),
            side: Side::Sandbox,
        },
        Capability::Route => Desired::Route {
            link: handle(),
            destination: "10.1.0.0/16".parse().unwrap(),
            via: None,
        },
        Capability::Filter => Desired::Filter {
            link: handle(),
            neighbours: true,
            networks: false,
            world: true,
            direct: false,
        },
        Capability::Masquerade => Desired::Masquerade {
            link: handle(),
            family: Family::V4,
            to: Some("192.0.2.1".parse().unwrap()),
        },
        Capability::Publish => publish(8080, 8080),
        Capability::Sysctl => sysctl("accept_ra"),
    }
}

#[test]
fn an_empty_grant_admits_nothing_and_each_kind_alone_admits_itself() {
    for capability in Capability::ALL {
        let resource = one_of(capability);
        assert_eq!(resource.capability(), capability);
        let refused = Grants::default().admit(&resource).unwrap_err();
        assert!(refused.contains(&format!("`{capability}` is not granted")), "{refused}");
        for other in Capability::ALL {
            let admitted = Grants::all_of([other]).admit(&resource).is_ok();
            assert_eq!(admitted, other == capability, "{other} for {capability}");
        }
    }
}

#[test]
fn scopes() {
    for (grant, inside, outside) in [
        ("adopt-link=br*", link(LinkKind::Adopt { name: "br0".parse().unwrap() }), {
            link(LinkKind::Adopt { name: "eth0".parse().unwrap() })
        }),
        ("bridge=br-*", link(LinkKind::Bridge { name: Some("br-x".parse().unwrap()) }), {
            link(LinkKind::Bridge { name: Some("virbr0".parse().unwrap()) })
        }),
        ("macvlan=eth1,eth1.*", macvlan("eth1.10"), macvlan("eth10")),
        ("address=10.0.0.0/24", one_of(Capability::Address), {
            Desired::Address {
                link: "l".parse().unwrap(),
                address: "10.0.1.2/16".parse().unwrap(),
                side: Side::Sandbox,
            }
        }),
        ("route=10.1.0.0/16,fd00::/8", one_of(Capability::Route), {
            Desired::Route {
                link: "l".parse().unwrap(),
                destination: "0.0.0.0/0".parse().unwrap(),
                via: None,
            }
        }),
        ("publish=8000-8999", publish(8000, 8999), publish(8999, 9000)),
        ("sysctl=accept_*,rp_filter", sysctl("accept_ra"), sysctl("forwarding")),
    ] {
        let grants = grants(&[grant]);
        assert_eq!(grants.admit(&inside), Ok(()), "{grant}");
        let refused = grants.admit(&outside).unwrap_err();
        assert!(refused.contains(&format!("granted for `{grant}` alone")), "{refused}");
    }
    assert!(grants(&["masquerade=192.0.2.0/24"]).admit(&one_of(Capability::Masquerade)).is_ok());
    assert!(grants(&["masquerade=10.0.0.0/8"]).admit(&one_of(Capability::Masquerade)).is_err());
    // A bridge that the host names is nobody's.
    assert!(grants(&["bridge=x"]).admit(&one_of(Capability::Bridge)).is_ok());
}

#[test]
fn patterns() {
    let matches = |pattern: &str, name: &str| Pattern(pattern.to_owned()).matches(name);
    assert!(matches("br0", "br0") && !matches("br0", "br01") && !matches("br0", "br"));
    assert!(matches("*", "") && matches("a*", "a") && matches("*a", "ba"));
    assert!(matches("a*c*e", "abcde") && !matches("a*c*e", "abde") && matches("a**b", "ab"));
    assert!(!matches("ab*ba", "aba"), "no byte counts twice");
}

#[test]
fn lists() {
    let list = "bridge,veth,address=10.0.0.0/8,fd00::/8,publish=80,8000-8999,filter";
    let parts = ["bridge", "veth", "address=10.0.0.0/8,fd00::/8", "publish=80,8000-8999", "filter"];
    assert_eq!(Grants::split(list), parts);
    assert_eq!(Grants::split("veth"), ["veth"]);
    assert_eq!(Grants::split("veth,root"), ["veth", "root"], "for its reader to refuse");
}

#[test]
fn texts_and_back() {
    let texts = ["bridge", "veth", "address=10.0.0.0/8", "publish=80", "publish=8000-8999"];
    let parsed = grants(&texts);
    let shown: Vec<String> = parsed.clone().into();
    assert_eq!(shown, ["bridge", "veth", "address=10.0.0.0/8", "publish=80,8000-8999"]);
    assert_eq!(Grants::try_from(shown).unwrap(), parsed);
    assert_eq!(grants(&["publish=80", "publish"]), grants(&["publish"]));
    for wrong in
        ["", "root", "veth=x", "publish=0", "publish=9-8", "address=10.0.0.1/8", "sysctl=a/b"]
    {
        assert!(wrong.parse::<Grant>().is_err(), "{wrong}");
    }
}
