//! Collects every wrong field of a request, so that a client sees all of them at once.

use std::fmt::Display;
use std::str::FromStr;

use postern_model::refusal::{FieldViolation, Refusal};

/// The violations found so far.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<FieldViolation>);

impl Fields {
    /// Notes that a field is wrong.
    pub(crate) fn wrong(&mut self, field: impl Into<String>, description: impl Display) {
        let (field, description) = (field.into(), description.to_string());
        self.0.push(FieldViolation { field, description });
    }

    /// The value, or nothing and a note.
    pub(crate) fn take<T, E: Display>(
        &mut self,
        field: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(field, error);
                None
            }
        }
    }

    /// A text that may be empty, which means nothing.
    pub(crate) fn optional<T>(&mut self, field: impl Into<String>, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        if text.is_empty() { None } else { self.take(field, text.parse()) }
    }

    /// A text that must be there.
    pub(crate) fn required<T>(&mut self, field: impl Into<String>, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.take(field, text.parse())
    }

    /// Every entry of a list of at most so many.
    pub(crate) fn all<T, U>(
        &mut self,
        (path, max): (&str, usize),
        given: Vec<T>,
        parse: impl Fn(&mut Self, String, T) -> Option<U>,
    ) -> Option<Vec<U>> {
        if given.len() > max {
            self.wrong(path, format!("{} entries, at most {max} are allowed", given.len()));
            return None;
        }
        // Collected first, so that every wrong entry is named and not only the first.
        let parsed: Vec<_> = given
            .into_iter()
            .enumerate()
            .map(|(index, entry)| parse(self, format!("{path}[{index}]"), entry))
            .collect();
        parsed.into_iter().collect()
    }

    /// The whole, if every part was right.
    pub(crate) fn finish<T>(self, whole: Option<T>) -> Result<T, Refusal> {
        match whole {
            Some(whole) if self.0.is_empty() => Ok(whole),
            _ => Err(Refusal::fields(self.0)),
        }
    }
}
