//! The life of an installed driver.

use std::path::Path;

use postern_proto::v1::{Driver, DriverState, GetDriverRequest, NetworkSpec};
use postern_tests::command::{Finished, run};
use postern_tests::driver::module;
use postern_tests::traffic::{self, Conversation, Server};
use postern_tests::{Netns, Refusal, World, ask};
use tonic::Code;

const GRANTS: [&str; 8] =
    ["--grant", "bridge", "--grant", "veth", "--grant", "address", "--grant", "filter"];

fn install(world: &World, file: &Path, more: &[&str]) -> Finished {
    let file = file.display().to_string();
    world.cli(&[&["driver", "install", &file], more].concat())
}

fn done(finished: &Finished) -> String {
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    finished.stdout.clone()
}

async fn driver(world: &World) -> Driver {
    let request = GetDriverRequest { driver: "lan".to_owned() };
    world.api.drivers.clone().get(request).await.unwrap().into_inner().driver.unwrap()
}

fn lan() -> NetworkSpec {
    NetworkSpec { driver: "lan".to_owned(), ..ask::network(&["10.1.0.0/24"]) }
}

fn doing(what: &str) -> NetworkSpec {
    let spec = NetworkSpec { driver: "lan".to_owned(), ..ask::network(&[]) };
    ask::with_option(spec, "do", what)
}

/// Two neighbours on a network of the driver, one of which serves.
async fn neighbours(world: &World) -> (Netns, Server) {
    world.api.create_network("blue", lan()).await.unwrap();
    let a = world.place("blue", "a", ask::address("10.1.0.10")).await;
    let b = world.place("blue", "b", ask::address("10.1.0.11")).await;
    let server = Server::tcp(&b, "0.0.0.0:80", "b");
    (a, server)
}

#[test]
fn it_is_installed_used_disabled_and_removed() {
    World::run(async |world| {
        let file = module(None);
        let rehearsed = done(&install(world, &file, &[&GRANTS[..], &["--dry-run"]].concat()));
        assert!(
            rehearsed.contains("lan: enabled\n  granted bridge veth address filter"),
            "{rehearsed}"
        );
        assert!(!done(&world.cli(&["driver", "ls", "-q"])).contains("lan"));
        done(&install(world, &file, &GRANTS));
        let (a, _server) = neighbours(world).await;
        assert!(traffic::tcp(&a, "10.1.0.11:80").is_some());
        let shown = driver(world).await;
        assert_eq!(
            (shown.state(), shown.version.as_str(), shown.networks),
            (DriverState::Enabled, "1.0.0", 1)
        );
        assert_eq!(shown.counters["calls"], 3);
        world.assert_agrees().await;

        // In use, it stays; disabled, it is not asked, and its networks carry on.
        let refused = world.cli(&["driver", "rm", "lan"]);
        assert!(refused.code == Some(3) && refused.stderr.contains("blue"), "{refused:?}");
        let mut talk = Conversation::begin(&a, "10.1.0.11:80").unwrap();
        done(&world.cli(&["driver", "disable", "lan"]));
        let refusal = Refusal::expect(world.api.create_network("red", lan()).await);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, "DRIVER_DISABLED"));
        assert!(talk.goes_on() && traffic::tcp(&a, "10.1.0.11:80").is_some());
        world.restart().await;
        assert_eq!(driver(world).await.state(), DriverState::Disabled);
        assert!(talk.goes_on() && traffic::tcp(&a, "10.1.0.11:80").is_some());
        world.api.delete_sandbox("a", true).await.unwrap();
        done(&world.cli(&["driver", "enable", "lan"]));
        world.place("blue", "c", ask::endpoint()).await;
        world.assert_agrees().await;

        for sandbox in ["b", "c"] {
            world.api.delete_sandbox(sandbox, true).await.unwrap();
        }
        world.api.delete_network("blue").await.unwrap();
        done(&world.cli(&["driver", "rm", "lan"]));
        assert_eq!(std::fs::read_dir("/run/state/drivers/modules").unwrap().count(), 0);
        let refusal = Refusal::expect(world.api.create_network("blue", lan()).await);
        refusal.assert(Code::InvalidArgument, "spec.driver");
        world.assert_only_predefined().await;
    });
}

