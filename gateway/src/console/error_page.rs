//! The page for a request that failed. It has its own sentences: those of the API name parameters that no
//! page shows. A visitor without a session is redirected to the sign-in page, and from there back.

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;
use gateway_domain::accounts::quotas::{Exceeded, Quota};
use gateway_domain::{Location, Refusal};
use url::form_urlencoded;

use super::format::{bytes, count, counted, sentence};
use super::lacking::{lacks_tools, lacks_vision, search_missing};
use super::page::{Frame, html, is_for_script, see_other};
use crate::http::ApiError;
use crate::http::limits::TooManyUnread;

#[derive(Template)]
#[template(path = "error_page.html")]
struct Page<'p> {
    frame: Frame,
    title: &'p str,
    detail: String,
    request_id: &'p str,
}

/// The response to a browser whose request failed.
pub(crate) fn answer(error: &ApiError, request: &HttpRequest, request_id: &str) -> HttpResponse {
    if matches!(error, ApiError::SignInNeeded) {
        return to_sign_in(request);
    }
    let problem = error.problem();
    metrics::counter!("capi_problems_total", "code" => problem.code()).increment(1);
    let title = problem.title();
    let page = Page { frame: Frame::open(title), title, detail: error_sentence(error), request_id };
    let body = page.render().unwrap_or_else(|_| problem.title().to_owned());
    let mut response = html(error.status_code(), body);
    if let Some((name, value)) = error.header()
        && let Ok(value) = value.parse()
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// What happened and what to do next.
fn error_sentence(error: &ApiError) -> String {
    let text = match error {
        ApiError::Refused(refusal) => return refusal_sentence(refusal),
        ApiError::NoSuchPath { likely } => {
            let meant = likely.as_ref().map(|path| format!(" Did you mean {path}?")).unwrap_or_default();
            return format!("There is no page at this address.{meant}");
        }
        ApiError::BrokenForm => "The form arrived damaged. Open its page again and send it once more.",
        ApiError::ExpectationFailed => "Your browser expects what this site cannot do.",
        ApiError::TooFast { retry_after }
        | ApiError::Flood { retry_after }
        | ApiError::RateLimited { retry_after, .. } => {
            return format!("There were too many requests. Wait {retry_after} s, then try again.");
        }
        ApiError::Unread(TooManyUnread { retry_after }) => {
            return format!(
                "Other requests of your account have not finished loading. Wait {retry_after} s, then reload."
            );
        }
        ApiError::ScopeRequired { scope } => {
            return format!("The API key lacks the scope {}.", scope.as_str());
        }
        ApiError::RefusedUploads { retry_after } => {
            return format!(
                "Too many of your uploads could not be used. Wait {retry_after} s, then try again."
            );
        }
        ApiError::PlanRequired { plan } => return format!("The plan {plan} does not include the API."),
        ApiError::PayloadTooLarge { limit } => {
            let most = bytes(i64::try_from(*limit).unwrap_or(i64::MAX));
            return format!("The form is too large. It may have at most {most}.");
        }
        ApiError::FilesTooLarge(what) => return format!("{} Choose fewer or smaller files.", sentence(what)),
        ApiError::Unauthorized(_) | ApiError::SignInNeeded => "Sign in first.",
        ApiError::ForeignForm => {
            "The form expired or was sent from another site. Open its page again and send it from there. If \
             that does not help, ask the operator whether CAPI_PUBLIC_URL is the address in your browser."
        }
        ApiError::KeyForOneApp => "The API key is for one app and cannot create others.",
        ApiError::PreconditionRequired => "The change does not say which version it replaces.",
        ApiError::LinkExpired => "The link expired or was changed. Open the run's page for a new one.",
        ApiError::MethodNotAllowed { .. } => "This address does not take this kind of request.",
        ApiError::RequestTimeout => "The form did not arrive in time. Send it again.",
        ApiError::UnsupportedMediaType(_) => {
            "This is not a form of the console. Open its page and send it from there."
        }
        ApiError::RangeNotSatisfiable { .. } => "The file is shorter than that. Download it again.",
        // No page of the console chooses a form by Accept.
        ApiError::NotAcceptable | ApiError::NoSuchMediaType(_) => {
            "Your browser accepts no encoding that this site can send."
        }
    };
    text.to_owned()
}

pub(crate) fn refusal_sentence(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound("path" | "page" | "file" | "sample") => {
            "There is no page at this address.".to_owned()
        }
        Refusal::NotFound(what) => {
            format!("There is no such {what} in your account. It may have been deleted. Check the address.")
        }
        // A list's address. Only its pages make it.
        Refusal::InvalidRequest(_, errors)
            if errors.iter().any(|error| matches!(error.location, Location::Parameter(_))) =>
        {
            "This address is incomplete or was changed. Go back and open the list again.".to_owned()
        }
        Refusal::InvalidRequest(detail, _) => sentence(detail),
        Refusal::InvalidInputs(errors) | Refusal::InvalidApp(errors) => {
            sentence(&gateway_domain::joined(errors))
        }
        Refusal::AppNameTaken(name) => {
            format!("Another app has the name {name:?}. Rename one of the two first.")
        }
        Refusal::AppChanged { version } => {
            format!("The app was changed meanwhile: its version is {version} now. Open it again.")
        }
        Refusal::TooManyApps { most, what } => {
            format!("There are {most} {what} already, the most possible. Use another app.")
        }
        Refusal::UnknownModel { asked, .. } => {
            format!("The model {asked} is not available here. Choose another model.")
        }
        Refusal::ModelLacksTools { asked, able } => lacks_tools(asked, able.is_empty()),
        Refusal::ModelLacksVision { asked, able } => lacks_vision(asked, able),
        Refusal::SearchMissing(missing) => search_missing(missing),
        Refusal::InvalidWebhookUrl { why, .. } => format!("The webhook address {why}."),
        Refusal::AppArchived => "The app is archived. Restore it, then run it.".to_owned(),
        Refusal::RunAlreadyFinished(status) => {
            format!("The run is {} and can no longer be cancelled.", status.as_str())
        }
        Refusal::RunNotFinished(status) => {
            format!("The run is {}. Cancel it or wait for its end, then delete it.", status.as_str())
        }
        Refusal::DeliveryNotFinished { in_flight, .. } => not_finished(*in_flight).to_owned(),
        Refusal::TooManyPings { in_flight, per_minute } => format!(
            "You may send {per_minute} tests in a minute, and {in_flight} at a time. Wait a little, then try \
             again."
        ),
        Refusal::IdempotencyConflict => {
            "This form was already sent with other values. Open its page again.".to_owned()
        }
        Refusal::RunDeleted => "This form started a run, which was deleted. Open its page again.".to_owned(),
        Refusal::TooManyWaits { limit } => {
            format!("Your account has {limit} live pages open, the most possible. Close one, then reload.")
        }
        Refusal::TooManyChecks => {
            "Other checks of your apps are not done yet. Wait a few seconds, then try again.".to_owned()
        }
        Refusal::StoreFull => "This installation has no space left for files. Nothing was started. Tell its \
                               operator, or run the app without files."
            .to_owned(),
        Refusal::QuotaExceeded(exceeded) => quota_sentence(exceeded),
        Refusal::Unavailable(detail) => sentence(detail),
        Refusal::MaybeCreated { .. } => {
            "The database did not confirm the run. It may have started: look at the app's runs before you \
             start it again."
                .to_owned()
        }
        Refusal::Internal => {
            "This installation has an internal error. Give the request id below to its operator.".to_owned()
        }
    }
}

