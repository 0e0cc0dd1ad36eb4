//! The API reference: the OpenAPI document, and Swagger UI over it.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use askama::Template;
use bytes::Bytes;
use utoipa_swagger_ui::{Config, serve};

use super::page::{self, Frame};
use crate::api::openapi;
use crate::http::ApiError;
use crate::http::middleware::leave_uncompressed;

/// Only files of this server. Swagger UI sets styles and loads its icons as data URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src \
                      'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// The files change with each build.
const CACHED: &str = "public, max-age=3600";

/// Swagger UI's files come through this function, which wants settings. The page's own script has them.
static SETTINGS: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::new(["/"])));

#[derive(Template)]
#[template(path = "docs/reference.html")]
struct Page {
    frame: Frame,
}

/// GET /api/v1/openapi.json
pub(super) async fn document() -> HttpResponse {
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, CACHED))
        .body(openapi::document());
    leave_uncompressed(response.headers_mut());
    response
}

/// GET /docs/reference
pub(super) async fn page() -> Result<HttpResponse, ApiError> {
    page::show_under(POLICY, &Page { frame: Frame::new("API reference", "/docs/reference") })
}

/// GET /docs/swagger/{file}
pub(super) async fn file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let Ok(Some(file)) = serve(&name, Arc::clone(&SETTINGS)) else {
        return Err(ApiError::not_found("page"));
    };
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, file.content_type))
        .insert_header((CACHE_CONTROL, CACHED))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(bytes);
    // Any client may request them at any rate, so they are not compressed each time.
    leave_uncompressed(response.headers_mut());
    Ok(response)
}
