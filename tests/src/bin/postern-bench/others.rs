//! Other servers of names for containers, with the same names.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postern_tests::command::run;

use crate::dnsperf::Asked;
use crate::{dnsperf, stage};

pub(crate) const DNSMASQ: &str = "dnsmasq";
pub(crate) const AARDVARK: &str = "aardvark-dns";
const SERVER: &str = "10.200.0.1";
const ATTEMPTS: u32 = 200;

/// Where aardvark-dns, which leaves its parent, says who it is.
const AARDVARK_PID: &str = "/run/aardvark/aardvark.pid";

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
        let pid = fs::read_to_string(AARDVARK_PID).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// The name and the address of the n-th endpoint.
fn endpoint(n: u32) -> (String, String) {
    (format!("name{n}"), format!("10.200.{}.{}", n / 250 + 1, n % 250 + 2))
}

/// Measures a server that `start` starts, which answers at the bridge's address.
fn measure(subject: &str, names: u32, start: impl FnOnce() -> Command + Send) -> Asked {
    stage::apart(|| {
        let client = stage::client();
        let mut command = start();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{subject}: {error}"));
        let _running = Running(child);
        wait(&client, subject);
        dnsperf::questions((0..names).map(|n| endpoint(n).0));
        dnsperf::ask(&client, SERVER)
    })
}

fn wait(client: &postern_tests::Netns, subject: &str) {
    let server = format!("@{SERVER}");
    for _ in 0..ATTEMPTS {
        let words = [server.as_str(), "+short", "+tries=1", "+time=1", "name0", "A"];
        if client.enter(|| run("dig", &words)).stdout.contains(&endpoint(0).1) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{subject} does not come up");
}

/// dnsmasq with a hosts file, as libvirt and others use it.
pub(crate) fn dnsmasq(names: u32) -> Asked {
    measure(DNSMASQ, names, || {
        let mut hosts = String::new();
        for (name, address) in (0..names).map(endpoint) {
            let _ = writeln!(hosts, "{address} {name}");
        }
        write("/run/hosts", &hosts);
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        command.args(["--addn-hosts=/run/hosts", "--bind-interfaces", "--pid-file="]);
        command.args(["--user=root", "--group=root", "--listen-address=10.200.0.1"]);
        command
    })
}

/// aardvark-dns with the file that podman writes for a network.
pub(crate) fn aardvark(program: &Path, names: u32) -> Asked {
    measure(AARDVARK, names, || {
        let mut config = format!("{SERVER}\n");
        let client = ("client".to_owned(), "10.200.255.1".to_owned());
        for (index, (name, address)) in (0..names).map(endpoint).chain([client]).enumerate() {
            let _ = writeln!(config, "{index:064x} {address}  {name}");
        }
        fs::create_dir_all("/run/aardvark").unwrap_or_else(|error| panic!("/run: {error}"));
        write("/run/aardvark/bench", &config);
        let mut command = Command::new(program);
        command.args(["--config", "/run/aardvark", "--port", "53", "run"]);
        command
    })
}

fn write(path: &str, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
}
