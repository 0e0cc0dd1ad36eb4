//! What all pages have in common: the frame around them, and the headers that keep them closed.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use url::form_urlencoded;

use super::assets;
use super::visitor::Visitor;
use crate::http::ApiError;

/// Everything from here, no script within a page, no frame around it, and forms that go nowhere else.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Which part of the console a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Apps,
    Account,
    None,
}

/// What the frame around a page says.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) part: Part,
    /// Of whoever is signed in.
    pub(super) email: Option<String>,
    pub(super) form_token: String,
    /// Told once, above the page: what was done.
    pub(super) notice: Option<&'static str>,
    pub(super) version: &'static str,
}

impl Frame {
    pub(super) fn new(title: impl Into<String>, part: Part, visitor: &Visitor) -> Self {
        Self {
            title: title.into(),
            part,
            email: Some(visitor.session.email.clone()),
            form_token: visitor.form_token.clone(),
            notice: None,
            version: assets::version(),
        }
    }

    /// For a page that nobody has to be signed in for.
    pub(super) fn open(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            part: Part::None,
            email: None,
            form_token: String::new(),
            notice: None,
            version: assets::version(),
        }
    }

    /// With what the query's `done` says, where that is one of these.
    pub(super) fn noticing(mut self, request: &HttpRequest, known: &[(&str, &'static str)]) -> Self {
        let done = parameter(request, "done");
        self.notice =
            done.and_then(|done| known.iter().find(|(word, _)| *word == done).map(|(_, said)| *said));
        self
    }

    pub(super) fn in_apps(&self) -> bool {
        self.part == Part::Apps
    }

    pub(super) fn in_account(&self) -> bool {
        self.part == Part::Account
    }
}

/// A page, or a part of one.
pub(super) fn show(page: &impl Template) -> Result<HttpResponse, ApiError> {
    show_as(StatusCode::OK, page)
}

/// The same with another status.
pub(super) fn show_as(status: StatusCode, page: &impl Template) -> Result<HttpResponse, ApiError> {
    Ok(html(status, render(page)?))
}

/// A template as text.
pub(super) fn render(page: &impl Template) -> Result<String, ApiError> {
    page.render().map_err(|error| ApiError::fault(&error))
}

/// Text that is HTML already.
pub(super) fn html(status: StatusCode, body: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "same-origin"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .body(body)
}

/// After a form: the page that shows what came of it.
pub(super) fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, path)).finish()
}

/// A parameter of the query that a page may have, and may do without.
pub(super) fn parameter(request: &HttpRequest, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(request.query_string().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Whether the script asks, for a part of a page.
pub(super) fn is_for_script(request: &HttpRequest) -> bool {
    request.headers().contains_key("hx-request")
}
