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
        let DbError::Query(query) = &error else {
            tracing::warn!(%error, "the database does not answer");
            return Self::Unavailable("the database does not answer; try again");
        };
        use diesel::result::{DatabaseErrorKind, Error};
        match query {
            Error::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            ) => {
                tracing::warn!(%error, "a database connection broke");
                Self::Unavailable("the database does not answer; try again")
            }
            _ => {
                tracing::error!(%error, "a statement failed");
                Self::Internal
            }
        }
    }
}

struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
}

impl ApiError {
    /// The problem as the response to the request of this id.
    pub(crate) fn respond(&self, request_id: &str) -> HttpResponse {
        let problem = self.problem();
        let mut body = json!({
            "type": format!("/docs/problems/{}", problem.code), "title": problem.title,
            "status": problem.status.as_u16(), "detail": problem.detail, "code": problem.code,
            "requestId": request_id,
        });
        if !problem.errors.is_empty() {
            body["errors"] = json!(problem.errors);
        }
        let mut response = HttpResponse::build(problem.status);
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
        metrics::counter!("capi_problems_total", "code" => problem.code).increment(1);
        response.body(body.to_string())
    }

    fn problem(&self) -> Problem {
        let problem = |status: u16, code, title, detail: String| Problem {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            title,
            detail,
            errors: Vec::new(),
        };
        match self {
            Self::Unauthorized(detail) => {
                problem(401, "unauthorized", "No valid API key", (*detail).to_owned())
            }
            Self::PlanRequired { plan } => problem(
                403,
                "plan_required",
                "The plan does not include the API",
                format!(
                    "the account's plan is {plan:?}; API keys work again once it is upgraded to a paid plan (pro or higher)"
                ),
            ),
            Self::NotFound(what) => problem(
                404,
                "not_found",
                "Not found",
                format!("there is no such {what}, or this key may not see it; check the id"),
            ),
            Self::MethodNotAllowed { allow } => {
                problem(405, "method_not_allowed", "Method not allowed", format!("this path takes {allow}"))
            }
            Self::InvalidRequest(detail, errors) => Problem {
                errors: errors.clone(),
                ..problem(400, "invalid_request", "The request is not valid", detail.clone())
            },
            Self::InvalidInputs(errors) => Problem {
                errors: errors.clone(),
                ..problem(400, "invalid_inputs", "The inputs do not fit the app", summary(errors))
            },
            Self::UnknownModel { asked, known } => problem(
                400,
                "unknown_model",
                "Unknown model",
                format!("chatModelId {asked:?} is not available here; use one of: {}", known.join(", ")),
            ),
            Self::InvalidWebhookUrl(why) => problem(
                400,
                "invalid_webhook_url",
                "The webhook URL cannot be used",
                format!("webhookUrl {why}"),
            ),
            Self::AppArchived => problem(
                409,
                "app_archived",
                "The app is archived",
                "restore the app, or run another one".to_owned(),
            ),
            Self::PayloadTooLarge { limit } => problem(
                413,
                "payload_too_large",
                "The body is too large",
                format!("send at most {limit} bytes"),
            ),
            Self::RequestTimeout => problem(
                408,
                "request_timeout",
                "The body came too slowly",
                "send the whole body within 15 s".to_owned(),
            ),
            Self::UnsupportedMediaType => problem(
                415,
                "unsupported_media_type",
                "Unsupported media type",
                "send the body with content-type: application/json".to_owned(),
            ),
            Self::RateLimited { retry_after, limit } => problem(
                429,
                "rate_limited",
                "Too many requests",
                format!(
                    "the plan allows {limit} requests per minute over all keys; wait {retry_after} s, and prefer a webhook (webhookUrl) to polling"
                ),
            ),
            Self::Unavailable(detail) => {
                problem(503, "unavailable", "Not available now", (*detail).to_owned())
            }
            Self::Internal => problem(
                500,
                "internal",
                "Internal error",
                "the fault is ours; report the requestId".to_owned(),
            ),
        }
    }
}

fn summary(errors: &[FieldError]) -> String {
    let parts: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
    parts.join("; ")
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.problem();
        write!(f, "{}: {}", problem.code, problem.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.problem().status
    }

    fn error_response(&self) -> HttpResponse {
        self.respond("")
    }
}
