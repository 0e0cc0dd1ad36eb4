//! POST /api/v1/runs and POST /api/v1/apps/{appId}/runs: 202 with the run's id, once the row is written.

use std::sync::Arc;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use shared::apps::InputType;
use shared::ids::{AppId, RunId};
use shared::net::webhook_url::WebhookUrl;
use shared::queue::Work;

use super::request::CreateRequest;
use crate::accept::{NewRun, accept};
use crate::apps::{CurrentApp, check_inputs};
use crate::auth::Caller;
use crate::context::Context;
use crate::error::{ApiError, FieldError};
use crate::extract::json_object;

const MAX_TITLE_CHARS: usize = 80;
/// Times that the app may change between being read and the run being written.
const STALE_RETRIES: usize = 3;

/// The handler.
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    // A header that promises something and is ignored would be worse than an error.
    if request.headers().contains_key("idempotency-key") {
        return Err(ApiError::InvalidRequest(
            "Idempotency-Key is not supported yet; leave the header out".to_owned(),
            vec![],
        ));
    }
    let body = CreateRequest::parse(json_object(&request, payload).await?)?;
    let app_id = app_id(request.match_info().get("appId"), body.app_id.as_deref())?;
    if !caller.may_see(app_id) {
        return Err(ApiError::NotFound("app"));
    }
    let webhook = body
        .webhook_url
        .as_deref()
        .map(|text| WebhookUrl::parse(text, &context.ip_policy))
        .transpose()
        .map_err(|refusal| ApiError::InvalidWebhookUrl(refusal.to_string()))?;
    let id = RunId::generate();
    let app = write(&caller, &context, &body, app_id, id, webhook.as_ref()).await?;
    context.publisher.nudge(Work::Runs, caller.user.uuid());
    metrics::counter!("capi_runs_accepted_total").increment(1);
    tracing::debug!(run_id = %id, app_id = %app.id, "run accepted");
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/api/v1/runs/{id}")))
        .json(json!({ "id": id, "status": "pending", "appId": app.id, "appName": app.definition.name })))
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
        let valid = cached.as_deref().and_then(|app| check(app, body, context).ok());
        let (app, (inputs, model)) = if let (Some(app), Some(valid)) = (cached.take(), valid) {
            (app, valid)
        } else {
            let mut conn = context.db.get().await?;
            let loaded = context.apps.load(&mut conn, caller.user, app_id).await?;
            let app = loaded.ok_or(ApiError::NotFound("app"))?;
            let valid = check(&app, body, context)?;
            (app, valid)
        };
        let title = title(&app, &inputs, id);
        let run = &NewRun {
            id,
            user: caller.user,
            key: caller.key,
            app: &app,
            title: &title,
            inputs: &inputs,
            model: &model,
            webhook,
            metadata: &body.metadata,
        };
        if context.db.write(|mut conn| async move { accept(&mut conn, run).await }).await? {
            return Ok(app);
        }
    }
    Err(ApiError::Unavailable("the app is being changed; try again"))
}

fn check(app: &CurrentApp, body: &CreateRequest, context: &Context) -> Result<(Value, String), ApiError> {
    if app.archived {
        return Err(ApiError::AppArchived);
    }
    let inputs = check_inputs(&app.definition.inputs, &body.inputs).map_err(ApiError::InvalidInputs)?;
    let asked = body.chat_model_id.as_deref().or(app.definition.model.as_deref());
    let model = match asked {
        None => context.models.default_model(),
        Some(id) => context.models.get(id).ok_or_else(|| ApiError::UnknownModel {
            asked: id.chars().take(MAX_TITLE_CHARS).collect(),
            known: context.models.all().iter().map(|model| model.id.clone()).collect(),
        })?,
    };
    Ok((Value::Object(inputs), model.id.clone()))
}

fn app_id(from_path: Option<&str>, from_body: Option<&str>) -> Result<AppId, ApiError> {
    let Some(text) = from_path.or(from_body) else {
        let missing =
            FieldError::new("/appId", "required", "appId is missing; GET /api/agentapps lists the apps");
        return Err(ApiError::InvalidRequest(missing.message.clone(), vec![missing]));
    };
    text.parse().map_err(|_| ApiError::NotFound("app"))
}

/// The first text input, else the short id.
fn title(app: &CurrentApp, inputs: &Value, id: RunId) -> String {
    let first = app.definition.inputs.iter().filter(|field| field.r#type == InputType::Text);
    let text =
        first.filter_map(|field| inputs[&field.name].as_str()).map(str::trim).find(|text| !text.is_empty());
    match text {
        Some(text) => {
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_TITLE_CHARS).collect()
        }
        None => id.to_string().chars().take(8).collect(),
    }
}
