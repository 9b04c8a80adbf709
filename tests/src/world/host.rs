//! The host's namespaces and its uplink.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::{HOST4, HOST6, OUTSIDE4, OUTSIDE6};
use crate::command::sh;
use crate::netns::Netns;

/// Leaves the machine's namespaces: from here on the thread sees a network without
/// links and a `/run` of its own.
pub(crate) fn separate() {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .unwrap_or_else(|error| panic!("unshare: {error}; the whole-system tests need root"));
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).unwrap_or_else(|error| panic!("mount /: {error}"));
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)
        .unwrap_or_else(|error| panic!("mount /run: {error}"));
}

pub(super) fn join_uplink(outside: &Netns) {
    let pid = nix::unistd::gettid();
    outside.enter(|| {
        let netns = format!("/proc/{pid}/ns/net");
        // Made from outside, so that no name of the namespace is needed.
        sh(&format!("ip link add eth0 type veth peer name uplink0 netns {netns}"));
        settle_at_once("eth0");
        sh(&format!("ip addr add {OUTSIDE4}/24 dev eth0"));
        sh(&format!("ip addr add {OUTSIDE6}/64 dev eth0 nodad"));
        sh("ip link set eth0 up");
    });
    settle_at_once("uplink0");
    sh(&format!("ip addr add {HOST4}/24 dev uplink0"));
    sh(&format!("ip addr add {HOST6}/64 dev uplink0 nodad"));
    sh("ip link set uplink0 up");
    outside.enter(|| wait_for_link_local("eth0"));
    wait_for_link_local("uplink0");
    sh(&format!("ip route add default via {OUTSIDE4}"));
    sh(&format!("ip -6 route add default via {OUTSIDE6}"));
}

/// Waits until the link has an address by which it seeks and is found; the kernel gives it
/// one some time after the carrier.
fn wait_for_link_local(link: &str) {
    let addresses = "/proc/thread-self/net/if_inet6";
    for _ in 0..250 {
        let text = std::fs::read_to_string(addresses).unwrap_or_default();
        if text.lines().any(|line| line.starts_with("fe80") && line.ends_with(link)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{link} got no link-local address within 5 s");
}

/// An uplink has been up for long: its link-local address, without which a forwarded
/// packet's neighbour is not sought, is not tentative for a first second.
fn settle_at_once(link: &str) {
    let path = format!("/proc/sys/net/ipv6/conf/{link}/accept_dad");
    std::fs::write(&path, "0").unwrap_or_else(|error| panic!("{path}: {error}"));
}
