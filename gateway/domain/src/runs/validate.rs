//! Validates a create against one version of its app. Pure.

use serde_json::Value;
use shared::apps::{AppDefinition, InputType};
use shared::config::{Model, ModelsFile, SearchFile};
use shared::ids::RunId;
use shared::media_types::MAX_PICTURES;
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
    (models, search): (&ModelsFile, &SearchFile),
) -> Result<Valid, Refusal> {
    if app.archived {
        return Err(Refusal::AppArchived);
    }
    // The app was saved when the installation had the provider.
    if let Some(missing) = search.missing_for(&app.definition) {
        return Err(Refusal::SearchMissing(missing));
    }
    Refusal::unless_empty(wrong_files(&app.definition, files, models))?;
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
    check_pictures(&app.definition, files, model, models)?;
    Ok(Valid { inputs: Value::Object(inputs), model: model.id.clone() })
}

/// Refuses pictures that the model cannot be shown, unless a tool opens them.
fn check_pictures(
    app: &AppDefinition,
    files: &[GivenFile],
    model: &Model,
    models: &ModelsFile,
) -> Result<(), Refusal> {
    let mut pictures = files.iter().filter(|file| file.is_picture());
    if !model.vision {
        if app.opens_pictures() || pictures.next().is_none() {
            return Ok(());
        }
        let able = models.all().iter().filter(|model| model.vision && (model.tools || app.tools.is_empty()));
        let able = able.map(|model| model.id.clone()).collect();
        return Err(Refusal::ModelLacksVision { asked: model.id.clone(), able });
    }
    // A program opens the pictures that the model is not shown.
    match pictures.nth(MAX_PICTURES).filter(|_| !app.opens_pictures()) {
        None => Ok(()),
        Some(one_too_many) => {
            let message = format!("the model is shown at most {MAX_PICTURES} pictures; send fewer");
            Err(Refusal::invalid(FieldError::part(quoted(&one_too_many.part), "too_many", message)))
        }
    }
}

/// Errors for files that the app does not take.
fn wrong_files(app: &AppDefinition, files: &[GivenFile], models: &ModelsFile) -> Vec<FieldError> {
    if files.is_empty() {
        return Vec::new();
    }
    if !app.reads_files()
        && let Some(unread) = files.iter().find(|file| !file.is_picture())
    {
        let sees = models.all().iter().any(|model| model.vision);
        let except = if sees { " except pictures (PNG, JPEG, WebP, GIF)" } else { "" };
        let readers = FILE_READERS.join(", ");
        let message = format!("the app takes no files{except}: it has none of the tools {readers}");
        return vec![FieldError::part(quoted(&unread.part), "unsupported", message)];
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

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &str = "image/png";

    fn models() -> ModelsFile {
        let model = |id: &str, more: &str| {
            format!(
                "[[models]]\nid='{id}'\nname='n'\nprovider='openai'\nbase_url='http://h/v1'\nmodel='m'\n\
                 {more}\n"
            )
        };
        let blind = model("blind", "") + &model("seeing", "vision=true");
        toml::from_str(&(blind + &model("eyes", "vision=true\ntools=false"))).unwrap()
    }

    fn app(tools: &[&str]) -> AppDefinition {
        serde_json::from_value(serde_json::json!({"name": "a", "prompt": "p", "tools": tools})).unwrap()
    }

    #[test]
    fn a_picture_needs_a_model_that_sees_it_or_a_tool_that_opens_it() {
        let models = models();
        let refused = |tools: &[&str], model: &str, media_type: &str| {
            let (app, files) = (app(tools), [GivenFile::of_type("files", media_type)]);
            let wrong = wrong_files(&app, &files, &models);
            if let Some(error) = wrong.first() {
                return error.code.to_owned();
            }
            match check_pictures(&app, &files, models.get(model).unwrap(), &models) {
                Ok(()) => String::new(),
                Err(Refusal::ModelLacksVision { asked, able }) => {
                    format!("{asked} lacks, {}", able.join(" "))
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        for (tools, model, media_type, expected) in [
            (&[][..], "seeing", PNG, ""),
            (&[], "eyes", PNG, ""),
            (&[], "blind", PNG, "blind lacks, seeing eyes"),
            (&["current_time"], "blind", PNG, "blind lacks, seeing"),
            (&["read_file"], "blind", PNG, "blind lacks, seeing"),
            (&["read_file"], "seeing", PNG, ""),
            (&["python"], "blind", PNG, ""),
            (&["shell"], "blind", PNG, ""),
            (&["read_file"], "blind", "text/csv", ""),
            (&[], "seeing", "text/csv", "unsupported"),
            (&[], "seeing", "image/svg+xml", "unsupported"),
        ] {
            assert_eq!(refused(tools, model, media_type), expected, "{tools:?} {model} {media_type}");
        }
    }

    #[test]
    fn a_model_is_shown_so_many_pictures() {
        let models = models();
        let check = |count: usize, tools: &[&str], model: &str| {
            let files: Vec<_> = (0..count).map(|_| GivenFile::of_type("files", PNG)).collect();
            check_pictures(&app(tools), &files, models.get(model).unwrap(), &models)
        };
        assert!(check(MAX_PICTURES, &[], "seeing").is_ok());
        let refused = check(MAX_PICTURES + 1, &[], "seeing");
        assert!(matches!(&refused, Err(Refusal::InvalidRequest(what, _)) if what.contains("at most 20")));
        for model in ["blind", "seeing"] {
            assert!(check(MAX_PICTURES + 1, &["python"], model).is_ok(), "the program opens them");
        }
        assert!(check(MAX_PICTURES + 1, &["read_file"], "seeing").is_err(), "no program does");
    }
}
