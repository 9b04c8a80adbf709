//! A daemon that keeps what it is asked and answers from a script.
//!
//! Objects named `gone` are not there; a network named `bad` is refused; `dry_run` calls
//! get a plan of one step. Everything else succeeds.

mod objects;
mod streams;

use std::sync::{Arc, Mutex};

use postern_proto::v1::{self, plan_step::Action};
use prost::Message;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub(crate) const UID: &str = "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

type Calls = Arc<Mutex<Vec<(&'static str, Vec<u8>)>>>;

/// The script, and what was asked so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    calls: Calls,
    netns_path: String,
}

impl Fake {
    /// One whose sandboxes all have this namespace.
    pub(crate) fn with_namespace(path: &str) -> Self {
        Self { netns_path: path.to_owned(), ..Self::default() }
    }

    /// The names of the calls, in order.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().iter().map(|(name, _)| *name).collect()
    }

    /// The last request of this call.
    pub(crate) fn last<M: Message + Default>(&self, name: &str) -> M {
        let calls = self.calls.lock().unwrap();
        let (_, bytes) = calls.iter().rev().find(|(called, _)| *called == name).unwrap();
        M::decode(bytes.as_slice()).unwrap()
    }

    fn note<M: Message>(&self, name: &'static str, request: Request<M>) -> M {
        let request = request.into_inner();
        self.calls.lock().unwrap().push((name, request.encode_to_vec()));
        request
    }

    /// A sandbox with one link, whose source there is not.
    fn linked(&self, link: Option<v1::Link>) -> v1::Sandbox {
        let status = v1::LinkStatus {
            link,
            state: v1::link_status::State::NoSource.into(),
            reason: "there is no sandbox `db`".into(),
            ..v1::LinkStatus::default()
        };
        v1::Sandbox { links: vec![status], ..self.sandbox("blue") }
    }

    fn sandbox(&self, name: &str) -> v1::Sandbox {
        v1::Sandbox {
            uid: UID.into(),
            name: name.into(),
            revision: 3,
            spec: Some(v1::SandboxSpec {
                labels: [("old".into(), "1".into())].into(),
                ..v1::SandboxSpec::default()
            }),
            netns_path: self.netns_path.clone(),
            ..v1::Sandbox::default()
        }
    }
}

type Reply<T> = Result<Response<T>, Status>;

fn reply<T>(message: T) -> Reply<T> {
    Ok(Response::new(message))
}

fn there(kind: &str, name: &str) -> Result<(), Status> {
    if name != "gone" {
        return Ok(());
    }
    let text = format!("there is no {} `gone`", kind.to_lowercase());
    let mut details = ErrorDetails::new();
    details.set_error_info("NOT_FOUND", "postern.v1", std::collections::HashMap::new());
    details.set_resource_info(format!("postern.v1.{kind}"), name, "", &text);
    Err(Status::with_error_details(Code::NotFound, text, details))
}

fn plan(validate_only: bool) -> Option<v1::Plan> {
    let step = v1::PlanStep {
        action: Action::Create.into(),
        kind: "bridge".into(),
        object: "pst-1".into(),
    };
    validate_only.then(|| v1::Plan { steps: vec![step] })
}

fn network(name: &str) -> v1::Network {
    v1::Network {
        uid: UID.into(),
        name: name.into(),
        revision: 7,
        predefined: name == "bridge",
        scope: "local".into(),
        spec: Some(v1::NetworkSpec {
            driver: "bridge".into(),
            internal: true,
            mtu: 1500,
            labels: [("old".into(), "1".into())].into(),
            ..v1::NetworkSpec::default()
        }),
        ..v1::Network::default()
    }
}

fn endpoint(name: &str, sandbox: &str) -> v1::Endpoint {
    v1::Endpoint {
        uid: UID.into(),
        name: name.into(),
        revision: 5,
        network: "web".into(),
        sandbox: sandbox.into(),
        interface_name: "eth0".into(),
        ipv4_address: "10.0.0.2/24".into(),
        spec: Some(v1::EndpointSpec {
            aliases: vec!["old".into()],
            published_ports: vec![v1::PublishedPort {
                protocol: v1::Protocol::Tcp.into(),
                host_port: 8080,
                container_port: 80,
                ..v1::PublishedPort::default()
            }],
            ..v1::EndpointSpec::default()
        }),
        ..v1::Endpoint::default()
    }
}
