//! DELETE /api/v1/runs/{id}: everything that a finished run left is gone at once.

use actix_web::{HttpRequest, HttpResponse, web};

use super::Named;
use super::erase::delete_run;
use crate::audit::Actor;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Query, client_address};

/// The handler.
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
    let by = Actor::ApiKey(caller.key, client_address(&request, &context.trusted_proxies));
    delete_run(context, caller.user, named, by).await?;
    Ok(HttpResponse::NoContent().finish())
}
