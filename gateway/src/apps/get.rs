//! GET /api/v1/apps/{appId}: one app.

use actix_web::{HttpRequest, HttpResponse, web};
use shared::ids::AppId;

use super::view::load;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::Query;

/// The handler.
#[utoipa::path(
    get, path = "/api/v1/apps/{appId}", tag = "Apps", operation_id = "getApp", summary = "Get an app",
    params(("appId" = uuid::Uuid, Path, description = "The app's id")),
    responses((status = 200, description = "The app", body = crate::openapi::App)),
)]
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    app: web::Path<String>,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    Query::none(&request)?;
    let app: AppId = app.parse().map_err(|_| ApiError::NotFound("app"))?;
    if !caller.may_see(app) {
        return Err(ApiError::NotFound("app"));
    }
    let loading =
        context.db.read(|mut conn| async move { load(&mut conn, caller.user, Some(app), None, 1).await });
    let row = loading.await?.pop().ok_or(ApiError::NotFound("app"))?;
    let shown = row.shown(&context.models.default_model().id).ok_or(ApiError::Internal)?;
    Ok(HttpResponse::Ok().json(shown))
}
