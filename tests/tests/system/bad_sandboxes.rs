//! Requests about sandboxes that are refused: with the code, the field named, and nothing changed.

use postern_proto::v1::sandbox_spec::Namespace;
use postern_proto::v1::{SandboxSpec, UpdateSandboxRequest};
use postern_tests::{Refusal, World, ask, labels};
use tonic::Code;

#[test]
fn namespaces_that_are_none() {
    World::run(async |world| {
        std::fs::write("/run/plain-file", "").unwrap();
        let before = world.snapshot().await;
        for path in [
            "",
            "relative",
            "/run/../run/plain-file",
            "/no/such/path",
            "/run/plain-file",
            "/run",
            "/proc/self/ns/mnt",
            "/dev/null",
            "/run/\0",
        ] {
            let made = world.api.create_sandbox_as("a", ask::adopt(path)).await;
            let refusal = Refusal::expect(made);
            assert_eq!(refusal.code, Code::InvalidArgument, "{path}: {refusal:?}");
            refusal.assert(Code::InvalidArgument, "spec.path");
        }
        for pid in [0, u32::MAX, 4_194_304] {
            let spec = SandboxSpec { namespace: Some(Namespace::Pid(pid)), ..Default::default() };
            let refusal = Refusal::expect(world.api.create_sandbox_as("a", spec).await);
            refusal.assert(Code::InvalidArgument, "spec.pid");
        }
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn the_hosts_namespace_by_another_way() {
    World::run(async |world| {
        let before = world.snapshot().await;
        let spec = SandboxSpec {
            namespace: Some(Namespace::Pid(world.daemon().pid())),
            ..Default::default()
        };
        let refusal = Refusal::expect(world.api.create_sandbox_as("a", spec).await);
        assert!(
            matches!(refusal.code, Code::InvalidArgument | Code::FailedPrecondition),
            "{refusal:?}"
        );
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn names_and_labels() {
    World::run(async |world| {
        world.api.create_sandbox("taken").await.unwrap();
        let before = world.snapshot().await;
        for name in ["", "-a", "a b", "a/b", "..", "ä", "a\0", &"a".repeat(64)] {
            let refusal = Refusal::expect(world.api.create_sandbox(name).await);
            refusal.assert(Code::InvalidArgument, "name");
        }
        let refusal = Refusal::expect(world.api.create_sandbox("taken").await);
        refusal.assert(Code::AlreadyExists, "");
        let many: Vec<(String, &str)> = (0..65).map(|index| (format!("k{index}"), "v")).collect();
        let many: Vec<(&str, &str)> =
            many.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        for bad in [labels(&[("a b", "x")]), labels(&[("a", "x\n")]), labels(&many)] {
            let spec = SandboxSpec { labels: bad, ..Default::default() };
            let refusal = Refusal::expect(world.api.create_sandbox_as("a", spec).await);
            refusal.assert(Code::InvalidArgument, "spec.labels");
        }
        assert_eq!(world.snapshot().await, before);
    });
}

#[test]
fn what_is_not_there() {
    World::run(async |world| {
        let before = world.snapshot().await;
        let uid = "01932c07-a9d0-7000-8abc-0123456789ab";
        for name in ["nope", uid] {
            Refusal::expect(world.api.sandbox(name).await).assert(Code::NotFound, "");
            Refusal::expect(world.api.delete_sandbox(name, true).await).assert(Code::NotFound, "");
            let request =
                UpdateSandboxRequest { sandbox: name.into(), revision: 1, ..Default::default() };
            let refusal = Refusal::expect(world.api.sandboxes.update(request).await);
            refusal.assert(Code::NotFound, "");
        }
        assert_eq!(world.snapshot().await, before);
    });
}
