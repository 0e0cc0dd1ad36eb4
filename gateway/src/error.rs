//! Where errors meet HTTP: the one place that knows codes, statuses and headers (RFC 9457). Nothing internal (SQL,
//! causes, paths) gets out; it is logged here instead.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::json;
use shared::db::DbError;

/// One mistake in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// For programs.
    pub code: &'static str,
    /// What is wrong and what to change.
    pub message: String,
}

impl FieldError {
    /// A mistake at `pointer`.
    pub fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, message: message.into() }
    }
}

/// Whatever a request can be answered with instead of what it asked for.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names are the contract's codes, described in docs/API.md")]
pub enum ApiError {
    Unauthorized(&'static str),
    PlanRequired { plan: String },
    NotFound(&'static str),
    MethodNotAllowed { allow: &'static str },
    InvalidRequest(String, Vec<FieldError>),
    InvalidInputs(Vec<FieldError>),
    UnknownModel { asked: String, known: Vec<String> },
    InvalidWebhookUrl(String),
    AppArchived,
    PayloadTooLarge { limit: usize },
    RequestTimeout,
    UnsupportedMediaType,
    RateLimited { retry_after: u64, limit: u32 },
    Unavailable(&'static str),
    Internal,
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        if error.is_outage() {
            tracing::warn!(%error, "the database does not answer");
            Self::Unavailable("the database does not answer; try again")
        } else {
            tracing::error!(%error, "a statement failed");
            Self::Internal
        }
    }
}

impl ApiError {
    /// The problem as the response to the request of this id.
    pub(crate) fn respond(&self, request_id: &str) -> HttpResponse {
        let (status, code, title) = self.kind();
        let mut body = json!({
            "type": format!("/docs/problems/{code}"), "title": title, "status": status, "detail": self.detail(),
            "code": code, "requestId": request_id,
        });
        if !self.field_errors().is_empty() {
            body["errors"] = json!(self.field_errors());
        }
        let mut response = HttpResponse::build(self.status());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        match self {
            Self::Unauthorized(_) => {
                response.insert_header((WWW_AUTHENTICATE, r#"Bearer realm="capi""#));
            }
            Self::MethodNotAllowed { allow } => {
                response.insert_header((ALLOW, *allow));
            }
            Self::RateLimited { retry_after, .. } => {
                response.insert_header((RETRY_AFTER, retry_after.to_string()));
            }
            Self::Unavailable(_) => {
                response.insert_header((RETRY_AFTER, "2"));
            }
            _ => {}
        }
        metrics::counter!("capi_problems_total", "code" => code).increment(1);
        response.body(body.to_string())
    }

    /// Status, code, title.
    const fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Unauthorized(_) => (401, "unauthorized", "No valid API key"),
            Self::PlanRequired { .. } => (403, "plan_required", "The plan does not include the API"),
            Self::NotFound(_) => (404, "not_found", "Not found"),
            Self::MethodNotAllowed { .. } => (405, "method_not_allowed", "Method not allowed"),
            Self::InvalidRequest(..) => (400, "invalid_request", "The request is not valid"),
            Self::InvalidInputs(_) => (400, "invalid_inputs", "The inputs do not fit the app"),
            Self::UnknownModel { .. } => (400, "unknown_model", "Unknown model"),
            Self::InvalidWebhookUrl(_) => (400, "invalid_webhook_url", "The webhook URL cannot be used"),
            Self::AppArchived => (409, "app_archived", "The app is archived"),
            Self::PayloadTooLarge { .. } => (413, "payload_too_large", "The body is too large"),
            Self::RequestTimeout => (408, "request_timeout", "The body came too slowly"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type", "Unsupported media type"),
            Self::RateLimited { .. } => (429, "rate_limited", "Too many requests"),
            Self::Unavailable(_) => (503, "unavailable", "Not available now"),
            Self::Internal => (500, "internal", "Internal error"),
        }
    }

    /// What is wrong and what to change.
    fn detail(&self) -> String {
        match self {
            Self::Unauthorized(detail) | Self::Unavailable(detail) => (*detail).to_owned(),
            Self::PlanRequired { plan } => {
                format!("the account's plan is {plan:?}; its keys work again on a paid plan (pro or higher)")
            }
            Self::NotFound(what) => {
                format!("there is no such {what}, or this key may not see it; check the id")
            }
            Self::MethodNotAllowed { allow } => format!("this path takes {allow}"),
            Self::InvalidRequest(detail, _) => detail.clone(),
            Self::InvalidInputs(errors) => {
                errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ")
            }
            Self::UnknownModel { asked, known } => {
                format!("chatModelId {asked:?} is not available here; use one of: {}", known.join(", "))
            }
            Self::InvalidWebhookUrl(why) => format!("webhookUrl {why}"),
            Self::AppArchived => "restore the app, or run another one".to_owned(),
            Self::PayloadTooLarge { limit } => format!("send at most {limit} bytes"),
            Self::RequestTimeout => "send the whole body within 15 s".to_owned(),
            Self::UnsupportedMediaType => "send the body with content-type: application/json".to_owned(),
            Self::RateLimited { retry_after, limit } => format!(
                "the plan allows {limit} requests per minute over all keys; wait {retry_after} s, and prefer a \
                 webhook (webhookUrl) to polling"
            ),
            Self::Internal => "the fault is ours; report the requestId".to_owned(),
        }
    }

    fn field_errors(&self) -> &[FieldError] {
        match self {
            Self::InvalidRequest(_, errors) | Self::InvalidInputs(errors) => errors,
            _ => &[],
        }
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind().1, self.detail())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        self.respond("")
    }
}
