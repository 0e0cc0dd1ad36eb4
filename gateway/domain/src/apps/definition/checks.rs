//! What makes a definition wrong: every error is listed.

use serde_json::json;
use shared::apps::{AppDefinition, InputField, InputType};
use shared::config::{ModelsFile, Plan, SearchFile, SearchMissing};
use shared::definition_checker::{CheckError, DefinitionChecker};
use shared::ids::UserId;
use shared::limits::{Limit, Limits};
use shared::output_schema;
use shared::text::check_json;
use shared::tools::{FILE_READERS, TOOLS};

use super::{DefinitionFieldError, MAX_STORED_BYTES};
use crate::apps::fetch_rules::errors_of_fetch;
use crate::apps::inputs::wrong;
use crate::one_line;
use crate::suggestion::did_you_mean;

const MAX_NAME_CHARS: usize = 100;
const MAX_INPUTS: usize = 50;
/// The message of each wrong input lists all names.
const MAX_INPUT_NAME_BYTES: usize = 64;

/// What a definition is checked with.
#[derive(Clone, Copy)]
pub struct Checks<'a> {
    pub models: &'a ModelsFile,
    pub search: &'a SearchFile,
    pub checker: &'a DefinitionChecker,
    /// The account that the app belongs to.
    pub account: UserId,
}

/// All errors of a definition, whatever face it came from. Fails if its prompt or its schema could not be
/// checked.
pub async fn check_definition(
    app: &AppDefinition,
    with: Checks<'_>,
) -> Result<Vec<DefinitionFieldError>, CheckError> {
    let mut found = errors_of_texts(app);
    // What is too deep or too large must not be in memory while a check waits.
    let schema = app.output.as_ref().map(|output| output_schema::scan(&output.schema));
    if let Some(Err(refusal)) = schema {
        found.push(DefinitionFieldError::at("output.schema", refusal.to_string()));
        return Ok(found);
    }
    if found.iter().any(|error| error.at.is_empty()) {
        return Ok(found);
    }
    if let Some(why) = with.refusal_of_prompt(app).await? {
        found.push(DefinitionFieldError::naming("prompt", format!("prompt {why}")));
    }
    found.extend(errors_of_inputs(app, with.models));
    if let Some(model) = &app.model
        && with.models.get(model).is_none()
    {
        let known: Vec<_> = with.models.all().iter().map(|model| model.id.as_str()).collect();
        let message = format!("model {model:?} is not in CAPI_MODELS; known are: {}", known.join(", "));
        found.push(DefinitionFieldError::naming("model", message));
    }
    found.extend(errors_of_tools(app, with.models));
    found.extend(with.search.missing_for(app).map(|missing| error_of_search(&missing)));
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
    if stored.to_string().len() > MAX_STORED_BYTES {
        found.push(DefinitionFieldError::naming(
            "",
            format!("the app is longer than {MAX_STORED_BYTES} bytes"),
        ));
    }
    if let Some(wrong) = one_line::wrong_name(&app.name, MAX_NAME_CHARS) {
        found.push(DefinitionFieldError::naming("name", format!("name {wrong}")));
    }
    if app.prompt.trim().is_empty() {
        found.push(DefinitionFieldError::naming("prompt", "prompt must not be empty"));
    }
    found
}

fn errors_of_inputs(app: &AppDefinition, models: &ModelsFile) -> Vec<DefinitionFieldError> {
    let mut found = Vec::new();
    let names: Vec<_> = app.inputs.iter().map(|field| field.name.as_str()).collect();
    if names.len() > MAX_INPUTS {
        found.push(DefinitionFieldError::naming(
            "inputs",
            format!("at most {MAX_INPUTS} inputs are possible"),
        ));
    }
    let takes_files = app.reads_files() || may_see_pictures(app, models);
    for (index, field) in app.inputs.iter().enumerate() {
        let wrong = errors_of_field(field, takes_files, names[..index].contains(&field.name.as_str()));
        found.extend(
            wrong.into_iter().map(|message| DefinitionFieldError::at(format!("inputs[{index}]"), message)),
        );
    }
    found
}

/// Whether the model of a run can be one that sees pictures. A run may name another model, but the app's own
/// model must fit.
fn may_see_pictures(app: &AppDefinition, models: &ModelsFile) -> bool {
    match &app.model {
        Some(id) => models.get(id).is_some_and(|model| model.vision),
        None => models.all().iter().any(|model| model.vision),
    }
}

fn errors_of_field(field: &InputField, takes_files: bool, named_before: bool) -> Vec<String> {
    let (mut found, name) = (Vec::new(), &field.name);
    if name.len() > MAX_INPUT_NAME_BYTES {
        found.push(format!("name must have at most {MAX_INPUT_NAME_BYTES} characters"));
    }
    let is_identifier = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_identifier {
        found.push(format!("name {name:?} must be letters, digits and _, beginning with a letter"));
    }
    let label = field.label.as_deref().filter(|label| !label.is_empty());
    found.extend(label.and_then(one_line::wrong_characters).map(|wrong| format!("label {wrong}")));
    if named_before {
        found.push(format!("name {name:?} appears twice"));
    }
    if (field.r#type == InputType::Select) == field.options.is_empty() {
        found.push("options are needed by type \"select\", and only there".to_owned());
    }
    if field.r#type == InputType::File && !takes_files {
        let readers = FILE_READERS.join(", ");
        found.push(format!(
            "a file needs a tool that reads it, one of {readers}; only a picture needs none, if the app's \
             model sees pictures"
        ));
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
                format!("{tool:?} is unknown{}; known are: {}", did_you_mean(tool, TOOLS), TOOLS.join(", ")),
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

fn error_of_search(missing: &SearchMissing) -> DefinitionFieldError {
    match missing {
        SearchMissing::NoProvider => DefinitionFieldError::at("tools", missing.to_string()),
        SearchMissing::UnknownProvider { asked, known } => {
            let meant = did_you_mean(asked, known.iter().map(String::as_str));
            DefinitionFieldError::at("tools.web_search.provider", format!("{missing}{meant}"))
        }
    }
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