#[test]
fn what_is_not_granted_is_not_admitted() {
    World::run(async |world| {
        let shown = done(&install(world, &module(None), &["--grant", "bridge", "--grant", "veth"]));
        assert!(
            shown.contains("lan: disabled") && shown.contains("asks also for address filter"),
            "{shown}"
        );
        done(&world.cli(&["driver", "enable", "lan"]));
        let refusal = Refusal::expect(world.api.create_network("blue", lan()).await);
        assert_eq!(refusal.reason, "DECISION_REJECTED");
        assert!(refusal.message.contains("capability `address` is not granted"), "{refusal:?}");
        let grant = |more: &[&str]| {
            let fixed = [
                "driver", "grant", "lan", "--grant", "bridge", "--grant", "veth", "--grant",
                "filter",
            ];
            done(&world.cli(&[&fixed[..], more].concat()))
        };
        grant(&["--grant", "address=10.2.0.0/16"]);
        let refusal = Refusal::expect(world.api.create_network("blue", lan()).await);
        assert!(
            refusal
                .message
                .contains("granted for `address=10.2.0.0/16` alone, not for `10.1.0.1/24`"),
            "{refusal:?}"
        );
        grant(&["--grant", "address=10.1.0.0/16"]);
        world.api.create_network("blue", lan()).await.unwrap();
        // Grants outlive the daemon, and an upgrade leaves them.
        world.restart().await;
        done(&install(world, &module(Some("two")), &["--upgrade"]));
        assert!(driver(world).await.granted.contains(&"address=10.1.0.0/16".to_owned()));
        let refused = install(world, &module(None), &["--grant", "root", "--upgrade"]);
        assert!(
            refused.code == Some(3) && refused.stderr.contains("no capability `root`"),
            "{refused:?}"
        );
        world.assert_agrees().await;
    });
}

