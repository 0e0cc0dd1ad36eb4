//! POST /api/v1/runs/{id}/cancel: final at once, whatever a worker still does.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use shared::ids::UserId;
use shared::queue::{Broadcast, WorkQueue};
use shared::runs::{Cancelled, RunStatus, cancel};

use super::Named;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::Query;

/// The handler.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "Runs", operation_id = "cancelRun", summary = "Cancel a run",
    description = "Ends a pending or running run. The status is final at once. Cancelling a cancelled run again is the same.",
    params(("id" = uuid::Uuid, Path, description = "The run's id")),
    responses((status = 200, description = "The run is cancelled", body = crate::openapi::Success)),
)]
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    let named = Named::of(&request, &caller)?;
    // In a task of its own: a client that hangs up in between must not keep the end from being told.
    let cancelling = actix_web::rt::spawn(cancel_and_tell(context, caller.user, named));
    match cancelling.await.map_err(|_| ApiError::Internal)?? {
        Cancelled::Done { .. } | Cancelled::Over(RunStatus::Cancelled) => {}
        Cancelled::Over(status) if status.is_over() => return Err(ApiError::RunAlreadyFinished(status)),
        Cancelled::Over(_) => return Err(ApiError::Unavailable("the run is being changed; try again")),
        Cancelled::Unknown => return Err(ApiError::NotFound("run")),
    }
    Ok(HttpResponse::Ok().json(json!({ "success": true })))
}

/// Cancels the run and tells whoever must know.
pub(crate) async fn cancel_and_tell(
    context: web::Data<Context>,
    user: UserId,
    named: Named,
) -> Result<Cancelled, ApiError> {
    let cancelling =
        || context.db.write(|mut conn| async move { cancel(&mut conn, user, named.app, named.run).await });
    let cancelled = match cancelling().await {
        // Whoever stopped in the middle of a change is put out by PostgreSQL a little later than a lock is waited for.
        Err(error) if error.is_lock_timeout() => cancelling().await?,
        answered => answered?,
    };
    if let Cancelled::Done { lane, held } = cancelled {
        if held {
            context.publisher.broadcast(Broadcast::RunCancelled(named.run));
        }
        if let Some(lane) = lane {
            context.publisher.nudge(WorkQueue::Deliveries, lane.uuid());
        }
        // His place may be free.
        context.publisher.nudge(WorkQueue::Runs, user.uuid());
        context.publisher.broadcast(Broadcast::RunChanged(named.run));
        metrics::counter!("capi_runs_ended_total", "status" => "cancelled", "code" => "").increment(1);
        tracing::info!(run_id = %named.run, "run cancelled");
    }
    Ok(cancelled)
}
