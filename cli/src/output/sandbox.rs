//! Sandboxes.

use postern_proto::v1::Sandbox;
use postern_proto::v1::sandbox_spec::Namespace;

use super::{id, table};

/// One row for each sandbox.
pub(crate) fn table(sandboxes: &[Sandbox], whole: bool) -> String {
    let rows = sandboxes.iter().map(|sandbox| {
        [
            id(&sandbox.uid, whole),
            sandbox.name.clone(),
            origin(sandbox),
            sandbox.netns_path.clone(),
            sandbox.endpoints.len().to_string(),
        ]
    });
    table::table(["SANDBOX ID", "NAME", "ORIGIN", "NAMESPACE", "ENDPOINTS"], rows.collect())
}

/// Where the namespace comes from.
fn origin(sandbox: &Sandbox) -> String {
    match sandbox.spec.as_ref().and_then(|spec| spec.namespace.as_ref()) {
        None | Some(Namespace::Create(())) => "created".to_owned(),
        Some(Namespace::Path(_)) => "adopted".to_owned(),
        Some(Namespace::Pid(pid)) => format!("pid {pid}"),
        Some(Namespace::Host(())) => "host".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::SandboxSpec;

    use super::*;

    #[test]
    fn every_origin() {
        let sandbox = |name: &str, namespace| Sandbox {
            uid: "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".into(),
            name: name.into(),
            netns_path: format!("/run/{name}"),
            endpoints: vec!["e".into()],
            spec: Some(SandboxSpec { namespace, ..SandboxSpec::default() }),
            ..Sandbox::default()
        };
        let sandboxes = [
            sandbox("a", None),
            sandbox("b", Some(Namespace::Path("/run/b".into()))),
            sandbox("c", Some(Namespace::Pid(7))),
            sandbox("d", Some(Namespace::Host(()))),
        ];
        assert_eq!(
            table(&sandboxes, false),
            "SANDBOX ID     NAME   ORIGIN    NAMESPACE   ENDPOINTS\n\
             7c8d9e0f1a2b   a      created   /run/a      1\n\
             7c8d9e0f1a2b   b      adopted   /run/b      1\n\
             7c8d9e0f1a2b   c      pid 7     /run/c      1\n\
             7c8d9e0f1a2b   d      host      /run/d      1"
        );
    }
}
