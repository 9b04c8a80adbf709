//! What a refused call says.

use std::fmt;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A refusal taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// The fields that `google.rpc.BadRequest` names, in its order.
    pub fields: Vec<String>,
    /// The reason of `google.rpc.ErrorInfo`; empty if there is none.
    pub reason: String,
    /// The text for people.
    pub message: String,
}

impl Refusal {
    /// Takes a status apart.
    pub fn of(status: &Status) -> Self {
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
        let fields = violations.unwrap_or_default().into_iter().map(|one| one.field).collect();
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        Self { code: status.code(), fields, reason, message: status.message().to_owned() }
    }

    /// The refusal of a call that must be refused.
    ///
    /// # Panics
    /// The call went through.
    #[track_caller]
    pub fn expect<T: fmt::Debug>(result: Result<T, Status>) -> Self {
        match result {
            Ok(answer) => panic!("not refused: {answer:?}"),
            Err(status) => Self::of(&status),
        }
    }

    /// Asserts the code, that `field` is among the fields named, and that there is a
    /// reason and a text.
    ///
    /// # Panics
    /// Something of it does not hold.
    #[track_caller]
    pub fn assert(&self, code: Code, field: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(field.is_empty() || self.fields.iter().any(|f| f == field), "{field}: {self:?}");
        assert!(!self.message.is_empty(), "no message: {self:?}");
        assert!(!self.reason.is_empty(), "no ErrorInfo.reason: {self:?}");
    }
}
