//! DELETE /api/v1/runs/{id}: deletes everything that belongs to a finished run.

use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::runs::delete::delete;

use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

#[utoipa::path(
    delete, path = "/api/v1/runs/{id}", tag = "Runs", operation_id = "deleteRun", summary = "Delete a run",
    description = "Deletes a run that is over: inputs, result, events, artifacts and stored webhook \
                   responses.",
    params(("id" = uuid::Uuid, Path, description = "The run's id")),
    responses((status = 204, description = "The run is gone")),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    let run = caller.run_in_path(&request)?;
    delete(&context.db, &context.artifacts, caller.user, run, caller.actor()).await?;
    Ok(HttpResponse::NoContent().finish())
}
