//! `postern status`, `drift` and `reconcile`.

use postern_proto::v1::{GetDriftRequest, GetInfoRequest, PlanStep, ReconcileRequest};

use crate::args::Format;
use crate::client::Client;
use crate::error::Error;
use crate::output::json::{self, Named};
use crate::output::{self, Printer, plan, status};

/// Shows what the daemon is.
///
/// # Errors
/// The call fails.
pub(super) async fn status(client: &Client, out: Printer) -> Result<(), Error> {
    let reply = client.system().await?.get_info(GetInfoRequest {}).await?.into_inner();
    match out.format {
        Format::Json => output::line(&json::pretty(&reply)?),
        Format::Table => output::line(&status::text(&reply)),
    }
}

/// Shows how the kernel differs.
///
/// # Errors
/// The call fails.
pub(super) async fn drift(client: &Client, out: Printer) -> Result<(), Error> {
    let reply = client.system().await?.get_drift(GetDriftRequest {}).await?.into_inner();
    steps(&reply, &reply.steps, out)?;
    match (&reply.last_repair, out.format) {
        (Some(repair), Format::Table) => output::line(&plan::repair(repair)),
        _ => Ok(()),
    }
}

/// Repairs what differs.
///
/// # Errors
/// The call fails.
pub(super) async fn reconcile(client: &Client, out: Printer) -> Result<(), Error> {
    let reply = client.system().await?.reconcile(ReconcileRequest {}).await?.into_inner();
    steps(&reply, &reply.steps, out)
}

fn steps<M: Named>(reply: &M, steps: &[PlanStep], out: Printer) -> Result<(), Error> {
    match out.format {
        Format::Json => output::line(&json::pretty(reply)?),
        Format::Table => output::line(&plan::table(steps)),
    }
}
