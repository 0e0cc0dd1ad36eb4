//! GET /api/v1/runs/{id} and GET /api/v1/apps/{appId}/runs/{id}: the run as it stands, or as it ends within the wait.

use std::time::Duration;

use actix_web::http::header::{ETAG, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use shared::db::DbError;
use shared::ids::UserId;
use shared::runs::{RunStatus, RunView};
use tokio::time::Instant;

use super::Named;
use super::wait::{until_over, wait_parameter};
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Query, is_known};
use crate::live::take_place;

/// After the longest wait there must be time to answer before a proxy hangs up.
const LOAD_DEADLINE: Duration = Duration::from_secs(5);
/// Seconds after which it is worth asking again.
pub(super) const POLL_AGAIN: &str = "2";

/// The handler.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "Runs", operation_id = "getRun", summary = "Get a run",
    description = "The run as it stands. With `wait` the answer is held until the run is over, at most for that many seconds \
                   (an operator may shorten it; 50 by default). The ETag changes with the status and the last event.",
    params(
        ("id" = uuid::Uuid, Path, description = "The run's id"),
        ("wait" = Option<u32>, Query, description = "Seconds to wait for the run's end"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The run", body = crate::openapi::Run, headers(
            ("ETag" = String, description = "For `If-None-Match`"),
            ("Retry-After" = String, description = "Seconds after which it is worth asking again, while the run is not over"),
        )),
        (status = 304, description = "Not changed since the answer with that ETag"),
    ),
)]
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let (begun, wait) = (Instant::now(), wait_parameter(&mut query, context.max_wait));
    query.end()?;
    let named = Named::of(&request, &caller)?;
    let mut run = load(&context, caller.user, named).await?;
    if let Some(length) = wait.filter(|_| !is_over(&run)) {
        let _place = take_place(&context.db, caller.user, length).await?;
        until_over(&context, caller.user, named.run, begun + length).await;
        run = load(&context, caller.user, named).await?;
    }
    Ok(answer(&request, &run))
}

/// The user's run with everything.
pub(crate) async fn load(context: &Context, user: UserId, named: Named) -> Result<RunView, ApiError> {
    let viewer = &context.viewer;
    let loading = context.db.read(|mut conn| async move { viewer.load(&mut conn, user, named.run).await });
    let loaded = tokio::time::timeout(LOAD_DEADLINE, loading).await.unwrap_or(Err(DbError::Timeout));
    loaded?.filter(|run| named.includes(run.app_id)).ok_or(ApiError::NotFound("run"))
}

/// Whether nothing more happens to it.
pub(crate) fn is_over(run: &RunView) -> bool {
    run.status.parse().is_ok_and(RunStatus::is_over)
}

fn answer(request: &HttpRequest, run: &RunView) -> HttpResponse {
    let tag = format!(r#"W/"{}-{}""#, run.status, run.last_seq);
    let unchanged = is_known(request, &tag);
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, tag));
    if !is_over(run) {
        response.insert_header((RETRY_AFTER, POLL_AGAIN));
    }
    if unchanged { response.finish() } else { response.json(run) }
}
