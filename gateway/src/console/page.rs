//! What all pages share: the frame around them, and the headers that allow no foreign content.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use tracing::Span;
use url::form_urlencoded;

use super::assets;
use super::session::Visitor;
use crate::http::ApiError;

/// Content only from this site, no inline scripts, no embedding in frames, and forms only to this site.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Does work that takes long, such as rendering, on a thread that serves no requests. Its log lines keep the
/// request's span.
pub(crate) async fn block<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let span = Span::current();
    web::block(move || span.in_scope(work)).await.map_err(|error| ApiError::fault(&error))?
}

/// The part of the console that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Apps,
    Account,
    None,
}

/// The frame around a page.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) part: Part,
    /// The visitor's email, if there is a session.
    pub(crate) email: Option<String>,
    pub(crate) form_token: String,
    /// What the former request did; at the top of the page.
    pub(crate) notice: Option<&'static str>,
    /// Webhooks of the last days that were given up.
    pub(crate) failed_deliveries: i64,
    pub(crate) version: &'static str,
}

impl Frame {
    pub(crate) fn new(title: impl Into<String>, part: Part, visitor: &Visitor) -> Self {
        Self {
            title: title.into(),
            part,
            email: Some(visitor.session.email.clone()),
            form_token: visitor.form_token.clone(),
            notice: None,
            failed_deliveries: visitor.session.failed_deliveries,
            version: assets::version(),
        }
    }

    /// For a page without a session.
    pub(crate) fn open(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            part: Part::None,
            email: None,
            form_token: String::new(),
            notice: None,
            failed_deliveries: 0,
            version: assets::version(),
        }
    }

    /// Adds the notice that the query parameter `done` names, if it is one of `known`.
    pub(crate) fn with_notice(mut self, request: &HttpRequest, known: &[(&str, &'static str)]) -> Self {
        let done = parameter(request, "done");
        self.notice =
            done.and_then(|done| known.iter().find(|(word, _)| *word == done).map(|(_, said)| *said));
        self
    }

    pub(crate) fn in_apps(&self) -> bool {
        self.part == Part::Apps
    }

    pub(crate) fn in_account(&self) -> bool {
        self.part == Part::Account
    }
}

/// Responds with a page, or with a part of a page.
pub(crate) fn show(page: &impl Template) -> Result<HttpResponse, ApiError> {
    show_as(StatusCode::OK, page)
}

/// Responds with a page and a status.
pub(crate) fn show_as(status: StatusCode, page: &impl Template) -> Result<HttpResponse, ApiError> {
    Ok(html(status, render(page)?))
}

pub(crate) fn render(page: &impl Template) -> Result<String, ApiError> {
    page.render().map_err(|error| ApiError::fault(&error))
}

/// Responds with rendered HTML.
pub(crate) fn html(status: StatusCode, body: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "same-origin"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .body(body)
}

/// Redirects to the page that shows the result of a form.
pub(crate) fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, path)).finish()
}

/// An optional parameter of the query.
pub(crate) fn parameter(request: &HttpRequest, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(request.query_string().as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Whether the page's script sent the request, for a part of the page.
pub(crate) fn is_for_script(request: &HttpRequest) -> bool {
    request.headers().contains_key("hx-request")
}
