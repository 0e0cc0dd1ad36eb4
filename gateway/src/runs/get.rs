//! GET /api/v1/runs/{id}: the run as it stands.

use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, web};
use shared::ids::RunId;
use shared::runs::{RunStatus, load};

use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;

/// The handler.
pub async fn handle(
    caller: Caller,
    id: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let id: RunId = id.parse().map_err(|_| ApiError::NotFound("run"))?;
    let mut conn = context.db.get().await?;
    let found = load(&mut conn, caller.user, id, &context.caps).await?;
    let run = found.filter(|run| caller.may_see(run.app_id)).ok_or(ApiError::NotFound("run"))?;
    let mut response = HttpResponse::Ok();
    if !run.status.parse().is_ok_and(RunStatus::is_over) {
        response.insert_header((RETRY_AFTER, "2"));
    }
    Ok(response.json(run))
}
