//! The example of a driver that is not our own, built as its author would and loaded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use postern_model::decision::{Desired, MacvlanMode};
use postern_model::driver::{Capability, Context, EndpointView, NetworkView, SubnetView};
use postern_model::grant::Grants;
use postern_model::name::Labels;
use postern_plugin::{CallError, Compiler, DriverHost, Fault, HostOptions, Limits};
use tempfile::TempDir;

const TARGET: &str = "wasm32-unknown-unknown";

fn build() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Where the whole-system tests have it built, too.
    let target = root.join("target/examples");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root.join("drivers-wasm/examples/macvlan"));
    command.arg("--quiet").args(["build", "--release", "--locked"]);
    // Those of the outer build are not an author's.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(variable);
    }
    let status = command.args(["--target", TARGET, "--target-dir"]).arg(&target).status().unwrap();
    assert!(status.success(), "{status}");
    fs::read(target.join(TARGET).join("release/macvlan.wasm")).unwrap()
}

fn network(options: &[(&str, &str)]) -> NetworkView {
    NetworkView {
        id: "n".into(),
        name: "lan".into(),
        subnets: vec![SubnetView {
            subnet: "10.1.0.0/24".parse().unwrap(),
            gateway: Some("10.1.0.1".parse().unwrap()),
        }],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:5e:00:53:01".parse().unwrap(),
        tunnel: None,
        labels: Labels::new(),
        options: options.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
        state: Vec::new(),
    }
}

fn endpoint() -> EndpointView {
    EndpointView {
        id: "e".into(),
        name: "web.lan".into(),
        addresses: vec!["10.1.0.2/24".parse().unwrap()],
        mac: "02:00:5e:00:53:02".parse().unwrap(),
        interface: "eth0".parse().unwrap(),
        bindings: Vec::new(),
        labels: Labels::new(),
        options: Labels::new(),
        state: Vec::new(),
    }
}

#[test]
fn the_example_is_a_driver() {
    let state = TempDir::new().unwrap();
    let (limits, compiler) = (Limits::default(), Compiler::InProcess);
    let options = HostOptions { state: state.path().to_owned(), limits, compiler };
    let host = DriverHost::open(options).unwrap();
    let asks: BTreeSet<Capability> =
        [Capability::Macvlan, Capability::Address, Capability::Sysctl].into();
    let info = host.load(&build(), false, &Grants::all_of(Capability::ALL)).unwrap();
    assert_eq!(info.manifest.name.as_str(), "macvlan");
    assert_eq!(info.granted, Grants::all_of(asks.iter().copied()));
    let driver = host.driver("macvlan").unwrap();
    let context = Context { request_id: "r".into(), now: 0, seed: 0 };
    let lan = network(&[("parent", "eth1"), ("macvlan_mode", "vepa")]);
    let decided = driver.network(&context, &lan).unwrap();
    assert!(decided.resources.is_empty() && !decided.state.is_empty());
    let decided = driver.endpoint(&context, &lan, &endpoint()).unwrap();
    let (link, parent, mode) = decided.macvlan().unwrap();
    assert_eq!((parent.as_str(), mode), ("eth1", MacvlanMode::Vepa));
    assert_eq!((link.mtu, link.mac), (Some(1500), Some(endpoint().mac)));
    assert!(decided.resources.iter().map(Desired::capability).all(|one| asks.contains(&one)));
    match driver.network(&context, &network(&[])) {
        Err(CallError::Fault(Fault::Invalid { field, .. })) => {
            assert_eq!(field, "options[\"parent\"]");
        }
        other => panic!("{other:?}"),
    }
}
