//! `request_id`: a retry returns the first outcome, a mistake is refused.

use postern_proto::v1::{
    ConnectRequest, CreateNetworkRequest, CreateSandboxRequest, DeleteNetworkRequest,
};
use postern_tests::{Refusal, World, ask};
use tonic::Code;

#[test]
fn the_same_request_twice_is_done_once() {
    World::run(async |world| {
        let request = CreateNetworkRequest {
            name: "blue".into(),
            spec: Some(ask::network(&["10.1.0.0/24"])),
            request_id: "one".into(),
            ..Default::default()
        };
        let mut networks = world.api.networks.clone();
        let first = networks.create(request.clone()).await.unwrap().into_inner().network;
        let again = networks.create(request.clone()).await.unwrap().into_inner().network;
        assert_eq!(first, again);
        // A crash in between makes no difference.
        world.restart().await;
        let mut networks = world.api.networks.clone();
        let again = networks.create(request.clone()).await.unwrap().into_inner().network;
        assert_eq!(first, again);

        let other = CreateNetworkRequest { name: "red".into(), ..request };
        let refusal = Refusal::expect(networks.create(other).await);
        refusal.assert(refusal.code, "request_id");
        assert!(
            matches!(
                refusal.code,
                Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists
            ),
            "{refusal:?}"
        );
        assert_eq!(world.api.list_networks("red").await.unwrap(), []);
    });
}

#[test]
fn a_connect_may_be_retried() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let sandbox = CreateSandboxRequest {
            name: "a".into(),
            request_id: "sandbox-a".into(),
            ..Default::default()
        };
        let mut sandboxes = world.api.sandboxes.clone();
        let first = sandboxes.create(sandbox.clone()).await.unwrap().into_inner().sandbox;
        assert_eq!(sandboxes.create(sandbox).await.unwrap().into_inner().sandbox, first);
        let request = ConnectRequest {
            network: "blue".into(),
            sandbox: "a".into(),
            spec: Some(ask::publish(&[ask::tcp(0, 80)])),
            request_id: "connect-a".into(),
            ..Default::default()
        };
        let mut endpoints = world.api.endpoints.clone();
        let first = endpoints.connect(request.clone()).await.unwrap().into_inner().endpoint;
        let again = endpoints.connect(request).await.unwrap().into_inner().endpoint;
        assert_eq!(first, again);
        world.assert_agrees().await;
    });
}

#[test]
fn a_delete_may_be_retried() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let request = DeleteNetworkRequest {
            network: "blue".into(),
            request_id: "gone".into(),
            ..Default::default()
        };
        let mut networks = world.api.networks.clone();
        networks.delete(request.clone()).await.unwrap();
        networks.delete(request.clone()).await.unwrap();
        let without_id = DeleteNetworkRequest { request_id: String::new(), ..request };
        let refusal = Refusal::expect(networks.delete(without_id).await);
        assert_eq!(refusal.code, Code::NotFound);
    });
}

#[test]
fn an_id_has_a_length() {
    World::run(async |world| {
        let request = CreateNetworkRequest {
            name: "blue".into(),
            request_id: "x".repeat(65),
            ..Default::default()
        };
        let refusal = Refusal::expect(world.api.networks.create(request).await);
        refusal.assert(Code::InvalidArgument, "request_id");
    });
}