#[test]
fn an_upgrade_moves_networks_over_and_touches_traffic_only_where_a_decision_changes() {
    World::run(async |world| {
        done(&install(world, &module(None), &GRANTS));
        let (a, _server) = neighbours(world).await;
        let first = driver(world).await.digest;
        let mut talk = Conversation::begin(&a, "10.1.0.11:80").unwrap();
        let refused = install(world, &module(Some("two")), &GRANTS);
        assert!(refused.code == Some(3) && refused.stderr.contains("is installed"), "{refused:?}");

        let before = world.own_links();
        done(&install(world, &module(Some("two")), &["--upgrade"]));
        let now = driver(world).await;
        assert_eq!(now.version, "2.0.0");
        assert_ne!(now.digest, first);
        assert!(talk.goes_on() && world.own_links() == before);
        assert_eq!(std::fs::read_dir("/run/state/drivers/modules").unwrap().count(), 1);

        // A version that decides otherwise says so, and is refused until that is accepted.
        let shown = done(&install(world, &module(Some("three")), &["--upgrade", "--dry-run"]));
        for line in [
            "network blue changes",
            "endpoint a.blue changes",
            "\"world\":false",
            "+ gateways [10.1.0.1]",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        let refused = install(world, &module(Some("three")), &["--upgrade"]);
        assert!(refused.code == Some(3) && refused.stderr.contains("network blue"), "{refused:?}");
        assert_eq!(driver(world).await.version, "2.0.0");
        assert_eq!(a.sh("ip route show default"), "");
        done(&install(world, &module(Some("three")), &["--upgrade", "--accept-changes"]));
        assert!(a.sh("ip route show default").contains("via 10.1.0.1"));
        assert!(talk.goes_on(), "what did not change goes on");
        world.assert_agrees().await;
        world.restart().await;
        assert_eq!(driver(world).await.version, "3.0.0");
        assert!(talk.goes_on());
        world.assert_agrees().await;
    });
}

#[test]
fn faults_are_told_apart_and_in_a_row_end_in_quarantine() {
    World::run(async |world| {
        done(&install(world, &module(None), &GRANTS));
        let (a, _server) = neighbours(world).await;
        let make = async |world: &World, what: &str| {
            Refusal::expect(world.api.create_network("red", doing(what)).await)
        };
        let said = make(world, "refuse").await;
        said.assert(Code::InvalidArgument, "spec.options[\"do\"]");
        let stolen = make(world, "steal").await;
        assert_eq!(stolen.reason, "DECISION_REJECTED", "{stolen:?}");
        let crashed = make(world, "trap").await;
        assert_eq!((crashed.code, crashed.reason.as_str()), (Code::Internal, "DRIVER_CRASHED"));
        assert!(crashed.message.contains("asked to"), "the panic's own words: {crashed:?}");
        let endless = make(world, "loop").await;
        assert_eq!(endless.reason, "DRIVER_LIMIT");
        assert!(endless.message.contains("limit of"), "{endless:?}");
        let lie = make(world, "lie").await;
        assert_eq!(lie.reason, "DRIVER_DECISION");
        assert!(lie.message.contains("resources[0].address"), "{lie:?}");

        let resting = make(world, "refuse").await;
        assert_eq!(
            (resting.code, resting.reason.as_str()),
            (Code::Unavailable, "DRIVER_QUARANTINED")
        );
        let shown = driver(world).await;
        assert_eq!(shown.state(), DriverState::Quarantined);
        assert!(shown.quarantine.is_some_and(|left| left.seconds <= 30));
        for (name, count) in [
            ("faults", 1),
            ("traps", 1),
            ("limits", 1),
            ("bad-decisions", 1),
            ("rejected", 1),
            ("quarantined", 1),
        ] {
            assert_eq!(shown.counters[name], count, "{name}");
        }
        // Nobody else notices, and its own networks carry on.
        assert!(traffic::tcp(&a, "10.1.0.11:80").is_some());
        world.api.create_network("green", ask::network(&["10.9.0.0/24"])).await.unwrap();
        done(&world.cli(&["driver", "enable", "lan"]));
        world.place("blue", "c", ask::endpoint()).await;
        world.assert_agrees().await;
    });
}

#[test]
fn what_is_no_driver_is_refused_with_the_reason() {
    World::run(async |world| {
        let file = world.run_dir().join("wrong.wasm");
        let good = std::fs::read(module(None)).unwrap();
        for (bytes, said) in [
            (&b""[..], "not a WebAssembly binary"),
            (b"\0asm\x01\0\0\0", "not built with the driver SDK"),
            (&good[..good.len() / 2], "not a WebAssembly binary"),
            (&vec![0; 9 << 20], "limit of module in bytes: 9437184 exceeds 8388608"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let refused = install(world, &file, &GRANTS);
            assert!(
                refused.code == Some(3) && refused.stderr.contains(said),
                "{said}: {refused:?}"
            );
        }
        let wrong = format!("sha256:{}", "0".repeat(64));
        let refused = install(world, &module(None), &["--digest", &wrong]);
        assert!(
            refused.code == Some(3) && refused.stderr.contains("the module has sha256:"),
            "{refused:?}"
        );
        for verb in ["rm", "disable", "enable"] {
            let refused = world.cli(&["driver", verb, "bridge"]);
            assert!(
                refused.code == Some(3) && refused.stderr.contains("part of the daemon"),
                "{refused:?}"
            );
            let refused = world.cli(&["driver", verb, "nobody"]);
            assert!(refused.code == Some(3) && refused.stderr.contains("no driver"), "{refused:?}");
        }
        assert!(!done(&world.cli(&["driver", "ls", "-q"])).contains("lan"));
    });
}

#[test]
fn a_module_that_is_lost_breaks_its_driver_and_nothing_else() {
    World::run(async |world| {
        done(&install(world, &module(None), &GRANTS));
        let (a, _server) = neighbours(world).await;
        world.kill9();
        let folder = std::fs::read_dir("/run/state/drivers/modules").unwrap();
        let kept = folder.map(|entry| entry.unwrap().path()).next().unwrap();
        std::fs::write(&kept, "rubbish").unwrap();
        world.start().await;
        let shown = driver(world).await;
        assert_eq!(shown.state(), DriverState::Broken);
        assert!(shown.problem.contains("digest"), "{}", shown.problem);
        let refusal = Refusal::expect(world.api.create_network("red", lan()).await);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, "DRIVER_BROKEN"));
        assert!(traffic::tcp(&a, "10.1.0.11:80").is_some());
        done(&install(world, &module(None), &["--upgrade"]));
        assert_eq!(driver(world).await.state(), DriverState::Enabled);
        world.place("blue", "c", ask::endpoint()).await;
        world.assert_agrees().await;
    });
}

