//! `postern events`.

use postern_proto::v1::watch_events_response::Item;
use postern_proto::v1::{ObjectKind, WatchEventsRequest, WatchEventsResponse};

use crate::args::Format;
use crate::args::system::EventsArgs;
use crate::client::Client;
use crate::error::{Error, required};
use crate::output::{self, Printer, event, json};

/// Prints events until interrupted.
///
/// # Errors
/// The daemon refuses or goes, or standard output fails.
pub(super) async fn run(args: EventsArgs, client: &Client, out: Printer) -> Result<(), Error> {
    let kinds = args.kind.into_iter().map(|kind| ObjectKind::from(kind).into()).collect();
    let request = WatchEventsRequest { after_generation: args.since, kinds };
    let mut stream = client.events().await?.watch(request).await?.into_inner();
    while let Some(reply) = stream.message().await? {
        print(reply, out)?;
    }
    Err(Error::Gone)
}

fn print(reply: WatchEventsResponse, out: Printer) -> Result<(), Error> {
    if out.format == Format::Json {
        return output::line(&json::value(&reply)?.to_string());
    }
    match required(reply.item, "an event without content")? {
        Item::Event(event) => output::line(&event::line(&event)),
        // On standard output, between the events where the gap is.
        Item::Lost(lost) => output::line(&event::lost(&lost)),
    }
}
