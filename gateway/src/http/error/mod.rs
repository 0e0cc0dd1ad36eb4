//! Where errors meet HTTP: [`ApiError`] adds what only HTTP knows to the domain's [`Refusal`]. `problem`
//! gives each error its problem code, `detail` its sentence. No cause, SQL or path leaves this process; the
//! log has them.

mod body;
mod detail;
mod problem;

pub use body::{FieldProblem, ProblemBody};

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, ResponseError};
use gateway_domain::accounts::Scope;
use gateway_domain::accounts::passwords::PasswordError;
use gateway_domain::accounts::quotas::{Exceeded, Quota};
use gateway_domain::{FieldError, Refusal};
use shared::db::DbError;
use shared::storage::StorageError;

use super::limits::{Flood, TooManyUnread, TooMuchInFlight};

/// Why a request gets a problem instead of what it asked for.
#[derive(Debug)]
pub enum ApiError {
    /// What the domain refused.
    Refused(Refusal),
    Unauthorized(&'static str),
    SignInNeeded,
    /// A form without this session's token, or sent from another site.
    ForeignForm,
    /// The console's limits of requests, forms and sign-ins.
    TooFast {
        retry_after: u64,
    },
    PlanRequired {
        plan: String,
    },
    /// The API key may not do this.
    ScopeRequired {
        scope: Scope,
    },
    LinkExpired,
    MethodNotAllowed {
        allow: String,
    },
    PayloadTooLarge {
        limit: usize,
    },
    FilesTooLarge(String),
    RequestTimeout,
    /// Too many bytes of the account's uploads were refused.
    RefusedUploads {
        retry_after: u64,
    },
    /// A browser's form that cannot be read.
    BrokenForm,
    /// What to send instead.
    UnsupportedMediaType(String),
    /// No endpoint has this path. `likely` is the one that the client probably meant.
    NoSuchPath {
        likely: Option<String>,
    },
    /// An `Expect` that is not 100-continue.
    ExpectationFailed,
    /// The API key is for one app.
    KeyForOneApp,
    /// A change without If-Match.
    PreconditionRequired,
    RangeNotSatisfiable {
        size: u64,
    },
    NotAcceptable,
    /// `Accept` names none of these.
    NoSuchMediaType(&'static str),
    RateLimited {
        retry_after: u64,
        limit: u32,
    },
    /// The flood guard in front of the database.
    Flood {
        retry_after: u64,
    },
    /// The account's clients do not read their answers.
    Unread(TooManyUnread),
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Flood> for ApiError {
    fn from(Flood(wait): Flood) -> Self {
        Self::TooFast { retry_after: wait.as_secs() + 1 }
    }
}

impl From<TooManyUnread> for ApiError {
    fn from(too_many: TooManyUnread) -> Self {
        Self::Unread(too_many)
    }
}

impl From<TooMuchInFlight> for ApiError {
    fn from(too_much: TooMuchInFlight) -> Self {
        match too_much {
            TooMuchInFlight::Account => Self::TooFast { retry_after: 1 },
            TooMuchInFlight::Gateway => {
                Self::unavailable("too many requests of this kind are in flight; try again")
            }
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::unavailable("too many people are signing in; try again"),
            PasswordError::Hash(_) => Self::fault(&error),
        }
    }
}

impl ApiError {
    #[must_use]
    pub const fn not_found(what: &'static str) -> Self {
        Self::Refused(Refusal::NotFound(what))
    }

    #[must_use]
    pub const fn unavailable(detail: &'static str) -> Self {
        Self::Refused(Refusal::Unavailable(detail))
    }

    /// Logs a fault of this program or of its machine.
    pub fn internal(cause: &'static str) -> Self {
        tracing::error!(cause, "request failed");
        Self::Refused(Refusal::Internal)
    }

    /// Logs a fault of this program.
    pub fn fault(error: &dyn std::error::Error) -> Self {
        Self::Refused(Refusal::fault(error))
    }

    /// One error as the whole answer.
    #[must_use]
    pub fn invalid(error: FieldError) -> Self {
        Self::Refused(Refusal::invalid(error))
    }

    /// A request that is wrong as a whole, without a field to name.
    #[must_use]
    pub fn invalid_request(detail: impl Into<String>) -> Self {
        Self::Refused(Refusal::InvalidRequest(detail.into(), vec![]))
    }

    /// The response with the problem as its body.
    pub(crate) fn respond(&self, request_id: &str) -> HttpResponse {
        let problem = self.problem();
        let (errors, exceeded) = (self.field_errors(), self.exceeded());
        let body = ProblemBody {
            r#type: format!("/docs/problems/{}", problem.code()),
            title: problem.title(),
            status: problem.status(),
            detail: self.detail(),
            code: problem.code(),
            request_id,
            errors: &errors,
            scope: self.scope(),
            current_version: self.current_version(),
            quota: exceeded.map(|exceeded| quota_api_name(exceeded.quota)),
            used: exceeded.map(|exceeded| exceeded.used),
            limit: exceeded.map(|exceeded| exceeded.limit),
        };
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some(header) = self.header() {
            response.insert_header(header);
        }
        metrics::counter!("capi_problems_total", "code" => problem.code()).increment(1);
        response.body(serde_json::to_string(&body).unwrap_or_default())
    }

    /// The header that the response has beside the common ones.
    pub(crate) fn header(&self) -> Option<(HeaderName, String)> {
        match self {
            Self::Unauthorized(_) => Some((WWW_AUTHENTICATE, r#"Bearer realm="capi""#.to_owned())),
            Self::MethodNotAllowed { allow } => Some((ALLOW, allow.clone())),
            Self::Refused(Refusal::AppChanged { version }) => Some((ETAG, format!("\"{version}\""))),
            Self::RangeNotSatisfiable { size } => Some((CONTENT_RANGE, format!("bytes */{size}"))),
            Self::RateLimited { retry_after, .. }
            | Self::Flood { retry_after }
            | Self::Unread(TooManyUnread { retry_after })
            | Self::RefusedUploads { retry_after }
            | Self::TooFast { retry_after } => Some((RETRY_AFTER, retry_after.to_string())),
            Self::Refused(
                Refusal::TooManyWaits { .. }
                | Refusal::TooManyChecks
                | Refusal::Unavailable(_)
                | Refusal::MaybeCreated { .. },
            ) => Some((RETRY_AFTER, "2".to_owned())),
            Self::Refused(Refusal::TooManyPings { .. }) => Some((RETRY_AFTER, "10".to_owned())),
            _ => None,
        }
    }

    const fn scope(&self) -> Option<&'static str> {
        match self {
            Self::ScopeRequired { scope } => Some(scope.as_str()),
            _ => None,
        }
    }

    const fn current_version(&self) -> Option<i32> {
        match self {
            Self::Refused(Refusal::AppChanged { version }) => Some(*version),
            _ => None,
        }
    }

    const fn exceeded(&self) -> Option<&Exceeded> {
        match self {
            Self::Refused(Refusal::QuotaExceeded(exceeded)) => Some(exceeded),
            _ => None,
        }
    }

    /// The errors of single fields, each with its location.
    pub(crate) fn field_errors(&self) -> Vec<FieldError> {
        let Self::Refused(refusal) = self else { return vec![] };
        let at = |pointer: &str, code| vec![FieldError::new(pointer, code, self.detail())];
        match refusal {
            Refusal::InvalidRequest(_, errors)
            | Refusal::InvalidInputs(errors)
            | Refusal::InvalidApp(errors) => errors.clone(),
            Refusal::AppNameTaken(_) => at("/name", "taken"),
            Refusal::UnknownModel { .. } => at("/chatModelId", "unknown"),
            Refusal::ModelLacksTools { .. } => at("/chatModelId", "lacks_tools"),
            Refusal::ModelLacksVision { .. } => at("/chatModelId", "lacks_vision"),
            Refusal::InvalidWebhookUrl { field, .. } => at(&format!("/{field}"), "invalid"),
            _ => vec![],
        }
    }
}

/// The quota's name among the limits of GET /api/v1/me.
const fn quota_api_name(quota: Quota) -> &'static str {
    match quota {
        Quota::PendingRuns => "maxPendingRuns",
        Quota::StoredBytes | Quota::AppBytes => "maxStoredBytes",
        Quota::RequestBytesPerDay => "maxRequestBytesPerDay",
        Quota::TokensPerDay => "maxTokensPerDay",
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

    /// A placeholder: the middleware writes the problem, because it knows the request's id.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}