#[test]
fn where_there_are_keys_a_module_must_be_signed() {
    let keys = tempfile::tempdir().unwrap();
    let path = |name: &str| keys.path().join(name).display().to_string();
    let openssl = |words: &[&str]| {
        let made = run("openssl", words);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
    };
    let file = module(None).display().to_string();
    for name in ["ours", "other"] {
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", &path(&format!("{name}.key"))]);
        let signature = path(&format!("{name}.sig"));
        let key = path(&format!("{name}.key"));
        openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", &file, "-out", &signature]);
    }
    openssl(&["pkey", "-in", &path("ours.key"), "-pubout", "-out", &path("ours.pem")]);
    let setting = format!("--driver-keys={}", keys.path().display());
    World::run_with(&[&setting], async |world| {
        let with = |name: &str| {
            let signature = path(name);
            install(world, &module(None), &[&GRANTS[..], &["--signature", &signature]].concat())
        };
        let refused = install(world, &module(None), &GRANTS);
        assert!(
            refused.code == Some(3) && refused.stderr.contains("asks for a signature"),
            "{refused:?}"
        );
        let refused = with("other.sig");
        assert!(
            refused.code == Some(3) && refused.stderr.contains("none of the daemon's keys"),
            "{refused:?}"
        );
        let refused = with("ours.pem");
        assert!(refused.code == Some(3) && refused.stderr.contains("64 bytes"), "{refused:?}");
        done(&with("ours.sig"));
        assert_eq!(driver(world).await.signed_by, "ours");
    });
}

/// What the folder says is there after the start, and what is wrong in it harms nothing.
#[test]
fn a_folder_of_drivers_is_installed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::copy(module(None), path("lan.wasm")).unwrap();
    std::fs::write(path("lan.grants"), "# what it needs\nbridge\nveth\naddress\nfilter\n").unwrap();
    std::fs::write(path("bad.wasm"), "rubbish").unwrap();
    let setting = format!("--driver-dir={}", folder.path().display());
    World::run_with(&[&setting], async |world| {
        let (a, _server) = neighbours(world).await;
        let first = driver(world).await;
        assert_eq!((first.state(), first.granted.len()), (DriverState::Enabled, 4));
        let mut talk = Conversation::begin(&a, "10.1.0.11:80").unwrap();
        // Again: nothing is changed. Another version: it takes the place of the first.
        world.restart().await;
        assert_eq!(driver(world).await.revision, first.revision);
        std::fs::copy(module(Some("two")), path("lan.wasm")).unwrap();
        world.restart().await;
        assert_eq!(driver(world).await.version, "2.0.0");
        // One that decides otherwise does not, without anybody's word for it.
        std::fs::copy(module(Some("three")), path("lan.wasm")).unwrap();
        world.restart().await;
        assert_eq!(driver(world).await.version, "2.0.0");
        assert!(talk.goes_on());
        world.assert_agrees().await;
    });
}

#[test]
fn limits_are_set_by_name() {
    let limits = ["--driver-limit=quarantine-faults=1", "--driver-limit=quarantine-first-ms=300"];
    World::run_with(&limits, async |world| {
        done(&install(world, &module(None), &GRANTS));
        let refused = async |what: &str| {
            Refusal::expect(world.api.create_network("red", doing(what)).await).reason
        };
        assert_eq!(refused("trap").await, "DRIVER_CRASHED");
        assert_eq!(refused("refuse").await, "DRIVER_QUARANTINED");
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        assert_eq!(refused("refuse").await, "INVALID_FIELD");
        assert_eq!(driver(world).await.state(), DriverState::Enabled);
    });
}

/// Four calls go round for as long as they are let, on a machine with fewer processors; all
/// else is done meanwhile.
#[test]
fn a_driver_that_takes_its_time_delays_nobody_else() {
    let limits = [
        "--driver-limit=call-wall-ms=8000",
        "--driver-limit=fuel=1000000000000",
        "--driver-limit=quarantine-faults=1000",
    ];
    World::run_with(&limits, async |world| {
        done(&install(world, &module(None), &GRANTS));
        let endless: Vec<_> = (0..4)
            .map(|n| {
                let api = world.api.clone();
                tokio::spawn(async move {
                    api.create_network(&format!("endless{n}"), doing("loop")).await
                })
            })
            .collect();
        // So that they are under way.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        for n in 0..3 {
            let name = format!("quick{n}");
            world.api.create_network(&name, ask::network(&[])).await.unwrap();
            world.place(&name, &name, ask::endpoint()).await;
        }
        assert!(endless.iter().all(|one| !one.is_finished()), "the others waited for it");
        for one in endless {
            let refusal = Refusal::expect(one.await.unwrap());
            assert_eq!(refusal.reason, "DRIVER_LIMIT");
            assert!(refusal.message.contains("call time"), "{refusal:?}");
        }
        world.assert_agrees().await;
    });
}
