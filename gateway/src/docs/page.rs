//! What all pages of /docs share: the frame around them, and the headers that allow no foreign content.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use askama::Template;

use super::guides::{self, Group};
use super::render::Heading;
use crate::console;
use crate::http::ApiError;
use crate::http::middleware::leave_uncompressed;

/// Content only from this site, no inline scripts and styles, no forms, no embedding in frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The frame around a page.
pub(super) struct Frame {
    pub(super) title: String,
    /// The path of the page.
    pub(super) here: String,
    /// The sections of the page.
    pub(super) sections: Vec<Heading>,
    /// The pages that every page lists at its side.
    pub(super) groups: &'static [Group],
    /// A part of the addresses of style and scripts.
    pub(super) version: &'static str,
}

impl Frame {
    pub(super) fn new(title: impl Into<String>, here: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            here: here.into(),
            sections: Vec::new(),
            groups: guides::groups(),
            version: console::assets_version(),
        }
    }

    pub(super) fn is_here(&self, path: &str) -> bool {
        self.here == path
    }

    /// The sections below the name of a page: only the current page shows its own.
    pub(super) fn sections_of(&self, path: &str) -> &[Heading] {
        if self.is_here(path) { &self.sections } else { &[] }
    }
}

/// Responds with a page.
pub(super) fn show(page: &impl Template) -> Result<HttpResponse, ApiError> {
    show_under(POLICY, page)
}

/// The same under another policy.
pub(super) fn show_under(policy: &str, page: &impl Template) -> Result<HttpResponse, ApiError> {
    let body = page.render().map_err(|error| ApiError::fault(&error))?;
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(body);
    // Any client may request the pages at any rate, so they are not compressed each time.
    leave_uncompressed(response.headers_mut());
    Ok(response)
}

/// Responds with a text for programs.
pub(super) fn text(kind: &'static str, body: impl Into<String>) -> HttpResponse {
    let mut response = HttpResponse::Ok().insert_header((CONTENT_TYPE, kind)).body(body.into());
    leave_uncompressed(response.headers_mut());
    response
}
