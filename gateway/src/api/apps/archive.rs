//! POST /api/v1/apps/{appId}/archive: archives an app.

use actix_web::{HttpRequest, web};
use gateway_domain::Refusal;
use gateway_domain::apps::archive::set_archived;

use super::App;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::Query;

#[utoipa::path(
    post, path = "/api/v1/apps/{appId}/archive", tag = "Apps", operation_id = "archiveApp",
    summary = "Archive an app",
    description = "An archived app takes no runs; its runs and versions are kept. A second call changes \
                   nothing and succeeds too. The console restores apps. Needs a key with the scope \
                   `apps:write`.",
    params(("appId" = uuid::Uuid, Path, description = "The app's id")),
    responses((status = 200, description = "The archived app", body = App)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<App>, ApiError> {
    Query::none(&request)?;
    let app = caller.app_in_path(&request)?.ok_or(ApiError::not_found("app"))?;
    let archived = set_archived(&context.db, caller.user, app, true, caller.actor()).await;
    archived.map_err(Refusal::from)?;
    Ok(web::Json(App::load(&context, caller.user, app, None).await?))
}
