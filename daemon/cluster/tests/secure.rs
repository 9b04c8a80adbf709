//! An etcd that asks who comes, and says who it is.

#[expect(dead_code, reason = "what hosts that see each other need is not needed here")]
mod stage;

use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use postern_cluster::session::Notice;
use postern_cluster::settings::{Settings, Tls};
use postern_tests::Etcd;
use postern_tests::command::sh;
use stage::{LEASE, join_by, separate};
use tokio::time::timeout;

/// More than a connection takes that comes about.
const PATIENCE: Duration = Duration::from_secs(20);
/// More than one attempt takes that does not.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Two authorities; etcd and a client of the first, and a client of the second.
fn certificates(folder: &Path) {
    let at = |name: &str| folder.join(name).display().to_string();
    for authority in ["ca", "other"] {
        sh(&format!(
            "openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN={authority} -keyout {} -out {}",
            at(&format!("{authority}.key")),
            at(&format!("{authority}.pem")),
        ));
    }
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for (name, authority) in [("etcd", "ca"), ("host", "ca"), ("stranger", "other")] {
        let request = at(&format!("{name}.csr"));
        sh(&format!(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {} -out {request}",
            at(&format!("{name}.key")),
        ));
        sh(&format!(
            "openssl x509 -req -days 2 -in {request} -CA {} -CAkey {} -CAcreateserial -extfile {} -out {}",
            at(&format!("{authority}.pem")),
            at(&format!("{authority}.key")),
            at("san"),
            at(&format!("{name}.pem")),
        ));
    }
}

fn tls(folder: &Path, ca: &str, identity: Option<&str>) -> Tls {
    let read = |name: String| std::fs::read(folder.join(name)).unwrap();
    let identity = identity.map(|name| (read(format!("{name}.pem")), read(format!("{name}.key"))));
    Tls { ca: read(format!("{ca}.pem")), identity }
}

fn settings(tls: Tls) -> Settings {
    let endpoints = vec![Etcd::SECURE_URL.to_owned()];
    Settings::new(endpoints, "test".parse().unwrap(), LEASE).unwrap().with_tls(tls)
}

/// Whether a host that comes so is let in.
async fn is_let_in(settings: Settings, patience: Duration) -> bool {
    let (_cluster, mut told) = join_by(settings, 1, "a");
    matches!(timeout(patience, told.recv()).await, Ok(Some(Notice::Connected)))
}

/// Has etcd ask for a password from now on.
async fn ask_for_passwords(tls: &Tls) {
    let (certificate, key) = tls.identity.clone().unwrap();
    let options = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(&tls.ca))
        .identity(Identity::from_pem(certificate, key));
    let options = ConnectOptions::new().with_tls(options);
    let mut client = Client::connect([Etcd::SECURE_URL], Some(options)).await.unwrap();
    client.user_add("root", "a long word", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();
}

#[test]
fn both_sides_show_who_they_are() {
    // A thread of its own, as the namespace is the thread's.
    std::thread::spawn(|| {
        let runtime = separate();
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        certificates(folder);
        let flag = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
        let args = vec![
            flag("cert-file", "etcd.pem"),
            flag("key-file", "etcd.key"),
            flag("trusted-ca-file", "ca.pem"),
            "--client-cert-auth".to_owned(),
        ];
        let _etcd = Etcd::start_secure(folder.join("data"), args);
        runtime.block_on(async {
            let known = || tls(folder, "ca", Some("host"));
            assert!(is_let_in(settings(known()), PATIENCE).await);
            for (ca, identity) in [("other", "host"), ("ca", "stranger")] {
                let refused = settings(tls(folder, ca, Some(identity)));
                assert!(!is_let_in(refused, ATTEMPT).await, "{ca} {identity}");
            }
            assert!(!is_let_in(settings(tls(folder, "ca", None)), ATTEMPT).await);
            ask_for_passwords(&known()).await;
            let as_root =
                |word: &str| settings(known()).with_user("root".to_owned(), word.to_owned());
            assert!(is_let_in(as_root("a long word"), PATIENCE).await);
            assert!(!is_let_in(as_root("another"), ATTEMPT).await);
        });
    })
    .join()
    .unwrap();
}
