//! What is there already when something is measured.

use std::ops::Range;

use postern_proto::v1::{
    ConnectRequest, DisconnectRequest, EndpointSpec, connect_many_response,
    disconnect_many_response,
};
use postern_tests::{Api, World, ask};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::Status;
use tonic_types::pb;

/// A bridge has 1,023 ports, and those measured come on top.
const PER_NETWORK: u32 = 900;
/// Clients that ask at the same time.
pub(crate) const CLIENTS: usize = 16;

/// Runs something in a world of its own, with a daemon that is given further arguments.
pub(crate) fn in_world<T: Send>(
    args: &[&str],
    work: impl AsyncFnOnce(&mut World) -> Result<T, Status> + Send,
) -> T {
    let args = [&["--log-level=warn"], args].concat();
    let done = World::run_with(&args, async |world| work(world).await);
    done.unwrap_or_else(|status| panic!("the daemon refused: {status}"))
}

/// Makes endpoints, each in a sandbox of its own: `s0`, `s1` and on, 900 to a network.
pub(crate) async fn populate(
    api: &Api,
    range: Range<u32>,
    spec: impl Fn(u32) -> EndpointSpec,
) -> Result<(), Status> {
    for index in range.clone().filter(|index| index % PER_NETWORK == 0) {
        let number = index / PER_NETWORK;
        let subnet = format!("10.{}.0.0/16", 100 + number);
        api.create_network(&format!("full{number}"), ask::network(&[&subnet])).await?;
    }
    let names: Vec<String> = range.clone().map(|index| format!("s{index}")).collect();
    sandboxes(api, &names).await?;
    let requests = range.map(|index| ConnectRequest {
        network: format!("full{}", index / PER_NETWORK),
        sandbox: format!("s{index}"),
        spec: Some(spec(index)),
        ..ConnectRequest::default()
    });
    connected(api, requests.collect()).await
}

/// Makes sandboxes, many at a time.
pub(crate) async fn sandboxes(api: &Api, names: &[String]) -> Result<(), Status> {
    let api = api.clone();
    let make = move |name: String| {
        let api = api.clone();
        async move { api.create_sandbox(&name).await.map(drop) }
    };
    together(names, make).await
}

/// Connects in one stream.
///
/// # Errors
/// The first that was refused.
pub(crate) async fn connected(api: &Api, requests: Vec<ConnectRequest>) -> Result<(), Status> {
    use connect_many_response::Outcome;
    let mut endpoints = api.endpoints.clone();
    let mut answers = endpoints.connect_many(tokio_stream::iter(requests)).await?.into_inner();
    while let Some(answer) = answers.next().await {
        if let Some(Outcome::Refused(refused)) = answer?.outcome {
            return Err(status(refused));
        }
    }
    Ok(())
}

/// Disconnects in one stream.
///
/// # Errors
/// The first that was refused.
pub(crate) async fn disconnected(
    api: &Api,
    requests: Vec<DisconnectRequest>,
) -> Result<(), Status> {
    use disconnect_many_response::Outcome;
    let mut endpoints = api.endpoints.clone();
    let mut answers = endpoints.disconnect_many(tokio_stream::iter(requests)).await?.into_inner();
    while let Some(answer) = answers.next().await {
        if let Some(Outcome::Refused(refused)) = answer?.outcome {
            return Err(status(refused));
        }
    }
    Ok(())
}

fn status(refused: pb::Status) -> Status {
    Status::new(refused.code.into(), refused.message)
}

/// Does the same for each of some names, [`CLIENTS`] at a time.
pub(crate) async fn together<Fut>(
    names: &[String],
    each: impl Fn(String) -> Fut + Clone + Send + 'static,
) -> Result<(), Status>
where
    Fut: Future<Output = Result<(), Status>> + Send,
{
    let mut clients: JoinSet<Result<(), Status>> = JoinSet::new();
    for names in names.chunks(names.len().div_ceil(CLIENTS).max(1)) {
        let (each, names) = (each.clone(), names.to_vec());
        clients.spawn(async move {
            for name in names {
                each(name).await?;
            }
            Ok(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done.map_err(|error| Status::internal(error.to_string()))??;
    }
    Ok(())
}
