//! GET /api/v1/runs/{id}/artifacts/{artifactId}: the bytes, by key or by signed link.

use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use gateway_domain::artifacts::{Requester, find};
use shared::ids::{ArtifactId, RunId};

use super::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::download::send_artifact;
use crate::http::extract::Query;

const UNKNOWN: ApiError = ApiError::not_found("artifact");

#[utoipa::path(
    get, path = "/api/v1/runs/{id}/artifacts/{artifactId}", tag = "Runs", operation_id = "downloadArtifact",
    summary = "Download an artifact",
    description = "The bytes of a file that the run published. A `downloadUrl` opens it without a key for \
                   seven days. One byte range is served (RFC 9110).",
    params(
        ("id" = uuid::Uuid, Path, description = "The run's id"),
        ("artifactId" = uuid::Uuid, Path, description = "The artifact's id"),
        ("expires" = Option<i64>, Query, description = "From a signed link"),
        ("signature" = Option<String>, Query, description = "From a signed link"),
        ("Range" = Option<String>, Header, description = "`bytes=FROM-TO`"),
        ("If-Range" = Option<String>, Header, description = "The ETag that the file must still have"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of an earlier response"),
    ),
    responses(
        (status = 200, description = "The file", content_type = "*/*", headers(
            ("ETag" = String, description = "For `If-None-Match` and `If-Range`"),
            ("Content-Disposition" = String, description = "Always an attachment, named by the title"),
        )),
        (status = 206, description = "The requested range", content_type = "*/*", headers(
            ("Content-Range" = String, description = "Which range, and the size of the file"),
        )),
        (status = 304, description = "Unchanged since the response with that ETag"),
    ),
)]
pub(super) async fn handle(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let (expires, signature) = (query.value::<i64>("expires", "seconds since 1970"), query.text("signature"));
    let ids = path.0.parse::<RunId>().ok().zip(path.1.parse::<ArtifactId>().ok());
    let (requester, (run, artifact)) = if let (Some(expires), Some(signature)) = (expires, signature) {
        let (run, artifact) = ids.ok_or(UNKNOWN)?;
        context.links.check(run, artifact, expires, &signature).map_err(|_| ApiError::LinkExpired)?;
        query.end()?;
        (Requester::Link(expires), (run, artifact))
    } else {
        let caller = Caller::extract(&request).await?;
        query.end()?;
        (Requester::Owner(caller.user, caller.app), ids.ok_or(UNKNOWN)?)
    };
    let found = find(&context.db, run, artifact, requester).await?.ok_or(UNKNOWN)?;
    if !found.in_time {
        return Err(ApiError::LinkExpired);
    }
    send_artifact(&request, &context.artifacts, (run, artifact), &found).await
}
