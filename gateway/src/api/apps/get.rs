//! GET /api/v1/apps/{appId}: one app, as JSON for programs that run it, or as its app file.

use actix_web::http::header::{CONTENT_TYPE, ETAG, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use gateway_domain::accounts::Scope;
use gateway_domain::apps::list::{App as StoredApp, load};
use gateway_domain::apps::to_toml;

use super::App;
use super::body::TOML;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, is_known, prefers};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Toml,
}

#[utoipa::path(
    get, path = "/api/v1/apps/{appId}", tag = "Apps", operation_id = "getApp", summary = "Get an app",
    description = "What a client needs to run the app. With `format=toml`, or with `Accept: \
                   application/toml`, the whole definition as an app file, which PUT takes back: that needs \
                   a key with the scope `apps:write`. The file's ETag is the version. Comments are not kept.",
    params(
        ("appId" = uuid::Uuid, Path, description = "The app's id"),
        ("format" = Option<String>, Query, description = "`json` (the default) or `toml`",
            pattern = "^(json|toml)$", example = "toml"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of an earlier app file"),
    ),
    responses(
        (status = 200, description = "The app", content(
            (App = "application/json"),
            (String = "application/toml"),
        ), headers(("ETag" = String, description = "The version of an app file, for `If-Match`"))),
        (status = 304, description = "The app file has not changed since the response with that ETag"),
    ),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let format = query.parsed("format", "json or toml", |text| match text {
        "json" => Some(Format::Json),
        "toml" => Some(Format::Toml),
        _ => None,
    });
    query.end()?;
    let accepted = if prefers(&request, TOML, "application/json") { Format::Toml } else { Format::Json };
    let format = format.unwrap_or(accepted);
    let app = caller.app_in_path(&request)?.ok_or(ApiError::not_found("app"))?;
    if format == Format::Json {
        let shown = App::load(&context, caller.user, app, None).await?;
        return Ok(HttpResponse::Ok().insert_header((VARY, "Accept")).json(shown));
    }
    caller.require(Scope::AppsWrite)?;
    let stored = load(&context.db, caller.user, app, None).await?.ok_or(ApiError::not_found("app"))?;
    file(&request, &stored)
}

fn file(request: &HttpRequest, stored: &StoredApp) -> Result<HttpResponse, ApiError> {
    let tag = format!("\"{}\"", stored.version);
    if is_known(request, &tag) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, tag)).finish());
    }
    let definition = stored.definition().ok_or_else(|| ApiError::internal(super::UNREADABLE))?;
    let text = to_toml(&definition).map_err(|error| ApiError::fault(&error))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((ETAG, tag)).insert_header((VARY, "Accept")).insert_header((CONTENT_TYPE, TOML));
    Ok(response.body(text))
}
