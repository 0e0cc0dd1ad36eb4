//! Validates a create against one version of its app. Pure.

use serde_json::Value;
use shared::apps::{AppDefinition, InputType};
use shared::config::ModelsFile;
use shared::ids::RunId;
use shared::tools::FILE_READERS;

use super::FILES_PART;
use super::request::CreateRequest;
use super::uploads::GivenFile;
use crate::apps::{CurrentApp, check_inputs};
use crate::suggestion::did_you_mean;
use crate::{FieldError, Refusal, quoted};

const MAX_TITLE_CHARS: usize = 80;

/// What the run will be executed with.
pub(super) struct Valid {
    /// With defaults.
    pub(super) inputs: Value,
    /// The model's id.
    pub(super) model: String,
}

pub(super) fn validate(
    app: &CurrentApp,
    body: &CreateRequest,
    files: &[GivenFile],
    models: &ModelsFile,
) -> Result<Valid, Refusal> {
    if app.archived {
        return Err(Refusal::AppArchived);
    }
    Refusal::unless_empty(wrong_files(&app.definition, files))?;
    let file = |name: &str| files.iter().find(|file| file.part == name).map(GivenFile::path);
    let inputs = check_inputs(&app.definition.inputs, &body.inputs, file).map_err(Refusal::InvalidInputs)?;
    let asked = body.chat_model_id.as_deref().or(app.definition.model.as_deref());
    let model = match asked {
        None => models.default_model(),
        Some(id) => models.get(id).ok_or_else(|| Refusal::UnknownModel {
            asked: quoted(id),
            known: models.all().iter().map(|model| model.id.clone()).collect(),
        })?,
    };
    if !app.definition.tools.is_empty() && !model.tools {
        return Err(Refusal::ModelLacksTools {
            asked: model.id.clone(),
            able: models.all().iter().filter(|model| model.tools).map(|model| model.id.clone()).collect(),
        });
    }
    Ok(Valid { inputs: Value::Object(inputs), model: model.id.clone() })
}

/// Errors for files that the app does not take.
fn wrong_files(app: &AppDefinition, files: &[GivenFile]) -> Vec<FieldError> {
    if files.is_empty() {
        return Vec::new();
    }
    if !app.reads_files() {
        let message = format!("the app takes no files: it has none of the tools {}", FILE_READERS.join(", "));
        return vec![FieldError::part(quoted(&files[0].part), "unsupported", message)];
    }
    let of_inputs = app.inputs.iter().filter(|field| field.r#type == InputType::File);
    let known: Vec<_> = of_inputs.map(|field| field.name.as_str()).chain([FILES_PART]).collect();
    let mut wrong = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let part = &quoted(&file.part);
        if !known.contains(&file.part.as_str()) {
            let meant = did_you_mean(part, known.iter().copied());
            let message = format!(
                "no input of the app takes the file {part:?}{meant}; name the part one of: {}",
                known.join(", ")
            );
            wrong.push(FieldError::part(part, "unknown", message));
        } else if file.part != FILES_PART && files[..at].iter().any(|other| other.part == file.part) {
            let message =
                format!("the input {part:?} takes one file; send others in parts named {FILES_PART:?}");
            wrong.push(FieldError::part(part, "too_many", message));
        }
    }
    wrong
}

/// The title in lists: the first text input, or else the first characters of the id.
pub(super) fn title(app: &CurrentApp, inputs: &Value, id: RunId) -> String {
    let first = app.definition.inputs.iter().filter(|field| field.r#type == InputType::Text);
    let text =
        first.filter_map(|field| inputs[&field.name].as_str()).map(str::trim).find(|text| !text.is_empty());
    match text {
        Some(text) => {
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_TITLE_CHARS).collect()
        }
        None => id.to_string().chars().take(8).collect(),
    }
}
