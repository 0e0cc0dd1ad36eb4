//! /docs: what capi is, and where to read on.

use actix_web::HttpResponse;
use askama::Template;

use super::page::{self, Frame};
use crate::http::ApiError;

#[derive(Template)]
#[template(path = "docs/index.html")]
struct Page {
    frame: Frame,
}

/// GET /docs
pub(super) async fn handle() -> Result<HttpResponse, ApiError> {
    page::show(&Page { frame: Frame::new("Documentation", "/docs") })
}
