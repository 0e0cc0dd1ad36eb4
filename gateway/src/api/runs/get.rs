//! GET /api/v1/runs/{id} and GET /api/v1/apps/{appId}/runs/{id}: the run as it is now, or as it is after the
//! wait.

use actix_web::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::runs::{get, open_waits, wait};
use shared::runs::RunView;
use tokio::time::Instant;

use super::RETRY_AFTER_SECONDS;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, is_known, seconds, tag};

#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "Runs", operation_id = "getRun", summary = "Get a run",
    description = "The run as it is now. With `wait` the response is held until the run is over, at most for \
                   that many seconds (an operator may set a shorter limit; 50 by default). The ETag changes \
                   with everything that the body shows.",
    params(
        ("id" = uuid::Uuid, Path, description = "The run's id"),
        ("wait" = Option<u32>, Query, description = "Seconds to wait for the run's end"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of an earlier response"),
    ),
    responses(
        (status = 200, description = "The run", body = RunView, headers(
            ("ETag" = String, description = "For `If-None-Match`"),
            ("Retry-After" = String, description = "Seconds after which to ask again"),
        )),
        (status = 304, description = "Unchanged since the response with that ETag"),
    ),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let started = Instant::now();
    let mut query = Query::of(&request)?;
    // A wait that is too long is shortened, not refused.
    let wait = query.parsed("wait", "a whole number of seconds", seconds);
    let wait = wait.map(|wait| wait.min(context.max_wait)).filter(|wait| !wait.is_zero());
    query.end()?;
    let run = caller.run_in_path(&request)?;
    let mut view = get::load(&context.db, &context.viewer, caller.user, run).await?;
    if let Some(length) = wait.filter(|_| !view.is_over()) {
        let _open = open_waits::open(&context.db, caller.user, length).await?;
        let stopping = context.lifecycle.stopping();
        let of = (caller.user, run.run);
        wait::until_over(&context.db, &context.watchers, stopping, of, started + length).await;
        view = get::load(&context.db, &context.viewer, caller.user, run).await?;
    }
    response(&request, &view)
}

fn response(request: &HttpRequest, run: &RunView) -> Result<HttpResponse, ApiError> {
    let body = serde_json::to_vec(run).map_err(|error| ApiError::fault(&error))?;
    let tag = tag(&body);
    let unchanged = is_known(request, &tag);
    let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, tag));
    if !run.is_over() {
        response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
    }
    if unchanged {
        return Ok(response.finish());
    }
    Ok(response.insert_header((CONTENT_TYPE, "application/json")).body(body))
}
