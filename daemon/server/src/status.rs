//! Refusals as `google.rpc.Status` with details.

use std::collections::HashMap;

use postern_model::event::ObjectKind;
use postern_model::refusal::{Class, Refusal};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

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

/// The status a client gets for a refusal.
pub(crate) fn status(refusal: Refusal) -> Status {
    let mut details = ErrorDetails::with_error_info(refusal.reason, DOMAIN, HashMap::new());
    for violation in refusal.violations {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    if let Some((kind, name)) = refusal.object {
        let kind = match kind {
            ObjectKind::Network => "postern.v1.Network",
            ObjectKind::Sandbox => "postern.v1.Sandbox",
            ObjectKind::Endpoint => "postern.v1.Endpoint",
        };
        details.set_resource_info(kind, name, "", refusal.description.clone());
    }
    Status::with_error_details(code(refusal.class), refusal.description, details)
}
