//! The definition of an agent app: parsed from TOML and validated as a whole; every error is listed.

use std::fmt;

use serde_json::json;
use shared::apps::{AppDefinition, InputField, InputType, Output};
use shared::config::{ModelsFile, Plan};
use shared::definition_checker::{CheckError, DefinitionChecker};
use shared::ids::UserId;
use shared::limits::{Limit, Limits};
use shared::text::check_json;
use shared::tools::{FILE_READERS, TOOLS};

use super::fetch_rules::errors_of_fetch;
use super::inputs::wrong;

/// Bytes of an app file.
const MAX_FILE_BYTES: usize = 256 * 1024;
const MAX_NAME_CHARS: usize = 100;
const MAX_INPUTS: usize = 50;
/// The message of each wrong input lists all names.
const MAX_INPUT_NAME_BYTES: usize = 64;

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

/// What a definition is checked with.
#[derive(Clone, Copy)]
pub struct Checks<'a> {
    pub models: &'a ModelsFile,
    pub checker: &'a DefinitionChecker,
    /// The account that the app belongs to.
    pub account: UserId,
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

/// All errors of a definition, whatever face it came from. Fails if its prompt or its schema could not be
/// checked.
pub async fn check_definition(
    app: &AppDefinition,
    with: Checks<'_>,
) -> Result<Vec<DefinitionFieldError>, CheckError> {
    let mut found = errors_of_texts(app);
    if let Some(why) = with.refusal_of_prompt(app).await? {
        found.push(DefinitionFieldError::naming("prompt", format!("prompt {why}")));
    }
    found.extend(errors_of_inputs(app));
    if let Some(model) = &app.model
        && with.models.get(model).is_none()
    {
        let known: Vec<_> = with.models.all().iter().map(|model| model.id.as_str()).collect();
        let message = format!("model {model:?} is not in CAPI_MODELS; known are: {}", known.join(", "));
        found.push(DefinitionFieldError::naming("model", message));
    }
    found.extend(errors_of_tools(app, with.models));
    if let Some(why) = with.refusal_of_schema(app).await? {
        found.push(DefinitionFieldError::at("output.schema", why));
    }
    found.extend(errors_of_limits(&app.limits));
    found.extend(errors_of_fetch(&app.fetch));
    Ok(found)
}

impl Checks<'_> {
    async fn refusal_of_prompt(&self, app: &AppDefinition) -> Result<Option<String>, CheckError> {
        let names: Vec<_> = app.inputs.iter().map(|field| field.name.as_str()).collect();
        refusal(self.checker.check_prompt(self.account, &app.prompt, &names).await)
    }

    async fn refusal_of_schema(&self, app: &AppDefinition) -> Result<Option<String>, CheckError> {
        let Some(output) = &app.output else { return Ok(None) };
        refusal(self.checker.check_schema(self.account, &output.schema).await)
    }
}

