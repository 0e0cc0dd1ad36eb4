//! POST /api/v1/runs and POST /api/v1/apps/{appId}/runs: 202 with the run's id, once the row is written.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderName, LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use shared::db::DbError;
use shared::ids::{AppId, RunId};
use shared::net::webhook_url::WebhookUrl;
use shared::queue::Work;
use tokio::time::Instant;

use super::get::{POLL_AGAIN, is_over, load};
use super::request::CreateRequest;
use super::validate::{Valid, title, validate};
use super::wait::until_over;
use super::{Named, load_app};
use crate::accept::{NewRun, accept};
use crate::apps::CurrentApp;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Query, json_object, preferred_wait};
use crate::live::take_place;
use crate::mistake::FieldError;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Times that the app may change between being read and the run being written.
const STALE_RETRIES: usize = 3;

/// The handler.
#[utoipa::path(
    post, path = "/api/v1/runs", tag = "Runs", operation_id = "createRun", summary = "Create a run",
    description = "Accepts a run and answers at once with its id. With `Prefer: wait=SECONDS` the answer is held and is 200 with the \
                   finished run if it ends in time. With `dryRun=true` everything is checked and nothing is created.",
    request_body = crate::openapi::CreateRun,
    params(
        ("dryRun" = Option<bool>, Query, description = "Check only"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`"),
    ),
    responses(
        (status = 202, description = "Accepted", body = crate::openapi::Accepted, headers(
            ("Location" = String, description = "The run"),
            ("Retry-After" = String, description = "Seconds after which it is worth asking"),
            ("Preference-Applied" = String, description = "The wait that was applied, where one was preferred"),
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
    // A header that promises something and is ignored would be worse than an error.
    if request.headers().contains_key("idempotency-key") {
        let message = "Idempotency-Key is not supported yet; leave the header out";
        return Err(ApiError::InvalidRequest(message.to_owned(), vec![]));
    }
    let mut query = Query::of(&request)?;
    let dry = query.value::<bool>("dryRun", "true or false").unwrap_or_default();
    query.end()?;
    let body = CreateRequest::parse(json_object(&request, payload).await?)?;
    let app_id = app_id(request.match_info().get("appId"), body.app_id.as_deref())?;
    if !caller.may_see(app_id) {
        return Err(ApiError::NotFound("app"));
    }
    let webhook = body.webhook_url.as_deref().map(|text| WebhookUrl::parse(text, &context.ip_policy));
    let webhook = webhook.transpose().map_err(|refusal| ApiError::InvalidWebhookUrl(refusal.to_string()))?;
    if dry {
        return dry_run(&caller, &context, &body, app_id).await;
    }
    let wait = preferred_wait(&request).map(|wait| wait.min(context.max_wait)).filter(|wait| !wait.is_zero());
    // Before the run is there: a caller who is refused has nothing to clean up.
    let _place = match wait {
        Some(length) => Some(take_place(&context.db, caller.user, length).await?),
        None => None,
    };
    let id = RunId::generate();
    let accepting = accept_and_nudge(caller, context.clone(), body, app_id, id, webhook);
    // In a task of its own: a client that hangs up in between must not leave a run that nobody heard of.
    let app = actix_web::rt::spawn(accepting).await.map_err(|_| ApiError::Internal)??;
    Ok(match wait {
        Some(length) => waited(&context, &caller, id, (begun, length), &app).await,
        None => accepted(id, "pending", &app),
    })
}

async fn accept_and_nudge(
    caller: Caller,
    context: web::Data<Context>,
    body: CreateRequest,
    app_id: AppId,
    id: RunId,
    webhook: Option<WebhookUrl>,
) -> Result<Arc<CurrentApp>, ApiError> {
    let app = write(&caller, &context, &body, app_id, id, webhook.as_ref()).await?;
    context.publisher.nudge(Work::Runs, caller.user.uuid());
    metrics::counter!("capi_runs_accepted_total").increment(1);
    tracing::debug!(run_id = %id, app_id = %app.id, "run accepted");
    Ok(app)
}

fn accepted(id: RunId, status: &str, app: &CurrentApp) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/api/v1/runs/{id}")))
        .insert_header((RETRY_AFTER, POLL_AGAIN))
        .json(json!({ "id": id, "status": status, "appId": app.id, "appName": app.definition.name }))
}

/// The run is accepted, whatever becomes of the wait.
async fn waited(
    context: &Context,
    caller: &Caller,
    id: RunId,
    (begun, length): (Instant, Duration),
    app: &CurrentApp,
) -> HttpResponse {
    until_over(context, caller.user, id, begun + length).await;
    let mut answer = match load(context, caller.user, Named { run: id, app: None }).await {
        Ok(run) if is_over(&run) => HttpResponse::Ok().json(run),
        Ok(run) => accepted(id, &run.status, app),
        Err(_) => accepted(id, "pending", app),
    };
    if let Ok(applied) = format!("wait={}", length.as_secs()).parse() {
        answer.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    answer
}

/// Against the version that is current now: whoever asks wants to know, and nothing is written that would guard it.
async fn dry_run(
    caller: &Caller,
    context: &Context,
    body: &CreateRequest,
    app_id: AppId,
) -> Result<HttpResponse, ApiError> {
    let app = load_app(context, caller.user, app_id).await?;
    let Valid { model, .. } = validate(&app, body, &context.models)?;
    Ok(HttpResponse::Ok().json(json!({
        "valid": true, "appId": app.id, "appName": app.definition.name, "appVersion": app.version, "chatModelId": model,
    })))
}

/// Validates against the cached version and writes the run; begins again with a fresh one where that was stale.
async fn write(
    caller: &Caller,
    context: &Context,
    body: &CreateRequest,
    app_id: AppId,
    id: RunId,
    webhook: Option<&WebhookUrl>,
) -> Result<Arc<CurrentApp>, ApiError> {
    let mut cached = context.apps.get(caller.user, app_id);
    for _ in 0..STALE_RETRIES {
        // Only a stored version may refuse a request: a stale one would refuse inputs that are right by now.
        let valid = cached.as_deref().and_then(|app| validate(app, body, &context.models).ok());
        let (app, valid) = if let (Some(app), Some(valid)) = (cached.take(), valid) {
            (app, valid)
        } else {
            let app = load_app(context, caller.user, app_id).await?;
            let valid = validate(&app, body, &context.models)?;
            (app, valid)
        };
        let title = title(&app, &valid.inputs, id);
        let run = &NewRun {
            id,
            user: caller.user,
            key: caller.key,
            app: &app,
            title: &title,
            inputs: &valid.inputs,
            model: &valid.model,
            webhook,
            metadata: &body.metadata,
            queue_timeout_seconds: body.queue_timeout_seconds,
        };
        match context.db.write(|mut conn| async move { accept(&mut conn, run).await }).await {
            Ok(true) => return Ok(app),
            Ok(false) => {}
            // The statement was sent, and nobody knows what became of it.
            Err(error) if error.is_away() && !matches!(error, DbError::Pool(_)) => {
                tracing::warn!(%error, run_id = %id, "an accept is left in doubt");
                return Err(ApiError::Unavailable(
                    "the run may have been accepted all the same; look with GET /api/v1/runs before creating it again",
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::Unavailable("the app is being changed; try again"))
}

fn app_id(from_path: Option<&str>, from_body: Option<&str>) -> Result<AppId, ApiError> {
    let Some(text) = from_path.or(from_body) else {
        let message = "appId is missing; GET /api/agentapps lists the apps";
        return Err(ApiError::invalid(FieldError::new("/appId", "required", message)));
    };
    text.parse().map_err(|_| ApiError::NotFound("app"))
}
