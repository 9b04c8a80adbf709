//! A client that never saw the proto files, and what every gRPC tool expects to find.

use postern_tests::{Reflection, World};
use serde_json::json;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

#[test]
fn the_server_tells_what_it_serves() {
    World::run(async |world| {
        let reflection = Reflection::read(world.api.channel.clone()).await.unwrap();
        for service in ["Network", "Sandbox", "Endpoint", "Policy", "Event", "Flow", "System"] {
            let name = format!("postern.v1.{service}Service");
            assert!(reflection.services().contains(&name), "{:?}", reflection.services());
        }
        for service in ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
            assert!(reflection.services().iter().any(|name| name == service), "{service}");
        }
        let message = reflection.pool().get_message_by_name("postern.v1.NetworkSpec").unwrap();
        assert!(message.get_field_by_name("icc").is_some());
    });
}

#[test]
fn a_network_is_made_by_what_reflection_told() {
    World::run(async |world| {
        let reflection = Reflection::read(world.api.channel.clone()).await.unwrap();
        let service = "postern.v1.NetworkService";
        let request = json!({"name": "blue", "spec": {"subnets": [{"subnet": "10.1.0.0/24"}]}});
        let made = reflection.call(service, "Create", request.clone()).await.unwrap();
        assert_eq!(made["network"]["spec"]["subnets"][0]["gateway"], "10.1.0.1");
        let again = reflection.call(service, "Create", request).await.unwrap_err();
        assert_eq!(again.code(), Code::AlreadyExists);
        let list = reflection.call(service, "List", json!({"filter": {"names": ["blue"]}})).await;
        assert_eq!(list.unwrap()["networks"][0]["uid"], made["network"]["uid"]);
        reflection.call(service, "Delete", json!({"network": "blue"})).await.unwrap();
    });
}

#[test]
fn health_is_told_of_the_server_and_of_each_service() {
    World::run(async |world| {
        let mut client = HealthClient::new(world.api.channel.clone());
        for service in ["", "postern.v1.NetworkService", "postern.v1.EndpointService"] {
            let request = HealthCheckRequest { service: service.into() };
            let answer = client.check(request).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
        }
        let request = HealthCheckRequest { service: "no.such.Service".into() };
        assert_eq!(client.check(request).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn the_older_reflection_is_served_too() {
    World::run(async |world| {
        use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
        use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
        let request = ServerReflectionRequest {
            message_request: Some(MessageRequest::ListServices(String::new())),
            ..Default::default()
        };
        let mut client = ServerReflectionClient::new(world.api.channel.clone());
        let answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
        let answer = answers.into_inner().message().await.unwrap().unwrap();
        assert!(format!("{answer:?}").contains("postern.v1.NetworkService"), "{answer:?}");
    });
}
