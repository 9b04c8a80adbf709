//! `validate_only`: the plan is told, nothing is changed, and it is the plan that is then followed.

use postern_proto::v1::plan_step::Action;
use postern_proto::v1::{
    ConnectRequest, CreateNetworkRequest, CreateSandboxRequest, DeleteNetworkRequest,
    DisconnectRequest, Plan,
};
use postern_tests::{Refusal, World, ask};
use tonic::Code;

fn kinds(plan: Option<Plan>, action: Action) -> Vec<String> {
    let steps = plan.unwrap().steps.into_iter().filter(|step| step.action() == action);
    steps.map(|step| step.kind).collect()
}

#[test]
fn a_plan_is_told_and_nothing_done() {
    World::run(async |world| {
        world.api.create_network("red", ask::network(&["10.9.0.0/24"])).await.unwrap();
        world.api.create_sandbox("a").await.unwrap();
        let generation = world.api.facts().await.unwrap().generation;
        let before = world.snapshot().await;

        let create = CreateNetworkRequest {
            name: "blue".into(),
            spec: Some(ask::network(&["10.1.0.0/24"])),
            validate_only: true,
            ..Default::default()
        };
        let plan = world.api.networks.create(create.clone()).await.unwrap().into_inner().plan;
        let made = kinds(plan, Action::Create);
        for kind in ["bridge", "address", "element"] {
            assert!(made.iter().any(|k| k == kind), "{kind} is not in {made:?}");
        }
        let sandbox =
            CreateSandboxRequest { name: "b".into(), validate_only: true, ..Default::default() };
        let plan = world.api.sandboxes.create(sandbox).await.unwrap().into_inner().plan;
        assert_eq!(
            kinds(plan, Action::Create),
            ["namespace", "file", "file", "file", "name-server"]
        );
        let connect = ConnectRequest {
            network: "red".into(),
            sandbox: "a".into(),
            spec: Some(ask::publish(&[ask::tcp(8080, 80)])),
            validate_only: true,
            ..Default::default()
        };
        let plan = world.api.endpoints.connect(connect.clone()).await.unwrap().into_inner().plan;
        let made = kinds(plan, Action::Create);
        for kind in ["veth", "address", "route", "element"] {
            assert!(made.iter().any(|k| k == kind), "{kind} is not in {made:?}");
        }
        assert_eq!(world.snapshot().await, before);
        assert_eq!(world.api.facts().await.unwrap().generation, generation);
        assert!(std::net::TcpListener::bind(("0.0.0.0", 8080)).is_ok(), "the port is held");

        // In earnest, no plan is told.
        let earnest = CreateNetworkRequest { validate_only: false, ..create };
        let plan = world.api.networks.create(earnest).await.unwrap().into_inner().plan;
        assert!(plan.is_none_or(|plan| plan.steps.is_empty()));
    });
}

#[test]
fn a_removal_is_told_too() {
    World::run(async |world| {
        world.api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        world.place("blue", "a", ask::endpoint()).await;
        let before = world.snapshot().await;
        let disconnect = DisconnectRequest {
            network: "blue".into(),
            sandbox: "a".into(),
            validate_only: true,
            ..Default::default()
        };
        let plan = world.api.endpoints.disconnect(disconnect).await.unwrap().into_inner().plan;
        assert!(kinds(plan.clone(), Action::Delete).iter().any(|kind| kind == "veth"), "{plan:?}");
        assert!(!kinds(plan.clone(), Action::EndFlows).is_empty(), "{plan:?}");
        let delete = DeleteNetworkRequest {
            network: "blue".into(),
            validate_only: true,
            ..Default::default()
        };
        // What would be refused in earnest is refused here.
        let refusal = Refusal::expect(world.api.networks.delete(delete).await);
        assert_eq!(refusal.code, Code::FailedPrecondition);
        assert_eq!(world.snapshot().await, before);
    });
}
