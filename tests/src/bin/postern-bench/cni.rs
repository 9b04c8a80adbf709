//! The CNI plugins doing the same work, as a container runtime runs them: a process for
//! each plugin of the chain (cni.dev/docs/spec, "Section 3").

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use postern_tests::command::sh;
use serde_json::{Value, json};

use crate::row::Row;
use crate::stage;

pub(crate) const SUBJECT: &str = "CNI plugins";
const ROUNDS: u32 = 20;
/// How many containers there are already.
pub(crate) const SIZES: [u32; 2] = [20, 240];

/// Measures the chain of bridge, firewall and portmap whose programs are in a folder.
pub(crate) fn measure(plugins: &Path, size: u32) -> Vec<Row> {
    stage::apart(|| in_world(plugins, size))
}

fn in_world(plugins: &Path, size: u32) -> Vec<Row> {
    stage::uplink();
    for index in 0..size {
        sh(&format!("ip netns add c{index}"));
        add(plugins, index);
    }
    sh(&format!("ip netns add c{size}"));
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (result, took) = add(plugins, size);
        on.push(took);
        off.push(del(plugins, size, &result));
    }
    [("connect 1 port", on), ("disconnect 1 port", off)]
        .map(|(work, times)| Row::of_times(work, SUBJECT, size, times))
        .into()
}

/// The plugins' configurations, in the order of the chain.
fn chain() -> [Value; 3] {
    [
        json!({
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipMasq": true,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni",
                "ranges": [[{"subnet": "10.88.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }),
        json!({"type": "firewall"}),
        json!({"type": "portmap"}),
    ]
}

fn add(plugins: &Path, index: u32) -> (Value, Duration) {
    let begun = Instant::now();
    let mut result = Value::Null;
    for plugin in chain() {
        result = call(plugins, "ADD", index, plugin, &result);
    }
    (result, begun.elapsed())
}

fn del(plugins: &Path, index: u32, result: &Value) -> Duration {
    let begun = Instant::now();
    for plugin in chain().into_iter().rev() {
        call(plugins, "DEL", index, plugin, result);
    }
    begun.elapsed()
}

fn call(plugins: &Path, verb: &str, index: u32, mut config: Value, result: &Value) -> Value {
    let program = plugins.join(config["type"].as_str().unwrap_or_default());
    config["cniVersion"] = json!("1.0.0");
    config["name"] = json!("bench");
    if program.ends_with("portmap") {
        let mapping = json!({"hostPort": 10_000 + index, "containerPort": 80, "protocol": "tcp"});
        config["runtimeConfig"] = json!({"portMappings": [mapping]});
    }
    if !result.is_null() {
        config["prevResult"] = result.clone();
    }
    let failed = |error: std::io::Error| -> ! { panic!("{}: {error}", program.display()) };
    let mut child = Command::new(&program)
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", format!("c{index}"))
        .env("CNI_NETNS", format!("/run/netns/c{index}"))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", plugins)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| failed(error));
    if let Some(mut stdin) = child.stdin.take() {
        write!(stdin, "{config}").unwrap_or_else(|error| failed(error));
    }
    let output = child.wait_with_output().unwrap_or_else(|error| failed(error));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{} {verb}: {text}", program.display());
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
