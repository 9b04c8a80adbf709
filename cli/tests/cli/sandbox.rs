//! `postern sandbox`.

use postern_proto::v1;
use postern_proto::v1::sandbox_spec::Namespace;

use crate::Daemon;
use crate::fake::{Fake, UID};

#[test]
fn create_says_where_the_namespace_comes_from() {
    let daemon = Daemon::start();
    let cases = [
        ("sandbox create a", None),
        ("sandbox create a --netns /run/netns/x", Some(Namespace::Path("/run/netns/x".into()))),
        ("sandbox create a --pid 7", Some(Namespace::Pid(7))),
        ("sandbox create a --host", Some(Namespace::Host(()))),
    ];
    for (line, expected) in cases {
        assert_eq!(daemon.run(line).text(), UID);
        let request: v1::CreateSandboxRequest = daemon.fake.last("sandbox.create");
        assert_eq!(request.spec.unwrap().namespace, expected, "{line}");
    }
}

#[test]
fn lists_and_inspects() {
    let daemon = Daemon::with(Fake::with_namespace("/run/x"));
    assert_eq!(
        daemon.run("sandbox ls").text(),
        "SANDBOX ID     NAME   ORIGIN    NAMESPACE   ENDPOINTS\n\
         7c8d9e0f1a2b   blue   created   /run/x      0"
    );
    assert_eq!(daemon.run("sandbox inspect blue").json()[0]["netnsPath"], "/run/x");
}

#[test]
fn update_replaces_labels_under_their_revision() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run("sandbox update blue --label-add new=2").text(), "blue");
    let request: v1::UpdateSandboxRequest = daemon.fake.last("sandbox.update");
    assert_eq!(request.labels, [("old".into(), "1".into()), ("new".into(), "2".into())].into());
    assert_eq!(request.revision, 3);
}

#[test]
fn rm_can_disconnect_first() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run("sandbox rm -f blue").text(), "blue");
    assert!(daemon.fake.last::<v1::DeleteSandboxRequest>("sandbox.delete").force);
}
