//! Messages of the API in proto3 JSON, so that a file and a request are one thing.

use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::Value;

use crate::output::json::{self, Named};

/// A message from its JSON; unknown fields are refused by name.
///
/// # Errors
/// It is none, in words.
pub(crate) fn message<M: Named + Default>(document: Value) -> Result<M, String> {
    let descriptor = json::descriptor::<M>()?;
    let message =
        DynamicMessage::deserialize(descriptor, document).map_err(|error| error.to_string())?;
    M::decode(message.encode_to_vec().as_slice()).map_err(|error| error.to_string())
}

/// A line of a file is not what is asked for.
#[derive(Debug, thiserror::Error)]
#[error("line {number}: {why}")]
pub(crate) struct InvalidLine {
    /// Counted from 1.
    number: usize,
    why: String,
}

/// The messages of a file that has one on each line, each with the number of its line;
/// empty lines are passed over.
///
/// # Errors
/// The first line that is none.
pub(crate) fn lines<M: Named + Default>(text: &str) -> Result<Vec<(usize, M)>, InvalidLine> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.map(|(number, line)| {
        let document = serde_json::from_str(line).map_err(|error| error.to_string());
        let parsed = document.and_then(message);
        parsed.map(|one| (number, one)).map_err(|why| InvalidLine { number, why })
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::ConnectRequest;

    use super::*;

    #[test]
    fn a_message_on_each_line() {
        let text = "\n{\"network\": \"blue\", \"sandbox\": \"a\"}\n\n  {\"sandbox\":\"b\"} \n";
        let found: Vec<(usize, ConnectRequest)> = lines(text).unwrap();
        let found: Vec<_> = found.iter().map(|(n, one)| (*n, one.sandbox.as_str())).collect();
        assert_eq!(found, [(2, "a"), (4, "b")]);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let wrong = |text| lines::<ConnectRequest>(text).unwrap_err().to_string();
        assert!(wrong("{}\n{").starts_with("line 2: EOF"), "{}", wrong("{}\n{"));
        let unknown = wrong("{\"netwrok\": \"blue\"}");
        assert!(unknown.starts_with("line 1: ") && unknown.contains("netwrok"), "{unknown}");
    }
}
