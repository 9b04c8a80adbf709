//! `postern network`.

use std::io::{self, Write};
use std::time::SystemTime;

use postern_proto::v1::{
    CreateNetworkRequest, DeleteNetworkRequest, GetNetworkRequest, ListNetworksRequest,
    ListNetworksResponse, ListPeersRequest, Network, NetworkSpec, PruneNetworksRequest,
    PruneNetworksResponse, UpdateNetworkRequest,
};

use super::{dry, for_each, inspect};
use crate::args::Format;
use crate::args::network::{CreateArgs, LsArgs, NetworkCommand, PruneArgs, RmArgs, UpdateArgs};
use crate::client::{Client, pages};
use crate::error::{Error, required};
use crate::output::{self, Printer, json, plain};
use crate::parse::{filter, pairs, subnets};

/// Runs one verb.
///
/// # Errors
/// It could not be done.
pub(super) async fn run(
    command: NetworkCommand,
    client: &Client,
    out: Printer,
) -> Result<(), Error> {
    match command {
        NetworkCommand::Create(args) => create(*args, client, out).await,
        NetworkCommand::Ls(args) => list(args, client, out).await,
        NetworkCommand::Inspect(names) => {
            inspect(&names, async |name| with_peers(client, get(client, name).await?).await).await
        }
        NetworkCommand::Update(args) => update(args, client, out).await,
        NetworkCommand::Rm(args) => remove(args, client, out).await,
        NetworkCommand::Prune(args) => prune(args, client, out).await,
    }
}

async fn create(args: CreateArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = CreateNetworkRequest {
        spec: Some(spec(&args)?),
        name: args.name,
        request_id: args.change.request_id.clone(),
        validate_only: args.change.dry_run,
    };
    let reply = client.networks().await?.create(request).await?.into_inner();
    let uid = reply.network.as_ref().map_or("", |network| &network.uid);
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(uid))
}

fn spec(args: &CreateArgs) -> Result<NetworkSpec, Error> {
    let subnets = subnets::pair(&args.subnet, &args.ip_range, &args.gateway, &args.aux_address);
    Ok(NetworkSpec {
        driver: args.driver.clone(),
        subnets: subnets.map_err(|why| Error::usage(why.to_string()))?,
        ipv4: args.ipv4,
        ipv6: args.ipv6,
        internal: args.internal,
        icc: args.icc,
        mtu: args.mtu,
        labels: pairs::map(&args.label),
        options: pairs::map(&args.opt),
        dns_servers: args.dns.clone(),
    })
}

async fn list(args: LsArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let filter = filter::networks(&args.filter).map_err(|why| Error::usage(why.to_string()))?;
    let mut networks = pages(async |page| {
        let request = ListNetworksRequest { page: Some(page), ..filter.request.clone() };
        let reply = client.networks().await?.list(request).await?.into_inner();
        Ok((reply.networks, reply.next_token))
    })
    .await?;
    networks.retain(|network| filter.passes(network));
    let reply = ListNetworksResponse { networks, next_token: String::new() };
    let uids: Vec<_> = reply.networks.iter().map(|network| network.uid.as_str()).collect();
    out.list(&reply, &args.list, &uids, || {
        output::network::table(&reply.networks, args.list.no_trunc)
    })
}

async fn get(client: &Client, network: String) -> Result<Network, Error> {
    let reply = client.networks().await?.get(GetNetworkRequest { network }).await?.into_inner();
    required(reply.network, "no network")
}

/// A network with the endpoints that it has on other hosts.
async fn with_peers(client: &Client, network: Network) -> Result<Network, Error> {
    if network.peer_count == 0 {
        return Ok(network);
    }
    let peers = pages(async |page| {
        let request = ListPeersRequest { network: network.uid.clone(), page: Some(page) };
        let reply = client.networks().await?.list_peers(request).await?.into_inner();
        Ok((reply.peers, reply.next_token))
    });
    Ok(Network { peers: peers.await?, ..network })
}

async fn update(args: UpdateArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let network = get(client, args.name.clone()).await?;
    let mut spec = required(network.spec, "a network without a spec")?;
    spec.icc = args.icc.or(spec.icc);
    pairs::change(&mut spec.labels, &args.labels.label_add, &args.labels.label_rm);
    pairs::change(&mut spec.options, &args.opt_add, &args.opt_rm);
    let request = UpdateNetworkRequest {
        // By uid: another network may have taken the name since it was read.
        network: network.uid,
        spec: Some(spec),
        revision: network.revision,
        request_id: String::new(),
        validate_only: args.change.dry_run,
    };
    let reply = client.networks().await?.update(request).await?.into_inner();
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(&args.name))
}

async fn remove(args: RmArgs, client: &Client, out: Printer) -> Result<(), Error> {
    args.change.for_each_of(&args.names.names)?;
    for_each(&args.names, async |name| {
        let request = DeleteNetworkRequest {
            network: name.to_owned(),
            request_id: args.change.request_id.clone(),
            validate_only: args.change.dry_run,
        };
        let reply = client.networks().await?.delete(request).await?.into_inner();
        out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(name))
    })
    .await
}

async fn prune(args: PruneArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = filter::prune(&args.filter, SystemTime::now())
        .map_err(|why| Error::usage(why.to_string()))?;
    if args.dry_run || !args.force {
        let rehearsal = PruneNetworksRequest { validate_only: true, ..request.clone() };
        let reply = client.networks().await?.prune(rehearsal).await?.into_inner();
        if args.dry_run || reply.names.is_empty() {
            return pruned(&reply, out);
        }
        confirm(&reply.names)?;
    }
    let reply = client.networks().await?.prune(request).await?.into_inner();
    pruned(&reply, out)
}

fn pruned(reply: &PruneNetworksResponse, out: Printer) -> Result<(), Error> {
    match out.format {
        Format::Json => output::line(&json::pretty(reply)?),
        Format::Table => reply.names.iter().try_for_each(|name| output::line(&plain(name))),
    }
}

/// Asks on standard error and reads the answer from standard input.
fn confirm(names: &[String]) -> Result<(), Error> {
    let list = names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
    let mut stderr = io::stderr().lock();
    // Whoever closed standard error has chosen not to see the question.
    let _ = write!(stderr, "Delete {list}? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|source| Error::Stdio { stream: "input", source })?;
    if !answer.ends_with('\n') {
        let _ = writeln!(stderr);
    }
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::NotConfirmed),
    }
}
