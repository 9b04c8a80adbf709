//! The files of a sandbox, for a runtime to mount.

use postern_proto::v1::{DnsConfig, ExtraHost, SandboxSpec};
use postern_tests::{World, ask};

fn read(folder: &str, name: &str) -> String {
    std::fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

fn spec() -> SandboxSpec {
    let host = |name: &str, address: &str| ExtraHost { name: name.into(), address: address.into() };
    SandboxSpec {
        hostname: "www".into(),
        domain_name: "corp.test".into(),
        dns: Some(DnsConfig {
            servers: vec!["192.0.2.53".into()],
            search: vec!["corp.test".into()],
            options: vec!["ndots:2".into()],
        }),
        extra_hosts: vec![host("nas", "192.0.2.9"), host("the-host", "host-gateway")],
        ..SandboxSpec::default()
    }
}

#[test]
fn they_say_what_was_asked_for_and_follow_what_changes() {
    World::run(async |world| {
        let made = world.api.create_sandbox_as("web", spec()).await.unwrap();
        let folder = made.files_path;
        assert_eq!(read(&folder, "hostname"), "www\n");
        assert_eq!(
            read(&folder, "resolv.conf"),
            "nameserver 127.0.0.11\nsearch corp.test\noptions ndots:2\n"
        );
        let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        assert_eq!(read(&folder, "hosts"), format!("{local}192.0.2.9\tnas\n"));
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        // As a runtime mounts it: the file itself, which is held open from here on.
        std::fs::write("/run/mounted", "").unwrap();
        postern_tests::command::sh(&format!("mount --bind {folder}/hosts /run/mounted"));
        world.api.connect("blue", "web", ask::address("10.1.0.8")).await.unwrap();
        let whole =
            format!("{local}10.1.0.8\twww.corp.test www\n192.0.2.9\tnas\n10.1.0.1\tthe-host\n");
        assert_eq!(read(&folder, "hosts"), whole);
        assert_eq!(read("/run", "mounted"), whole);
        let seen = world.cli(&["exec", "web", "--", "cat", "/etc/hosts", "/etc/hostname"]);
        assert_eq!(seen.stdout, format!("{whole}www\n"), "{}", seen.stderr);
        world.api.disconnect("blue", "web").await.unwrap();
        assert_eq!(read("/run", "mounted"), format!("{local}192.0.2.9\tnas\n"));
        postern_tests::command::sh("umount /run/mounted");
        world.api.delete_sandbox("web", true).await.unwrap();
        assert!(!std::path::Path::new(&folder).exists());
    });
}

#[test]
fn what_somebody_edited_is_his() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let folder = world.api.create_sandbox("web").await.unwrap().files_path;
        let path = format!("{folder}/hosts");
        std::fs::write(&path, "192.0.2.1 mine\n").unwrap();
        world.api.connect("blue", "web", ask::endpoint()).await.unwrap();
        assert_eq!(read(&folder, "hosts"), "192.0.2.1 mine\n");
        world.assert_agrees().await;
        world.restart().await;
        assert_eq!(read(&folder, "hosts"), "192.0.2.1 mine\n");
        world.assert_agrees().await;
        std::fs::remove_file(&path).unwrap();
        assert!(world.api.drift().await.unwrap().iter().any(|step| step.kind == "file"));
        assert_eq!(world.cli(&["reconcile"]).code, Some(0));
        assert!(read(&folder, "hosts").contains("\tweb\n"));
        world.assert_agrees().await;
        world.api.delete_sandbox("web", true).await.unwrap();
        assert!(!std::path::Path::new(&folder).exists());
    });
}