fn refusal(checked: Result<(), CheckError>) -> Result<Option<String>, CheckError> {
    match checked {
        Ok(()) => Ok(None),
        Err(CheckError::Refused(why)) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

fn errors_of_texts(app: &AppDefinition) -> Vec<DefinitionFieldError> {
    let mut found = Vec::new();
    let stored = json!(app);
    if let Err(refusal) = check_json(&stored) {
        found.push(DefinitionFieldError::naming("", refusal.to_string()));
    }
    if stored.to_string().len() > MAX_FILE_BYTES {
        found
            .push(DefinitionFieldError::naming("", format!("the app is longer than {MAX_FILE_BYTES} bytes")));
    }
    if app.name.trim().is_empty() || app.name.chars().count() > MAX_NAME_CHARS {
        found.push(DefinitionFieldError::naming(
            "name",
            format!("name must have 1 to {MAX_NAME_CHARS} characters"),
        ));
    }
    if app.prompt.trim().is_empty() {
        found.push(DefinitionFieldError::naming("prompt", "prompt must not be empty"));
    }
    found
}

fn errors_of_inputs(app: &AppDefinition) -> Vec<DefinitionFieldError> {
    let mut found = Vec::new();
    let names: Vec<_> = app.inputs.iter().map(|field| field.name.as_str()).collect();
    if names.len() > MAX_INPUTS {
        found.push(DefinitionFieldError::naming(
            "inputs",
            format!("at most {MAX_INPUTS} inputs are possible"),
        ));
    }
    for (index, field) in app.inputs.iter().enumerate() {
        let wrong = errors_of_field(app, field, names[..index].contains(&field.name.as_str()));
        found.extend(
            wrong.into_iter().map(|message| DefinitionFieldError::at(format!("inputs[{index}]"), message)),
        );
    }
    found
}

fn errors_of_field(app: &AppDefinition, field: &InputField, named_before: bool) -> Vec<String> {
    let (mut found, name) = (Vec::new(), &field.name);
    if name.len() > MAX_INPUT_NAME_BYTES {
        found.push(format!("name must have at most {MAX_INPUT_NAME_BYTES} characters"));
    }
    let is_identifier = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_identifier {
        found.push(format!("name {name:?} must be letters, digits and _, beginning with a letter"));
    }
    if named_before {
        found.push(format!("name {name:?} appears twice"));
    }
    if (field.r#type == InputType::Select) == field.options.is_empty() {
        found.push("options are needed by type \"select\", and only there".to_owned());
    }
    if field.r#type == InputType::File && !app.reads_files() {
        found.push(format!("a file needs a tool that reads it: one of {}", FILE_READERS.join(", ")));
    }
    match &field.default {
        Some(_) if field.r#type == InputType::File => found.push("a file has no default".to_owned()),
        Some(default) => found.extend(wrong(field, default).map(|what| format!("default: {what}"))),
        None => {}
    }
    found
}

fn errors_of_tools(app: &AppDefinition, models: &ModelsFile) -> Vec<DefinitionFieldError> {
    let mut found = Vec::new();
    for (index, tool) in app.tools.iter().enumerate() {
        if !TOOLS.contains(&tool.as_str()) {
            found.push(DefinitionFieldError::at(
                "tools",
                format!("{tool:?} is unknown; known are: {}", TOOLS.join(", ")),
            ));
        } else if app.tools[..index].contains(tool) {
            found.push(DefinitionFieldError::at("tools", format!("{tool:?} appears twice")));
        }
    }
    // A run may name another model, but the app's own model must fit.
    if let Some(model) = app.model.as_deref().and_then(|id| models.get(id))
        && !app.tools.is_empty()
        && !model.tools
    {
        let message = format!("the model {:?} cannot call tools; choose another one", model.id);
        found.push(DefinitionFieldError::at("tools", message));
    }
    found
}

fn errors_of_limits(limits: &Limits) -> Vec<DefinitionFieldError> {
    let error = |limit: &Limit| {
        let at = format!("limits.{}", limit.name);
        DefinitionFieldError::naming(&at, format!("{at} must be 1 to {}", limit.highest))
    };
    limits.out_of_range().map(error).collect()
}

/// The app's limits that exceed the plan's ceilings. A plan may become smaller later: a run has the plan's
/// limits then.
#[must_use]
pub fn check_ceilings(app: &AppDefinition, name: &str, plan: Option<&Plan>) -> Vec<DefinitionFieldError> {
    let error = |(limit, ceiling): (&Limit, u32)| {
        let at = format!("limits.{}", limit.name);
        DefinitionFieldError::naming(&at, format!("{at} must be at most {ceiling} on the plan {name}"))
    };
    plan.into_iter().flat_map(|plan| app.limits.above(plan)).map(error).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(text: &str) -> String {
        let model = |id: &str| {
            format!(
                "[[models]]\nid='{id}'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\n\
                 model='m'\ntools={}\n",
                id == "m"
            )
        };
        let models = model("m") + &model("plain");
        let models: ModelsFile = toml::from_str(&models).expect("a models file");
        let checker = DefinitionChecker::start().expect("a checker");
        let with = Checks { models: &models, checker: &checker, account: UserId::generate() };
        match parse_definition(text, with).await {
            Ok(app) => format!("{} is fine", app.name),
            Err(error) => error.to_string().replace(&TOOLS.join(", "), "TOOLS"),
        }
    }

    #[tokio::test]
    async fn every_fault_is_listed() {
        let listed = said(
            r#"
            name = " "
            prompt = "{{ text }} {{ nobody }}"
            colour = "red"
            model = "gpt"
            tools = ["telephone", "fetch_url", "fetch_url"]
            limits = { steps = 0, minutes = 5, tool_calls = 2001 }
            output = { schema = { type = "objekt" } }
            fetch = { hosts = ["*", "A.e.org", "a.e.org."], urls = "known", sites = [] }
            [[inputs]]
            name = "text"
            type = "select"
            [[inputs]]
            name = "text"
            type = "number"
            default = "one"
            "#,
        );
        insta::assert_snapshot!(listed.await, @r#"
    the app has 16 error(s):
      - colour is unknown; leave it out
      - fetch.sites is unknown; leave it out
      - limits.minutes is unknown; leave it out
      - name must have 1 to 100 characters
      - prompt uses "nobody", which is not an input field
      - inputs[0]: options are needed by type "select", and only there
      - inputs[1]: name "text" appears twice
      - inputs[1]: default: the input "text" must be a number
      - model "gpt" is not in CAPI_MODELS; known are: m, plain
      - tools: "telephone" is unknown; known are: TOOLS
      - tools: "fetch_url" appears twice
      - output.schema: "objekt" is not valid under any of the schemas listed in the 'anyOf' keyword (at /type)
      - limits.steps must be 1 to 1000
      - limits.tool_calls must be 1 to 2000
      - fetch.hosts: "*" allows every host; leave hosts out instead
      - fetch.hosts: "a.e.org." appears twice
    "#);
        assert!(said("name = 'a'\nprompt = 3").await.starts_with("not an app file: "));
    }

    #[tokio::test]
    async fn a_schema_is_toml_or_json_and_tools_need_a_model_that_calls_them() {
        let with = async |more: &str| said(&format!("name = 'a'\nprompt = 'p'\n{more}")).await;
        assert_eq!(with("output.schema = { type = 'object' }").await, "a is fine");
        assert_eq!(with(r#"output.schema = '{"type": "object"}'"#).await, "a is fine");
        assert!(with("output.schema = '{'").await.contains("output.schema is not JSON"));
        assert!(with("output.schema = 3").await.contains("must be a JSON Schema"));
        assert!(with("output = { scheme = {} }").await.contains("schema"));
        assert_eq!(with("tools = ['fetch_url']\nmodel = 'm'").await, "a is fine");
        assert!(with("tools = ['fetch_url']\nmodel = 'plain'").await.contains("cannot call tools"));
    }

    #[tokio::test]
    async fn nul_is_refused_however_it_is_spelt() {
        let with = async |instructions: &str| {
            said(&format!("name = 'a'\nprompt = 'p'\ninstructions = {instructions}")).await
        };
        for spelt in [r#""\u0000""#, r#""\U00000000""#] {
            assert!(with(spelt).await.contains("U+0000"), "{spelt}: {}", with(spelt).await);
        }
        assert_eq!(with(r"'a backslash: \u0000'").await, "a is fine");
    }
}
