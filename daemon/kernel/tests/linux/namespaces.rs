//! Namespaces that are there, gone, or no namespaces at all.

use std::path::Path;

use postern_kernel::{ApplyError, Kernel, NamespaceError};
use postern_model::resource::{Place, Resource};

use crate::host::{address, bridge, on_a_host, sandbox, set, veth};

#[test]
fn a_namespace_that_is_gone_is_told() {
    on_a_host(async |host| {
        host.create(&[host.namespace(1), Resource::Bridge(bridge(1))]).await.unwrap();
        host.delete(&[host.namespace(1)]).await.unwrap();
        let pair = Resource::Veth(veth(1, "br-1", sandbox(1), "eth0"));
        let gone = |outcome| matches!(outcome, Err(ApplyError::NamespaceGone { .. }));
        assert!(gone(host.create(std::slice::from_ref(&pair)).await));
        // Another one at its path is not it.
        host.create(&[host.namespace(2), host.namespace(1)]).await.unwrap();
        let other = host.kernel.identify(&host.path(2)).unwrap();
        assert_ne!(other, host.kernel.identify(&host.path(1)).unwrap());
        let reference = host.namespaces.get_mut(&sandbox(1)).unwrap();
        reference.identity = Some(other);
        assert!(gone(host.create(&[pair]).await));
        let inside = address(Place::Sandbox(sandbox(1)), "eth0", "10.1.0.2/24");
        assert!(gone(host.create(std::slice::from_ref(&inside)).await));
        host.delete(&[inside]).await.unwrap();
        let seen = host.observe().await;
        assert_eq!(seen, set(&[host.namespace(2), Resource::Bridge(bridge(1))]));
    });
}

#[test]
fn a_namespace_is_made_once() {
    on_a_host(async |host| {
        host.create(&[host.namespace(1)]).await.unwrap();
        let before = host.kernel.identify(&host.path(1)).unwrap();
        let error = host.create(&[host.namespace(1)]).await;
        assert!(matches!(error, Err(ApplyError::Exists { .. })), "{error:?}");
        assert_eq!(host.kernel.identify(&host.path(1)).unwrap(), before);
        // A file without a namespace is what a run that was cut off leaves behind.
        std::fs::write(host.path(2), "").unwrap();
        assert_eq!(host.observe().await, set(&[host.namespace(1)]));
        host.create(&[host.namespace(2)]).await.unwrap();
        assert_eq!(host.observe().await, set(&[host.namespace(1), host.namespace(2)]));
    });
}

#[test]
fn paths_that_are_no_namespaces() {
    on_a_host(async |host| {
        let file = host.run_dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let of = |path: &Path| host.kernel.identify(path);
        assert!(matches!(of(Path::new("/nowhere")), Err(NamespaceError::NotFound { .. })));
        for other in [&file, Path::new("/dev/null"), Path::new("/proc/self/ns/mnt")] {
            let outcome = of(other);
            assert!(matches!(outcome, Err(NamespaceError::NotANamespace { .. })), "{outcome:?}");
        }
        host.create(&[host.namespace(1)]).await.unwrap();
        let own = of(Path::new("/proc/thread-self/ns/net")).unwrap();
        assert_ne!(own, of(&host.path(1)).unwrap());
        // Only namespaces of our own are pinned and unpinned.
        let theirs = [Resource::Namespace { sandbox: sandbox(1), path: file.clone() }];
        assert!(matches!(host.delete(&theirs).await, Err(ApplyError::Foreign { .. })));
        assert!(matches!(host.create(&theirs).await, Err(ApplyError::Foreign { .. })));
        assert!(file.exists());
    });
}
