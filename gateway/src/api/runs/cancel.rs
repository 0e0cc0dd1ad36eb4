//! POST /api/v1/runs/{id}/cancel: final at once, even if a worker still works on it.

use actix_web::{HttpRequest, web};
use gateway_domain::runs::cancel::cancel;

use crate::api::Caller;
use crate::api::types::Success;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "Runs", operation_id = "cancelRun",
    summary = "Cancel a run",
    description = "Ends a pending or running run. The status is final at once. A second cancel of the run \
                   changes nothing and succeeds too.",
    params(("id" = uuid::Uuid, Path, description = "The run's id")),
    responses((status = 200, description = "The run is cancelled", body = Success)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<Success>, ApiError> {
    Query::none(&request)?;
    let run = caller.run_in_path(&request)?;
    cancel(&context.db, context.publisher(), caller.user, run).await?;
    Ok(web::Json(Success { success: true }))
}
