//! The single mistakes in a request, each with its place.

use serde::Serialize;

/// Where in a request a mistake is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// JSON pointer (RFC 6901) into the body.
    Pointer(String),
    /// A query parameter.
    Parameter(String),
    /// A header.
    Header(String),
    /// A part of a form.
    Part(String),
}

/// Mistakes that are told at once: more help nobody, and a small request must not make a large answer.
pub const MAX_MISTAKES: usize = 20;
/// Characters of a caller's own words that are repeated.
const MAX_QUOTED_CHARS: usize = 80;

/// A caller's own words, cut for being repeated.
#[must_use]
pub fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED_CHARS).collect()
}

/// One mistake in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// For programs.
    pub code: &'static str,
    /// What is wrong and what to change.
    pub message: String,
}

impl FieldError {
    /// A mistake at `pointer`.
    pub fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { place: Place::Pointer(pointer.into()), code, message: message.into() }
    }

    /// A mistake at the member `name` of the object at `parent`.
    pub fn member(parent: &str, name: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1")), code, message)
    }

    /// A mistake in a query parameter.
    pub fn parameter(name: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { place: Place::Parameter(name.into()), code, message: message.into() }
    }

    /// A mistake in a part of a form.
    pub fn part(name: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { place: Place::Part(name.into()), code, message: message.into() }
    }

    /// A mistake in a header.
    pub fn header(name: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { place: Place::Header(name.into()), code, message: message.into() }
    }
}

/// All messages in one line; a client that shows only `detail` shows every mistake.
pub(crate) fn said(mistakes: &[FieldError]) -> String {
    mistakes.iter().map(|mistake| mistake.message.as_str()).collect::<Vec<_>>().join("; ")
}
