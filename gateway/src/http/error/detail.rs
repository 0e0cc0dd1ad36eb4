//! What an error says to a client of the API: what is wrong and what to change. The console has sentences of
//! its own.

use chrono::{DateTime, Utc};
use gateway_domain::accounts::quotas::{Exceeded, Quota};
use gateway_domain::{Refusal, joined};

use shared::config::SearchMissing;
use shared::time::format_time;
use shared::tools::PICTURE_OPENERS;

use super::ApiError;
use crate::http::limits::TooManyUnread;

const RUN_DELETED: &str = "the run that this Idempotency-Key created within the last 24 hours was deleted; \
                           to run it again, use a new key";

impl ApiError {
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => of_refusal(refusal),
            Self::Unauthorized(detail) => (*detail).to_owned(),
            Self::PlanRequired { plan } => {
                format!("the account's plan is {plan:?}; its keys work again on a paid plan (pro or higher)")
            }
            Self::ScopeRequired { scope } => format!(
                "this API key may not do that; use a key with the scope {} (Account → API Keys)",
                scope.as_str()
            ),
            Self::KeyForOneApp => {
                "this API key is for one app and cannot create others; use a key for all apps".to_owned()
            }
            Self::PreconditionRequired => {
                "send If-Match with the app's version in quotes, like \"3\", or * to replace any version"
                    .to_owned()
            }
            Self::SignInNeeded => "sign in first".to_owned(),
            Self::ForeignForm => {
                "the form has expired or was sent from another site; open its page again and send it from \
                 there. If that does not help, CAPI_PUBLIC_URL is not the address in your browser"
                    .to_owned()
            }
            Self::TooFast { retry_after } => format!("too many requests at once; wait {retry_after} s"),
            Self::MethodNotAllowed { allow } => format!("this path takes {allow}"),
            Self::PayloadTooLarge { limit } => format!("send at most {limit} bytes"),
            Self::FilesTooLarge(what) => format!("{what}; send less"),
            Self::RangeNotSatisfiable { size } => format!("the file has {size} bytes; ask for some of those"),
            Self::RateLimited { retry_after, limit } => format!(
                "the plan allows {limit} requests per minute over all keys; wait {retry_after} s, and prefer \
                 ?wait= or a webhook (webhookUrl) to polling"
            ),
            Self::Flood { retry_after } => {
                format!("far too many requests, or wrong keys from this address; wait {retry_after} s")
            }
            Self::Unread(TooManyUnread { retry_after }) => format!(
                "clients of this account have not read the large answers that they asked for; read or close \
                 those, or wait {retry_after} s"
            ),
            Self::LinkExpired => {
                "the link has expired or was changed; GET the run for a fresh one".to_owned()
            }
            Self::NotAcceptable => {
                "Accept-Encoding refuses every form of an answer; allow gzip or identity, or leave it out"
                    .to_owned()
            }
            Self::NoSuchMediaType(offered) => {
                format!("Accept allows no form of the answer; send {offered}, or leave the header out")
            }
            Self::RequestTimeout => "send the whole body within 15 s".to_owned(),
            Self::UnsupportedMediaType(instead) => instead.clone(),
            Self::NoSuchPath { likely: Some(path) } => {
                format!("there is no such path; did you mean {path}? /docs describes all paths")
            }
            Self::NoSuchPath { likely: None } => {
                "there is no such path; /docs describes all paths, which begin with /api/v1".to_owned()
            }
            Self::BrokenForm => {
                "the form arrived damaged; open its page again and send it once more".to_owned()
            }
            Self::RefusedUploads { retry_after } => format!(
                "refused uploads of this account have as many bytes as its plan allows in a day; wait \
                 {retry_after} s, and try a form with ?dryRun=true, which stores nothing"
            ),
            Self::ExpectationFailed => {
                "the only Expect that is understood is 100-continue; leave the header out".to_owned()
            }
        }
    }
}

