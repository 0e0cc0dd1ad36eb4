//! GET /api/agentapps and GET /api/v1/apps: the apps that a key may run, newest first.

use actix_web::{HttpRequest, web};
use gateway_domain::apps::list::{App as StoredApp, list};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, read_page};

/// Most accounts have fewer apps: a script that looks for an app by name needs no second page.
const DEFAULT_LIMIT: u32 = 100;

/// A page of apps.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct AppList {
    data: Vec<App>,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[utoipa::path(
    get, path = "/api/v1/apps", tag = "Apps", operation_id = "listApps", summary = "List apps",
    description = "The apps that this key may run, newest first. `GET /api/agentapps` is the same.",
    params(
        ("limit" = Option<u32>, Query, description = "Items at most", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the previous page"),
    ),
    responses((status = 200, description = "A page of apps", body = AppList)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<AppList>, ApiError> {
    let mut query = Query::of(&request)?;
    let page = read_page(&mut query, DEFAULT_LIMIT, ());
    query.end()?;
    let mut found = list(&context.db, caller.user, caller.app, page.after, page.rows()).await?;
    let next_cursor = page.cut(&mut found, StoredApp::position);
    let default_model = &context.models.default_model().id;
    let data = found.iter().filter_map(|stored| App::new(stored, default_model)).collect();
    Ok(web::Json(AppList { data, next_cursor }))
}
