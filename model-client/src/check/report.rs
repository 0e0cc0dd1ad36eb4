//! The texts of a check. Pure.

use std::fmt;

use shared::config::Model;

use crate::ModelError;

/// The column of the findings.
const LABEL_WIDTH: usize = 26;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// The whole text.
    Works(String),
    /// The server answered, but the model did not do what was asked.
    Unable(String),
    /// The server refused the request.
    Refused(String),
    /// There is no answer, for a reason that may pass.
    Unknown(String),
    /// Why the probe sent nothing.
    NotTried(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works(text) => f.write_str(text),
            Self::Unable(text) => write!(f, "does not work: {text}"),
            Self::Refused(text) => write!(f, "refused: {text}"),
            Self::Unknown(text) => write!(f, "not known: {text}"),
            Self::NotTried(text) => write!(f, "not tried: {text}"),
        }
    }
}

/// What one probe found.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    /// A line for the models file.
    pub(super) setting: Option<String>,
}

impl Finding {
    pub(super) const fn new(outcome: Outcome) -> Self {
        Self { outcome, setting: None }
    }

    pub(super) fn works(text: impl Into<String>) -> Self {
        Self::new(Outcome::Works(text.into()))
    }

    pub(super) fn unable(text: impl Into<String>) -> Self {
        Self::new(Outcome::Unable(text.into()))
    }

    pub(super) fn not_tried(text: impl Into<String>) -> Self {
        Self::new(Outcome::NotTried(text.into()))
    }

    pub(super) fn with(mut self, setting: Option<String>) -> Self {
        self.setting = setting;
        self
    }
}

impl From<ModelError> for Finding {
    fn from(error: ModelError) -> Self {
        let text = error.to_string();
        Self::new(match error {
            ModelError::Auth(_)
            | ModelError::Quota(_)
            | ModelError::Refused(_)
            | ModelError::Rejected(_)
            | ModelError::ContextLength { .. } => Outcome::Refused(text),
            ModelError::Unusable(_) => Outcome::Unable(text),
            ModelError::RateLimited(..)
            | ModelError::Unavailable(..)
            | ModelError::Silent(_)
            | ModelError::Unreachable(_) => Outcome::Unknown(text),
        })
    }
}

pub(super) fn heading(model: &Model) -> String {
    let address = model.base_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    format!("{} ({}, {})", model.id, address.unwrap_or_default(), model.model)
}

/// One line, also for a server whose words have several lines, or hold codes for a terminal.
pub(super) fn line(label: &str, outcome: &Outcome) -> String {
    let text = outcome.to_string();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = words.chars().filter(|c| !c.is_control()).collect();
    format!("  {label:<LABEL_WIDTH$}{text}")
}

/// Lines of the models file. A later line replaces an earlier one of the same setting.
pub(super) fn merged(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let mut merged: Vec<String> = Vec::new();
    for line in lines {
        merged.retain(|other| key(other) != key(&line));
        merged.push(line);
    }
    merged
}

pub(super) fn settings_block(lines: &[String]) -> String {
    if lines.is_empty() {
        return "Settings for the models file: none needed.".to_owned();
    }
    format!("Settings for the models file:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned_and_have_one_line() {
        let lines = [
            line("stream", &Outcome::Works("works, 12 pieces".to_owned())),
            line("call without arguments", &Outcome::Unable("the model called no tool".to_owned())),
            line("JSON schema", &Outcome::Refused("HTTP 400:\n  no such\nfield".to_owned())),
        ];
        let expected = [
            "  stream                    works, 12 pieces",
            "  call without arguments    does not work: the model called no tool",
            "  JSON schema               refused: HTTP 400: no such field",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_later_setting_replaces_an_earlier_one() {
        let lines = ["stream = false", "structured_output = \"words\"", "structured_output = \"tool\""];
        let merged = merged(lines.map(str::to_owned));
        assert_eq!(
            settings_block(&merged),
            "Settings for the models file:\nstream = false\nstructured_output = \"tool\""
        );
        assert_eq!(settings_block(&[]), "Settings for the models file: none needed.");
    }

    #[test]
    fn a_refusal_is_no_inability() {
        let finding = |error| Finding::from(error).outcome.to_string();
        assert!(finding(ModelError::Rejected("HTTP 400".to_owned())).starts_with("refused: "));
        assert!(finding(ModelError::Unusable("no JSON".to_owned())).starts_with("does not work: "));
        assert!(finding(ModelError::unavailable("no connection")).starts_with("not known: "));
    }
}
