//! POST /api/v1/runs and POST /api/v1/apps/{appId}/runs: 202 with the run's id, once its row is written.
//!
//! Read gateway/domain/src/runs/create.rs next: it is the use case.

pub(in crate::api) mod types;

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::FieldError;
use gateway_domain::runs::{
    Create, CreateRequest, Created, Earlier, FIELDS, IdempotencyKey, RunRef, Uploads, dry_run, get,
    open_waits, wait,
};
use serde_json::{Map, Value};
use shared::ids::{AppId, RunId};
use shared::runs::{RunStatus, RunView};
use tokio::time::Instant;

use super::RETRY_AFTER_SECONDS;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, idempotency_key, json_object, preferred_wait};
use crate::http::limits::InFlightShare;
use crate::http::middleware::request_id;
use crate::http::multipart::{begin_form, is_form, read_form};
use types::{Accepted, CreateRun, CreateRunForm, DryRun, RunOrDryRun};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const RUNS: &str = "/api/v1/runs";

#[utoipa::path(
    post, path = "/api/v1/runs", tag = "Runs", operation_id = "createRun", summary = "Create a run",
    description = "Accepts a run and answers at once with its id. With `Prefer: wait=SECONDS` the response \
                   is held; it is 200 with the finished run if the run ends in time. With `dryRun=true` \
                   everything is validated and nothing is created. With an `Idempotency-Key` the request may \
                   be sent again for 24 hours: the same key with the same fields is the same run. Files are \
                   sent as multipart/form-data: the same fields as parts, `inputs` and `metadata` as JSON, a \
                   file for an input of the type `file` as the part with that name, other files as parts \
                   named `files`; at most 10 files, of 25 MiB each and 100 MiB in all.",
    request_body(content((CreateRun = "application/json"), (CreateRunForm = "multipart/form-data"))),
    params(
        ("dryRun" = Option<bool>, Query, description = "Only validate"),
        ("Prefer" = Option<String>, Header, description = "`wait=SECONDS`"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters that the client chooses, bare or in quotes"),
    ),
    responses(
        (status = 202, description = "Accepted", body = Accepted, headers(
            ("Location" = String, description = "The run"),
            ("Retry-After" = String, description = "Seconds after which to ask for the run"),
            ("Preference-Applied" = String, description = "The wait that was applied, if one was preferred"),
            ("Idempotency-Replayed" = String,
                description = "`true` if an earlier request with this Idempotency-Key created the run"),
        )),
        (status = 200, description = "The finished run, if a wait was preferred; or what a dry run found",
            body = RunOrDryRun),
    ),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let started = Instant::now();
    let mut query = Query::of(&request)?;
    let dry = query.value::<bool>("dryRun", "true or false").unwrap_or_default();
    query.elsewhere(&["wait"], "to wait for the end of the run, send the header `Prefer: wait=5`");
    query.elsewhere(&FIELDS, "send it in the body");
    query.end()?;
    let key = idempotency_key(&request)?;
    let id = RunId::generate();
    let mut files = context.uploads_of(id, caller.user, &caller.quotas, !dry);
    let (members, request_bytes, in_flight) =
        read(&caller, &request, payload, &context, (&mut files, key.as_deref())).await?;
    let body = CreateRequest::parse(members)?;
    let in_path = request.match_info().get("appId");
    let app_id = app_id(&caller, in_path, body.app_id.as_deref())?;
    let webhook = match &body.webhook_url {
        Some(url) => Some(context.webhook_url(&caller.plan, "webhookUrl", url)?),
        None => None,
    };
    if dry {
        let found =
            dry_run(&context.intake, caller.user, app_id, &body, &files, (&caller.quotas, request_bytes));
        let found = found.await?;
        return Ok(HttpResponse::Ok().json(DryRun {
            valid: true,
            app_id: found.app.id,
            app_name: &found.app.definition.name,
            app_version: found.app.version,
            chat_model_id: found.model,
        }));
    }
    let idempotency_key = key.map(|key| {
        let path = path_of(in_path.map(|_| app_id));
        IdempotencyKey::new(path, key, body.fields(app_id, files.fields()))
    });
    let wait = preferred_wait(&request).map(|wait| wait.min(context.max_wait)).filter(|wait| !wait.is_zero());
    // Before the run exists: a client that is refused here has nothing to clean up.
    let _open = match wait {
        Some(length) => Some(open_waits::open(&context.db, caller.user, length).await?),
        None => None,
    };
    let (user, key) = (caller.user, Some(caller.key));
    let request_id = request_id(&request);
    let create = Create {
        id,
        user,
        key,
        app_id,
        body,
        files,
        webhook,
        idempotency_key,
        request_id,
        quotas: caller.quotas,
        request_bytes,
    };
    let created = create.run(&context.intake).await?;
    // A held answer is no upload, and holds no fields.
    drop(in_flight);
    respond(&context, &caller, &created, wait.map(|length| (started, length))).await
}

