//! The answer of a program that reads a document.

use serde::Deserialize;
use shared::text::CleanText;

use super::limits::MAX_ANSWER_BYTES;
use super::{DocumentKind, DocumentText};

/// Bytes of the facts about a document: some of them quote it.
const MAX_ABOUT_BYTES: usize = 1000;

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(super) enum Answer {
    Text {
        text: String,
        facts: Vec<String>,
    },
    Encrypted,
    /// A format from before 2007, or a binary one.
    OldFormat,
    /// Every page is a picture.
    Scanned {
        pages: u64,
    },
    NoText,
    Damaged {
        why: String,
    },
    /// A ZIP bomb.
    UnpacksTooLarge {
        part: String,
        bytes: u64,
    },
    TooSlow,
    TooMuchMemory,
    /// The kit is older than the program.
    MissingPackage {
        name: String,
    },
}

impl Answer {
    /// The label of the metric.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Encrypted => "encrypted",
            Self::OldFormat => "old_format",
            Self::Scanned { .. } => "scanned",
            Self::NoText => "no_text",
            Self::Damaged { .. } => "damaged",
            Self::UnpacksTooLarge { .. } => "unpacks_too_large",
            Self::TooSlow => "too_slow",
            Self::TooMuchMemory => "too_much_memory",
            Self::MissingPackage { .. } => "missing_package",
        }
    }

    /// The text, or a sentence for the model.
    pub(super) fn into_text(self, kind: DocumentKind) -> Result<DocumentText, String> {
        Err(match self {
            Self::Text { text, facts } => {
                let clean = |text: &str, max| CleanText::new(text, max).into_string();
                let max = usize::try_from(MAX_ANSWER_BYTES).unwrap_or(usize::MAX);
                return Ok(DocumentText {
                    text: clean(&text, max),
                    about: clean(&facts.join(", "), MAX_ABOUT_BYTES),
                });
            }
            Self::Encrypted => format!(
                "The {kind} document is encrypted: it needs a password. Ask for a copy without one, or for \
                 its text."
            ),
            Self::OldFormat => format!(
                "The document is in an older or binary format of Office, not {kind}. Ask for it as {kind}."
            ),
            Self::Scanned { pages } => format!(
                "The PDF has no text layer: its {pages} page(s) are pictures, as from a scanner. Turn pages \
                 into pictures with a program (pdftoppm) if you can see pictures; otherwise ask for its text."
            ),
            Self::NoText => format!("The {kind} document holds no text."),
            Self::Damaged { why } => {
                format!("The document cannot be read as {kind}; it is damaged, or of another type: {why}.")
            }
            Self::UnpacksTooLarge { part, bytes } => format!(
                "The {kind} document was not read: its part {part:?} unpacks to {bytes} bytes, as in a ZIP \
                 bomb."
            ),
            Self::TooSlow => {
                format!(
                    "The {kind} document was not read: it takes too long. Use a program for a part of it."
                )
            }
            Self::TooMuchMemory => format!(
                "The {kind} document was not read: that takes too much memory. Use a program for a part of \
                 it."
            ),
            Self::MissingPackage { name } => format!(
                "This worker cannot read {kind} documents: its Python has no package {name:?}. Use a \
                 program, or tell the user that the operator must prepare the sandbox's Python again."
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_the_programs_write_them() {
        let read = |text: &str| serde_json::from_str::<Answer>(text).unwrap();
        let text = read(r#"{"outcome": "text", "text": "a\u0000b", "facts": ["PDF", "2 page(s)"]}"#);
        let about = "PDF, 2 page(s)".to_owned();
        let expected = DocumentText { text: "a\u{fffd}b".to_owned(), about };
        assert_eq!(text.into_text(DocumentKind::Pdf), Ok(expected));
        for (answer, outcome, word) in [
            (r#"{"outcome": "encrypted"}"#, "encrypted", "password"),
            (r#"{"outcome": "old_format"}"#, "old_format", "older"),
            (r#"{"outcome": "scanned", "pages": 3}"#, "scanned", "3 page(s) are pictures"),
            (r#"{"outcome": "no_text"}"#, "no_text", "no text"),
            (r#"{"outcome": "damaged", "why": "x"}"#, "damaged", "damaged"),
            (r#"{"outcome": "unpacks_too_large", "part": "a", "bytes": 9}"#, "unpacks_too_large", "bomb"),
            (r#"{"outcome": "too_slow"}"#, "too_slow", "too long"),
            (r#"{"outcome": "too_much_memory"}"#, "too_much_memory", "memory"),
            (r#"{"outcome": "missing_package", "name": "pypdf"}"#, "missing_package", "\"pypdf\""),
        ] {
            let read = read(answer);
            assert_eq!(read.outcome(), outcome);
            let why = read.into_text(DocumentKind::Docx).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