const fn not_finished(in_flight: bool) -> &'static str {
    if in_flight {
        "A request for this delivery is in flight. Wait for its result."
    } else {
        "The delivery is not over. Its next try is due later. Send it again when it is delivered or failed."
    }
}

pub(crate) fn quota_sentence(Exceeded { quota, used, limit }: &Exceeded) -> String {
    match quota {
        Quota::PendingRuns => format!(
            "Your plan allows {}, and you have {}. Wait until some start, or cancel some.",
            counted(usize::try_from(*limit).unwrap_or_default(), "waiting run"),
            count(*used)
        ),
        Quota::StoredBytes => format!(
            "Your files do not fit: {} of {} are in use. Delete old runs, or choose smaller files.",
            bytes(*used),
            bytes(*limit)
        ),
        Quota::RequestBytesPerDay => format!(
            "This form does not fit: you sent {} today, and your plan allows {} a day. Send less, or try \
             again tomorrow (UTC).",
            bytes(*used),
            bytes(*limit)
        ),
        Quota::TokensPerDay => format!(
            "Your runs used {} tokens today, and your plan allows {} a day. Try again tomorrow (UTC).",
            count(*used),
            count(*limit)
        ),
        Quota::AppBytes => format!(
            "This version does not fit: all versions of your apps would have {}, and your plan allows {}. \
             Versions cannot be deleted. Store a smaller one, or ask the operator for another plan.",
            bytes(*used),
            bytes(*limit)
        ),
    }
}

