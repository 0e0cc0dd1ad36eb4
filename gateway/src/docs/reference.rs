//! The API reference: the OpenAPI document, and Swagger UI over it.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use utoipa_swagger_ui::{Config, serve};

use crate::api::openapi;
use crate::http::ApiError;
use crate::http::middleware::leave_uncompressed;

/// Only files of this server. Swagger UI sets styles and loads its icons as data URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src \
                      'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// The files change with each build.
const CACHED: &str = "public, max-age=3600";

static SETTINGS: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let settings = Config::new(["/api/v1/openapi.json"]);
    Arc::new(
        settings.use_base_layout().default_models_expand_depth(0).doc_expansion("list").deep_linking(true),
    )
});

/// GET /api/v1/openapi.json
pub(super) async fn document() -> HttpResponse {
    let mut response = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((CACHE_CONTROL, CACHED))
        .body(openapi::document());
    leave_uncompressed(response.headers_mut());
    response
}

/// GET /docs and /docs/. Its links are relative to a directory.
pub(super) async fn page() -> HttpResponse {
    HttpResponse::Found().insert_header(("location", "/docs/index.html")).finish()
}

/// GET /docs/{file}
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
