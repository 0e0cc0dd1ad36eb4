//! POST /api/v1/runs and POST /api/v1/apps/{appId}/runs: 202 with the run's id, once the row is written.

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use shared::ids::{AppId, RunId};
use shared::net::public_url::PublicUrl;
use tokio::time::Instant;

use super::accepting::{Create, Created};
use super::form::{GivenFile, Uploads, is_form, read_form};
use super::get::{POLL_AGAIN, is_over, load};
use super::request::CreateRequest;
use super::validate::{Valid, validate};
use super::wait::until_over;
use super::{Named, load_app};
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Query, idempotency_key, json_object, preferred_wait};
use crate::idempotency::Once;
use crate::live::take_place;
use crate::mistake::FieldError;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const RUNS: &str = "/api/v1/runs";

/// The handler.
#[utoipa::path(
    post, path = "/api/v1/runs", tag = "Runs", operation_id = "createRun", summary = "Create a run",
    description = "Accepts a run and answers at once with its id. With `Prefer: wait=SECONDS` the answer is held and is 200 with the \
                   finished run if it ends in time. With `dryRun=true` everything is checked and nothing is created. With an \
                   `Idempotency-Key` the request may be sent again for 24 hours: the same key with the same fields is the same run. \
                   Files are sent as multipart/form-data: the same fields as parts, `inputs` and `metadata` as JSON, a file for an input of the \
                   type `file` in a part of that name, any others in parts named `files`; at most 10, of 25 MiB each and 100 MiB in all.",
    request_body(content((crate::openapi::CreateRun = "application/json"), (crate::openapi::CreateRunForm = "multipart/form-data"))),
    params(
        ("dryRun" = Option<bool>, Query, description = "Check only"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters of the caller's choice, bare or in quotes"),
    ),
    responses(
        (status = 202, description = "Accepted", body = crate::openapi::Accepted, headers(
            ("Location" = String, description = "The run"),
            ("Retry-After" = String, description = "Seconds after which it is worth asking"),
            ("Preference-Applied" = String, description = "The wait that was applied, where one was preferred"),
            ("Idempotency-Replayed" = String, description = "`true` where the Idempotency-Key had created the run before"),
        )),
        (status = 200, description = "The finished run, where a wait was preferred; or what a dry run found", body = crate::openapi::RunOrDryRun),
    ),
)]
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let begun = Instant::now();
    let mut query = Query::of(&request)?;
    let dry = query.value::<bool>("dryRun", "true or false").unwrap_or_default();
    query.end()?;
    let key = idempotency_key(&request)?;
    let id = RunId::generate();
    let mut files = Uploads::new(id, &context.artifacts, !dry);
    let members = if is_form(&request) {
        read_form(&request, payload, &mut files).await?
    } else {
        json_object(&request, payload).await?
    };
    let body = CreateRequest::parse(members)?;
    let in_path = request.match_info().get("appId");
    let app_id = app_id(in_path, body.app_id.as_deref())?;
    if !caller.may_see(app_id) {
        return Err(ApiError::NotFound("app"));
    }
    let webhook = body.webhook_url.as_deref().map(|text| PublicUrl::parse(text, &context.ip_policy));
    let webhook = webhook.transpose().map_err(|refusal| ApiError::InvalidWebhookUrl(refusal.to_string()))?;
    if dry {
        return dry_run(&caller, &context, &body, files.files(), app_id).await;
    }
    let path = in_path.map_or(RUNS.to_owned(), |_| format!("/api/v1/apps/{app_id}/runs"));
    let once = key.map(|key| Once::new(path, key, &body.fields(app_id, files.fields())));
    let wait = preferred_wait(&request).map(|wait| wait.min(context.max_wait)).filter(|wait| !wait.is_zero());
    // Before the run is there: a caller who is refused has nothing to clean up.
    let _place = match wait {
        Some(length) => Some(take_place(&context.db, caller.user, length).await?),
        None => None,
    };
    let create = Create { id, user: caller.user, key: Some(caller.key), app_id, body, files, webhook, once };
    let accepting = create.accept_and_nudge(context.clone());
    // In a task of its own: a client that hangs up in between must not leave a run that nobody heard of.
    let created = actix_web::rt::spawn(accepting).await.map_err(|_| ApiError::Internal)??;
    let mut answer = answer(&context, &caller, &created, wait.map(|length| (begun, length))).await?;
    if matches!(created, Created::Before(_)) {
        answer.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(answer)
}

/// The run is accepted, whatever becomes of the wait.
async fn answer(
    context: &Context,
    caller: &Caller,
    created: &Created,
    wait: Option<(Instant, Duration)>,
) -> Result<HttpResponse, ApiError> {
    let id = created.run();
    if let Some((begun, length)) = wait {
        until_over(context, caller.user, id, begun + length).await;
    }
    let stands = match (created, wait) {
        (Created::Now(..), None) => None,
        (Created::Now(..), Some(_)) => load(context, caller.user, Named { run: id, app: None }).await.ok(),
        (Created::Before(_), _) => Some(load(context, caller.user, Named { run: id, app: None }).await?),
    };
    let mut answer = match (stands, created) {
        (Some(run), _) if wait.is_some() && is_over(&run) => HttpResponse::Ok().json(run),
        (Some(run), _) => accepted(id, &run.status, run.app_id, &run.app_name),
        (None, Created::Now(_, app)) => accepted(id, "pending", app.id, &app.definition.name),
        (None, Created::Before(_)) => return Err(ApiError::NotFound("run")),
    };
    if let Some((_, length)) = wait
        && let Ok(applied) = format!("wait={}", length.as_secs()).parse()
    {
        answer.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(answer)
}

fn accepted(id: RunId, status: &str, app: AppId, app_name: &str) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((LOCATION, format!("{RUNS}/{id}")))
        .insert_header((RETRY_AFTER, POLL_AGAIN))
        .json(json!({ "id": id, "status": status, "appId": app, "appName": app_name }))
}

/// Against the version that is current now: whoever asks wants to know, and nothing is written that would guard it.
async fn dry_run(
    caller: &Caller,
    context: &Context,
    body: &CreateRequest,
    files: &[GivenFile],
    app_id: AppId,
) -> Result<HttpResponse, ApiError> {
    let app = load_app(context, caller.user, app_id).await?;
    let Valid { model, .. } = validate(&app, body, files, &context.models)?;
    Ok(HttpResponse::Ok().json(json!({
        "valid": true, "appId": app.id, "appName": app.definition.name, "appVersion": app.version, "chatModelId": model,
    })))
}

fn app_id(from_path: Option<&str>, from_body: Option<&str>) -> Result<AppId, ApiError> {
    let Some(text) = from_path.or(from_body) else {
        let message = "appId is missing; GET /api/agentapps lists the apps";
        return Err(ApiError::invalid(FieldError::new("/appId", "required", message)));
    };
    text.parse().map_err(|_| ApiError::NotFound("app"))
}
