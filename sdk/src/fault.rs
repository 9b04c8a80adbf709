//! Faults made and shown.

use std::fmt;

use crate::{Fault, Violation};

impl Fault {
    /// A field of the request is wrong.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(Violation { field: field.into(), description: description.into() })
    }

    /// An option is wrong: a fault of the field `options["<key>"]`.
    pub fn invalid_option(key: &str, description: impl Into<String>) -> Self {
        Self::invalid(format!("options[\"{key}\"]"), description)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}
