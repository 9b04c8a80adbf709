//! `postern sandbox`.

use postern_proto::v1::sandbox_spec::Namespace;
use postern_proto::v1::{
    CreateSandboxRequest, DeleteSandboxRequest, DnsConfig, GetSandboxRequest, ListSandboxesRequest,
    ListSandboxesResponse, QuarantineSandboxRequest, ReleaseSandboxRequest, Sandbox, SandboxSpec,
    UpdateSandboxRequest,
};

use super::{dry, for_each, inspect};
use crate::args::sandbox::{
    CreateArgs, LsArgs, QuarantineArgs, RmArgs, SandboxCommand, UpdateArgs,
};
use crate::client::{Client, pages};
use crate::error::{Error, required};
use crate::output::{self, Printer, plain};
use crate::parse::{filter, pairs};

/// Runs one verb.
///
/// # Errors
/// It could not be done.
pub(super) async fn run(
    command: SandboxCommand,
    client: &Client,
    out: Printer,
) -> Result<(), Error> {
    match command {
        SandboxCommand::Create(args) => create(*args, client, out).await,
        SandboxCommand::Ls(args) => list(args, client, out).await,
        SandboxCommand::Inspect(names) => {
            inspect(&names, async |name| get(client, name).await).await
        }
        SandboxCommand::Update(args) => update(args, client, out).await,
        SandboxCommand::Quarantine(args) => quarantine(args, client, out).await,
        SandboxCommand::Release(args) => release(args, client, out).await,
        SandboxCommand::Rm(args) => remove(args, client, out).await,
    }
}

async fn create(args: CreateArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let request = CreateSandboxRequest {
        request_id: args.change.request_id.clone(),
        validate_only: args.change.dry_run,
        name: args.name.clone(),
        spec: Some(spec(args)?),
    };
    let dry_run = request.validate_only;
    let reply = client.sandboxes().await?.create(request).await?.into_inner();
    let uid = reply.sandbox.as_ref().map_or("", |sandbox| &sandbox.uid);
    super::link::warn(reply.sandbox.as_ref());
    out.change(&reply, dry(dry_run, &reply.plan)?, || plain(uid))
}

fn spec(args: CreateArgs) -> Result<SandboxSpec, Error> {
    let namespace = namespace(&args)?;
    let dns = DnsConfig { servers: args.dns, search: args.dns_search, options: args.dns_option };
    Ok(SandboxSpec {
        namespace,
        labels: pairs::map(&args.label),
        hostname: args.hostname,
        domain_name: args.domainname,
        dns: (dns != DnsConfig::default()).then_some(dns),
        extra_hosts: args.add_host,
        links: args.link,
        environment: pairs::map(&args.env),
    })
}

fn namespace(args: &CreateArgs) -> Result<Option<Namespace>, Error> {
    if let Some(path) = &args.netns {
        let path = path.to_str().ok_or_else(|| Error::usage("--netns: the path is not UTF-8"))?;
        return Ok(Some(Namespace::Path(path.to_owned())));
    }
    if args.host {
        return Ok(Some(Namespace::Host(())));
    }
    Ok(args.pid.map(Namespace::Pid))
}

async fn list(args: LsArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let filter = filter::common(&args.filter).map_err(|why| Error::usage(why.to_string()))?;
    let sandboxes = pages(async |page| {
        let request = ListSandboxesRequest { page: Some(page), filter: Some(filter.clone()) };
        let reply = client.sandboxes().await?.list(request).await?.into_inner();
        Ok((reply.sandboxes, reply.next_token))
    })
    .await?;
    let reply = ListSandboxesResponse { sandboxes, next_token: String::new() };
    let uids: Vec<_> = reply.sandboxes.iter().map(|sandbox| sandbox.uid.as_str()).collect();
    out.list(&reply, &args.list, &uids, || {
        output::sandbox::table(&reply.sandboxes, args.list.no_trunc)
    })
}

/// Returns one sandbox.
///
/// # Errors
/// There is none of that name.
pub(super) async fn get(client: &Client, sandbox: String) -> Result<Sandbox, Error> {
    let reply = client.sandboxes().await?.get(GetSandboxRequest { sandbox }).await?.into_inner();
    required(reply.sandbox, "no sandbox")
}

async fn update(args: UpdateArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let sandbox = get(client, args.name.clone()).await?;
    let mut labels = required(sandbox.spec, "a sandbox without a spec")?.labels;
    pairs::change(&mut labels, &args.labels.label_add, &args.labels.label_rm);
    let request = UpdateSandboxRequest {
        // By uid: another sandbox may have taken the name since it was read.
        sandbox: sandbox.uid,
        labels,
        revision: sandbox.revision,
        request_id: String::new(),
        validate_only: args.change.dry_run,
    };
    let reply = client.sandboxes().await?.update(request).await?.into_inner();
    out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(&args.name))
}

async fn remove(args: RmArgs, client: &Client, out: Printer) -> Result<(), Error> {
    args.change.for_each_of(&args.names.names)?;
    for_each(&args.names, async |name| {
        let request = DeleteSandboxRequest {
            sandbox: name.to_owned(),
            force: args.force,
            request_id: args.change.request_id.clone(),
            validate_only: args.change.dry_run,
        };
        let reply = client.sandboxes().await?.delete(request).await?.into_inner();
        out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(name))
    })
    .await
}

async fn quarantine(args: QuarantineArgs, client: &Client, out: Printer) -> Result<(), Error> {
    args.change.for_each_of(&args.names.names)?;
    for_each(&args.names, async |name| {
        let request = QuarantineSandboxRequest {
            sandbox: name.to_owned(),
            request_id: args.change.request_id.clone(),
            validate_only: args.change.dry_run,
        };
        let reply = client.sandboxes().await?.quarantine(request).await?.into_inner();
        out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(name))
    })
    .await
}

async fn release(args: QuarantineArgs, client: &Client, out: Printer) -> Result<(), Error> {
    args.change.for_each_of(&args.names.names)?;
    for_each(&args.names, async |name| {
        let request = ReleaseSandboxRequest {
            sandbox: name.to_owned(),
            request_id: args.change.request_id.clone(),
            validate_only: args.change.dry_run,
        };
        let reply = client.sandboxes().await?.release(request).await?.into_inner();
        out.change(&reply, dry(args.change.dry_run, &reply.plan)?, || plain(name))
    })
    .await
}
