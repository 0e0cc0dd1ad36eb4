//! GET /api/v1/me: whose key this is, and what it may do.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde_json::json;
use shared::db::{Connection, DbError, statement};
use shared::ids::{ApiKeyId, AppId};
use shared::runs::format_time;

use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::Query;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Text)]
    plan: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    display_prefix: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    app_id: Option<AppId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    expires_at: Option<DateTime<Utc>>,
}

async fn load(conn: &mut Connection, key: ApiKeyId) -> Result<Row, DbError> {
    let sql = "SELECT u.email, u.plan, k.name, k.display_prefix, k.app_id, k.expires_at
               FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.id = $1";
    Ok(statement(sql).bind::<SqlUuid, _>(key.uuid()).get_result(conn).await?)
}

/// The handler.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "Account", operation_id = "getMe", summary = "Get the key's account",
    description = "The account, its plan's limits, and the key that was sent.",
    responses((status = 200, description = "Account, limits and key", body = crate::openapi::Me)),
)]
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    let row = context.db.read(|mut conn| async move { load(&mut conn, caller.key).await }).await?;
    // Admitted a moment ago, so the plan was known then.
    let plan = context.plans.get(&row.plan).ok_or(ApiError::PlanRequired { plan: row.plan.clone() })?;
    Ok(HttpResponse::Ok().json(json!({
        "user": { "email": row.email, "plan": row.plan },
        "limits": {
            "requestsPerMinute": plan.requests_per_minute, "apiKeys": plan.api_keys, "runningRuns": plan.running_runs,
            "maxSteps": plan.max_steps, "maxSeconds": plan.max_seconds, "maxTokens": plan.max_tokens,
        },
        "key": {
            "prefix": row.display_prefix, "name": row.name, "appId": row.app_id,
            "expiresAt": row.expires_at.map(format_time),
        },
    })))
}
