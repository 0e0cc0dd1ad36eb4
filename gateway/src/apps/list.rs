//! GET /api/agentapps and GET /api/v1/apps: the caller's apps.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Bool, Integer, Jsonb, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use shared::apps::AppDefinition;
use shared::db::{Connection, DbError, statement};
use shared::ids::{AppId, UserId};
use shared::runs::format_time;

use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;

/// Apps in one answer; an account has a few dozen at most.
const MAX_APPS: usize = 1000;

/// The handler.
pub async fn handle(caller: Caller, context: web::Data<Context>) -> Result<HttpResponse, ApiError> {
    let mut conn = context.db.get().await?;
    let rows = load(&mut conn, caller.user, caller.app).await?;
    let data: Vec<_> = rows.iter().map(|row| shown(row, &context)).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data, "nextCursor": null })))
}

#[derive(QueryableByName)]
struct Row {
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

async fn load(conn: &mut Connection, user: UserId, only: Option<AppId>) -> Result<Vec<Row>, DbError> {
    let sql = "SELECT a.id, v.version, a.archived_at IS NOT NULL AS archived, v.definition, a.created_at, a.updated_at
               FROM apps a JOIN app_versions v ON v.app_id = a.id AND v.version = a.current_version
               WHERE a.user_id = $1 AND ($2 IS NULL OR a.id = $2)
               ORDER BY a.created_at DESC, a.id DESC LIMIT $3";
    let limit = i32::try_from(MAX_APPS).unwrap_or(i32::MAX);
    let rows = statement(sql)
        .bind::<SqlUuid, _>(user.uuid())
        .bind::<Nullable<SqlUuid>, _>(only.map(AppId::uuid))
        .bind::<Integer, _>(limit)
        .load(conn)
        .await?;
    Ok(rows)
}

fn shown(row: &Row, context: &Context) -> Value {
    let Ok(app) = serde_json::from_value::<AppDefinition>(row.definition.clone()) else {
        tracing::error!(app_id = %row.id, "a stored definition cannot be read");
        return json!({ "id": row.id, "version": row.version });
    };
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
    json!({
        "id": row.id, "name": app.name, "description": app.description, "version": row.version, "inputs": inputs,
        "tools": app.tools, "chatModelId": app.model.as_deref().unwrap_or(&context.models.default_model().id),
        "limits": app.limits, "outputSchema": null, "archived": row.archived,
        "createdAt": format_time(row.created_at), "updatedAt": format_time(row.updated_at),
    })
}
