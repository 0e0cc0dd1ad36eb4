//! An agent app from a TOML file: checked whole, every mistake named, stored as a new version if it changed.

use diesel::QueryableByName;
use diesel::sql_types::{Integer, Jsonb, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;
use shared::apps::{AppDefinition, InputType};
use shared::config::ModelsFile;
use shared::db::{Connection, DbError, lock_user, statement};
use shared::ids::{AppId, AppVersionId, UserId};

use super::inputs::wrong;

/// Bytes of an app file.
const MAX_FILE_BYTES: usize = 256 * 1024;
const MAX_NAME_CHARS: usize = 100;
const MAX_INPUTS: usize = 50;
/// Names of tools that this build's workers have: none yet.
const KNOWN_TOOLS: [&str; 0] = [];

/// Why a file is not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not TOML of this shape.
    #[error("not an app file: {0}")]
    Parse(#[from] toml::de::Error),
    /// Mistakes, each in a line.
    #[error("the app has {} mistake(s):\n  - {}", .0.len(), .0.join("\n  - "))]
    Mistakes(Vec<String>),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for ImportError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Reads and checks an app file.
pub fn parse_definition(text: &str, models: &ModelsFile) -> Result<AppDefinition, ImportError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(ImportError::Mistakes(vec![format!("the file is longer than {MAX_FILE_BYTES} bytes")]));
    }
    if text.contains("\\u0000") {
        return Err(ImportError::Mistakes(vec!["a string holds the character U+0000".to_owned()]));
    }
    let definition: AppDefinition = toml::from_str(text)?;
    let mistakes = mistakes(&definition, models);
    if mistakes.is_empty() { Ok(definition) } else { Err(ImportError::Mistakes(mistakes)) }
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

#[derive(QueryableByName)]
struct ExistingRow {
    #[diesel(sql_type = SqlUuid)]
    id: AppId,
    #[diesel(sql_type = Integer)]
    current_version: i32,
    #[diesel(sql_type = Nullable<Jsonb>)]
    definition: Option<serde_json::Value>,
}

/// Stores the definition as the user's app of that name; an unchanged one makes no new version. Returns the app and
/// its version.
pub async fn import(
    conn: &mut Connection,
    user: UserId,
    definition: &AppDefinition,
) -> Result<(AppId, i32), ImportError> {
    let stored = json!(definition);
    conn.build_transaction()
        .run(async |conn| {
            // Two imports at once would both make the same version.
            lock_user(conn, user).await?;
            let existing: Option<ExistingRow> = statement(
                "SELECT a.id, a.current_version, v.definition
                 FROM apps a LEFT JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
                 WHERE a.user_id = $1 AND a.name = $2 AND a.archived_at IS NULL",
            )
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Text, _>(&definition.name)
            .load(conn)
            .await?
            .pop();
            let (app, version) = match existing {
                Some(row) if row.definition.as_ref() == Some(&stored) => return Ok((row.id, row.current_version)),
                Some(row) => (row.id, row.current_version + 1),
                None => (AppId::generate(), 1),
            };
            statement(
                "INSERT INTO apps (id, user_id, name, current_version) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (id) DO UPDATE SET current_version = EXCLUDED.current_version, updated_at = capi_now()",
            )
            .bind::<SqlUuid, _>(app.uuid())
            .bind::<SqlUuid, _>(user.uuid())
            .bind::<Text, _>(&definition.name)
            .bind::<Integer, _>(version)
            .execute(conn)
            .await?;
            statement("INSERT INTO app_versions (id, app_id, version, definition) VALUES ($1, $2, $3, $4)")
                .bind::<SqlUuid, _>(AppVersionId::generate().uuid())
                .bind::<SqlUuid, _>(app.uuid())
                .bind::<Integer, _>(version)
                .bind::<Jsonb, _>(&stored)
                .execute(conn)
                .await?;
            Ok((app, version))
        })
        .await
}
