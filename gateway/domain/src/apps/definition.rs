//! The definition of an agent app: read from TOML or JSON and checked as a whole; every error is listed.

use std::fmt;

use shared::apps::AppDefinition;
use shared::config::Plan;
use shared::definition_checker::CheckError;

pub use self::checks::{Checks, check_ceilings, check_definition};
pub use self::file::{DefinitionFile, memory_of_toml};
pub use self::to_toml::to_toml;

use self::file::Parsed;
use crate::{FieldError, MAX_FIELD_ERRORS, Refusal};

mod checks;
mod file;
#[cfg(test)]
mod tests;
mod to_toml;

/// Bytes of a definition as it is stored.
const MAX_STORED_BYTES: usize = 256 * 1024;

/// Why a file is not an app.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("not an app file: {0}")]
    Parse(DefinitionFieldError),
    #[error("the app has {} error(s):\n  - {}", .0.len(), lines(.0))]
    Invalid(Vec<DefinitionFieldError>),
    #[error(transparent)]
    Unavailable(#[from] CheckError),
}

impl From<DefinitionError> for Refusal {
    fn from(error: DefinitionError) -> Self {
        let errors = match error {
            DefinitionError::Parse(error) => vec![error],
            DefinitionError::Invalid(errors) => errors,
            DefinitionError::Unavailable(error) => return error.into(),
        };
        let field = |error: &DefinitionFieldError| {
            FieldError::new(error.pointer.as_str(), error.code, error.to_string())
        };
        Self::InvalidApp(errors.iter().take(MAX_FIELD_ERRORS).map(field).collect())
    }
}

/// An error in a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionFieldError {
    /// The path in the file: `prompt`, `inputs[0]`, `limits.steps`.
    pub at: String,
    pub message: String,
    /// Whether the message names the path itself.
    names_path: bool,
    /// The path as a JSON pointer (RFC 6901).
    pointer: String,
    /// For programs.
    code: &'static str,
}

impl DefinitionFieldError {
    /// An error whose message begins with the path.
    fn naming(at: &str, message: impl Into<String>) -> Self {
        Self { names_path: true, ..Self::at(at, message) }
    }

    /// An error whose message needs the path in front of it.
    pub fn at(at: impl Into<String>, message: impl Into<String>) -> Self {
        let at = at.into();
        Self { pointer: pointer_of(&at), at, message: message.into(), names_path: false, code: "invalid" }
    }

    fn with_code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    fn with_pointer(self, pointer: String) -> Self {
        Self { pointer, ..self }
    }
}

impl fmt::Display for DefinitionFieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names_path { f.write_str(&self.message) } else { write!(f, "{}: {}", self.at, self.message) }
    }
}

/// `/inputs/0` for `inputs[0]`.
fn pointer_of(at: &str) -> String {
    let parts = at.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty());
    parts.map(|part| format!("/{part}")).collect::<Vec<_>>().concat()
}

fn lines(errors: &[DefinitionFieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  - ")
}

/// Reads and checks an app file in TOML, whatever the plan of its account allows.
pub async fn parse_definition(text: &str, with: Checks<'_>) -> Result<AppDefinition, DefinitionError> {
    parse_for_plan(DefinitionFile::Toml(text.to_owned()), with, ("", None)).await
}

/// Reads and checks what an account sends or imports as an app: the file, the definition, and the ceilings of
/// the account's plan.
pub async fn parse_for_plan(
    file: DefinitionFile,
    with: Checks<'_>,
    (plan_name, plan): (&str, Option<&Plan>),
) -> Result<AppDefinition, DefinitionError> {
    let parsing = tokio::task::spawn_blocking(move || file::parse(file)).await;
    let unfinished = |error: tokio::task::JoinError| CheckError::Unavailable(error.to_string());
    let Parsed { definition, mut errors } = parsing.map_err(unfinished)?.map_err(DefinitionError::Parse)?;
    errors.extend(check_definition(&definition, with).await?);
    errors.extend(check_ceilings(&definition, plan_name, plan));
    if errors.is_empty() { Ok(definition) } else { Err(DefinitionError::Invalid(errors)) }
}
