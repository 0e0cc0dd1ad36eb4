//! Where errors meet HTTP: the one place that knows which problem an error is, and its headers. Nothing internal (SQL,
//! causes, paths) gets out; it is logged here instead.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CONTENT_RANGE, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;
use shared::db::DbError;
use shared::runs::RunStatus;
use shared::storage::StorageError;

use crate::auth::{Flood, PasswordError};
use crate::mistake::{FieldError, said};
use crate::problems::Problem;

/// Whatever a request can be answered with instead of what it asked for.
#[derive(Debug)]
pub enum ApiError {
    Unauthorized(&'static str),
    SignInNeeded,
    ForeignForm,
    TooFast { retry_after: u64 },
    PlanRequired { plan: String },
    LinkExpired,
    NotFound(&'static str),
    MethodNotAllowed { allow: String },
    InvalidRequest(String, Vec<FieldError>),
    InvalidInputs(Vec<FieldError>),
    UnknownModel { asked: String, known: Vec<String> },
    ModelLacksTools { asked: String, able: Vec<String> },
    InvalidWebhookUrl(String),
    AppArchived,
    RunAlreadyFinished(RunStatus),
    RunNotFinished(RunStatus),
    IdempotencyConflict,
    PayloadTooLarge { limit: usize },
    FilesTooLarge(String),
    RequestTimeout,
    UnsupportedMediaType,
    RangeNotSatisfiable { size: u64 },
    NotAcceptable,
    RateLimited { retry_after: u64, limit: u32 },
    Flood { retry_after: u64 },
    TooManyStreams { limit: usize },
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

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        metrics::counter!("capi_artifact_store_failures_total").increment(1);
        tracing::error!(%error, "the artifact store does not answer");
        Self::Unavailable("the artifact store does not answer; try again")
    }
}

impl From<Flood> for ApiError {
    fn from(Flood(wait): Flood) -> Self {
        Self::TooFast { retry_after: wait.as_secs() + 1 }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Unavailable("too many people are signing in; try again"),
            PasswordError::Hash(_) => Self::fault(&error),
        }
    }
}

impl ApiError {
    /// A fault of ours.
    pub fn fault(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed");
        Self::Internal
    }

    /// One mistake as the whole answer.
    #[must_use]
    pub fn invalid(mistake: FieldError) -> Self {
        Self::InvalidRequest(mistake.message.clone(), vec![mistake])
    }

    /// All mistakes at once (at most [`crate::mistake::MAX_MISTAKES`] are looked for), or none.
    pub fn unless_empty(mistakes: Vec<FieldError>) -> Result<(), Self> {
        if mistakes.is_empty() {
            return Ok(());
        }
        Err(Self::InvalidRequest(said(&mistakes), mistakes))
    }

    /// The problem as the response to the request of this id.
    pub(crate) fn respond(&self, request_id: &str) -> HttpResponse {
        let problem = self.problem();
        let code = problem.code();
        let mut body = json!({
            "type": format!("/docs/problems/{code}"), "title": problem.title(), "status": problem.status(),
            "detail": self.detail(), "code": code, "requestId": request_id,
        });
        let mistakes = self.field_errors();
        if !mistakes.is_empty() {
            body["errors"] = json!(mistakes);
        }
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some(header) = self.header() {
            response.insert_header(header);
        }
        metrics::counter!("capi_problems_total", "code" => code).increment(1);
        response.body(body.to_string())
    }

    pub(crate) const fn problem(&self) -> Problem {
        match self {
            Self::Unauthorized(_) | Self::SignInNeeded => Problem::Unauthorized,
            Self::ForeignForm => Problem::ForeignForm,
            Self::PlanRequired { .. } => Problem::PlanRequired,
            Self::LinkExpired => Problem::LinkExpired,
            Self::NotFound(_) => Problem::NotFound,
            Self::MethodNotAllowed { .. } => Problem::MethodNotAllowed,
            Self::InvalidRequest(..) => Problem::InvalidRequest,
            Self::InvalidInputs(_) => Problem::InvalidInputs,
            Self::UnknownModel { .. } => Problem::UnknownModel,
            Self::ModelLacksTools { .. } => Problem::ModelLacksTools,
            Self::InvalidWebhookUrl(_) => Problem::InvalidWebhookUrl,
            Self::AppArchived => Problem::AppArchived,
            Self::NotAcceptable => Problem::NotAcceptable,
            Self::RunAlreadyFinished(_) => Problem::RunAlreadyFinished,
            Self::RunNotFinished(_) => Problem::RunNotFinished,
            Self::IdempotencyConflict => Problem::IdempotencyConflict,
            Self::PayloadTooLarge { .. } | Self::FilesTooLarge(_) => Problem::PayloadTooLarge,
            Self::RequestTimeout => Problem::RequestTimeout,
            Self::UnsupportedMediaType => Problem::UnsupportedMediaType,
            Self::RangeNotSatisfiable { .. } => Problem::RangeNotSatisfiable,
            Self::RateLimited { .. } | Self::Flood { .. } | Self::TooFast { .. } => Problem::RateLimited,
            Self::TooManyStreams { .. } => Problem::TooManyStreams,
            Self::Unavailable(_) => Problem::Unavailable,
            Self::Internal => Problem::Internal,
        }
    }

