//! `postern link`.

use postern_proto::v1;

use crate::Daemon;

#[test]
fn add_says_why_the_link_does_not_work_yet() {
    let daemon = Daemon::start();
    let done = daemon.run("link add blue db:webdb");
    assert_eq!(done.stdout.trim(), "webdb");
    assert!(done.stderr.contains("`webdb` does not work yet: there is no sandbox `db`"));
    let request: v1::AddLinkRequest = daemon.fake.last("sandbox.add_link");
    let link = v1::Link { source: "db".into(), alias: "webdb".into() };
    assert_eq!((request.sandbox.as_str(), request.link), ("blue", Some(link)));
}

#[test]
fn rm_and_env() {
    let daemon = Daemon::start();
    assert_eq!(daemon.run("link rm blue webdb").text(), "webdb");
    assert_eq!(daemon.fake.last::<v1::RemoveLinkRequest>("sandbox.remove_link").alias, "webdb");
    let env = daemon.run("link env blue");
    assert_eq!(env.text(), "DB_PORT=tcp://10.0.0.2:5432\nDB_NAME=/web/db");
}

#[test]
fn a_sandbox_is_told_all_of_its_names() {
    let daemon = Daemon::start();
    daemon.run(
        "sandbox create web --hostname www --domainname example.test --dns 10.0.0.53 \
         --dns-search example.test --dns-option ndots:2 --add-host nas:10.0.0.9 \
         --link db:webdb --env MODE=x",
    );
    let request: v1::CreateSandboxRequest = daemon.fake.last("sandbox.create");
    let spec = request.spec.unwrap();
    assert_eq!((spec.hostname.as_str(), spec.domain_name.as_str()), ("www", "example.test"));
    assert_eq!(spec.dns.unwrap().options, ["ndots:2"]);
    assert_eq!(spec.extra_hosts[0].address, "10.0.0.9");
    assert_eq!(spec.links[0].alias, "webdb");
    assert_eq!(spec.environment["MODE"], "x");
}
