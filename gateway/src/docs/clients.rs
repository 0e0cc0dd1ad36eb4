//! /docs/clients: the script for CI jobs, and the files of deploy/clients that use it. Jobs download the
//! script from their own installation, so it fits the version of the gateway.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpResponse, web};

use crate::http::ApiError;

/// Name, media type and content of each file.
const FILES: [(&str, &str, &str); 3] = [
    ("run.py", "text/x-python; charset=utf-8", include_str!("../../../deploy/clients/run.py")),
    (
        "action.yml",
        "application/yaml; charset=utf-8",
        include_str!("../../../deploy/clients/github/action.yml"),
    ),
    (
        "capi.gitlab-ci.yml",
        "application/yaml; charset=utf-8",
        include_str!("../../../deploy/clients/gitlab/capi.yml"),
    ),
];

/// GET /docs/clients/{file}
pub(super) async fn file(name: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let file = FILES.iter().find(|(known, ..)| *known == name.as_str());
    let (_, kind, text) = file.ok_or(ApiError::not_found("file"))?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, *kind))
        // The files change with each version of the gateway.
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .insert_header((CONTENT_SECURITY_POLICY, "default-src 'none'"))
        .body(*text))
}
