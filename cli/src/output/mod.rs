//! What is printed on standard output.

pub(crate) mod author;
pub(crate) mod driver;
pub(crate) mod endpoint;
pub(crate) mod event;
pub(crate) mod explain;
pub(crate) mod flow;
pub(crate) mod json;
pub(crate) mod link;
pub(crate) mod network;
pub(crate) mod plan;
pub(crate) mod policy;
pub(crate) mod sandbox;
pub(crate) mod status;
pub(crate) mod table;

use std::io::{self, Write};

use postern_proto::v1::Plan;

use crate::args::Format;
use crate::args::common::ListArgs;
use crate::error::Error;
use json::Named;

/// Writes replies in the format that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// The format.
    pub format: Format,
}

impl Printer {
    /// Prints the reply to a change: as JSON, or the plan of a dry run, or `text`.
    ///
    /// # Errors
    /// Standard output fails.
    pub(crate) fn change<M: Named>(
        self,
        reply: &M,
        dry_run: Option<&Plan>,
        text: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        match (self.format, dry_run) {
            (Format::Json, _) => line(&json::pretty(reply)?),
            (Format::Table, Some(plan)) => line(&plan::table(&plan.steps)),
            (Format::Table, None) => line(&text()),
        }
    }

    /// Prints a list: as JSON, or the ids alone, or `table`.
    ///
    /// # Errors
    /// Standard output fails.
    pub(crate) fn list<M: Named>(
        self,
        reply: &M,
        args: &ListArgs,
        uids: &[&str],
        table: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        match self.format {
            Format::Json => line(&json::pretty(reply)?),
            Format::Table if args.quiet => uids.iter().try_for_each(|uid| line(&plain(uid))),
            Format::Table => line(&table()),
        }
    }
}

/// Writes one line, or several.
///
/// # Errors
/// Standard output fails.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    let written = writeln!(io::stdout().lock(), "{text}");
    written.map_err(|source| Error::Stdio { stream: "output", source })
}

/// `text` with control characters escaped: what comes from elsewhere must not drive the
/// terminal, nor break a table's lines.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// An id as it is shown: its last 12 digits, as the first ones of a UUIDv7 are the time
/// and much alike; or all of it.
pub(crate) fn id(uid: &str, whole: bool) -> String {
    if whole {
        return uid.to_owned();
    }
    let digits: Vec<char> = uid.chars().filter(|c| *c != '-').collect();
    digits.iter().skip(digits.len().saturating_sub(12)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_by_their_end() {
        let uid = "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
        assert_eq!(id(uid, false), "7c8d9e0f1a2b");
        assert_eq!(id(uid, true), uid);
        assert_eq!(id("ab", false), "ab");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(plain("é\t\u{9b}x\u{7f}"), "é\\t\\u{9b}x\\u{7f}");
    }
}
