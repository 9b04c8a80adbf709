//! Docker doing the same work, asked over its socket: a client's own start is not its time.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postern_tests::command::sh;
use serde_json::{Value, json};

use crate::row::Row;
use crate::stage;

pub(crate) const SUBJECT: &str = "docker";
const SOCKET: &str = "/run/docker.sock";
const ROUNDS: usize = 20;
/// Ports of one container, by the thousand, take it very long.
const SLOW_ROUNDS: usize = 2;
const ATTEMPTS: u32 = 200;
/// How many containers there are already, each with a published port.
pub(crate) const SIZE: u32 = 20;

/// Measures the Docker whose programs are in a folder, as Debian's packages have them.
pub(crate) fn measure(root: &Path) -> Vec<Row> {
    stage::apart(|| in_world(root))
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It ends its containers and containerd itself, if asked.
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}

fn in_world(root: &Path) -> Vec<Row> {
    stage::uplink();
    let _daemon = start(root);
    image();
    post("/networks/create", &json!({"Name": "bench"}));
    for index in 0..SIZE {
        container(&format!("full{index}"), "bench", &[10_000 + index]);
    }
    let mut rows = connects("connect 1 port", "disconnect 1 port", &[20_000], ROUNDS);
    rows.extend(networks());
    let many: Vec<u32> = (3000..4000).collect();
    rows.extend(connects("connect 1000 ports", "disconnect 1000 ports", &many, SLOW_ROUNDS));
    for index in 0..SIZE {
        remove(&format!("full{index}"));
    }
    rows
}

fn start(root: &Path) -> Daemon {
    let own = [root.join("usr/sbin"), root.join("usr/bin")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = own.iter().cloned().chain(std::env::split_paths(&path));
    let path = std::env::join_paths(all).unwrap_or(path);
    let mut command = Command::new(root.join("usr/sbin/dockerd"));
    command.args(["--data-root=/run/dockerd", "--exec-root=/run/docker", "--storage-driver=vfs"]);
    command.args([&format!("--host=unix://{SOCKET}"), "--pidfile=/run/docker.pid"]);
    // As quick as it gets: with a process for each port it takes longer still.
    command.args(["--userland-proxy=false", "--log-level=error"]);
    command.env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap_or_else(|error| panic!("dockerd: {error}"));
    let daemon = Daemon(child);
    for _ in 0..ATTEMPTS {
        if UnixStream::connect(SOCKET).is_ok() {
            return daemon;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("dockerd does not come up");
}

/// One request on a connection of its own (RFC 9112): the status and the body.
fn request(method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let asked = || -> std::io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(SOCKET)?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = asked().unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let code = answer.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
    (code.unwrap_or(0), answer)
}

fn call(method: &str, path: &str, body: &Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let (code, answer) = request(method, path, "application/json", text.as_bytes());
    let answer = String::from_utf8_lossy(&answer);
    assert!((200..300).contains(&code), "{method} {path}: {answer}");
}

fn post(path: &str, body: &Value) {
    call("POST", path, body);
}

/// A file system with nothing but busybox and what that is linked to.
fn image() {
    sh("mkdir -p /run/image/bin");
    sh("cp /bin/busybox /run/image/bin/sleep");
    // `libc.so.6 => /lib/libc.so.6 (0x…)`, and the loader without an arrow.
    for line in sh("ldd /bin/busybox").lines() {
        if let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) {
            sh(&format!("cp --parents {library} /run/image"));
        }
    }
    sh("tar -C /run/image -cf /run/image.tar .");
    let tar = std::fs::read("/run/image.tar").unwrap_or_else(|error| panic!("tar: {error}"));
    let path = "/images/create?fromSrc=-&repo=tiny";
    let (code, answer) = request("POST", path, "application/x-tar", &tar);
    assert!(code == 200, "{}", String::from_utf8_lossy(&answer));
}

fn container(name: &str, network: &str, ports: &[u32]) {
    let bindings: serde_json::Map<String, Value> = ports
        .iter()
        .map(|port| (format!("{port}/tcp"), json!([{"HostPort": port.to_string()}])))
        .collect();
    let exposed: serde_json::Map<String, Value> =
        bindings.keys().map(|port| (port.clone(), json!({}))).collect();
    let spec = json!({
        "Image": "tiny",
        "Cmd": ["/bin/sleep", "100000"],
        "ExposedPorts": exposed,
        "HostConfig": {"NetworkMode": network, "PortBindings": bindings},
    });
    post(&format!("/containers/create?name={name}"), &spec);
    post(&format!("/containers/{name}/start"), &Value::Null);
}

fn remove(name: &str) {
    call("DELETE", &format!("/containers/{name}?force=1"), &Value::Null);
}

/// A running container is connected and disconnected, over and over: its ports are
/// published when it is.
fn connects(
    on_name: &'static str,
    off_name: &'static str,
    ports: &[u32],
    rounds: usize,
) -> Vec<Row> {
    container("measured", "none", ports);
    post("/networks/none/disconnect", &json!({"Container": "measured"}));
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        post("/networks/bench/connect", &json!({"Container": "measured"}));
        on.push(begun.elapsed());
        let rules = sh("iptables -t nat -S DOCKER");
        let published = ports.iter().all(|port| rules.contains(&format!("--dport {port} ")));
        assert!(published, "docker has not published: {rules}");
        let begun = Instant::now();
        post("/networks/bench/disconnect", &json!({"Container": "measured"}));
        off.push(begun.elapsed());
    }
    remove("measured");
    [(on_name, on), (off_name, off)]
        .map(|(work, times)| Row::of_times(work, SUBJECT, SIZE, times))
        .into()
}

fn networks() -> Vec<Row> {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        post("/networks/create", &json!({"Name": "short-lived"}));
        on.push(begun.elapsed());
        let begun = Instant::now();
        call("DELETE", "/networks/short-lived", &Value::Null);
        off.push(begun.elapsed());
    }
    [("create network", on), ("delete network", off)]
        .map(|(work, times)| Row::of_times(work, SUBJECT, SIZE, times))
        .into()
}
