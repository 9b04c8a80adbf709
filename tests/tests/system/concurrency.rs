//! Calls that come at the same time and concern the same thing.

use std::collections::BTreeSet;
use std::time::Duration;

use postern_proto::v1::{NetworkSpec, UpdateNetworkRequest};
use postern_tests::{Api, World, ask};
use tokio::task::JoinSet;
use tonic::Status;

const ROUNDS: usize = 40;

/// Frames between the neighbours of a network are judged while a policy speaks of one of
/// them. Of a call that makes it so and one that ends it, the later holds.
#[test]
fn neighbours_are_judged_as_the_later_of_two_calls_has_it() {
    World::run(async |world| {
        let api = &world.api;
        api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let rules = vec![ask::accept(vec![ask::peer(&[("who", "two")])], 80)];
        api.apply_policy("two-only", ask::app(&[("who", "one")], rules)).await.unwrap();
        let spec = || ask::labelled(&[("who", "one")]);
        for name in ["a", "b"] {
            api.create_sandbox(name).await.unwrap();
        }
        api.connect("blue", "a", spec()).await.unwrap();
        let (mut goes, mut comes) = ("a", "b");
        for _ in 0..ROUNDS {
            let (gone, come) =
                tokio::join!(api.disconnect("blue", goes), api.connect("blue", comes, spec()));
            gone.unwrap();
            come.unwrap();
            world.assert_agrees().await;
            (goes, comes) = (comes, goes);
        }
    });
}

/// A policy that asks for a label gives endpoints other identities, also those that come in
/// the same moment.
#[test]
fn endpoints_that_come_with_a_policy_about_them_are_known_by_it() {
    World::run(async |world| {
        let api = &world.api;
        api.create_network("blue", ask::network(&["10.1.0.0/16"])).await.unwrap();
        let names: Vec<String> = (0..4).map(|n| format!("s{n}")).collect();
        for name in &names {
            api.create_sandbox(name).await.unwrap();
        }
        for round in 0..ROUNDS {
            let key = format!("round{round}");
            let of_round = |name: String| {
                let (api, spec) = (api.clone(), ask::labelled(&[(key.as_str(), name.as_str())]));
                async move { api.connect("blue", &name, spec).await.map(drop) }
            };
            let rules = vec![ask::accept(vec![ask::peer(&[(key.as_str(), "s1")])], 80)];
            let policy = ask::app(&[(key.as_str(), "s0")], rules);
            let (policy, ()) =
                tokio::join!(api.apply_policy("p", policy), all_at_once(&names, of_round));
            policy.unwrap();
            world.assert_agrees().await;
            let away = all_at_once(&names, |name| disconnect(api, name));
            let (policy, ()) = tokio::join!(api.delete_policy("p"), away);
            policy.unwrap();
        }
    });
}

/// They are judged too where the network keeps its neighbours apart. Whoever changes that
/// has planned it with the policies of a moment before.
#[test]
fn neighbours_are_judged_as_the_network_and_its_policies_have_it_together() {
    World::run(async |world| {
        world.kill9();
        world.try_start("network.planned=sleep(200)").await.unwrap();
        let api = &world.api;
        api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        api.create_sandbox("a").await.unwrap();
        connect(api, "a".to_owned()).await.unwrap();
        let rules = vec![ask::accept(vec![ask::cidr("192.0.2.0/24", &[])], 80)];
        for (icc, policed) in [(true, true), (false, false), (false, true), (true, false)] {
            let apart = api.clone();
            let set = tokio::spawn(async move { set_icc(&apart, icc).await });
            tokio::time::sleep(Duration::from_millis(100)).await;
            match policed {
                true => drop(api.apply_policy("p", ask::app(&[], rules.clone())).await.unwrap()),
                false => drop(api.delete_policy("p").await.unwrap()),
            }
            set.await.unwrap().unwrap();
            world.assert_agrees().await;
        }
    });
}

async fn set_icc(api: &Api, icc: bool) -> Result<(), Status> {
    let found = api.network("blue").await?;
    let spec = found.spec.map(|spec| NetworkSpec { icc: Some(icc), ..spec });
    let request = UpdateNetworkRequest {
        network: "blue".to_owned(),
        spec,
        revision: found.revision,
        ..Default::default()
    };
    api.networks.clone().update(request).await.map(drop)
}

/// Addresses that have rested are woken all at once, by whoever asks first; whoever takes
/// one of them and is done before him keeps it, after a restart too.
#[test]
fn an_address_that_has_rested_is_given_to_one() {
    World::run_with(&["--address-rest=0"], async |world| {
        let api = &world.api;
        api.create_network("blue", ask::network(&["10.1.0.0/24"])).await.unwrap();
        let names: Vec<String> = (0..40).map(|n| format!("s{n}")).collect();
        for name in &names {
            api.create_sandbox(name).await.unwrap();
        }
        let (first, others) = names.split_at(30);
        for _ in 0..3 {
            all_at_once(first, |name| connect(api, name)).await;
            all_at_once(first, |name| disconnect(api, name)).await;
        }
        all_at_once(first, |name| connect(api, name)).await;
        world.restart().await;
        let api = &world.api;
        all_at_once(others, |name| connect(api, name)).await;
        let endpoints = api.list_endpoints().await.unwrap();
        let addresses: BTreeSet<&str> =
            endpoints.iter().map(|endpoint| endpoint.ipv4_address.as_str()).collect();
        assert_eq!(addresses.len(), names.len(), "an address was given twice");
        world.assert_agrees().await;
    });
}

fn connect(api: &Api, name: String) -> impl Future<Output = Result<(), Status>> + use<> {
    let api = api.clone();
    async move { api.connect("blue", &name, ask::endpoint()).await.map(drop) }
}

fn disconnect(api: &Api, name: String) -> impl Future<Output = Result<(), Status>> + use<> {
    let api = api.clone();
    async move { api.disconnect("blue", &name).await }
}

async fn all_at_once<F>(names: &[String], call: impl Fn(String) -> F)
where
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for name in names {
        calls.spawn(call(name.clone()));
    }
    for done in calls.join_all().await {
        done.unwrap();
    }
}
