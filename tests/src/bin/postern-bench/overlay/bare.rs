//! Two hosts with a VXLAN link between them, made by hand, and nobody who looks after it.

use postern_tests::Netns;
use postern_tests::command::sh;

/// The sandboxes' addresses.
pub(super) const ADDRESSES: [&str; 2] = ["10.92.0.1", "10.92.0.2"];
const MACS: [&str; 2] = ["02:00:00:92:00:01", "02:00:00:92:00:02"];
const UNDERLAY: [&str; 2] = ["192.0.2.201", "192.0.2.202"];

/// The two hosts, and a sandbox on each, behind a bridge as ours are.
pub(super) struct Pair {
    pub(super) sandboxes: [Netns; 2],
    _hosts: [Netns; 2],
}

impl Pair {
    /// Makes them, on the underlay of the calling thread's namespace.
    pub(super) fn make() -> Self {
        let hosts = [Netns::create(), Netns::create()];
        let sandboxes = [Netns::create(), Netns::create()];
        for index in [0, 1] {
            one(index, &hosts[index], &sandboxes[index]);
        }
        Self { sandboxes, _hosts: hosts }
    }
}

fn one(index: usize, host: &Netns, sandbox: &Netns) {
    let other = 1 - index;
    let own = |netns: &Netns, link: &str, peer: &str| {
        let here = format!("/proc/{}/ns/net", nix::unistd::gettid());
        netns.sh(&format!("ip link add {link} type veth peer name {peer} netns {here}"));
    };
    own(host, "eth0", &format!("to-bare{index}"));
    sh(&format!("ip link set to-bare{index} master under up"));
    own(sandbox, "eth0", &format!("port-{index}"));
    move_into(host, &format!("port-{index}"));
    for line in [
        format!("ip addr add {}/24 dev eth0", UNDERLAY[index]),
        "ip link set eth0 up".to_owned(),
        "ip link add br0 type bridge".to_owned(),
        format!(
            "ip link add vx0 type vxlan id 92 local {} dstport 4789 nolearning",
            UNDERLAY[index]
        ),
        "ip link set vx0 mtu 1450 master br0 up".to_owned(),
        format!("ip link set port-{index} mtu 1450 master br0 up"),
        "ip link set br0 mtu 1450 up".to_owned(),
        format!("bridge fdb append {} dev vx0 dst {} self static", MACS[other], UNDERLAY[other]),
        format!("bridge fdb append 00:00:00:00:00:00 dev vx0 dst {} self", UNDERLAY[other]),
    ] {
        host.sh(&line);
    }
    for line in [
        format!("ip link set eth0 address {} mtu 1450", MACS[index]),
        format!("ip addr add {}/24 dev eth0", ADDRESSES[index]),
        "ip link set eth0 up".to_owned(),
    ] {
        sandbox.sh(&line);
    }
}

/// Moves a link of the calling thread's namespace into another one.
fn move_into(netns: &Netns, link: &str) {
    netns.hold_while(|path| {
        sh(&format!("ip link set {link} netns {path}"));
    });
}
