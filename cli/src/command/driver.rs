//! `postern driver`.

use postern_proto::v1::install_driver_request::Part;
use postern_proto::v1::{
    DisableDriverRequest, Driver, EnableDriverRequest, GetDriverRequest, GrantDriverRequest,
    InstallDriverHeader, InstallDriverRequest, ListDriversRequest, RemoveDriverRequest,
};

use super::{for_each, inspect, read};
use crate::args::Format;
use crate::args::driver::{DriverCommand, GrantArgs, InstallArgs, LsArgs};
use crate::client::Client;
use crate::error::{Error, required};
use crate::output::{self, Printer, plain};

/// Bytes of a module in one message.
const CHUNK: usize = 256 << 10;

/// Runs one verb.
///
/// # Errors
/// It could not be done.
pub(super) async fn run(
    command: DriverCommand,
    client: &Client,
    out: Printer,
) -> Result<(), Error> {
    match command {
        // Done by now: it needs no connection.
        DriverCommand::Author(_) => Ok(()),
        DriverCommand::Install(args) => install(args, client, out).await,
        DriverCommand::Ls(args) => list(&args, client, out).await,
        DriverCommand::Inspect(names) => {
            inspect(&names, async |name| get(client, name).await).await
        }
        DriverCommand::Enable(names) => {
            for_each(&names, async |name| enable(name, client).await).await
        }
        DriverCommand::Disable(names) => {
            for_each(&names, async |name| disable(name, client).await).await
        }
        DriverCommand::Grant(args) => grant(args, client, out).await,
        DriverCommand::Rm(names) => for_each(&names, async |name| remove(name, client).await).await,
    }
}

async fn install(args: InstallArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let (module, grants) = (read(&args.file)?, args.grants());
    let signature = args.signature.as_deref().map(read).transpose()?.unwrap_or_default();
    let dry_run = args.change.dry_run;
    let header = InstallDriverHeader {
        grants,
        digest: args.digest,
        signature,
        upgrade: args.upgrade,
        accept_changes: args.accept_changes,
        request_id: args.change.request_id,
        validate_only: dry_run,
    };
    let pieces: Vec<InstallDriverRequest> = std::iter::once(Part::Header(header))
        .chain(module.chunks(CHUNK).map(|piece| Part::Chunk(piece.to_vec())))
        .map(|part| InstallDriverRequest { part: Some(part) })
        .collect();
    let request = tokio_stream::iter(pieces);
    let reply = client.drivers().await?.install(request).await?.into_inner();
    out.change(&reply, None, || output::driver::installed(&reply, dry_run))
}

async fn list(args: &LsArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let reply = client.drivers().await?.list(ListDriversRequest {}).await?.into_inner();
    match out.format {
        Format::Json => output::line(&output::json::pretty(&reply)?),
        Format::Table if args.quiet => {
            reply.drivers.iter().try_for_each(|driver| output::line(&plain(&driver.name)))
        }
        Format::Table => output::line(&output::driver::table(&reply.drivers)),
    }
}

async fn get(client: &Client, driver: String) -> Result<Driver, Error> {
    let reply = client.drivers().await?.get(GetDriverRequest { driver }).await?.into_inner();
    required(reply.driver, "no driver")
}

async fn enable(name: &str, client: &Client) -> Result<(), Error> {
    let request = EnableDriverRequest { driver: name.to_owned(), ..Default::default() };
    client.drivers().await?.enable(request).await?;
    output::line(&plain(name))
}

async fn disable(name: &str, client: &Client) -> Result<(), Error> {
    let request = DisableDriverRequest { driver: name.to_owned(), ..Default::default() };
    client.drivers().await?.disable(request).await?;
    output::line(&plain(name))
}

async fn grant(args: GrantArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let grants = args.grants();
    let request = GrantDriverRequest { driver: args.name, grants, ..Default::default() };
    let reply = client.drivers().await?.grant(request).await?.into_inner();
    out.change(&reply, None, || {
        reply
            .driver
            .as_ref()
            .map_or_else(String::new, |driver| output::driver::granted(driver, &reply.missing))
    })
}

async fn remove(name: &str, client: &Client) -> Result<(), Error> {
    let request = RemoveDriverRequest { driver: name.to_owned(), ..Default::default() };
    client.drivers().await?.remove(request).await?;
    output::line(&plain(name))
}
