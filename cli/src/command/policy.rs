//! `postern policy`.

use postern_proto::v1::{
    ApplyPolicyRequest, DeletePolicyRequest, ExplainRequest, Filter, GetPolicyCountersRequest,
    GetPolicyRequest, ListPoliciesRequest, ListPoliciesResponse, Policy,
};

use super::{dry, for_each, inspect, read_text};
use crate::args::Format;
use crate::args::policy::{ApplyArgs, ExplainArgs, LsArgs, OneName, PolicyCommand, RmArgs};
use crate::client::{Client, pages};
use crate::error::{Error, required};
use crate::output::{self, Printer, json, plain};
use crate::parse::{flow, pairs, policies};

/// Runs one verb.
///
/// # Errors
/// It could not be done.
pub(super) async fn run(
    command: PolicyCommand,
    client: &Client,
    out: Printer,
) -> Result<(), Error> {
    match command {
        PolicyCommand::Apply(args) => apply(args, client, out).await,
        PolicyCommand::Ls(args) => list(args, client, out).await,
        PolicyCommand::Inspect(names) => {
            inspect(&names, async |name| get(client, name).await).await
        }
        PolicyCommand::Counters(OneName { name }) => counters(name, client, out).await,
        PolicyCommand::Rm(args) => remove(args, client, out).await,
    }
}

/// Every document is read before the first is applied: a file that is wrong changes nothing.
async fn apply(args: ApplyArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let mut requests = Vec::new();
    for file in &args.files {
        let found = policies::documents(&read_text(file)?);
        let found = found.map_err(|why| Error::usage(format!("{}: {why}", file.display())))?;
        requests.extend(found);
    }
    if requests.len() > 1 && !args.change.request_id.is_empty() {
        return Err(Error::usage("--request-id names one request; give one document with it"));
    }
    for request in requests {
        let request = ApplyPolicyRequest {
            request_id: args.change.request_id.clone(),
            validate_only: args.change.dry_run,
            ..request
        };
        let reply = client.policies().await?.apply(request).await?.into_inner();
        // What policies come to is told by pairs; the plan of elements is for programs.
        out.change(&reply, None, || output::policy::applied(&reply, args.change.dry_run))?;
    }
    Ok(())
}

async fn list(args: LsArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let filter = Filter { labels: pairs::map(&args.label), ..Filter::default() };
    let policies = pages(async |page| {
        let request = ListPoliciesRequest { page: Some(page), filter: Some(filter.clone()) };
        let reply = client.policies().await?.list(request).await?.into_inner();
        Ok((reply.policies, reply.next_token))
    })
    .await?;
    let reply = ListPoliciesResponse { policies, next_token: String::new() };
    let uids: Vec<_> = reply.policies.iter().map(|policy| policy.uid.as_str()).collect();
    out.list(&reply, &args.list, &uids, || {
        output::policy::table(&reply.policies, args.list.no_trunc)
    })
}

async fn get(client: &Client, policy: String) -> Result<Policy, Error> {
    let reply = client.policies().await?.get(GetPolicyRequest { policy }).await?.into_inner();
    required(reply.policy, "no policy")
}

async fn counters(policy: String, client: &Client, out: Printer) -> Result<(), Error> {
    let request = GetPolicyCountersRequest { policy };
    let reply = client.policies().await?.get_counters(request).await?.into_inner();
    match out.format {
        Format::Json => output::line(&json::pretty(&reply)?),
        Format::Table => output::line(&output::policy::counters(&reply.counters)),
    }
}

async fn remove(args: RmArgs, client: &Client, out: Printer) -> Result<(), Error> {
    args.change.for_each_of(&args.names.names)?;
    for_each(&args.names, async |name| {
        let request = DeletePolicyRequest {
            policy: name.to_owned(),
            request_id: args.change.request_id.clone(),
            validate_only: args.change.dry_run,
        };
        let reply = client.policies().await?.delete(request).await?.into_inner();
        out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(name))
    })
    .await
}

/// Says why a flow may begin, or not.
///
/// # Errors
/// The daemon refuses.
pub(super) async fn explain(args: ExplainArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = ExplainRequest {
        from: Some(flow::end(&args.from)),
        to: Some(flow::end(&args.to)),
        what: Some(args.what),
        published: args.published,
        ipv6: args.ipv6,
    };
    let reply = client.policies().await?.explain(request).await?.into_inner();
    match out.format {
        Format::Json => output::line(&json::pretty(&reply)?),
        Format::Table => output::line(&output::explain::text(&reply)),
    }
}
