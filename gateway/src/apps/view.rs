//! Apps as the contract shows them.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Integer, Jsonb, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use shared::apps::{AppDefinition, Limits};
use shared::db::{Connection, DbError, statement};
use shared::ids::{AppId, UserId};
use shared::runs::format_time;

use crate::extract::Position;

/// A row of an app with its current version.
#[derive(QueryableByName)]
pub(crate) struct AppRow {
    #[diesel(sql_type = SqlUuid)]
    id: AppId,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Bool)]
    archived: bool,
    #[diesel(sql_type = Jsonb)]
    definition: Value,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
}

const LOAD: &str = "
SELECT a.id, v.version, a.archived_at IS NOT NULL AS archived, v.definition, a.created_at, a.updated_at
FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
WHERE a.user_id = $1 AND ($2 IS NULL OR a.id = $2) AND ($3 IS NULL OR (a.created_at, a.id) < ($3, $4))
ORDER BY a.created_at DESC, a.id DESC LIMIT $5";

/// The user's apps, newest first; only the one where one is named.
pub(crate) async fn load(
    conn: &mut Connection,
    user: UserId,
    only: Option<AppId>,
    after: Option<Position>,
    rows: i64,
) -> Result<Vec<AppRow>, DbError> {
    let rows = statement(LOAD)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(only.map(AppId::uuid))
        .bind::<Nullable<Timestamptz>, _>(after.map(|position| position.at))
        .bind::<Nullable<SqlUuid>, _>(after.map(|position| position.id))
        .bind::<BigInt, _>(rows)
        .load(conn)
        .await?;
    Ok(rows)
}

impl AppRow {
    pub(crate) fn position(&self) -> Position {
        Position { at: self.created_at, id: self.id.uuid() }
    }

    pub(crate) fn updated_at(&self) -> DateTime<Utc> {
        self.updated_at
    }

    /// Where the app names no model, `default_model` is what it runs on. `None` for a definition that this build cannot
    /// read.
    pub(crate) fn shown(&self, default_model: &str) -> Option<Value> {
        let app = serde_json::from_value::<AppDefinition>(self.definition.clone())
            .inspect_err(
                |error| tracing::error!(app_id = %self.id, %error, "a stored definition cannot be read"),
            )
            .ok()?;
        let inputs: Vec<_> = app
            .inputs
            .iter()
            .map(|field| {
                json!({
                    "name": field.name, "label": field.label.as_ref().unwrap_or(&field.name), "type": field.r#type,
                    "required": field.required, "default": field.default, "options": field.options,
                })
            })
            .collect();
        Some(json!({
            "id": self.id, "name": app.name, "description": app.description, "version": self.version, "inputs": inputs,
            "tools": app.tools, "chatModelId": app.model.as_deref().unwrap_or(default_model),
            "limits": limits(&app.limits), "outputSchema": app.output.map(|output| output.schema), "archived": self.archived,
            "createdAt": format_time(self.created_at), "updatedAt": format_time(self.updated_at),
        }))
    }
}

fn limits(limits: &Limits) -> Value {
    json!({
        "steps": limits.steps, "seconds": limits.seconds, "tokens": limits.tokens, "toolCalls": limits.tool_calls,
        "outputBytes": limits.output_bytes, "workspaceBytes": limits.workspace_bytes,
    })
}