/// Redirects to the sign-in page. After a GET of a page, the sign-in leads back to that page.
fn to_sign_in(request: &HttpRequest) -> HttpResponse {
    let here = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let safe = request.method().is_safe() && !is_for_script(request) && here != "/";
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", here).finish();
    let path = if safe { format!("/sign-in?{query}") } else { "/sign-in".to_owned() };
    if is_for_script(request) {
        // A redirect would put the sign-in page into a part of the present page.
        return HttpResponse::Unauthorized()
            .insert_header((HeaderName::from_static("hx-redirect"), path))
            .finish();
    }
    see_other(&path)
}

#[cfg(test)]
mod tests {
    use shared::config::SearchMissing;
    use shared::runs::RunStatus;

    use super::*;

    #[test]
    fn sentences_name_no_parameters_of_the_api() {
        let model = || "m".to_owned();
        let over = |quota| Refusal::QuotaExceeded(Exceeded { quota, used: 20, limit: 20 }).into();
        let errors = [
            ApiError::RateLimited { retry_after: 3, limit: 60 },
            ApiError::Flood { retry_after: 3 },
            ApiError::UnsupportedMediaType("application/json".to_owned()),
            ApiError::PayloadTooLarge { limit: 1 << 20 },
            Refusal::UnknownModel { asked: model(), known: vec![model()] }.into(),
            Refusal::ModelLacksTools { asked: model(), able: vec![model()] }.into(),
            Refusal::ModelLacksVision { asked: model(), able: vec![] }.into(),
            Refusal::ModelLacksVision { asked: model(), able: vec![model()] }.into(),
            Refusal::SearchMissing(SearchMissing::NoProvider).into(),
            Refusal::SearchMissing(SearchMissing::UnknownProvider { asked: model(), known: vec![] }).into(),
            Refusal::InvalidWebhookUrl { field: "url", why: "must be https".to_owned() }.into(),
            Refusal::TooManyWaits { limit: 5 }.into(),
            Refusal::IdempotencyConflict.into(),
            Refusal::RunDeleted.into(),
            Refusal::TooManyPings { in_flight: 4, per_minute: 10 }.into(),
            Refusal::DeliveryNotFinished { in_flight: false, next_attempt_at: None }.into(),
            Refusal::TooManyChecks.into(),
            Refusal::RunNotFinished(RunStatus::Running).into(),
            Refusal::NotFound("run").into(),
            Refusal::MaybeCreated { has_key: true }.into(),
            Refusal::MaybeCreated { has_key: false }.into(),
            over(Quota::PendingRuns),
            over(Quota::StoredBytes),
            over(Quota::RequestBytesPerDay),
            over(Quota::TokensPerDay),
            over(Quota::AppBytes),
        ];
        for error in errors {
            let said = error_sentence(&error);
            for parameter in
                ["?wait", "webhookUrl", "chatModelId", "Idempotency-Key", "application/", "this key"]
            {
                assert!(!said.contains(parameter), "{parameter}: {said}");
            }
            assert!(said.ends_with('.') && said.starts_with(|first: char| first.is_uppercase()), "{said}");
        }
    }
}
