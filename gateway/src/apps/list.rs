//! GET /api/agentapps and GET /api/v1/apps: the caller's apps, newest first.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::view::{AppRow, load};
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Page, Query};

/// Most accounts have fewer apps than this: a script that looks for one by its name needs no second page.
const DEFAULT_LIMIT: u32 = 100;

/// The handler.
#[utoipa::path(
    get, path = "/api/v1/apps", tag = "Apps", operation_id = "listApps", summary = "List apps",
    description = "The apps that this key may run, newest first. `GET /api/agentapps` is the same.",
    params(
        ("limit" = Option<u32>, Query, description = "Items at most", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page of apps", body = crate::openapi::AppList)),
)]
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let page = Page::<()>::read(&mut query, DEFAULT_LIMIT, ());
    query.end()?;
    let (after, rows) = (page.after, page.rows());
    let loading = context
        .db
        .read(|mut conn| async move { load(&mut conn, caller.user, caller.app, after, rows).await });
    let mut rows = loading.await?;
    let next = page.cut(&mut rows, AppRow::position);
    let default_model = &context.models.default_model().id;
    let data: Vec<_> = rows.iter().filter_map(|row| row.shown(default_model)).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data, "nextCursor": next })))
}
