//! Which problem an error is. The matches are exhaustive: a new refusal does not compile before it has a
//! problem.

use gateway_domain::Refusal;

use super::ApiError;
use crate::http::problems::Problem;

impl ApiError {
    pub(crate) const fn problem(&self) -> Problem {
        match self {
            Self::Refused(refusal) => of_refusal(refusal),
            Self::Unauthorized(_) | Self::SignInNeeded => Problem::Unauthorized,
            Self::ForeignForm => Problem::ForeignForm,
            Self::PlanRequired { .. } => Problem::PlanRequired,
            Self::ScopeRequired { .. } => Problem::ScopeRequired,
            Self::LinkExpired => Problem::LinkExpired,
            Self::MethodNotAllowed { .. } => Problem::MethodNotAllowed,
            Self::NotAcceptable | Self::NoSuchMediaType(_) => Problem::NotAcceptable,
            Self::PayloadTooLarge { .. } | Self::FilesTooLarge(_) => Problem::PayloadTooLarge,
            Self::RequestTimeout => Problem::RequestTimeout,
            Self::UnsupportedMediaType(_) => Problem::UnsupportedMediaType,
            Self::NoSuchPath { .. } => Problem::NotFound,
            Self::BrokenForm => Problem::InvalidRequest,
            Self::ExpectationFailed => Problem::ExpectationFailed,
            Self::KeyForOneApp => Problem::KeyForOneApp,
            Self::PreconditionRequired => Problem::PreconditionRequired,
            Self::RangeNotSatisfiable { .. } => Problem::RangeNotSatisfiable,
            Self::RateLimited { .. }
            | Self::Flood { .. }
            | Self::TooFast { .. }
            | Self::RefusedUploads { .. }
            | Self::Unread(_) => Problem::RateLimited,
        }
    }
}

const fn of_refusal(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::NotFound(_) => Problem::NotFound,
        Refusal::InvalidRequest(..) => Problem::InvalidRequest,
        Refusal::InvalidInputs(_) => Problem::InvalidInputs,
        Refusal::InvalidApp(_) => Problem::InvalidApp,
        Refusal::AppNameTaken(_) => Problem::AppNameTaken,
        Refusal::AppChanged { .. } => Problem::AppChanged,
        Refusal::TooManyApps { .. } => Problem::TooManyApps,
        Refusal::UnknownModel { .. } => Problem::UnknownModel,
        Refusal::ModelLacksTools { .. } => Problem::ModelLacksTools,
        Refusal::ModelLacksVision { .. } => Problem::ModelLacksVision,
        Refusal::SearchMissing(_) => Problem::SearchUnavailable,
        Refusal::InvalidWebhookUrl { .. } => Problem::InvalidWebhookUrl,
        Refusal::AppArchived => Problem::AppArchived,
        Refusal::RunAlreadyFinished(_) => Problem::RunAlreadyFinished,
        Refusal::RunNotFinished(_) => Problem::RunNotFinished,
        Refusal::DeliveryNotFinished { .. } => Problem::DeliveryNotFinished,
        Refusal::IdempotencyConflict => Problem::IdempotencyConflict,
        Refusal::RunDeleted => Problem::RunDeleted,
        Refusal::QuotaExceeded(_) => Problem::QuotaExceeded,
        Refusal::TooManyWaits { .. } => Problem::TooManyStreams,
        Refusal::TooManyChecks | Refusal::TooManyPings { .. } => Problem::RateLimited,
        Refusal::StoreFull => Problem::StoreFull,
        Refusal::Unavailable(_) | Refusal::MaybeCreated { .. } => Problem::Unavailable,
        Refusal::Internal => Problem::Internal,
    }
}
