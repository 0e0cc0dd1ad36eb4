//! DELETE /api/v1/runs/{id}: everything that a finished run left is gone at once.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::runs::status;

use super::Named;
use super::erase::erase;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::Query;

/// The handler. The bytes go first: should the store fail, the rows are still there, and asking again finishes it.
#[utoipa::path(
    delete, path = "/api/v1/runs/{id}", tag = "Runs", operation_id = "deleteRun", summary = "Delete a run",
    description = "Deletes a run that is over: inputs, result, events, artifacts and stored webhook answers.",
    params(("id" = uuid::Uuid, Path, description = "The run's id")),
    responses((status = 204, description = "The run is gone")),
)]
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    let named = Named::of(&request, &caller)?;
    let asking =
        context.db.read(|mut conn| async move { status(&mut conn, caller.user, named.app, named.run).await });
    let status = asking.await?.ok_or(ApiError::NotFound("run"))?;
    // A run that is over stays so: nothing can come in between but another delete.
    if !status.is_over() {
        return Err(ApiError::RunNotFinished(status));
    }
    context.artifacts.delete_all(named.run).await?;
    context.db.write(|mut conn| async move { erase(&mut conn, named.run).await }).await?;
    tracing::info!(run_id = %named.run, "run deleted");
    Ok(HttpResponse::NoContent().finish())
}