    pub(crate) fn header(&self) -> Option<(HeaderName, String)> {
        match self {
            Self::Unauthorized(_) => Some((WWW_AUTHENTICATE, r#"Bearer realm="capi""#.to_owned())),
            Self::MethodNotAllowed { allow } => Some((ALLOW, allow.clone())),
            Self::RangeNotSatisfiable { size } => Some((CONTENT_RANGE, format!("bytes */{size}"))),
            Self::RateLimited { retry_after, .. }
            | Self::Flood { retry_after }
            | Self::TooFast { retry_after } => Some((RETRY_AFTER, retry_after.to_string())),
            Self::TooManyStreams { .. } | Self::Unavailable(_) => Some((RETRY_AFTER, "2".to_owned())),
            _ => None,
        }
    }

    /// What is wrong and what to change.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Unauthorized(detail) | Self::Unavailable(detail) => (*detail).to_owned(),
            Self::PlanRequired { plan } => {
                format!("the account's plan is {plan:?}; its keys work again on a paid plan (pro or higher)")
            }
            Self::SignInNeeded => "sign in first".to_owned(),
            Self::ForeignForm => {
                "the form did not come from a page of this console, or the page is old: open it again and send it from there. If that does not help, CAPI_PUBLIC_URL is not the address in your browser".to_owned()
            }
            Self::TooFast { retry_after } => format!("too many requests at once; wait {retry_after} s"),
            Self::NotFound(what) => {
                format!("there is no such {what}, or this key may not see it; check the id")
            }
            Self::MethodNotAllowed { allow } => format!("this path takes {allow}"),
            Self::InvalidRequest(detail, _) => detail.clone(),
            Self::InvalidInputs(errors) => said(errors),
            Self::UnknownModel { asked, known } => {
                format!("chatModelId {asked:?} is not available here; use one of: {}", known.join(", "))
            }
            Self::ModelLacksTools { asked, able } if able.is_empty() => {
                format!(
                    "the app uses tools, and the model {asked:?} cannot call any, nor can another one here"
                )
            }
            Self::ModelLacksTools { asked, able } => format!(
                "the app uses tools, and the model {asked:?} cannot call any; give as chatModelId one of: {}",
                able.join(", ")
            ),
            Self::InvalidWebhookUrl(why) => format!("webhookUrl {why}"),
            Self::RunAlreadyFinished(status) => {
                format!("the run is {} and can no longer be cancelled", status.as_str())
            }
            Self::RunNotFinished(status) => {
                format!("the run is {}; cancel it or wait for its end before deleting it", status.as_str())
            }
            Self::IdempotencyConflict => {
                "this Idempotency-Key was used with other fields within the last 24 hours; take a fresh key, or send the \
                 fields as they were"
                    .to_owned()
            }
            Self::PayloadTooLarge { limit } => format!("send at most {limit} bytes"),
            Self::FilesTooLarge(what) => format!("{what}; send less"),
            Self::RangeNotSatisfiable { size } => format!("the file has {size} bytes; ask for some of those"),
            Self::RateLimited { retry_after, limit } => format!(
                "the plan allows {limit} requests per minute over all keys; wait {retry_after} s, and prefer ?wait= or a \
                 webhook (webhookUrl) to polling"
            ),
            Self::Flood { retry_after } => {
                format!("far too many requests, or wrong keys from this address; wait {retry_after} s")
            }
            Self::TooManyStreams { limit } => {
                format!(
                    "the account has {limit} waits open, the most at once; let one end or poll without ?wait="
                )
            }
            Self::LinkExpired => {
                "the link has expired or was changed; GET the run for a fresh one".to_owned()
            }
            Self::NotAcceptable => {
                "Accept-Encoding refuses every form of an answer; allow gzip or identity, or leave it out"
                    .to_owned()
            }
            Self::AppArchived => "restore the app, or run another one".to_owned(),
            Self::RequestTimeout => "send the whole body within 15 s".to_owned(),
            Self::UnsupportedMediaType => "send the body with content-type: application/json (a run with files: multipart/form-data)".to_owned(),
            Self::Internal => "the fault is ours; report the requestId".to_owned(),
        }
    }

    /// Whether the caller can mend it by sending something else.
    pub(crate) const fn is_the_callers(&self) -> bool {
        matches!(
            self,
            Self::InvalidRequest(..)
                | Self::InvalidInputs(_)
                | Self::UnknownModel { .. }
                | Self::ModelLacksTools { .. }
                | Self::AppArchived
        )
    }

    pub(crate) fn field_errors(&self) -> Vec<FieldError> {
        match self {
            Self::InvalidRequest(_, errors) | Self::InvalidInputs(errors) => errors.clone(),
            Self::UnknownModel { .. } => vec![FieldError::new("/chatModelId", "unknown", self.detail())],
            Self::ModelLacksTools { .. } => {
                vec![FieldError::new("/chatModelId", "lacks_tools", self.detail())]
            }
            Self::InvalidWebhookUrl(_) => vec![FieldError::new("/webhookUrl", "invalid", self.detail())],
            _ => vec![],
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem().code(), self.detail())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.problem().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Only a mark: the problem is written where the request's id is known.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}
