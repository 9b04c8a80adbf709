//! The binary against a scripted daemon: the real protocol over a real unix socket.

mod endpoint;
mod exec;
mod fake;
mod flows;
mod link;
mod network;
mod sandbox;
mod system;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fake::Fake;
use postern_proto::v1::endpoint_service_server::EndpointServiceServer;
use postern_proto::v1::event_service_server::EventServiceServer;
use postern_proto::v1::flow_service_server::FlowServiceServer;
use postern_proto::v1::network_service_server::NetworkServiceServer;
use postern_proto::v1::sandbox_service_server::SandboxServiceServer;
use postern_proto::v1::system_service_server::SystemServiceServer;
use serde_json::Value;
use tempfile::TempDir;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

/// A scripted daemon on a socket of its own; its thread ends with the test process.
struct Daemon {
    directory: TempDir,
    fake: Fake,
}

/// What a run of the binary left behind.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// Standard output of a run that must have succeeded.
    fn text(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stderr, "", "{self:?}");
        self.stdout.trim_end()
    }

    /// As [`Self::text`], read as JSON.
    fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap()
    }
}

impl Daemon {
    fn start() -> Self {
        Self::with(Fake::default())
    }

    fn with(fake: Fake) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Bound here, so that the binary finds it whatever the thread does first.
        let listener = std::os::unix::net::UnixListener::bind(directory.path().join("s")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let served = fake.clone();
        std::thread::spawn(move || serve(listener, served));
        Self { directory, fake }
    }

    fn address(&self) -> String {
        format!("unix://{}", self.directory.path().join("s").display())
    }

    /// Runs the binary with these arguments, separated by blanks.
    fn run(&self, line: &str) -> Outcome {
        self.answer(line, "")
    }

    /// As [`Self::run`], with this on standard input.
    fn answer(&self, line: &str, input: &str) -> Outcome {
        run(&self.address(), line, input)
    }
}

fn serve(listener: std::os::unix::net::UnixListener, fake: Fake) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        Server::builder()
            .add_service(NetworkServiceServer::new(fake.clone()))
            .add_service(SandboxServiceServer::new(fake.clone()))
            .add_service(EndpointServiceServer::new(fake.clone()))
            .add_service(EventServiceServer::new(fake.clone()))
            .add_service(FlowServiceServer::new(fake.clone()))
            .add_service(SystemServiceServer::new(fake))
            .serve_with_incoming(UnixListenerStream::new(listener))
            .await
            .unwrap();
    });
}

fn run(address: &str, line: &str, input: &str) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(line.split_whitespace())
        .env("POSTERN_ADDRESS", address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The binary's path, for tests that start it in their own way.
fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_postern"))
}
