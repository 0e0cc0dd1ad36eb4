//! A create against one version of its app: pure.

use serde_json::Value;
use shared::apps::InputType;
use shared::config::ModelsFile;
use shared::ids::RunId;

use super::request::CreateRequest;
use crate::apps::{CurrentApp, check_inputs};
use crate::error::ApiError;
use crate::mistake::quoted;

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
    models: &ModelsFile,
) -> Result<Valid, ApiError> {
    if app.archived {
        return Err(ApiError::AppArchived);
    }
    let inputs = check_inputs(&app.definition.inputs, &body.inputs).map_err(ApiError::InvalidInputs)?;
    let asked = body.chat_model_id.as_deref().or(app.definition.model.as_deref());
    let model = match asked {
        None => models.default_model(),
        Some(id) => models.get(id).ok_or_else(|| ApiError::UnknownModel {
            asked: quoted(id),
            known: models.all().iter().map(|model| model.id.clone()).collect(),
        })?,
    };
    if !app.definition.tools.is_empty() && !model.tools {
        return Err(ApiError::ModelLacksTools {
            asked: model.id.clone(),
            able: models.all().iter().filter(|model| model.tools).map(|model| model.id.clone()).collect(),
        });
    }
    Ok(Valid { inputs: Value::Object(inputs), model: model.id.clone() })
}

/// The first text input, else the short id.
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
