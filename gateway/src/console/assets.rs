//! Scripts, style sheets and the icon of the console and of /docs, embedded in the program. Their address
//! changes with their content, so browsers may cache them for a year.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use aws_lc_rs::digest::{Context, SHA256};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};

use crate::http::ApiError;

const FILES: [(&str, &str, &[u8]); 8] = [
    // htmx 2.0.11, https://htmx.org, Zero-Clause BSD.
    ("htmx.js", "text/javascript; charset=utf-8", include_bytes!("assets/htmx.min.js")),
    ("console.js", "text/javascript; charset=utf-8", include_bytes!("assets/console.js")),
    ("console.css", "text/css; charset=utf-8", include_bytes!("assets/console.css")),
    ("copy.js", "text/javascript; charset=utf-8", include_bytes!("assets/copy.js")),
    ("docs.css", "text/css; charset=utf-8", include_bytes!("../docs/assets/docs.css")),
    ("reference.css", "text/css; charset=utf-8", include_bytes!("../docs/assets/reference.css")),
    ("reference.js", "text/javascript; charset=utf-8", include_bytes!("../docs/assets/reference.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
];

/// The part of the address that changes with the content.
pub(crate) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let mut context = Context::new(&SHA256);
        for (_, _, bytes) in FILES {
            context.update(bytes);
        }
        BASE64_URL_SAFE_NO_PAD.encode(&context.finish().as_ref()[..12])
    });
    &VERSION
}

/// GET /console/{version}/{file}
pub(crate) async fn handle(path: web::Path<(String, String)>) -> Result<HttpResponse, ApiError> {
    let file = FILES.iter().find(|(name, ..)| *name == path.1 && path.0 == version());
    let (_, kind, bytes) = file.ok_or(ApiError::not_found("file"))?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, *kind))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((CONTENT_SECURITY_POLICY, "default-src 'none'"))
        .body(*bytes))
}
