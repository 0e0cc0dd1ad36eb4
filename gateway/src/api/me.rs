//! GET /api/v1/me: the account of a key, and what the key may do.

use actix_web::{HttpRequest, web};
use gateway_domain::accounts::quotas::account_use;
use gateway_domain::accounts::users;
use serde::Serialize;
use shared::ids::AppId;
use shared::time::Time;
use utoipa::ToSchema;

use super::Caller;
use super::types::Ceilings;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

/// The key's account.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    user: User,
    limits: PlanLimits,
    usage: AccountUsage,
    key: Key,
    webhooks: Webhooks,
}

/// Where to manage webhooks.
#[derive(Serialize, ToSchema)]
#[schema(as = AccountWebhooks)]
#[serde(rename_all = "camelCase")]
pub(super) struct Webhooks {
    /// The page of the console that shows the secret that signs the account's webhooks.
    secret_url: String,
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
    #[serde(flatten)]
    ceilings: Ceilings,
    #[schema(required)]
    max_pending_runs: Option<u32>,
    /// Bytes of input files and artifacts.
    #[schema(required)]
    max_stored_bytes: Option<u64>,
    /// Bytes of the bodies of creates in a day (UTC).
    #[schema(required)]
    max_request_bytes_per_day: Option<u64>,
    /// Tokens in a day (UTC) after which no run is created.
    #[schema(required)]
    max_tokens_per_day: Option<u64>,
    /// Days after which runs that are over are deleted.
    #[schema(required)]
    retention_days: Option<u32>,
}

/// What the account uses now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountUsage {
    /// Counted up to 10,000.
    pending_runs: i64,
    /// Bytes of input files and artifacts.
    stored_bytes: i64,
    /// Bytes of the bodies of creates since midnight (UTC). Null if the plan has no limit for them.
    #[schema(required)]
    request_bytes_today: Option<i64>,
    /// Tokens since midnight (UTC). Null if the plan has no limit for them.
    #[schema(required)]
    tokens_today: Option<i64>,
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
    /// What it may do.
    #[schema(value_type = Vec<String>, example = json!(["runs"]))]
    scopes: Vec<&'static str>,
    #[schema(required)]
    expires_at: Option<Time>,
}

#[utoipa::path(
    get, path = "/api/v1/me", tag = "Account", operation_id = "getMe", summary = "Get the key's account",
    description = "The account, its plan's limits, what it uses of them, the key that was sent, and where \
                   the console shows the webhook secret.",
    responses((status = 200, description = "Account, limits and key", body = Me)),
)]
pub(super) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<Me>, ApiError> {
    Query::none(&request)?;
    let owner = users::of_key(&context.db, caller.key).await?;
    let scopes = owner.scopes().names();
    // The plan may have changed since the key was admitted.
    let plan = context.plans.get(&owner.plan).ok_or(ApiError::PlanRequired { plan: owner.plan.clone() })?;
    let used = account_use(&context.db, caller.user).await?;
    Ok(web::Json(Me {
        user: User { email: owner.email, plan: owner.plan },
        limits: PlanLimits {
            requests_per_minute: plan.requests_per_minute,
            api_keys: plan.api_keys,
            running_runs: plan.running_runs,
            ceilings: Ceilings(plan.ceilings),
            max_pending_runs: plan.max_pending_runs,
            max_stored_bytes: plan.max_stored_bytes,
            max_request_bytes_per_day: plan.max_request_bytes_per_day,
            max_tokens_per_day: plan.max_tokens_per_day,
            retention_days: plan.retention_days,
        },
        usage: AccountUsage {
            pending_runs: used.pending_runs,
            stored_bytes: used.stored_bytes,
            request_bytes_today: plan.max_request_bytes_per_day.map(|_| used.request_bytes),
            tokens_today: plan.max_tokens_per_day.map(|_| used.tokens),
        },
        key: Key {
            scopes,
            prefix: owner.display_prefix,
            name: owner.key_name,
            app_id: owner.app_id,
            expires_at: owner.expires_at.map(Time),
        },
        webhooks: Webhooks { secret_url: context.console_url("account/webhooks") },
    }))
}
