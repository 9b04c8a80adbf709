//! `postern endpoint`, `connect` and `disconnect`.

use postern_proto::v1::{
    ConnectRequest, CreateEndpointRequest, DeleteEndpointRequest, DisconnectRequest, Endpoint,
    GetEndpointRequest, JoinEndpointRequest, LeaveEndpointRequest, ListEndpointsRequest,
    ListEndpointsResponse, UpdateEndpointRequest,
};

use super::{dry, for_each, inspect, spec};
use crate::args::endpoint::{
    ConnectArgs, CreateArgs, DisconnectArgs, EndpointCommand, JoinArgs, LeaveArgs, LsArgs, RmArgs,
    UpdateArgs,
};
use crate::client::{Client, pages};
use crate::error::{Error, required};
use crate::output::{self, Printer, plain};
use crate::parse::filter;

/// Runs one verb.
///
/// # Errors
/// It could not be done.
pub(super) async fn run(
    command: EndpointCommand,
    client: &Client,
    out: Printer,
) -> Result<(), Error> {
    match command {
        EndpointCommand::Create(args) => create(*args, client, out).await,
        EndpointCommand::Join(args) => join(args, client, out).await,
        EndpointCommand::Leave(args) => leave(args, client, out).await,
        EndpointCommand::Ls(args) => list(args, client, out).await,
        EndpointCommand::Inspect(names) => {
            inspect(&names, async |name| get(client, name).await).await
        }
        EndpointCommand::Update(args) => update(args, client, out).await,
        EndpointCommand::Rm(args) => remove(args, client, out).await,
    }
}

async fn create(args: CreateArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = CreateEndpointRequest {
        name: args.name,
        network: args.network,
        spec: Some(spec::from_args(args.spec)),
        request_id: args.change.request_id.clone(),
        validate_only: args.change.dry_run,
    };
    let reply = client.endpoints().await?.create(request).await?.into_inner();
    let uid = reply.endpoint.as_ref().map_or("", |endpoint| &endpoint.uid);
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(uid))
}

async fn join(args: JoinArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = JoinEndpointRequest {
        endpoint: args.endpoint,
        sandbox: args.sandbox,
        request_id: args.change.request_id.clone(),
        validate_only: args.change.dry_run,
    };
    let reply = client.endpoints().await?.join(request).await?.into_inner();
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || joined(reply.endpoint.as_ref()))
}

/// Connects a sandbox to a network.
///
/// # Errors
/// It could not be done.
pub(super) async fn connect(args: ConnectArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = ConnectRequest {
        network: args.network,
        sandbox: args.sandbox,
        name: args.name,
        spec: Some(spec::from_args(args.spec)),
        request_id: args.change.request_id.clone(),
        validate_only: args.change.dry_run,
    };
    let reply = client.endpoints().await?.connect(request).await?.into_inner();
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || joined(reply.endpoint.as_ref()))
}

/// What one wants to know of an endpoint that has just come up: its row in the list.
fn joined(endpoint: Option<&Endpoint>) -> String {
    output::endpoint::table(endpoint.map_or(&[], std::slice::from_ref), false)
}

async fn leave(args: LeaveArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = LeaveEndpointRequest {
        endpoint: args.endpoint.clone(),
        request_id: args.change.request_id.clone(),
        validate_only: args.change.dry_run,
    };
    let reply = client.endpoints().await?.leave(request).await?.into_inner();
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(&args.endpoint))
}

/// Disconnects a sandbox from a network, or whatever an endpoint joins.
///
/// # Errors
/// It could not be done.
pub(super) async fn disconnect(
    args: DisconnectArgs,
    client: &Client,
    out: Printer,
) -> Result<(), Error> {
    let DisconnectArgs { network_or_endpoint: first, sandbox, change } = args;
    let name = match &sandbox {
        Some(sandbox) => format!("{first} {sandbox}"),
        None => first.clone(),
    };
    let (endpoint, network, sandbox) = match sandbox {
        Some(sandbox) => (String::new(), first, sandbox),
        None => (first, String::new(), String::new()),
    };
    let request = DisconnectRequest {
        endpoint,
        network,
        sandbox,
        request_id: change.request_id.clone(),
        validate_only: change.dry_run,
    };
    let reply = client.endpoints().await?.disconnect(request).await?.into_inner();
    out.change(&reply, dry(change.dry_run, &reply.plan)?, || plain(&name))
}

async fn list(args: LsArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let filter = filter::common(&args.filter).map_err(|why| Error::usage(why.to_string()))?;
    let endpoints = pages(async |page| {
        let request = ListEndpointsRequest {
            page: Some(page),
            filter: Some(filter.clone()),
            network: args.network.clone(),
            sandbox: args.sandbox.clone(),
        };
        let reply = client.endpoints().await?.list(request).await?.into_inner();
        Ok((reply.endpoints, reply.next_token))
    })
    .await?;
    let reply = ListEndpointsResponse { endpoints, next_token: String::new() };
    let uids: Vec<_> = reply.endpoints.iter().map(|endpoint| endpoint.uid.as_str()).collect();
    out.list(&reply, &args.list, &uids, || {
        output::endpoint::table(&reply.endpoints, args.list.no_trunc)
    })
}

async fn get(client: &Client, endpoint: String) -> Result<Endpoint, Error> {
    let reply = client.endpoints().await?.get(GetEndpointRequest { endpoint }).await?.into_inner();
    required(reply.endpoint, "no endpoint")
}

async fn update(args: UpdateArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let endpoint = get(client, args.name.clone()).await?;
    let mut spec = required(endpoint.spec, "an endpoint without a spec")?;
    spec::change(&mut spec, &args);
    let request = UpdateEndpointRequest {
        // By uid: another endpoint may have taken the name since it was read.
        endpoint: endpoint.uid,
        aliases: spec.aliases,
        exposed_ports: spec.exposed_ports,
        published_ports: spec.published_ports,
        labels: spec.labels,
        revision: endpoint.revision,
        request_id: String::new(),
        validate_only: args.change.dry_run,
    };
    let reply = client.endpoints().await?.update(request).await?.into_inner();
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(&args.name))
}

async fn remove(args: RmArgs, client: &Client, out: Printer) -> Result<(), Error> {
    args.change.for_each_of(&args.names.names)?;
    for_each(&args.names, async |name| {
        let request = DeleteEndpointRequest {
            endpoint: name.to_owned(),
            request_id: args.change.request_id.clone(),
            validate_only: args.change.dry_run,
        };
        let reply = client.endpoints().await?.delete(request).await?.into_inner();
        out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(name))
    })
    .await
}
