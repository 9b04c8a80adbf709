//! The resolvers that programs really have: glibc's, musl's, busybox's, Python's.

use postern_tests::{Finished, World, ask};

async fn furnish(world: &World) {
    let spec = ask::network(&["10.1.0.0/24", "fd00:1::/64"]);
    world.api.create_network("blue", spec).await.unwrap();
    world.place("blue", "web", ask::endpoint()).await;
    let mut spec = ask::address("10.1.0.9");
    spec.ipv6_address = "fd00:1::9".into();
    world.place("blue", "db", spec).await;
}

/// Runs a program in `web`, with the sandbox's files, as a workload would.
fn in_web(world: &World, words: &[&str]) -> Finished {
    world.cli(&[&["exec", "web", "--"], words].concat())
}

#[test]
fn glibc() {
    World::run(async |world| {
        furnish(world).await;
        let four = in_web(world, &["getent", "ahostsv4", "db"]);
        assert!(four.stdout.starts_with("10.1.0.9 "), "{four:?}");
        let six = in_web(world, &["getent", "ahostsv6", "db.blue"]);
        assert!(six.stdout.starts_with("fd00:1::9 "), "{six:?}");
        let back = in_web(world, &["getent", "hosts", "10.1.0.9"]);
        assert!(back.stdout.contains("db.blue"), "{back:?}");
        let none = in_web(world, &["getent", "ahosts", "nobody"]);
        assert_eq!((none.code, none.stdout.as_str()), (Some(2), ""));
    });
}

#[test]
fn busybox() {
    World::run(async |world| {
        furnish(world).await;
        let found = in_web(world, &["busybox", "nslookup", "db"]);
        assert!(found.stdout.contains("10.1.0.9"), "{found:?}");
        assert!(found.stdout.contains("127.0.0.11"), "{found:?}");
        assert_ne!(in_web(world, &["busybox", "nslookup", "nobody"]).code, Some(0));
    });
}

#[test]
fn python() {
    World::run(async |world| {
        furnish(world).await;
        let program = "import socket\n\
            found = {i[4][0] for i in socket.getaddrinfo('db', 80, type=socket.SOCK_STREAM)}\n\
            print(sorted(found), socket.gethostbyaddr('10.1.0.9')[0])\n\
            try:\n    socket.getaddrinfo('nobody', 80)\n\
            except socket.gaierror as error:\n    print(error.errno == socket.EAI_NONAME)\n";
        let done = in_web(world, &["python3", "-c", program]);
        assert_eq!(done.stdout, "['10.1.0.9', 'fd00:1::9'] db.blue\nTrue\n", "{done:?}");
    });
}

#[test]
fn musl() {
    World::run(async |world| {
        furnish(world).await;
        let source = r#"
            #include <arpa/inet.h>
            #include <netdb.h>
            #include <stdio.h>
            int main(int count, char **words) {
                struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
                int error = getaddrinfo(words[1], "80", &hints, &found);
                if (error) { puts(gai_strerror(error)); return 1; }
                for (; found; found = found->ai_next) {
                    char text[64];
                    getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
                    puts(text);
                }
                return 0;
            }
        "#;
        std::fs::write("/run/lookup.c", source).unwrap();
        postern_tests::command::sh("musl-gcc -static -o /run/lookup /run/lookup.c");
        let found = in_web(world, &["/run/lookup", "db"]);
        let mut lines: Vec<&str> = found.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["10.1.0.9", "fd00:1::9"], "{found:?}");
        assert_eq!(in_web(world, &["/run/lookup", "nobody"]).code, Some(1));
    });
}

#[test]
fn garbage_harms_nobody() {
    World::run(async |world| {
        furnish(world).await;
        let web = world.sandbox("web").await;
        web.enter(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut seed = 1_u64;
            for length in (0..600).chain(0..600) {
                let bytes: Vec<u8> = (0..length)
                    .map(|_| {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        seed.to_be_bytes()[0]
                    })
                    .collect();
                socket.send_to(&bytes, "127.0.0.11:53").unwrap();
            }
            // Connections that say nothing, and one that says half of something.
            use std::io::Write;
            let silent: Vec<_> = (0..64)
                .filter_map(|_| std::net::TcpStream::connect("127.0.0.11:53").ok())
                .collect();
            let _ = silent[0].try_clone().unwrap().write_all(&[0, 40, 1]);
            std::mem::forget(silent);
        });
        assert_eq!(postern_tests::dns::dig(&web, "db A").answers, ["10.1.0.9"]);
        let db = world.sandbox("db").await;
        assert_eq!(postern_tests::dns::dig(&db, "+tcp web A").answers.len(), 1);
        let counted = world.api.facts().await.unwrap().resolver;
        assert!(counted["malformed"] > 100 && counted["tcp_rejected"] > 0, "{counted:?}");
    });
}
