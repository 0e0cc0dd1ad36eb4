//! GET /api/v1/me: the account of a key, and what the key may do.

use actix_web::{HttpRequest, web};
use gateway_domain::accounts::users;
use serde::Serialize;
use shared::ids::AppId;
use shared::time::Time;
use utoipa::ToSchema;

use super::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

/// The key's account.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    user: User,
    limits: PlanLimits,
    key: Key,
}

/// The account.
#[derive(Serialize, ToSchema)]
pub(super) struct User {
    email: String,
    plan: String,
}

/// What the plan allows. Null means no limit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanLimits {
    requests_per_minute: u32,
    api_keys: u32,
    running_runs: u32,
    #[schema(required)]
    max_steps: Option<u32>,
    #[schema(required)]
    max_seconds: Option<u32>,
    #[schema(required)]
    max_tokens: Option<u32>,
}

/// The key that was sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Key {
    /// Its first characters.
    prefix: String,
    name: String,
    /// The one app that it may see. Null means all apps.
    #[schema(required, value_type = Option<Uuid>)]
    app_id: Option<AppId>,
    #[schema(required)]
    expires_at: Option<Time>,
}

#[utoipa::path(
    get, path = "/api/v1/me", tag = "Account", operation_id = "getMe", summary = "Get the key's account",
    description = "The account, its plan's limits, and the key that was sent.",
    responses((status = 200, description = "Account, limits and key", body = Me)),
)]
pub(super) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<Me>, ApiError> {
    Query::none(&request)?;
    let owner = users::of_key(&context.db, caller.key).await?;
    // The plan may have changed since the key was admitted.
    let plan = context.plans.get(&owner.plan).ok_or(ApiError::PlanRequired { plan: owner.plan.clone() })?;
    Ok(web::Json(Me {
        user: User { email: owner.email, plan: owner.plan },
        limits: PlanLimits {
            requests_per_minute: plan.requests_per_minute,
            api_keys: plan.api_keys,
            running_runs: plan.running_runs,
            max_steps: plan.max_steps,
            max_seconds: plan.max_seconds,
            max_tokens: plan.max_tokens,
        },
        key: Key {
            prefix: owner.display_prefix,
            name: owner.key_name,
            app_id: owner.app_id,
            expires_at: owner.expires_at.map(Time),
        },
    }))
}