fn of_refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Unavailable(detail) => (*detail).to_owned(),
        Refusal::MaybeCreated { has_key } => maybe_created(*has_key).to_owned(),
        Refusal::NotFound(what @ ("page" | "path" | "problem")) => {
            format!("there is no such {what}; /docs describes all paths")
        }
        Refusal::NotFound(what) => {
            format!("there is no such {what}, or this key may not see it; check the id")
        }
        Refusal::InvalidRequest(detail, _) => detail.clone(),
        Refusal::InvalidInputs(errors) | Refusal::InvalidApp(errors) => joined(errors),
        Refusal::AppNameTaken(name) => {
            format!("another app has the name {name:?}; choose another name, or change that app")
        }
        Refusal::AppChanged { version } => format!(
            "the app was changed meanwhile: its version is {version} now; get it again and merge your change"
        ),
        Refusal::TooManyApps { most, what } => {
            format!("there are already {most} {what}, which is the limit; use another app")
        }
        Refusal::UnknownModel { asked, known } => {
            format!("chatModelId {asked:?} is not available here; use one of: {}", known.join(", "))
        }
        Refusal::ModelLacksTools { asked, able } => lacks_tools(asked, able),
        Refusal::ModelLacksVision { asked, able } => lacks_vision(asked, able),
        Refusal::SearchMissing(missing) => search_missing(missing),
        Refusal::InvalidWebhookUrl { field, why } => format!("{field} {why}"),
        Refusal::RunAlreadyFinished(status) => {
            format!("the run is {} and can no longer be cancelled", status.as_str())
        }
        Refusal::RunNotFinished(status) => {
            format!("the run is {}; cancel it or wait for its end before deleting it", status.as_str())
        }
        Refusal::DeliveryNotFinished { in_flight, next_attempt_at } => {
            not_finished(*in_flight, *next_attempt_at)
        }
        Refusal::TooManyPings { in_flight, per_minute } => format!(
            "an account may have {in_flight} tests of webhooks in flight and send {per_minute} in a minute; \
             wait a little"
        ),
        Refusal::IdempotencyConflict => {
            "this Idempotency-Key was used with other fields within the last 24 hours; use a new key, or \
             send the fields as they were"
                .to_owned()
        }
        Refusal::RunDeleted => RUN_DELETED.to_owned(),
        Refusal::TooManyWaits { limit } => {
            format!(
                "the account has {limit} open waits and streams, which is the limit; close one, or poll \
                 without ?wait="
            )
        }
        Refusal::TooManyChecks => {
            "other checks of the account's apps are not done yet; try again a few seconds later".to_owned()
        }
        Refusal::StoreFull => {
            "the installation has no space for files; nothing was created. Send the run without files, or \
             try again once its operator has made space"
                .to_owned()
        }
        Refusal::QuotaExceeded(exceeded) => of_quota(exceeded),
        Refusal::AppArchived => "restore the app, or run another one".to_owned(),
        Refusal::Internal => {
            "internal error of this installation; report the requestId to its operator".to_owned()
        }
    }
}

const fn maybe_created(has_key: bool) -> &'static str {
    if has_key {
        "the run may have been accepted; send the request again with the same Idempotency-Key"
    } else {
        "the run may have been accepted; check with GET /api/v1/runs before you create it again (with an \
         Idempotency-Key you can send the same request again)"
    }
}

fn lacks_tools(asked: &str, able: &[String]) -> String {
    if able.is_empty() {
        return format!(
            "the app uses tools; neither the model {asked:?} nor another one here can call tools"
        );
    }
    format!(
        "the app uses tools, and the model {asked:?} cannot call any; give as chatModelId one of: {}",
        able.join(", ")
    )
}

fn search_missing(missing: &SearchMissing) -> String {
    match missing {
        SearchMissing::NoProvider => missing.to_string(),
        SearchMissing::UnknownProvider { .. } => {
            format!("{missing}; choose one of these for the app, or ask the operator to add the provider")
        }
    }
}

fn lacks_vision(asked: &str, able: &[String]) -> String {
    let openers = PICTURE_OPENERS.join(" and ");
    if able.is_empty() {
        return format!(
            "a file is a picture, and neither the model {asked:?} nor another one here sees pictures; send \
             no picture, or use an app with one of the tools {openers}"
        );
    }
    format!(
        "a file is a picture, and the model {asked:?} does not see pictures; give as chatModelId one of: \
         {}; or use an app with one of the tools {openers}",
        able.join(", ")
    )
}

fn not_finished(in_flight: bool, next_attempt_at: Option<DateTime<Utc>>) -> String {
    match next_attempt_at.filter(|_| !in_flight) {
        Some(at) => format!(
            "the delivery is not over: its next attempt is due at {}; send it again when it is delivered or \
             failed",
            format_time(at)
        ),
        None => "a request for this delivery is in flight; wait for its result".to_owned(),
    }
}

fn of_quota(Exceeded { quota, used, limit }: &Exceeded) -> String {
    match quota {
        Quota::PendingRuns => format!(
            "the account has {used} pending runs, and its plan allows {limit}; wait until some start, or \
             cancel some"
        ),
        Quota::StoredBytes => format!(
            "the account stores {used} bytes of files and artifacts, and its plan allows {limit}; delete old \
             runs, or send smaller files"
        ),
        Quota::RequestBytesPerDay => format!(
            "the account's creates of today (UTC) have {used} bytes, and its plan allows {limit} a day; send \
             less, or try again tomorrow"
        ),
        Quota::TokensPerDay => format!(
            "the account used {used} tokens today (UTC), and its plan allows {limit} a day; try again \
             tomorrow"
        ),
        Quota::AppBytes => format!(
            "all versions of the account's apps would have {used} bytes, and its plan allows {limit}; store \
             smaller definitions, or ask the operator for another plan"
        ),
    }
}