/// Reads the fields and the files. Returns the bytes of the body too, and what the request holds until the
/// run is created.
async fn read(
    caller: &Caller,
    request: &HttpRequest,
    payload: web::Payload,
    context: &Context,
    (files, key): (&mut Uploads, Option<&str>),
) -> Result<(Map<String, Value>, u64, Vec<InFlightShare>), ApiError> {
    if !is_form(request) {
        let (members, bytes, memory) = json_object(request, payload, (&context.json, caller.user)).await?;
        return Ok((members, bytes, vec![memory]));
    }
    let path = path_of(request.match_info().get("appId").and_then(|id| id.parse().ok()));
    let earlier = key.map(|key| Earlier::Key(&path, key));
    let upload = begin_form(context, request, (caller.user, &caller.quotas), earlier, files).await?;
    let (members, bytes, mut in_flight) =
        read_form(request, payload, files, (&context.json, caller.user)).await?;
    in_flight.push(upload);
    Ok((members, bytes, in_flight))
}

/// The path that an idempotency key belongs to.
fn path_of(app_in_path: Option<AppId>) -> String {
    app_in_path.map_or(RUNS.to_owned(), |app| format!("/api/v1/apps/{app}/runs"))
}

/// Answers 202, or 200 if the run is over. The run exists even if the wait fails.
async fn respond(
    context: &Context,
    caller: &Caller,
    created: &Created,
    wait: Option<(Instant, Duration)>,
) -> Result<HttpResponse, ApiError> {
    let id = created.run();
    if let Some((started, length)) = wait {
        let stopping = context.lifecycle.stopping();
        let of = (caller.user, id);
        wait::until_over(&context.db, &context.watchers, stopping, of, started + length).await;
    }
    let load = get::load(&context.db, &context.viewer, caller.user, RunRef::of_any_app(id));
    let view = match (created, wait) {
        (Created::Now(..), None) => None,
        (Created::Now(..), Some(_)) => load.await.ok(),
        (Created::Before(_), _) => Some(load.await?),
    };
    let mut response = match (view, created) {
        (Some(run), _) if wait.is_some() && run.is_over() => HttpResponse::Ok().json(run),
        (Some(RunView { status, app_id, app_name, .. }), _) => accepted(id, status, app_id, &app_name),
        (None, Created::Now(_, app)) => accepted(id, RunStatus::Pending, app.id, &app.definition.name),
        (None, Created::Before(_)) => return Err(ApiError::not_found("run")),
    };
    let headers = response.headers_mut();
    if let Some((_, length)) = wait
        && let Ok(applied) = format!("wait={}", length.as_secs()).parse()
    {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    if matches!(created, Created::Before(_)) {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn accepted(id: RunId, status: RunStatus, app_id: AppId, app_name: &str) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((LOCATION, format!("{RUNS}/{id}")))
        .insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS))
        .json(Accepted { id, status, app_id, app_name })
}

fn app_id(caller: &Caller, in_path: Option<&str>, in_body: Option<&str>) -> Result<AppId, ApiError> {
    let Some(text) = in_path.or(in_body) else {
        let message = "appId is missing; GET /api/agentapps lists the apps";
        return Err(ApiError::invalid(FieldError::new("/appId", "required", message)));
    };
    text.parse().ok().filter(|app| caller.may_see(*app)).ok_or(ApiError::not_found("app"))
}
