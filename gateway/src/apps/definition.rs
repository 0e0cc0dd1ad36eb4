//! An agent app as a TOML file: read and checked whole, every mistake named. Pure.

use serde_json::json;
use shared::apps::{AppDefinition, InputType};
use shared::config::ModelsFile;
use shared::text::check_json;

use super::inputs::wrong;

/// Bytes of an app file.
const MAX_FILE_BYTES: usize = 256 * 1024;
const MAX_NAME_CHARS: usize = 100;
const MAX_INPUTS: usize = 50;
/// Every wrong input's message lists all names.
const MAX_INPUT_NAME_BYTES: usize = 64;
/// Names of tools that this build's workers have: none yet.
const KNOWN_TOOLS: [&str; 0] = [];

/// Why a file is no app.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// Not TOML of this shape.
    #[error("not an app file: {0}")]
    Parse(#[from] toml::de::Error),
    /// Mistakes, each in a line.
    #[error("the app has {} mistake(s):\n  - {}", .0.len(), .0.join("\n  - "))]
    Mistakes(Vec<String>),
}

/// Reads and checks an app file.
pub fn parse_definition(text: &str, models: &ModelsFile) -> Result<AppDefinition, DefinitionError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(DefinitionError::Mistakes(vec![format!(
            "the file is longer than {MAX_FILE_BYTES} bytes"
        )]));
    }
    let mut unknown = Vec::new();
    let definition: AppDefinition =
        serde_ignored::deserialize(toml::Deserializer::parse(text)?, |path| unknown.push(path.to_string()))?;
    let mut mistakes: Vec<_> =
        unknown.iter().map(|path| format!("{path} is unknown; leave it out")).collect();
    if let Err(refusal) = check_json(&json!(definition)) {
        mistakes.push(refusal.to_string());
    }
    mistakes.extend(self::mistakes(&definition, models));
    if mistakes.is_empty() { Ok(definition) } else { Err(DefinitionError::Mistakes(mistakes)) }
}

fn mistakes(app: &AppDefinition, models: &ModelsFile) -> Vec<String> {
    let mut found = Vec::new();
    if app.name.trim().is_empty() || app.name.chars().count() > MAX_NAME_CHARS {
        found.push(format!("name must have 1 to {MAX_NAME_CHARS} characters"));
    }
    if app.prompt.trim().is_empty() {
        found.push("prompt must not be empty".to_owned());
    }
    let names: Vec<_> = app.inputs.iter().map(|field| field.name.as_str()).collect();
    if let Err(error) = shared::prompt::check(&app.prompt, &names) {
        found.push(format!("prompt {error}"));
    }
    if names.len() > MAX_INPUTS {
        found.push(format!("at most {MAX_INPUTS} inputs are possible"));
    }
    for (index, field) in app.inputs.iter().enumerate() {
        let name = &field.name;
        if name.len() > MAX_INPUT_NAME_BYTES {
            found.push(format!("inputs[{index}]: name must have at most {MAX_INPUT_NAME_BYTES} characters"));
        }
        let is_identifier = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_identifier {
            found.push(format!(
                "inputs[{index}]: name {name:?} must be letters, digits and _, beginning with a letter"
            ));
        }
        if names[..index].contains(&name.as_str()) {
            found.push(format!("inputs[{index}]: name {name:?} stands twice"));
        }
        if (field.r#type == InputType::Select) == field.options.is_empty() {
            found.push(format!("inputs[{index}]: options are needed by type \"select\", and only there"));
        }
        if let Some(default) = &field.default
            && let Some(what) = wrong(field, default)
        {
            found.push(format!("inputs[{index}]: default: {what}"));
        }
    }
    if let Some(model) = &app.model
        && models.get(model).is_none()
    {
        let known: Vec<_> = models.all().iter().map(|model| model.id.as_str()).collect();
        found.push(format!("model {model:?} is not in CAPI_MODELS; known are: {}", known.join(", ")));
    }
    for tool in app.tools.iter().filter(|tool| !KNOWN_TOOLS.contains(&tool.as_str())) {
        found.push(format!("tools: {tool:?} is unknown; this version has no tools yet"));
    }
    let limits = [
        ("steps", app.limits.steps, 1000),
        ("seconds", app.limits.seconds, 86_400),
        ("tokens", app.limits.tokens, 100_000_000),
    ];
    for (name, limit, most) in limits {
        if limit == 0 || limit > most {
            found.push(format!("limits.{name} must be 1 to {most}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let models = "[[models]]\nid='m'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\nmodel='m'";
        match parse_definition(text, &toml::from_str(models).expect("a models file")) {
            Ok(app) => format!("{} is fine", app.name),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_mistake_is_named() {
        insta::assert_snapshot!(said(
            r#"
            name = " "
            prompt = "{{ text }} {{ nobody }}"
            colour = "red"
            model = "gpt"
            tools = ["shell"]
            limits = { steps = 0, minutes = 5 }
            [[inputs]]
            name = "text"
            type = "select"
            [[inputs]]
            name = "text"
            type = "number"
            default = "one"
            "#
        ), @r#"
        the app has 10 mistake(s):
          - colour is unknown; leave it out
          - limits.minutes is unknown; leave it out
          - name must have 1 to 100 characters
          - prompt uses "nobody", which is no input field
          - inputs[0]: options are needed by type "select", and only there
          - inputs[1]: name "text" stands twice
          - inputs[1]: default: the input "text" must be a number
          - model "gpt" is not in CAPI_MODELS; known are: m
          - tools: "shell" is unknown; this version has no tools yet
          - limits.steps must be 1 to 1000
        "#);
        assert!(said("name = 'a'\nprompt = 3").starts_with("not an app file: "));
    }

    #[test]
    fn nul_is_refused_however_it_is_spelt() {
        let with =
            |instructions: &str| said(&format!("name = 'a'\nprompt = 'p'\ninstructions = {instructions}"));
        for spelt in [r#""\u0000""#, r#""\U00000000""#] {
            assert!(with(spelt).contains("U+0000"), "{spelt}: {}", with(spelt));
        }
        assert_eq!(with(r"'a backslash: \u0000'"), "a is fine");
    }
}
