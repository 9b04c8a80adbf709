//! Many calls in one stream.

use std::collections::BTreeMap;

use postern_proto::v1::{
    ConnectRequest, DisconnectRequest, connect_many_response, disconnect_many_response,
};
use postern_tests::{World, ask};
use tokio_stream::StreamExt;
use tonic::Code;

const MANY: u64 = 100;

fn to(sandbox: String) -> ConnectRequest {
    ConnectRequest {
        network: "blue".into(),
        sandbox,
        spec: Some(ask::publish(&[ask::tcp(0, 80)])),
        ..ConnectRequest::default()
    }
}

#[test]
fn many_connect_in_one_stream_and_a_refusal_ends_only_itself() {
    World::run(async |world| {
        let api = &world.api;
        api.create_network("blue", ask::network(&["10.20.0.0/16"])).await.unwrap();
        for index in 0..MANY {
            api.create_sandbox(&format!("s{index}")).await.unwrap();
        }
        // One of them is not there.
        let requests = (0..=MANY).map(|index| to(format!("s{index}")));
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut answers = api.endpoints.clone().connect_many(requests).await.unwrap().into_inner();
        let mut told = BTreeMap::new();
        while let Some(answer) = answers.next().await {
            let answer = answer.unwrap();
            let outcome = match answer.outcome.unwrap() {
                connect_many_response::Outcome::Done(done) => {
                    let endpoint = done.endpoint.unwrap();
                    assert_eq!(endpoint.sandbox, format!("s{}", answer.index));
                    assert_eq!(endpoint.bindings.len(), 1);
                    Ok(endpoint.ipv4_address)
                }
                connect_many_response::Outcome::Refused(status) => {
                    assert_eq!(status.details.len(), 2, "{status:?}");
                    Err((Code::from(status.code), status.message))
                }
            };
            assert!(told.insert(answer.index, outcome).is_none(), "told twice");
        }
        assert_eq!(told.len() as u64, MANY + 1);
        let (code, text) = told.remove(&MANY).unwrap().unwrap_err();
        assert_eq!((code, text.as_str()), (Code::NotFound, "there is no sandbox `s100`"));
        let addresses: std::collections::BTreeSet<String> =
            told.into_values().map(Result::unwrap).collect();
        assert_eq!(addresses.len() as u64, MANY, "an address was given twice");
        let last = api.endpoint("s99.blue").await.unwrap().ipv4_address;
        let last = last.split('/').next().unwrap();
        world.sandbox("s0").await.sh(&format!("busybox ping -c1 -W2 {last}"));

        let requests = (0..MANY).map(|index| DisconnectRequest {
            network: "blue".into(),
            sandbox: format!("s{index}"),
            ..DisconnectRequest::default()
        });
        let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
        let mut answers =
            api.endpoints.clone().disconnect_many(requests).await.unwrap().into_inner();
        let mut count = 0;
        while let Some(answer) = answers.next().await {
            let outcome = answer.unwrap().outcome.unwrap();
            assert!(matches!(outcome, disconnect_many_response::Outcome::Done(_)), "{outcome:?}");
            count += 1;
        }
        assert_eq!(count, MANY);
        assert!(api.list_endpoints().await.unwrap().is_empty());
        world.assert_agrees().await;
    });
}

#[test]
fn what_a_stream_had_begun_when_its_client_went_is_done() {
    World::run(async |world| {
        let api = &world.api;
        api.create_network("blue", ask::network(&["10.20.0.0/16"])).await.unwrap();
        for index in 0..MANY {
            api.create_sandbox(&format!("s{index}")).await.unwrap();
        }
        let known =
            |index| ConnectRequest { request_id: format!("s{index}"), ..to(format!("s{index}")) };
        let requests = tokio_stream::iter((0..MANY).map(known).collect::<Vec<_>>());
        let mut answers = api.endpoints.clone().connect_many(requests).await.unwrap().into_inner();
        let first = answers.next().await.unwrap().unwrap();
        drop(answers);
        assert!(first.outcome.is_some());
        // Who asks again under the same name waits for what was begun, and is told of that;
        // had one of them been left half-done, it would be in the way.
        for index in 0..MANY {
            let again = api.endpoints.clone().connect(known(index)).await;
            let endpoint = again.unwrap().into_inner().endpoint.unwrap();
            assert_eq!(endpoint.sandbox, format!("s{index}"));
        }
        assert_eq!(api.list_endpoints().await.unwrap().len() as u64, MANY);
        world.assert_agrees().await;
    });
}
