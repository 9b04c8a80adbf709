//! Refusals as `google.rpc.Status` with details.

use std::collections::HashMap;

use postern_model::event::ObjectKind;
use postern_model::refusal::{Class, Refusal};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

/// The domain of every `ErrorInfo` (google.rpc.ErrorInfo).
pub(crate) const DOMAIN: &str = "postern.v1";

const fn code(class: Class) -> Code {
    match class {
        Class::Invalid => Code::InvalidArgument,
        Class::NotFound => Code::NotFound,
        Class::Exists => Code::AlreadyExists,
        Class::Precondition => Code::FailedPrecondition,
        Class::Exhausted => Code::ResourceExhausted,
        Class::Aborted => Code::Aborted,
        Class::OutOfRange => Code::OutOfRange,
        Class::Unavailable => Code::Unavailable,
        Class::Internal => Code::Internal,
    }
}

/// Most violations in one status, and most bytes of one text: both go out as headers, of
/// which clients take 8 KiB and no more.
const VIOLATIONS_MAX: usize = 16;
const TEXT_MAX: usize = 160;
const MESSAGE_MAX: usize = 1024;

/// The text, cut at a character's end.
fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
    text
}

/// The status a client gets for a refusal.
pub(crate) fn status(refusal: Refusal) -> Status {
    let mut details = ErrorDetails::with_error_info(refusal.reason, DOMAIN, HashMap::new());
    let description = cut(refusal.description, MESSAGE_MAX);
    for violation in refusal.violations.into_iter().take(VIOLATIONS_MAX) {
        let (field, text) = (violation.field, violation.description);
        details.add_bad_request_violation(cut(field, TEXT_MAX), cut(text, TEXT_MAX));
    }
    if let Some((kind, name)) = refusal.object {
        let kind = match kind {
            ObjectKind::Network => "postern.v1.Network",
            ObjectKind::Sandbox => "postern.v1.Sandbox",
            ObjectKind::Endpoint => "postern.v1.Endpoint",
            ObjectKind::Policy => "postern.v1.Policy",
            ObjectKind::Driver => "postern.v1.Driver",
            ObjectKind::Peer => "postern.v1.Peer",
            ObjectKind::Kernel => "kernel",
        };
        details.set_resource_info(kind, name, "", cut(description.clone(), TEXT_MAX));
    }
    Status::with_error_details(code(refusal.class), description, details)
}

/// A status as a message, for an answer within a stream.
pub(crate) fn embedded(status: &Status) -> pb::Status {
    // What we made ourselves decodes; a status of tonic's own has no details.
    pb::Status::decode(status.details()).ok().filter(|inner| inner.code != 0).unwrap_or_else(|| {
        let (code, message) = (status.code().into(), status.message().to_owned());
        pb::Status { code, message, details: Vec::new() }
    })
}
