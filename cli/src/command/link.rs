//! `postern link`.

use std::io::Write;

use postern_proto::v1::{
    AddLinkRequest, GetEnvironmentRequest, ListSandboxesRequest, ListSandboxesResponse,
    RemoveLinkRequest, Sandbox,
};

use super::{dry, sandbox};
use crate::args::Format;
use crate::args::link::{AddArgs, EnvArgs, LinkCommand, LsArgs, RmArgs};
use crate::client::{Client, pages};
use crate::error::Error;
use crate::output::{self, Printer, json, plain};

/// Runs one verb.
///
/// # Errors
/// It could not be done.
pub(super) async fn run(command: LinkCommand, client: &Client, out: Printer) -> Result<(), Error> {
    match command {
        LinkCommand::Add(args) => add(args, client, out).await,
        LinkCommand::Ls(args) => list(args, client, out).await,
        LinkCommand::Env(args) => environment(args, client, out).await,
        LinkCommand::Rm(args) => remove(args, client, out).await,
    }
}

async fn add(args: AddArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let alias = args.link.alias.clone();
    let request = AddLinkRequest {
        sandbox: args.sandbox,
        link: Some(args.link),
        request_id: args.change.request_id.clone(),
        validate_only: args.change.dry_run,
    };
    let reply = client.sandboxes().await?.add_link(request).await?.into_inner();
    let added = reply.sandbox.as_ref();
    warn_of(added, |of| of.eq_ignore_ascii_case(&alias));
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(&alias))
}

/// Says on standard error which links of a sandbox do not work yet, and why.
pub(super) fn warn(sandbox: Option<&Sandbox>) {
    warn_of(sandbox, |_| true);
}

fn warn_of(sandbox: Option<&Sandbox>, which: impl Fn(&str) -> bool) {
    let links = sandbox.into_iter().flat_map(|sandbox| &sandbox.links);
    for status in links.filter(|status| !status.reason.is_empty()) {
        let alias = status.link.as_ref().map_or("", |link| link.alias.as_str());
        if which(alias) {
            // A warning that cannot be written is lost; what was asked for is done.
            let _ = writeln!(
                std::io::stderr(),
                "warning: link `{}` does not work yet: {}",
                plain(alias),
                plain(&status.reason)
            );
        }
    }
}

async fn list(args: LsArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let mut sandboxes = Vec::new();
    for name in &args.sandboxes {
        sandboxes.push(sandbox::get(client, name.clone()).await?);
    }
    if args.sandboxes.is_empty() {
        sandboxes = pages(async |page| {
            let request = ListSandboxesRequest { page: Some(page), filter: None };
            let reply = client.sandboxes().await?.list(request).await?.into_inner();
            Ok((reply.sandboxes, reply.next_token))
        })
        .await?;
        sandboxes.retain(|sandbox| !sandbox.links.is_empty());
    }
    let reply = ListSandboxesResponse { sandboxes, next_token: String::new() };
    match out.format {
        Format::Json => output::line(&json::pretty(&reply)?),
        Format::Table => output::line(&output::link::table(&reply.sandboxes)),
    }
}

async fn environment(args: EnvArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = GetEnvironmentRequest { sandbox: args.sandbox };
    let reply = client.sandboxes().await?.get_environment(request).await?.into_inner();
    match out.format {
        Format::Json => output::line(&json::pretty(&reply)?),
        Format::Table => reply.variables.iter().try_for_each(|variable| {
            output::line(&format!("{}={}", variable.name, plain(&variable.value)))
        }),
    }
}

async fn remove(args: RmArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = RemoveLinkRequest {
        sandbox: args.sandbox,
        alias: args.alias.clone(),
        request_id: args.change.request_id.clone(),
        validate_only: args.change.dry_run,
    };
    let reply = client.sandboxes().await?.remove_link(request).await?.into_inner();
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(&args.alias))
}
