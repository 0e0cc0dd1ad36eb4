//! GET /api/v1/runs and GET /api/v1/apps/{appId}/runs: runs, newest first.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use shared::db::DbError;
use shared::ids::{AppId, RunId};
use shared::runs::RunView;

use super::filters::Filters;
use super::find::{Found, find};
use super::load_app;
use crate::auth::Caller;
use crate::context::Context;
use crate::error::ApiError;
use crate::extract::{Page, Query};

const DEFAULT_LIMIT: u32 = 20;
/// Items of a page that carries inputs and results: those may have a MiB each.
const MAX_WHOLE: u32 = 20;
const WHOLE: &str = "inputs,result";

/// The handler.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "Runs", operation_id = "listRuns", summary = "List runs",
    description = "Runs, newest first, without `inputs` and `result` unless `include=inputs,result` asks for them. Filters hold all at \
                   once; `metadata.KEY=VALUE` finds runs by their metadata. A cursor carries its filters.",
    params(
        ("status" = Option<Vec<crate::openapi::Status>>, Query, description = "May repeat", explode = true),
        ("appId" = Option<uuid::Uuid>, Query, description = "Of this app"),
        ("source" = Option<crate::openapi::Source>, Query, description = "Created through the API or in the console"),
        ("createdAfter" = Option<String>, Query, description = "RFC 3339", format = DateTime),
        ("createdBefore" = Option<String>, Query, description = "RFC 3339", format = DateTime),
        ("include" = Option<String>, Query, description = "`inputs,result`; then `limit` is 20 at most", pattern = "^(inputs,result|result,inputs)$"),
        ("limit" = Option<u32>, Query, description = "Items at most, 20 by default", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before"),
    ),
    responses((status = 200, description = "A page of runs", body = crate::openapi::RunList)),
)]
pub async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&request)?;
    let mut filters = Filters::read(&mut query);
    let whole = included(&mut query);
    let in_path = request.match_info().get("appId");
    let in_path: Option<AppId> =
        in_path.map(str::parse).transpose().map_err(|_| ApiError::NotFound("app"))?;
    filters.app = in_path.or(filters.app);
    let page = Page::read(&mut query, DEFAULT_LIMIT, filters);
    if whole && page.limit > MAX_WHOLE {
        query.wrong("limit", &format!("limit must be {MAX_WHOLE} at most with include={WHOLE}"));
    }
    query.end()?;
    if let Some(app) = in_path {
        owns(&context, &caller, app).await?;
    }
    let asked = in_path.or(page.filters.app);
    if asked.is_some_and(|app| !caller.may_see(app)) {
        return Ok(HttpResponse::Ok().json(json!({ "data": [], "nextCursor": null })));
    }
    let app = asked.or(caller.app);
    let (viewer, page) = (&context.viewer, &page);
    let loading = context.db.read(|mut conn| async move {
        let mut found = find(&mut conn, caller.user, app, page).await?;
        let next = page.cut(&mut found, Found::position);
        let ids: Vec<RunId> = found.iter().map(|run| run.id).collect();
        Ok::<_, DbError>((viewer.load_all(&mut conn, caller.user, &ids, whole).await?, next))
    });
    let (runs, next) = loading.await?;
    let data: Vec<_> = runs.iter().map(|run| item(run, whole)).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data, "nextCursor": next })))
}

fn included(query: &mut Query) -> bool {
    let Some(text) = query.text("include") else { return false };
    let mut parts: Vec<_> = text.split(',').collect();
    parts.sort_unstable();
    if parts != ["inputs", "result"] {
        query.wrong("include", &format!("include must be {WHOLE}"));
    }
    true
}

fn item(run: &RunView, whole: bool) -> Value {
    let mut item = json!(run);
    if !whole && let Some(members) = item.as_object_mut() {
        members.remove("inputs");
        members.remove("result");
    }
    item
}

/// A path through an app that is not there leads nowhere.
async fn owns(context: &Context, caller: &Caller, app: AppId) -> Result<(), ApiError> {
    if !caller.may_see(app) {
        return Err(ApiError::NotFound("app"));
    }
    if context.apps.get(caller.user, app).is_none() {
        load_app(context, caller.user, app).await?;
    }
    Ok(())
}
