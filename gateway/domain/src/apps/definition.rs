//! The definition of an agent app: parsed from TOML and validated as a whole; every error is listed.

use std::fmt;

use shared::apps::{AppDefinition, Output};

pub use self::checks::{Checks, check_ceilings, check_definition};

mod checks;
#[cfg(test)]
mod tests;

/// Bytes of an app file.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// Why a file is not an app.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    #[error("not an app file: {0}")]
    Parse(#[from] toml::de::Error),
    #[error("the app has {} error(s):\n  - {}", .0.len(), lines(.0))]
    Invalid(Vec<DefinitionFieldError>),
    #[error("{0}")]
    Unavailable(String),
}

/// An error in a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionFieldError {
    /// The path in the file: `prompt`, `inputs[0]`, `limits.steps`.
    pub at: String,
    pub message: String,
    /// Whether the message names the path itself.
    names_path: bool,
}

impl DefinitionFieldError {
    /// An error whose message begins with the path.
    fn naming(at: &str, message: impl Into<String>) -> Self {
        Self { at: at.to_owned(), message: message.into(), names_path: true }
    }

    /// An error whose message needs the path in front of it.
    pub fn at(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into(), names_path: false }
    }
}

impl fmt::Display for DefinitionFieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names_path { f.write_str(&self.message) } else { write!(f, "{}: {}", self.at, self.message) }
    }
}

fn lines(errors: &[DefinitionFieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  - ")
}

/// Parses and validates an app file.
pub async fn parse_definition(text: &str, with: Checks<'_>) -> Result<AppDefinition, DefinitionError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(DefinitionError::Invalid(vec![DefinitionFieldError::naming(
            "",
            format!("the file is longer than {MAX_FILE_BYTES} bytes"),
        )]));
    }
    let mut unknown = Vec::new();
    let mut definition: AppDefinition =
        serde_ignored::deserialize(toml::Deserializer::parse(text)?, |path| unknown.push(path.to_string()))?;
    let mut errors: Vec<_> = unknown
        .iter()
        .map(|path| DefinitionFieldError::naming(path, format!("{path} is unknown; leave it out")))
        .collect();
    if let Some(output) = &mut definition.output {
        errors.extend(read_schema(output));
    }
    let found = check_definition(&definition, with).await;
    errors.extend(found.map_err(|error| DefinitionError::Unavailable(error.to_string()))?);
    if errors.is_empty() { Ok(definition) } else { Err(DefinitionError::Invalid(errors)) }
}

/// A schema may be written as JSON in a string: most schemas exist as JSON.
fn read_schema(output: &mut Output) -> Option<DefinitionFieldError> {
    let text = output.schema.as_str()?;
    match serde_json::from_str(text) {
        Ok(schema) => {
            output.schema = schema;
            None
        }
        Err(error) => {
            Some(DefinitionFieldError::naming("output.schema", format!("output.schema is not JSON: {error}")))
        }
    }
}
