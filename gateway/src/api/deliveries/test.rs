//! POST /api/v1/webhooks/test: a dispatcher sends a signed `ping`, and the answer says what came of it.

use actix_web::{HttpRequest, web};
use gateway_domain::deliveries::test_ping::test_ping;
use gateway_domain::{FieldError, MAX_FIELD_ERRORS, Refusal, quoted};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::deliveries::DeliveryError;
use utoipa::ToSchema;

use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, json_object};

/// The receiver to test.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the request")]
pub(in crate::api) struct TestWebhook {
    /// As `webhookUrl` of a create.
    #[schema(max_length = 2048, example = "https://example.com/hook")]
    url: String,
}

/// What the receiver answered.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTestResult)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct TestResult {
    #[schema(required)]
    status_code: Option<i32>,
    duration_ms: i32,
    /// Null if the receiver took the webhook.
    #[schema(required, value_type = Option<DeliveryError>)]
    error: Option<String>,
    /// A sentence beside the error.
    #[schema(required)]
    error_message: Option<String>,
    /// The first KiB of the answer, if it came from a public address.
    #[schema(required)]
    response_body: Option<String>,
}

#[utoipa::path(
    post, path = "/api/v1/webhooks/test", tag = "Webhooks", operation_id = "testWebhook",
    summary = "Test a webhook receiver",
    description = "Sends a `ping` to the URL, signed like every webhook of the account, and answers within \
                   20 seconds with the result. A receiver that fails is a result too. There is one attempt. \
                   An account may send 10 tests in a minute.",
    request_body(content = TestWebhook),
    responses((status = 200, description = "The result", body = TestResult)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<web::Json<TestResult>, ApiError> {
    Query::none(&request)?;
    let (members, _, memory) = json_object(&request, payload, (&context.json, caller.user)).await?;
    let url = url(&members)?;
    drop(memory);
    let url = context.webhook_url(&caller.plan, "url", &url)?;
    let stopping = context.lifecycle.stopping();
    let result = test_ping(&context.db, context.publisher(), stopping, caller.user, &url).await?;
    Ok(web::Json(TestResult {
        status_code: result.status_code,
        duration_ms: result.duration_ms,
        error: result.error,
        error_message: result.error_message,
        response_body: result.response_body,
    }))
}

fn url(members: &Map<String, Value>) -> Result<String, ApiError> {
    let unknown = members.keys().filter(|key| *key != "url").take(MAX_FIELD_ERRORS).map(|key| {
        let key = quoted(key);
        FieldError::member("", &key, "unknown", format!("unknown field {key:?}; the only one is: url"))
    });
    let mut errors: Vec<_> = unknown.collect();
    match members.get("url") {
        Some(Value::String(url)) if errors.is_empty() => return Ok(url.clone()),
        Some(Value::String(_)) => {}
        Some(_) => errors.push(FieldError::new("/url", "type", "url must be a string")),
        None => errors.push(FieldError::new("/url", "required", "url is missing; name the receiver to test")),
    }
    Refusal::unless_empty(errors)?;
    Ok(String::new())
}
