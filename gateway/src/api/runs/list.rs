//! GET /api/v1/runs and GET /api/v1/apps/{appId}/runs: runs, newest first.

use actix_web::{HttpRequest, web};
use gateway_domain::runs::list::list;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use shared::ids::AppId;
use shared::runs::{RunStatus, RunView, Source};
use utoipa::ToSchema;

use crate::api::Caller;
use crate::context::Context;
use crate::http::ApiError;
use crate::http::extract::{Query, read_filters, read_page};

const DEFAULT_LIMIT: u32 = 20;
/// Items of a page with inputs and results. Its bytes are bounded too.
const MAX_WHOLE: u32 = 20;
const WHOLE: &str = "inputs,result";

/// A page of runs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct RunList {
    #[schema(value_type = Vec<RunView>)]
    data: Vec<Box<RawValue>>,
    #[schema(required)]
    next_cursor: Option<String>,
}

#[utoipa::path(
    get, path = "/api/v1/runs", tag = "Runs", operation_id = "listRuns", summary = "List runs",
    description = "Runs, newest first, without `inputs` and `result` unless `include=inputs,result` asks for \
                   them. A run must pass all filters; `metadata=KEY=VALUE` finds runs by their metadata. A \
                   cursor carries its filters. A page may have fewer runs than `limit`, also if more follow: \
                   only `nextCursor` says whether they do.",
    params(
        ("status" = Option<Vec<RunStatus>>, Query, description = "May repeat", explode = true),
        ("appId" = Option<uuid::Uuid>, Query, description = "Runs of this app"),
        ("source" = Option<Source>, Query, description = "Created through the API or in the console"),
        ("createdAfter" = Option<String>, Query, description = "RFC 3339", format = DateTime),
        ("createdBefore" = Option<String>, Query, description = "RFC 3339", format = DateTime),
        ("include" = Option<String>, Query, description = "`inputs,result`; then `limit` is 20 at most",
            pattern = "^(inputs,result|result,inputs)$"),
        ("limit" = Option<u32>, Query, description = "Items at most, 20 by default",
            minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the previous page"),
    ),
    responses((status = 200, description = "A page of runs", body = RunList)),
)]
pub(in crate::api) async fn handle(
    caller: Caller,
    request: HttpRequest,
    context: web::Data<Context>,
) -> Result<web::Json<RunList>, ApiError> {
    let mut query = Query::of(&request)?;
    let mut filters = read_filters(&mut query);
    let whole = include(&mut query);
    let in_path: Option<AppId> = request
        .match_info()
        .get("appId")
        .map(str::parse)
        .transpose()
        .map_err(|_| ApiError::not_found("app"))?;
    filters.app = in_path.or(filters.app);
    let page = read_page(&mut query, DEFAULT_LIMIT, filters);
    if whole && page.limit > MAX_WHOLE {
        query.wrong("limit", &format!("limit must be {MAX_WHOLE} at most with include={WHOLE}"));
    }
    query.elsewhere(&["wait"], "one run can be waited for: GET /api/v1/runs/{id}?wait=30");
    query.end()?;
    if let Some(app) = in_path {
        check_app(&context, &caller, app).await?;
    }
    let asked = in_path.or(page.filters.app);
    if asked.is_some_and(|app| !caller.may_see(app)) {
        return Ok(web::Json(RunList { data: vec![], next_cursor: None }));
    }
    let app = asked.or(caller.app);
    let (runs, next_cursor) = list(&context.db, &context.viewer, caller.user, app, &page, whole).await?;
    // Each run is dropped as soon as its JSON exists.
    let data = runs.into_iter().map(|run| item(&run, whole)).collect::<Result<_, _>>()?;
    Ok(web::Json(RunList { data, next_cursor }))
}

fn include(query: &mut Query) -> bool {
    let Some(text) = query.text("include") else { return false };
    let mut parts: Vec<_> = text.split(',').collect();
    parts.sort_unstable();
    if parts != ["inputs", "result"] {
        query.wrong("include", &format!("include must be {WHOLE}"));
    }
    true
}

/// In a list without results, a null would claim that there is no result.
fn item(run: &RunView, whole: bool) -> Result<Box<RawValue>, ApiError> {
    let fault = |error: serde_json::Error| ApiError::fault(&error);
    if whole {
        // Directly: as a value, a long array takes many times its bytes.
        return to_raw_value(run).map_err(fault);
    }
    let mut item = serde_json::to_value(run).map_err(fault)?;
    if let Some(members) = item.as_object_mut() {
        members.remove("inputs");
        members.remove("result");
    }
    to_raw_value(&item).map_err(fault)
}

/// A path through an app that the key may not see, or that does not exist, is 404.
async fn check_app(context: &Context, caller: &Caller, app: AppId) -> Result<(), ApiError> {
    if !caller.may_see(app) {
        return Err(ApiError::not_found("app"));
    }
    if context.apps().get(caller.user, app).is_none() {
        context.load_app(caller.user, app).await?;
    }
    Ok(())
}
