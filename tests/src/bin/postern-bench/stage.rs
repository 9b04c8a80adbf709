//! A host of its own for what is measured beside the daemon.

use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use postern_tests::command::sh;

/// Does some work on a thread that has left the machine's namespaces for new ones, with a
/// `/run` of their own.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = thread::scope(|scope| {
        let there = scope.spawn(|| {
            separate();
            work()
        });
        there.join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn separate() {
    let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    unshare(flags).unwrap_or_else(|error| panic!("unshare: {error}"));
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).unwrap_or_else(|error| panic!("mount /: {error}"));
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)
        .unwrap_or_else(|error| panic!("mount /run: {error}"));
    sh("ip link set lo up");
}

/// A way to the world, without which some programs do not start.
pub(crate) fn uplink() {
    sh("ip link add uplink0 type veth peer name uplink1");
    sh("ip addr add 192.0.2.1/24 dev uplink0");
    sh("ip link set uplink0 up");
    sh("ip route add default via 192.0.2.2");
}

/// A bridge of the host at `10.200.0.1`, and a client behind it, as a container is.
pub(crate) fn client() -> postern_tests::Netns {
    sh("ip link add bench0 type bridge");
    sh("ip addr add 10.200.0.1/16 dev bench0");
    sh("ip link set bench0 up");
    sh("ip netns add client");
    sh("ip link add port0 master bench0 type veth peer name eth0 netns client");
    sh("ip link set port0 up");
    let client = postern_tests::Netns::open("/run/netns/client");
    client.sh("ip link set lo up");
    client.sh("ip addr add 10.200.255.1/16 dev eth0");
    client.sh("ip link set eth0 up");
    client
}
