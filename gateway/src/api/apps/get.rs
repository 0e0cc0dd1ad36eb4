//! GET /api/v1/apps/{appId}: one app.

use actix_web::{HttpRequest, web};
use gateway_domain::apps;

use super::App;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

#[utoipa::path(
    get, path = "/api/v1/apps/{appId}", tag = "Apps", operation_id = "getApp", summary = "Get an app",
    params(("appId" = uuid::Uuid, Path, description = "The app's id")),
    responses((status = 200, description = "The app", body = App)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<App>, ApiError> {
    Query::none(&request)?;
    let app = caller.app_in_path(&request)?;
    let found = apps::list::list(&context.db, caller.user, app, None, 1).await?;
    let stored = found.first().ok_or(ApiError::not_found("app"))?;
    App::new(stored, &context.models.default_model().id)
        .map(web::Json)
        .ok_or_else(|| ApiError::internal("a stored definition cannot be read"))
}
