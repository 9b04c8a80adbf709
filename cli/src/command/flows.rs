//! `postern flows`.

use postern_proto::v1::watch_flows_request::Of;
use postern_proto::v1::watch_flows_response::Item;
use postern_proto::v1::{WatchFlowsRequest, WatchFlowsResponse};

use crate::args::Format;
use crate::args::system::{FlowsArgs, FlowsOf};
use crate::client::Client;
use crate::error::{Error, required};
use crate::output::{self, Printer, flow, json};

/// Prints flows until interrupted.
///
/// # Errors
/// The daemon refuses or goes, or standard output fails.
pub(super) async fn run(args: FlowsArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let FlowsArgs { of: FlowsOf { sandbox, endpoint, network }, dropped, audit } = args;
    let of = sandbox.map(Of::Sandbox).or(endpoint.map(Of::Endpoint)).or(network.map(Of::Network));
    let request = WatchFlowsRequest { of, dropped_only: dropped, audit_only: audit };
    let mut stream = client.flows().await?.watch(request).await?.into_inner();
    while let Some(reply) = stream.message().await? {
        print(reply, out)?;
    }
    Err(Error::Gone)
}

fn print(reply: WatchFlowsResponse, out: Printer) -> Result<(), Error> {
    if out.format == Format::Json {
        return output::line(&json::value(&reply)?.to_string());
    }
    match required(reply.item, "a flow without content")? {
        Item::Flow(flow) => output::line(&flow::line(&flow)),
        // On standard output, between the flows where the gap is.
        Item::Lost(count) => output::line(&flow::lost(count)),
    }
}
