//! `postern connect-many` and `postern disconnect-many`.

use std::path::Path;

use postern_proto::v1::{
    ConnectRequest, DisconnectRequest, connect_many_response, disconnect_many_response,
};
use tokio_stream::StreamExt;
use tonic::{Status, Streaming};
use tonic_types::pb;

use super::all_of;
use crate::args::Format;
use crate::args::endpoint::ManyArgs;
use crate::client::Client;
use crate::error::Error;
use crate::output::json::{self, Named};
use crate::output::{self, Printer, plain};
use crate::parse::messages;

/// Connects what the lines of a file say.
///
/// # Errors
/// Some of it could not be done; each line that was not is told.
pub(super) async fn connect(args: ManyArgs, client: &Client, out: Printer) -> Result<(), Error> {
    use connect_many_response::Outcome;
    let (lines, requests) = read::<ConnectRequest>(&args.file)?;
    let requests = tokio_stream::iter(requests);
    let answers = client.endpoints().await?.connect_many(requests).await?.into_inner();
    each(&lines, answers, |answer| {
        let done = match answer.outcome {
            Some(Outcome::Done(reply)) => {
                let name = reply.endpoint.as_ref().map_or("", |endpoint| &endpoint.name);
                Ok(shown(out, name, &reply)?)
            }
            Some(Outcome::Refused(status)) => Err(status),
            None => return Err(Error::Reply("no outcome")),
        };
        Ok((answer.index, done))
    })
    .await
}

/// Disconnects what the lines of a file say.
///
/// # Errors
/// Some of it could not be done; each line that was not is told.
pub(super) async fn disconnect(args: ManyArgs, client: &Client, out: Printer) -> Result<(), Error> {
    use disconnect_many_response::Outcome;
    let (lines, requests) = read::<DisconnectRequest>(&args.file)?;
    let names: Vec<String> = requests.iter().map(name).collect();
    let requests = tokio_stream::iter(requests);
    let answers = client.endpoints().await?.disconnect_many(requests).await?.into_inner();
    each(&lines, answers, |answer| {
        let done = match answer.outcome {
            Some(Outcome::Done(reply)) => {
                let index = usize::try_from(answer.index).unwrap_or(usize::MAX);
                Ok(shown(out, names.get(index).map_or("", |name| name), &reply)?)
            }
            Some(Outcome::Refused(status)) => Err(status),
            None => return Err(Error::Reply("no outcome")),
        };
        Ok((answer.index, done))
    })
    .await
}

fn name(request: &DisconnectRequest) -> String {
    match request.endpoint.as_str() {
        "" => format!("{} {}", request.network, request.sandbox),
        endpoint => endpoint.to_owned(),
    }
}

/// Every line is read before the first is sent: a file that is wrong changes nothing.
fn read<M: Named + Default>(file: &Path) -> Result<(Vec<usize>, Vec<M>), Error> {
    let found = messages::lines(&super::read_text(file)?);
    let found = found.map_err(|why| Error::usage(format!("{}: {why}", file.display())))?;
    Ok(found.into_iter().unzip())
}

fn shown<M: Named>(out: Printer, name: &str, reply: &M) -> Result<String, Error> {
    match out.format {
        Format::Table => Ok(plain(name)),
        // One line each, for a program that reads along.
        Format::Json => Ok(json::value(reply)?.to_string()),
    }
}

/// Prints each answer as it comes; what was refused is told at the end, by its line.
async fn each<A>(
    lines: &[usize],
    mut answers: Streaming<A>,
    mut one: impl FnMut(A) -> Result<(u64, Result<String, pb::Status>), Error>,
) -> Result<(), Error> {
    let mut refused = Vec::new();
    let mut left: Vec<Option<usize>> = lines.iter().copied().map(Some).collect();
    let broken = loop {
        let answer = match answers.next().await {
            None => break None,
            Some(Err(status)) => break Some(status),
            Some(Ok(answer)) => answer,
        };
        let (index, done) = one(answer)?;
        let line = usize::try_from(index).ok().and_then(|index| left.get_mut(index)?.take());
        let line = line.ok_or(Error::Reply("an answer to no line"))?;
        match done {
            Ok(text) => output::line(&text)?,
            Err(status) => refused.push((line, Error::from(whole(&status)))),
        }
    };
    refused.sort_by_key(|(line, _)| *line);
    let mut errors: Vec<Error> = refused.into_iter().map(|(line, why)| why.of_line(line)).collect();
    let unanswered = left.into_iter().flatten().count();
    if let Some(status) = broken {
        errors.push(Error::Unanswered { lines: unanswered, why: Box::new(status) });
    }
    all_of(errors)
}

fn whole(status: &pb::Status) -> Status {
    let details = prost::Message::encode_to_vec(status).into();
    Status::with_details(tonic::Code::from(status.code), status.message.clone(), details)
}
