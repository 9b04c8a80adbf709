//! `postern exec`, in a real network namespace that the test makes for itself.

use std::path::PathBuf;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use crate::fake::Fake;
use crate::{Daemon, Outcome};

/// A daemon whose sandboxes all have a namespace of this thread's own.
fn in_own_namespace(test: impl FnOnce(&Daemon, &str) + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let host = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
            // The server's thread is started first: it stays outside, as a daemon does.
            let path = format!("/proc/{}/task/{}/ns/net", std::process::id(), gettid());
            let daemon = Daemon::with(Fake::with_namespace(&path));
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
            assert_ne!(own, host);
            test(&daemon, &own.to_string_lossy());
        });
    });
}

/// Runs the binary from a thread outside of the namespace.
fn outside(daemon: &Daemon, line: &str) -> Outcome {
    let host = PathBuf::from(format!("/proc/{}/ns/net", std::process::id()));
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let host = std::fs::File::open(host).unwrap();
            nix::sched::setns(host, CloneFlags::CLONE_NEWNET).unwrap();
            daemon.run(line)
        });
        run.join().unwrap()
    })
}

#[test]
fn the_command_runs_in_the_sandbox() {
    in_own_namespace(|daemon, own| {
        let outcome = outside(daemon, "exec blue -- readlink /proc/self/ns/net");
        assert_eq!(outcome.text(), own);
    });
}

#[test]
fn the_exit_code_is_the_commands() {
    in_own_namespace(|daemon, _| {
        assert_eq!(outside(daemon, "exec blue -- grep -q x /dev/null").code, Some(1));
        assert_eq!(outside(daemon, "exec blue -- true").code, Some(0));
        let absent = outside(daemon, "exec blue -- no-such-command");
        assert_eq!(absent.code, Some(127));
        assert!(absent.stderr.starts_with("error: cannot run no-such-command: "), "{absent:?}");
        assert_eq!(outside(daemon, "exec blue -- /dev/null").code, Some(126));
    });
}

#[test]
fn what_is_no_namespace_is_not_entered() {
    let absent = Daemon::with(Fake::with_namespace("/nonexistent"));
    let outcome = absent.run("exec blue -- true");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.starts_with("error: cannot open the namespace /nonexistent: "));
    let file = Daemon::with(Fake::with_namespace("/dev/null"));
    let outcome = file.run("exec blue -- true");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.starts_with("error: cannot enter the namespace /dev/null: "));
    assert_eq!(file.run("exec gone -- true").code, Some(3));
}
