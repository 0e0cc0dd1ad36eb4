//! The single errors in a request, each with its location.

use serde::Serialize;

/// Where in a request an error is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// JSON pointer (RFC 6901) into the body.
    Pointer(String),
    /// A query parameter.
    Parameter(String),
    /// A header.
    Header(String),
    /// A part of a form.
    Part(String),
}

/// Errors that one answer lists: a small request must not cause a large answer.
pub const MAX_FIELD_ERRORS: usize = 20;
/// Characters of the caller's text that a message repeats.
const MAX_QUOTED_CHARS: usize = 80;

/// The caller's text, cut so that a message can repeat it.
#[must_use]
pub fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED_CHARS).collect()
}

/// One error in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    #[serde(flatten)]
    pub location: Location,
    /// For programs; never changes.
    pub code: &'static str,
    /// What is wrong and what to change.
    pub message: String,
}

impl FieldError {
    /// An error at `pointer`.
    pub fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { location: Location::Pointer(pointer.into()), code, message: message.into() }
    }

    /// An error at the member `name` of the object at `parent`.
    pub fn member(parent: &str, name: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1")), code, message)
    }

    /// An error in a query parameter.
    pub fn parameter(name: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { location: Location::Parameter(name.into()), code, message: message.into() }
    }

    /// An error in a part of a form.
    pub fn part(name: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { location: Location::Part(name.into()), code, message: message.into() }
    }

    /// An error in a header.
    pub fn header(name: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { location: Location::Header(name.into()), code, message: message.into() }
    }
}

/// All messages in one line: a client that shows only `detail` shows every error.
#[must_use]
pub fn joined(errors: &[FieldError]) -> String {
    errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ")
}
